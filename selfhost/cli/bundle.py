"""`selfhost bundle`: the group; each command has a file of its own."""

from __future__ import annotations

import typer

from selfhost.cli import bundle_create, bundle_import, bundle_push, bundle_read

group = typer.Typer(
    name="bundle",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Models and engines on media, for machines without a network.",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    bundle_create.register(group)
    bundle_read.register(group)
    bundle_import.register(group)
    bundle_push.register(group)
    app.add_typer(group)
