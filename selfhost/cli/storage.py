"""`selfhost ls|rm|gc`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from selfhost.cli import complete, output
from selfhost.columns import table
from selfhost.messages import word

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.bundle.image_store import StoredImage
    from selfhost.weights.inventory import Inventory, StoredModel
    from selfhost.weights.reclaim import Reclaimed

_PANEL = "Files"
_REVISION_SHOWN = 12
_SCHEMA_VERSION = 1


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("ls", rich_help_panel=_PANEL)(_ls)
    app.command("rm", rich_help_panel=_PANEL)(_rm)
    app.command("gc", rich_help_panel=_PANEL)(_gc)


def _ls(
    model: str = typer.Argument(None, help="Only this one.", show_default=False, autocompletion=complete.stored_models),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """List models and container images on this machine: what they take, what each takes for itself, where it came from.

    States go by names and sizes; `selfhost verify` reads the bytes.

    Examples: selfhost ls; selfhost ls qwen2.5-7b --json.
    """
    from selfhost.app import storage
    from selfhost.cli.output import text
    from selfhost.home import find_home
    from selfhost.units import format_bytes

    found = storage.ls(find_home(), model)
    images: tuple[StoredImage, ...] = storage.images(find_home()) if model is None else ()
    if as_json:
        output.write_json(_as_dict(found) | {"images": [image.as_dict() for image in images]})
        return
    if not found.models:
        output.note(text("storage.empty"))
    else:
        _print_table(found.models)
    for image in images:
        size = format_bytes(image.image.size_bytes)
        output.write(text("storage.image", name=image.image.entry.name, size=size, path=image.directory))
    for one in found.models:
        if one.problem:
            output.warn(
                text("storage.state", name=one.name, variant=one.variant, state=one.state.value, problem=one.problem)
            )
    _print_totals(found)


def _as_dict(found: Inventory) -> dict[str, object]:
    return {
        "schema_version": _SCHEMA_VERSION,
        "models": [one.as_dict() for one in found.models],
        "partials": [one.as_dict() for one in found.partials],
        "blobs": {"count": found.blob_count, "bytes": found.blob_bytes},
        "reclaimable_bytes": found.reclaimable_bytes,
    }


def _print_table(models: tuple[StoredModel, ...]) -> None:
    heads = ("NAME", "VARIANT", "SIZE", "UNIQUE", "FILES", "STATE", "SOURCE", "REVISION")
    with output.people():
        lines = table([[word(head) for head in heads], *map(_row, models)])
    for line in lines:
        output.write(line)


def _row(one: StoredModel) -> tuple[str, ...]:
    from selfhost.units import format_bytes

    source = one.lock.source if one.lock else None
    return (
        one.name,
        one.variant,
        format_bytes(one.size_bytes),
        format_bytes(one.unique_bytes),
        str(one.file_count),
        word(one.state.value),
        f"{source.kind} {source.id}" if source else "-",
        (source.revision or "-")[:_REVISION_SHOWN] if source else "-",
    )


def _print_totals(found: Inventory) -> None:
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    if found.partials:
        names = ", ".join(
            text(
                "storage.partial",
                name=one.name,
                there=format_bytes(one.there_bytes),
                size=format_bytes(one.size_bytes),
            )
            for one in found.partials
        )
        output.note(text("storage.partials", count=len(found.partials), names=names))
    if found.blob_count:
        size, reclaimable = format_bytes(found.blob_bytes), format_bytes(found.reclaimable_bytes)
        output.note(text("storage.totals", count=found.blob_count, size=size, reclaimable=reclaimable))


def _rm(
    model: str = typer.Argument(
        help="A recipe's name or hub id, `org/name`, or a directory of the store.",
        show_default=False,
        autocompletion=complete.stored_models,
    ),
    variant: str = typer.Option(None, "--variant", help="Only this variant; otherwise all.", show_default=False),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Tell what would be removed; remove nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Remove a model, and the files that no other model has.

    Examples: selfhost rm qwen2.5-7b --dry-run; selfhost rm Qwen/Qwen3-8B --yes.
    """
    from selfhost.app import storage
    from selfhost.cli.output import text
    from selfhost.errors import UsageError
    from selfhost.home import find_home
    from selfhost.units import format_bytes
    from selfhost.weights.reclaim import Reclaimed

    home = find_home()
    if (recipe := storage.forget_in_flight(home, model, variant, dry_run=dry_run)) is not None:
        output.note(text("storage.in_flight", variant=variant, path=recipe))
        print_reclaimed(Reclaimed(), dry_run=dry_run, as_json=as_json)
        return
    planned = storage.planned_removal(home, model, variant)
    if not dry_run:
        paths = ", ".join(f"`{path}`" for path in planned.models)
        if not yes:
            if not (sys.stdin.isatty() and output.is_terminal()):
                raise UsageError("storage.confirm_needed", paths=paths)
            if not _confirmed(text("storage.confirm", paths=paths, size=format_bytes(planned.freed_bytes))):
                output.note(text("storage.not_removed"))
                raise typer.Exit(1)
        planned = storage.rm(home, planned.models, lambda: output.note(text("storage.waiting")))
    print_reclaimed(planned, dry_run=dry_run, as_json=as_json)


def _confirmed(question: str) -> bool:
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _gc(
    partials: bool = typer.Option(
        False, "--partial", help="Also downloads that are not complete; otherwise those of a week ago."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Tell what would be removed; remove nothing."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Remove what no model has: contents, old downloads that are not complete, what killed processes left.

    Examples: selfhost gc --dry-run; selfhost gc --partial.
    """
    from selfhost.app import storage
    from selfhost.home import find_home

    done = storage.gc(find_home(), partials=partials, dry_run=dry_run)
    print_reclaimed(done, dry_run=dry_run, as_json=as_json)


def print_reclaimed(done: Reclaimed, *, dry_run: bool, as_json: bool, more: Mapping[str, object] | None = None) -> None:
    """What was removed, or would be, and how much space that is; `more` goes into the JSON object."""
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    if as_json:
        output.write_json(
            {
                "schema_version": _SCHEMA_VERSION,
                "dry_run": dry_run,
                "models": [{"name": path.parent.name, "variant": path.name, "path": str(path)} for path in done.models],
                "blobs": list(done.blobs),
                "partials": [str(path) for path in done.partials],
                "leftovers": [str(path) for path in done.leftovers],
                "freed_bytes": done.freed_bytes,
                "blobs_kept": done.blobs_kept,
                **(more or {}),
            }
        )
        return
    for path in (*done.models, *done.blobs, *done.partials, *done.leftovers):
        output.write(text("storage.would_remove" if dry_run else "storage.removed", path=path))
    output.note(text("storage.would_free" if dry_run else "storage.freed", size=format_bytes(done.freed_bytes)))
    if done.blobs_kept:
        output.note(text("storage.blobs_kept"))
