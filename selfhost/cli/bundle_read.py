"""`selfhost bundle verify|inspect|import|inventory|repair-list`: the receiver's side."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (Typer reads the annotations when it runs)
from typing import TYPE_CHECKING, Any

import typer

from selfhost.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.app.bundle_gate import GateOptions
    from selfhost.app.bundle_import import Imported
    from selfhost.app.bundle_verify import Report
    from selfhost.bundle.unpack import Copying
    from selfhost.cli.progress import StatusLine

PATHS = typer.Argument(help="Directories of volumes, or drives that hold some.", metavar="DIR...", show_default=False)
KEYS = typer.Option(
    None, "--key", help="Trust this public key, and no other; may be repeated.", metavar="FILE", show_default=False
)
UNSIGNED = typer.Option(
    None,
    "--allow-unsigned",
    help="Take what no trusted key signed, for this reason; it is logged.",
    metavar="REASON",
    show_default=False,
)
STRICT = typer.Option(False, "--strict-time", help="Refuse keys outside their time, instead of telling.")
FAST = typer.Option(False, "--fast", help="Names and sizes only; no contents are read.")
_READERS = "Files to read at a time on each drive [1 where it spins, else up to 4]."
WORKERS = typer.Option(None, "--workers", min=1, help=_READERS, metavar="N", show_default=False)
JSON = typer.Option(False, "--json", help="Print one JSON object.")


def register(group: typer.Typer) -> None:
    """Add the commands to `selfhost bundle`."""
    group.command("verify")(_verify)
    group.command("inspect")(_inspect)
    group.command("import")(_import)
    group.command("inventory")(_inventory)
    group.command("repair-list")(_repair_list)


def _options(keys: list[Path] | None, unsigned: str | None, *, strict: bool, rollback: bool = False) -> GateOptions:
    from selfhost.app.bundle_gate import GateOptions

    return GateOptions(keys=tuple(keys or ()), allow_unsigned=unsigned, allow_rollback=rollback, strict_time=strict)


def _progress(line: StatusLine, phase: str) -> Callable[[int, int], None]:
    from selfhost.messages import text
    from selfhost.units import format_bytes

    def show(done: int, total: int) -> None:
        line.show(phase, text("unpack.progress", phase=phase, done=format_bytes(done), total=format_bytes(total)))

    return show


def _verify(  # noqa: PLR0917 - Typer reads them by name
    paths: list[Path] = PATHS,
    keys: list[Path] = KEYS,
    unsigned: str = UNSIGNED,
    strict_time: bool = STRICT,
    fast: bool = FAST,
    workers: int = WORKERS,
    as_json: bool = JSON,
) -> None:
    """Check volumes: the signature first, then names and sizes, then every byte. Nothing is written to them.

    Exit code 5: damaged, or with files that are not listed; 6: not signed by who is trusted; 7: files are missing.

    Examples: selfhost bundle verify /mnt/usb; selfhost bundle verify /mnt/a /mnt/b --key vendor.pub.
    """
    report = _report(paths, _options(keys, unsigned, strict=strict_time), full=not fast, workers=workers)
    if as_json:
        output.write_json(report.as_dict())
    else:
        _print_report(report)
    if report.problem:
        output.print_error(report.problem)
        raise typer.Exit(int(report.problem.code))


def _report(paths: list[Path], options: GateOptions, *, full: bool, workers: int | None = None) -> Report:
    from selfhost.app import bundle_verify
    from selfhost.app.bundle_gate import Gate
    from selfhost.bundle import read
    from selfhost.bundle.audit import audited
    from selfhost.cli.progress import StatusLine
    from selfhost.home import find_home

    home = find_home()
    given = [str(path) for path in paths]
    with (
        audited(home, "bundle verify", paths=given, reason=options.allow_unsigned) as told,
        StatusLine() as line,
    ):
        bundle = read.open_bundle(paths, Gate(home, options, output.note).trusted)
        told |= {"bundle": bundle.info.id, "serial": bundle.info.serial, "signers": bundle.volumes[0].signer}
        report = bundle_verify.verify(bundle, _progress(line, "verify"), full=full, workers=workers)
        told["found"] = str(report.problem or "ok")
    return report


def _print_report(report: Report) -> None:
    from selfhost.messages import text
    from selfhost.units import format_bytes

    _print_signer(report.bundle.volumes[0].signer)
    if report.problem is None:
        values = {
            "label": report.bundle.info.label,
            "count": len(report.files),
            "size": format_bytes(sum(file.size or 0 for file in report.files)),
        }
        output.write(text("unpack.whole", **values) if report.full else text("unpack.whole_fast", **values))
    for volume in report.bundle.absent:
        output.note(text("unpack.absent_volume", label=volume.label, size=format_bytes(volume.size_bytes)))


def _print_signer(signer: str) -> None:
    from selfhost.messages import text

    if signer:
        output.write(text("unpack.signed", signer=signer))


def _inspect(
    paths: list[Path] = PATHS,
    diff: list[Path] = typer.Option(
        None, "--diff", help="Compare with this bundle.", metavar="DIR", show_default=False
    ),
    keys: list[Path] = KEYS,
    unsigned: str = UNSIGNED,
    as_json: bool = JSON,
) -> None:
    """Show what a bundle holds: models, sizes, licences, volumes, who signed it. Contents are not read.

    Examples: selfhost bundle inspect /mnt/usb; selfhost bundle inspect /mnt/new --diff /mnt/old.
    """
    from selfhost.app import bundle_verify
    from selfhost.app.bundle_gate import Gate
    from selfhost.bundle import read
    from selfhost.bundle.audit import audited
    from selfhost.home import find_home

    home, options = find_home(), _options(keys, unsigned, strict=False)
    given = [str(path) for path in (*paths, *(diff or ()))]
    with audited(home, "bundle inspect", paths=given, reason=options.allow_unsigned) as told:
        gate = Gate(home, options, output.note)
        bundle = read.open_bundle(paths, gate.trusted)
        told |= {"bundle": bundle.info.id, "serial": bundle.info.serial, "signers": bundle.volumes[0].signer}
        other = read.open_bundle(diff, gate.trusted) if diff else None
        found = bundle_verify.difference(bundle, other) if other else bundle_verify.inspect(bundle)
    (output.write_json if as_json else _print_facts)(found)


def _print_facts(found: dict[str, Any]) -> None:
    """One fact a line, whatever the bundle says: what is a list gets a line for each entry."""
    from selfhost.messages import plain
    from selfhost.units import format_bytes

    for name, value in found.items():
        if name == "schema_version" or value in (None, [], ""):
            continue
        for one in value if isinstance(value, list) else [value]:
            fields = one.items() if isinstance(one, dict) else [("", one)]
            words = [
                format_bytes(field) if key.endswith("bytes") or name.endswith("bytes") else _word(field)
                for key, field in fields
                if field not in (None, [], "")
            ]
            output.write(plain(f"{name.replace('_', ' ')}: {', '.join(words)}").replace("\n", " "))


def _word(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _import(  # noqa: PLR0917 - Typer reads them by name
    paths: list[Path] = PATHS,
    keys: list[Path] = KEYS,
    unsigned: str = UNSIGNED,
    strict_time: bool = STRICT,
    rollback: bool = typer.Option(
        False, "--allow-rollback", help="Take a bundle that is older than one that was imported."
    ),
    link: str = typer.Option("auto", "--link", help="auto: share blocks where the file system can; copy: never."),
    workers: int = WORKERS,
    as_json: bool = JSON,
) -> None:
    """Bring a bundle into the store; models appear when all their contents are here. Volumes come in any order.

    Every byte is compared as it is copied. What was copied stays when this is interrupted or another volume is needed
    (exit code 7). Nothing is written to the medium.

    Examples: selfhost bundle import /mnt/usb; selfhost bundle import /mnt/a /mnt/b --key vendor.pub.
    """
    from selfhost.bundle.unpack import Copying
    from selfhost.errors import UsageError

    if link not in ("auto", "copy"):
        raise UsageError("unpack.bad_link", given=link)
    options = _options(keys, unsigned, strict=strict_time, rollback=rollback)
    imported = _run_import(paths, options, Copying(clone=link == "auto", workers=workers))
    if as_json:
        output.write_json(imported.as_dict())
    else:
        _print_imported(imported)


class _Talk:
    """Notes on stderr, below one line that tells how far it is."""

    def __init__(self, line: StatusLine) -> None:
        self._line = line
        self.progress = _progress(line, "import")

    def note(self, line: str) -> None:
        self._line.clear()
        output.note(line)

    def warn(self, line: str) -> None:
        self._line.clear()
        output.warn(line)


def _run_import(paths: list[Path], options: GateOptions, how: Copying) -> Imported:
    from selfhost.app import bundle_import
    from selfhost.app.bundle_gate import Gate
    from selfhost.bundle import read
    from selfhost.bundle.audit import audited
    from selfhost.cli.progress import StatusLine
    from selfhost.home import find_home

    home = find_home()
    given, back = [str(path) for path in paths], options.allow_rollback
    with (
        audited(home, "bundle import", paths=given, reason=options.allow_unsigned, allow_rollback=back) as told,
        StatusLine() as line,
    ):
        gate = Gate(home, options, output.note)
        bundle = read.open_bundle(paths, gate.trusted)
        told |= {"bundle": bundle.info.id, "serial": bundle.info.serial, "signers": bundle.volumes[0].signer}
        imported = bundle_import.run(bundle, gate, home, _Talk(line), how)
        told["copied_bytes"] = imported.brought.copied_bytes
    return imported


def _print_imported(imported: Imported) -> None:
    from selfhost.messages import text

    _print_signer(imported.bundle.volumes[0].signer)
    for path in imported.models:
        values = {"name": path.parent.name, "variant": path.name, "path": path}
        new = path in imported.activated
        output.write(text("unpack.imported", **values) if new else text("unpack.already", **values))
    for path in imported.wheelhouses:
        output.write(text("unpack.wheelhouse", path=path))


def _inventory() -> None:
    """Print what this machine has, as JSON: digests and sizes, for a bundle that leaves it out.

    Examples: selfhost bundle inventory > have.json; then, elsewhere: selfhost bundle create --have have.json ...
    """
    from selfhost.app import bundle_import
    from selfhost.bundle.audit import audited
    from selfhost.home import find_home

    home = find_home()
    # It leaves the closed side: who took it is written down, as for what comes in.
    with audited(home, "bundle inventory") as told:
        found = bundle_import.inventory(home)
        told["blobs"] = len(found["blobs"])
    output.write_json(found)


def _repair_list(
    paths: list[Path] = PATHS, keys: list[Path] = KEYS, unsigned: str = UNSIGNED, fast: bool = FAST
) -> None:
    """Print what is damaged or missing on volumes, as JSON; `bundle create --have` makes a bundle of it.

    Import the damaged bundle as far as it goes, then the one that was made of what it lacks.

    Examples: selfhost bundle repair-list /mnt/usb > repair.json.
    """
    from selfhost.app import bundle_verify
    from selfhost.messages import text

    report = _report(paths, _options(keys, unsigned, strict=False), full=not fast)
    found = bundle_verify.repair_list(report)
    if not found["files"]:
        output.note(text("unpack.repair_nothing", label=report.bundle.info.label))
    output.write_json(found)
