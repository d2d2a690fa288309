"""`selfhost bundle create`."""

from __future__ import annotations

import getpass
import sys
from dataclasses import replace
from pathlib import Path  # noqa: TC003 (Typer reads the annotations when it runs)
from typing import TYPE_CHECKING, Literal

import typer

from selfhost.cli import complete, output

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.app.bundle_create import Planned
    from selfhost.app.bundle_request import CreateRequest
    from selfhost.bundle.pack import Packed
    from selfhost.bundle.sign import Signer
    from selfhost.cli.progress import StatusLine
    from selfhost.engines.pip_output import Progress
    from selfhost.home import Home


def register(group: typer.Typer) -> None:
    """Add the command to its group."""
    group.command("create")(_create)


def _create(  # noqa: PLR0917 - Typer reads them by name
    model: list[str] = typer.Option(
        None,
        help="A stored model: a recipe's name or hub id, or `NAME/VARIANT`; may be repeated.",
        show_default=False,
        autocompletion=complete.stored_models,
    ),
    to: list[Path] = typer.Option(
        help="A folder on a medium; may be repeated, one for each.", metavar="DIR", show_default=False
    ),
    variant: str = typer.Option(None, help="Which one, where several are stored.", show_default=False),
    volume_size: str = typer.Option(
        None, help="Bytes of a volume: `931G`; without it what is free.", metavar="SIZE", show_default=False
    ),
    target: Path = typer.Option(
        None, "--for", help="What `selfhost detect --json` said there.", metavar="FILE", show_default=False
    ),
    have: Path = typer.Option(
        None,
        help="What `selfhost bundle inventory` said there: leave that out.",
        metavar="FILE",
        show_default=False,
    ),
    link: Literal["auto", "hard", "reflink", "copy"] = typer.Option(
        "auto", help="How contents come there; links take no space on one file system."
    ),
    image: list[str] = typer.Option(
        None,
        help="A container image: `oci:DIR` or `oci:DIR:NAME`, a layout; or a name in a registry; may be repeated.",
        metavar="SOURCE",
        show_default=False,
    ),
    platform: str = typer.Option(
        None, help="Of images, only this platform: `linux/arm64` [all].", metavar="OS/ARCH", show_default=False
    ),
    plain_http: bool = typer.Option(False, "--plain-http", help="The registry has no TLS: for tests."),
    engine: Literal["none", "cpu", "cuda", "quantize", "quantize-cpu", "quantize-cuda"] = typer.Option(
        "none", help="Take an engine along, or what `selfhost quantize` needs."
    ),
    wheelhouse: Path = typer.Option(
        None,
        help="A folder with the engine's wheels; without it they are downloaded.",
        metavar="DIR",
        show_default=False,
    ),
    sign_key: Path = typer.Option(
        None,
        help="Sign with this key (OpenSSH or PEM); a public key: its other half is in the ssh-agent.",
        metavar="KEY",
        show_default=False,
    ),
    serial: int = typer.Option(
        None, min=0, help="Higher than that of the bundle before [seconds since 1970].", show_default=False
    ),
    label: str = typer.Option(None, help="Name of the bundle [model and date].", show_default=False),
    read_back: bool = typer.Option(
        True, "--read-back/--no-read-back", help="Read from the medium what was copied to it."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Tell what would be written; write nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Put models, engines, images on media: every file is hashed on the way. An interrupted run goes on where it was.

    Prints the folders of the volumes.

    Examples: selfhost bundle create --model qwen2.5-7b --to /media/usb; ... --to /mnt/a --to /mnt/b; ... --dry-run.
    """
    from selfhost.app import bundle_told
    from selfhost.app.bundle_request import CreateRequest
    from selfhost.bundle.audit import audited
    from selfhost.bundle.write import LinkMode
    from selfhost.cli.output import text
    from selfhost.home import find_home

    home = find_home()
    signer = _signer(sign_key) if sign_key else None
    request = CreateRequest(
        models=tuple(model or ()),
        images=tuple(image or ()),
        platform=platform,
        plain_http=plain_http,
        to=tuple(path.expanduser().absolute() for path in to),
        variant=variant,
        volume_size=volume_size,
        target=target,
        have=have,
        link=LinkMode(link),
        engine=engine,
        wheelhouse=wheelhouse,
        serial=serial,
        label=label,
        signer=signer,
        download=not dry_run,
    )
    if engine != "none" and wheelhouse is None and not dry_run:
        output.note(text("pack.filling", engine=engine, path=home.wheels))
    if dry_run:
        planned = _plan(request, home)
        _print_planned(planned, as_json=as_json)
        return
    with audited(home, "bundle create", models=model or [], engine=engine, to=[str(path) for path in to]) as told:
        planned = _plan(request, home)
        packed = _make(planned, home, signer, read_back=read_back)
        told.update(bundle_told.facts(packed))
    _print_packed(packed)
    if as_json:
        output.write_json(bundle_told.packed_dict(packed, planned))
    else:
        for volume in packed.volumes:
            output.write(str(volume.path))


def _plan(request: CreateRequest, home: Home) -> Planned:
    """With what it brings here first: wheels and images."""
    from selfhost.app import bundle_create
    from selfhost.cli.progress import StatusLine

    with StatusLine() as line:

        def note(said: str) -> None:
            line.clear()
            output.note(said)

        told = replace(request, fetching=_fetching(line), note=note, report=_wheels(line, request.engine))
        planned = bundle_create.plan(told, home)
    _print_findings(planned)
    return planned


def _make(planned: Planned, home: Home, signer: Signer | None, *, read_back: bool) -> Packed:
    from selfhost.app import bundle_create
    from selfhost.bundle.pack import Finishing
    from selfhost.cli.progress import StatusLine

    with StatusLine() as line:
        finishing = Finishing(
            texts=lambda info: planned.texts(info, signed=signer is not None),
            sign=signer.sign if signer else None,
            read_back=read_back,
            progress=_progress(line),
        )
        return bundle_create.create(planned.bundle, home, finishing)


def _fetching(line: StatusLine) -> Callable[[str, int, int], None]:
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    def show(name: str, done: int, total: int) -> None:
        line.show("fetch", text("image.fetching", name=name, done=format_bytes(done), total=format_bytes(total)))

    return show


def _print_findings(planned: Planned) -> None:
    from selfhost.findings import Severity

    for finding in planned.findings:
        if finding.severity is Severity.ERROR:
            output.print_message(finding.message)
        else:
            output.warn(finding.message.what)


def _signer(path: Path) -> Signer:
    from selfhost.bundle.sign import open_signer

    return open_signer(path.expanduser(), _passphrase)


def _passphrase(path: Path) -> str | None:
    if not (sys.stdin.isatty() and output.is_terminal()):
        return None
    from selfhost.cli.output import text

    return getpass.getpass(text("pack.passphrase", path=path), stream=sys.stderr)


def _wheels(line: StatusLine, engine: str) -> Callable[[Progress], None]:
    from selfhost.app.engine import told

    return lambda progress: line.show(progress.phase, told(engine, progress))


def _progress(line: StatusLine) -> Callable[[str, int, int], None]:
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    def show(phase: str, done: int, total: int) -> None:
        percent = 100 * done // total if total else 100
        said = text("pack.writing", phase=phase, done=format_bytes(done), total=format_bytes(total), percent=percent)
        line.show(phase, said)

    return show


def _print_planned(planned: Planned, *, as_json: bool) -> None:
    from selfhost.app import bundle_told
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    if as_json:
        output.write_json(bundle_told.planned_dict(planned))
        return
    volumes = planned.bundle.volumes
    for number, volume in enumerate(volumes, 1):
        sizes = planned.bundle.sizes_on(number)
        size, count, contents = format_bytes(sum(sizes)), len(volumes), len(sizes)
        output.note(text("pack.would_make", number=number, count=count, files=contents, size=size))
        output.write(str(volume.path))


def _print_packed(packed: Packed) -> None:
    from selfhost.bundle.write import How
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    count = len(packed.volumes)
    for number, volume in enumerate(packed.volumes, 1):
        size, extra = format_bytes(volume.size_bytes), format_bytes(volume.how.get(How.COPY.value, 0))
        output.note(text("pack.made", number=number, count=count, files=volume.blobs, size=size, extra=extra))
    if packed.read_back_bytes:
        output.note(text("pack.read_back", size=format_bytes(packed.read_back_bytes)))
    if not packed.signed:
        output.warn(text("pack.unsigned"))
