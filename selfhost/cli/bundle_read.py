"""`selfhost bundle verify|inspect|inventory|repair-list`: what is on media, and what is here."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (Typer reads the annotations when it runs)
from typing import TYPE_CHECKING, Any

import typer

from selfhost.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.app.bundle_gate import GateOptions
    from selfhost.app.bundle_verify import Report
    from selfhost.bundle.read import Bundle
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
    group.command("inventory")(_inventory)
    group.command("repair-list")(_repair_list)


def gate_options(keys: list[Path] | None, unsigned: str | None, *, strict: bool, rollback: bool = False) -> GateOptions:
    """What the command line says about trust."""
    from selfhost.app.bundle_gate import GateOptions

    return GateOptions(keys=tuple(keys or ()), allow_unsigned=unsigned, allow_rollback=rollback, strict_time=strict)


def progress(line: StatusLine, phase: str) -> Callable[[int, int], None]:
    """Shows how far a phase is, in bytes."""
    from selfhost.cli.output import text
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
    partial: bool = typer.Option(
        False, "--partial", help="One drive after the other: other volumes need not be at hand."
    ),
    workers: int = WORKERS,
    as_json: bool = JSON,
) -> None:
    """Check volumes: the signature first, then names and sizes, then every byte. Nothing is written to them.

    Exit code 5: damaged, or with files that are not listed; 6: not signed by who is trusted; 7: files or volumes are
    missing.

    Examples: selfhost bundle verify /mnt/usb; selfhost bundle verify /mnt/a /mnt/b --key vendor.pub.
    """
    options = gate_options(keys, unsigned, strict=strict_time)
    report = _report("bundle verify", paths, options, full=not fast, workers=workers, partial=partial)
    if as_json:
        output.write_json(report.as_dict())
    else:
        _print_report(report)
    if report.problem:
        output.print_error(report.problem)
        raise typer.Exit(int(report.problem.code))


def _report(
    operation: str,
    paths: list[Path],
    options: GateOptions,
    *,
    full: bool,
    workers: int | None = None,
    partial: bool | None = None,
) -> Report:
    """What is on volumes, with one line in the audit log.

    partial: as `--partial` said; None: what is wrong is an answer like any other, not a failure.
    """
    from selfhost.app import bundle_verify
    from selfhost.app.bundle_gate import Gate
    from selfhost.bundle import read
    from selfhost.bundle.audit import audited
    from selfhost.cli.progress import StatusLine
    from selfhost.home import find_home

    home = find_home()
    given = [str(path) for path in paths]
    with (
        audited(home, operation, paths=given, reason=options.allow_unsigned) as told,
        StatusLine() as line,
    ):
        gate = Gate(home, options, output.note)
        bundle = read.open_bundle(paths, gate.trusted)
        told.update(facts(bundle))
        gate.model_signatures(bundle)
        show = progress(line, "verify")
        report = bundle_verify.verify(bundle, show, full=full, workers=workers, partial=partial is not False)
        told["found"] = str(report.problem or "ok")
        if partial is not None:
            told["problem"] = report.problem
    return report


def facts(bundle: Bundle) -> dict[str, object]:
    """For the audit log."""
    return {"bundle": bundle.info.id, "serial": bundle.info.serial, "signers": bundle.volumes[0].signer}


def _print_report(report: Report) -> None:
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    print_signer(report.bundle.volumes[0].signer)
    if report.problem is None:
        values = {
            "label": report.bundle.info.label,
            "count": len(report.files),
            "size": format_bytes(sum(file.size or 0 for file in report.files)),
        }
        output.write(text("unpack.whole", **values) if report.full else text("unpack.whole_fast", **values))
    for volume in report.bundle.absent:
        output.note(text("unpack.absent_volume", label=volume.label, size=format_bytes(volume.size_bytes)))


def print_signer(signer: str) -> None:
    """Who signed the bundle."""
    from selfhost.cli.output import text

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

    home, given = find_home(), [str(path) for path in (*paths, *(diff or ()))]
    with audited(home, "bundle inspect", paths=given, reason=unsigned) as told:
        gate = Gate(home, gate_options(keys, unsigned, strict=False), output.note)
        bundle = read.open_bundle(paths, gate.trusted)
        told.update(facts(bundle))
        if diff:
            found = bundle_verify.difference(bundle, read.open_bundle(diff, gate.trusted))
        else:
            found = bundle_verify.inspect(bundle)
    if as_json:
        output.write_json(found)
    else:
        _print_facts(found)


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


def _inventory() -> None:
    """Print what this machine has, as JSON: digests and sizes, for a bundle that leaves it out.

    Examples: selfhost bundle inventory > have.json; then, elsewhere: selfhost bundle create --have have.json ...
    """
    from selfhost.app import bundle_known
    from selfhost.bundle.audit import audited
    from selfhost.home import find_home

    home = find_home()
    # It leaves the closed side: who took it is written down, as for what comes in.
    with audited(home, "bundle inventory") as told:
        found = bundle_known.inventory(home)
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
    from selfhost.cli.output import text

    report = _report("bundle repair-list", paths, gate_options(keys, unsigned, strict=False), full=not fast)
    found = bundle_verify.repair_list(report)
    if not found["files"]:
        output.note(text("unpack.repair_nothing", label=report.bundle.info.label))
    output.write_json(found)
