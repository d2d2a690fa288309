"""`selfhost bundle`: the group; its commands are in the modules beside this one."""

from __future__ import annotations

import typer

from selfhost.cli import bundle_read

group = typer.Typer(
    name="bundle",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Models, engines and what they need, carried to a machine without a network.",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    bundle_read.add(group)
    app.add_typer(group)
