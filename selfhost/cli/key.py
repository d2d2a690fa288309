"""`selfhost key new|ls|revoke`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations

import typer

NAME = typer.Argument(help="Whose key it is: a person, a program.", show_default=False)

group = typer.Typer(
    name="key",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="API keys, asked for on every route but /health as soon as there is one.",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(group)


@group.command()
def new(
    name: str = NAME,
    to: Path = typer.Option(
        None, "--output", help="Write the key to this new file (0600) instead of printing it.", metavar="FILE"
    ),
) -> None:
    """Make a key and print it, once; only a digest is kept.

    Examples: selfhost key new alice; selfhost key new ci --output ci.key.
    """
    from selfhost.app import key
    from selfhost.cli import output
    from selfhost.messages import text

    made = key.new(name, to)
    if to:
        output.note(text("key.written", name=name, path=to))
    else:
        output.note(text("key.made", name=name))
        output.write(made)
    output.note(text("key.in_force"))


@group.command("ls")
def list_keys(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """List the keys: name, when made, the first digits of the sha256."""
    from selfhost.app import key
    from selfhost.cli import output
    from selfhost.messages import text

    keys = key.ls()
    if as_json:
        rows = [{"name": k.name, "created": k.created, "sha256_prefix": k.fingerprint} for k in keys]
        output.write_json({"schema_version": 1, "keys": rows})
    elif not keys:
        output.note(text("key.none"))
    else:
        width = max(len(k.name) for k in keys)
        for k in keys:
            output.write(f"{k.name:{width}}  {k.created}  {k.fingerprint}")


@group.command()
def revoke(name: str = NAME) -> None:
    """End a key; running servers refuse it within about a second."""
    from selfhost.app import key
    from selfhost.cli import output
    from selfhost.messages import text

    key.revoke(name)
    output.note(text("key.revoked", name=name))
