"""`selfhost bundle import|gc`: the receiver's store."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (Typer reads the annotations when it runs)
from typing import TYPE_CHECKING, Any, Literal

import typer

from selfhost.cli import output
from selfhost.cli.bundle_read import (
    JSON,
    KEYS,
    PATHS,
    STRICT,
    UNSIGNED,
    WORKERS,
    facts,
    gate_options,
    print_signer,
    progress,
)

if TYPE_CHECKING:
    from selfhost.app.bundle_gate import GateOptions
    from selfhost.app.bundle_import import Choices, Imported
    from selfhost.cli.progress import StatusLine
    from selfhost.errors import SelfhostError


def register(group: typer.Typer) -> None:
    """Add the commands to `selfhost bundle`."""
    group.command("import")(_import)
    group.command("gc")(_gc)


def _import(  # noqa: PLR0917 - Typer reads them by name
    paths: list[Path] = PATHS,
    keys: list[Path] = KEYS,
    unsigned: str = UNSIGNED,
    strict_time: bool = STRICT,
    rollback: bool = typer.Option(
        False, "--allow-rollback", help="Take a bundle that is older than one that was imported."
    ),
    mismatch: bool = typer.Option(
        False, "--allow-mismatch", help="Take a bundle that was made for a machine that has what this one has not."
    ),
    load: Literal["docker", "podman", "containerd"] = typer.Option(
        None, "--load", help="Hand its container images to this program, too.", show_default=False
    ),
    acceptance: bool = typer.Option(
        False,
        "--run-acceptance",
        help="Start each model then, ask what its recipe checks, stop it; exit code 3 if wrong.",
    ),
    link: Literal["auto", "copy"] = typer.Option(
        "auto", "--link", help="auto: share blocks where the file system can; copy: never."
    ),
    workers: int = WORKERS,
    as_json: bool = JSON,
) -> None:
    """Bring a bundle into the store; models appear when all their contents are here. Volumes come in any order.

    Every byte is compared as it is copied. What was copied stays when this is interrupted or another volume is needed
    (exit code 7). Nothing is written to the medium.

    Examples: selfhost bundle import /mnt/usb; selfhost bundle import /mnt/a /mnt/b --key vendor.pub.
    """
    from selfhost.app.bundle_import import Choices
    from selfhost.bundle.image_load import Program
    from selfhost.bundle.unpack import Copying

    options = gate_options(keys, unsigned, strict=strict_time, rollback=rollback)
    copying = Copying(clone=link == "auto", workers=workers)
    imported = _run_import(
        paths, options, Choices(copying=copying, allow_mismatch=mismatch, load=Program(load) if load else None)
    )
    if not as_json:
        _print_imported(imported)
    told: list[dict[str, Any]] = []
    problem = _accept(imported, told) if acceptance else None
    if as_json:
        output.write_json(imported.as_dict() | ({"acceptance": told} if acceptance else {}))
    if problem:
        output.print_error(problem)
        raise typer.Exit(int(problem.code))


def _accept(imported: Imported, told: list[dict[str, Any]]) -> SelfhostError | None:
    """Ask the models that came; what is wrong with them. The engine has to be installed."""
    from selfhost import offline
    from selfhost.app import bundle_accept
    from selfhost.bundle.audit import audited
    from selfhost.cli.moving import Terminal
    from selfhost.errors import SelfhostError
    from selfhost.home import find_home

    offline.settle(flag=True)
    home, talk, info = find_home(), Terminal(), imported.bundle.info
    try:
        with audited(home, "bundle acceptance", bundle=info.id, serial=info.serial, acceptance=told):
            bundle_accept.run(imported.models, home, talk, told, bundle_accept.starter(home, talk))
    except SelfhostError as error:
        return error
    return None


class _Talk:
    """Notes on stderr, below one line that tells how far it is."""

    def __init__(self, line: StatusLine) -> None:
        self._line = line
        self.progress = progress(line, "import")

    def note(self, line: str) -> None:
        self._line.clear()
        output.note(line)

    def warn(self, line: str) -> None:
        self._line.clear()
        output.warn(line)


def _run_import(paths: list[Path], options: GateOptions, choices: Choices) -> Imported:
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
        told.update(facts(bundle))
        imported = bundle_import.run(bundle, gate, home, _Talk(line), choices)
        told["copied_bytes"] = imported.brought.copied_bytes
    return imported


def _print_imported(imported: Imported) -> None:
    from selfhost.cli.output import text

    print_signer(imported.bundle.volumes[0].signer)
    for path in imported.models:
        values = {"name": path.parent.name, "variant": path.name, "path": path}
        new = path in imported.activated
        output.write(text("unpack.imported", **values) if new else text("unpack.already", **values))
    for path in imported.wheelhouses:
        output.write(text("unpack.wheelhouse", path=path))
    for image in imported.images:
        output.write(text("image.imported", name=image.image.entry.name, path=image.directory))


def _gc(
    forget: list[str] = typer.Option(
        None, "--forget", help="Give up an import that is not done: its id or label.", metavar="ID", show_default=False
    ),
    remove: list[str] = typer.Option(
        None, "--remove", help="Also this image, or this folder of wheels.", metavar="NAME", show_default=False
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Tell what would be removed; remove nothing."),
    as_json: bool = JSON,
) -> None:
    """Remove what bundles brought and no model, wheelhouse or image needs.

    Exit code 3 while an import waits for other volumes. `selfhost gc` does the same and leaves such imports for a week.

    Examples: selfhost bundle gc --dry-run; selfhost bundle gc --forget ID; selfhost bundle gc --remove IMAGE.
    """
    from selfhost.app import bundle_gc
    from selfhost.bundle.audit import audited
    from selfhost.cli.output import text
    from selfhost.cli.storage import print_reclaimed
    from selfhost.home import find_home

    home = find_home()
    wanted = bundle_gc.Wanted(forget=tuple(forget or ()), remove=tuple(remove or ()), dry_run=dry_run)
    with audited(home, "bundle gc", forget=wanted.forget, remove=wanted.remove, dry_run=dry_run) as told:
        done = bundle_gc.run(home, wanted, lambda: output.note(text("storage.waiting")))
        told["freed_bytes"] = done.reclaimed.freed_bytes
    for one in done.forgotten:
        output.note(text("unpack.would_forget", line=one.line) if dry_run else text("unpack.forgotten", line=one.line))
    print_reclaimed(done.reclaimed, dry_run=dry_run, as_json=as_json, more={"forgotten": done.as_dicts()})
