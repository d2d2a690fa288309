"""`selfhost bundle push`: to a registry."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (Typer reads the annotations when it runs)
from typing import TYPE_CHECKING, Literal

import typer

from selfhost.cli import output
from selfhost.cli.bundle_read import JSON, KEYS, PATHS, STRICT, UNSIGNED, facts, gate_options, progress

if TYPE_CHECKING:
    from selfhost.app.bundle_gate import GateOptions
    from selfhost.app.bundle_push import Pushed
    from selfhost.app.bundle_ship import Kind
    from selfhost.registry.reference import Reference


def register(group: typer.Typer) -> None:
    """Add the command to `selfhost bundle`."""
    group.command("push")(_push)


def _push(  # noqa: PLR0917 - Typer reads them by name
    paths: list[Path] = PATHS,
    ref: str = typer.Argument(help="HOST[:PORT]/REPOSITORY[:TAG].", metavar="REF", show_default=False),
    form: Literal["modelpack", "modelcar", "images"] = typer.Option(
        "modelpack",
        "--as",
        help="modelpack (the artifact), modelcar (an image with /models) or images.",
        metavar="FORM",
    ),
    model: str = typer.Option(None, "--model", help="Only this model of the bundle.", show_default=False),
    plain_http: bool = typer.Option(False, "--plain-http", help="The registry has no TLS: for tests."),
    keys: list[Path] = KEYS,
    unsigned: str = UNSIGNED,
    strict_time: bool = STRICT,
    as_json: bool = JSON,
) -> None:
    """Send a bundle's models or images to a registry, once it is clear who signed it. Resumable: just run it again.

    Without a tag in REF each model is called NAME-VARIANT, and images are put below REF. Logins are those of docker,
    podman and skopeo. Exit code 4: the registry denies access; 5: damaged here or there; 7: a volume is missing, or
    the registry cannot be reached; 8: it has no room.

    Examples: selfhost bundle push /mnt/usb registry.example/models/qwen; selfhost bundle push /mnt/usb
    registry.example/models/qwen:v1 --as modelcar.
    """
    from selfhost.app.bundle_ship import Kind
    from selfhost.registry.reference import parse_reference

    options = gate_options(keys, unsigned, strict=strict_time)
    pushed = _run(paths, options, parse_reference(ref), (Kind(form), model), plain_http=plain_http)
    if as_json:
        output.write_json(pushed.as_dict())
    else:
        _print(pushed)


def _run(
    paths: list[Path], options: GateOptions, reference: Reference, what: tuple[Kind, str | None], *, plain_http: bool
) -> Pushed:
    from selfhost.app import bundle_push, bundle_ship
    from selfhost.app.bundle_gate import Gate
    from selfhost.bundle import read
    from selfhost.bundle.audit import audited
    from selfhost.cli.progress import StatusLine
    from selfhost.home import find_home
    from selfhost.registry.client import Registry
    from selfhost.registry.types import Options

    home, (kind, model) = find_home(), what
    given, to = [str(path) for path in paths], str(reference)
    with (
        audited(home, "bundle push", paths=given, reference=to, form=kind.value, reason=options.allow_unsigned) as told,
        StatusLine() as line,
    ):

        def note(text: str) -> None:
            line.clear()
            output.note(text)

        bundle = read.open_bundle(paths, Gate(home, options, note).trusted)
        told.update(facts(bundle))
        shipments = bundle_ship.shipments(bundle, reference, kind, model, progress(line, "read"))
        with Registry(reference, Options(plain_http=plain_http)) as registry:
            how, sent = bundle_push.push(bundle, shipments, registry, note, progress(line, "push"))
        pushed = bundle_push.Pushed(
            bundle=bundle, kind=kind.value, shipments=tuple(shipments), how=how, sent_bytes=sent
        )
        told.update(pushed=pushed.as_dict()["pushed"], sent_bytes=sent)
    return pushed


def _print(pushed: Pushed) -> None:
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    found = pushed.as_dict()
    for one in found["pushed"]:
        output.write(text("push.done", name=one["name"], reference=one["reference"], digest=one["digest"]))
    counts = found["contents"]
    values = {name: counts[name] for name in ("sent", "there", "mounted")}
    output.write(text("push.count", size=format_bytes(pushed.sent_bytes), **values))
