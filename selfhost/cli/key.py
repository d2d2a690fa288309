"""`selfhost key new|ls|revoke`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations

import typer

from selfhost.cli import complete

NAME = typer.Argument(help="Whose key it is: a person, a program.", show_default=False)
KNOWN = typer.Argument(help="Of a key that is in force.", show_default=False, autocompletion=complete.keys)
GATEWAY = typer.Option(
    None,
    "--gateway",
    help="Of a rendered gateway: the file with its keys, `gateway/keys/keys.conf`.",
    metavar="FILE",
    show_default=False,
)

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
    gateway: Path = GATEWAY,
) -> None:
    """Make a key and print it, once; only a digest is kept.

    A gateway's key is kept in its file as it is: nginx makes no digests. The file is made for its owner alone (0600),
    and keeps the mode and the group it is given later.

    Examples: selfhost key new alice; selfhost key new ci --output ci.key; selfhost key new alice --gateway keys.conf.
    """
    from selfhost.app import key
    from selfhost.cli import output
    from selfhost.messages import text

    made = key.new(name, to, gateway)
    if gateway:
        output.note(text("key.gateway_made", name=name, path=gateway))
    elif to:
        output.note(text("key.written", name=name, path=to))
    else:
        output.note(text("key.made", name=name))
    if not to:
        output.write(made)
    output.note(text("key.gateway_reload" if gateway else "key.in_force"))


@group.command("ls")
def list_keys(
    gateway: Path = GATEWAY, as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")
) -> None:
    """List the keys: name, when made, the first digits of the sha256."""
    from selfhost.app import key
    from selfhost.cli import output
    from selfhost.messages import text

    keys = key.ls(gateway)
    if as_json:
        output.write_json({"schema_version": 1, "keys": keys})
    elif not keys:
        output.note(text("key.gateway_none") if gateway else text("key.none"))
    else:
        width = max(len(row["name"] or "") for row in keys)
        for row in keys:
            output.write("  ".join([f"{row['name']:{width}}", *filter(None, [row["created"], row["sha256_prefix"]])]))


@group.command()
def revoke(name: str = KNOWN, gateway: Path = GATEWAY) -> None:
    """End a key; running servers refuse it within about a second, a gateway when it has read its file again."""
    from selfhost.app import key
    from selfhost.cli import output
    from selfhost.messages import text

    key.revoke(name, gateway)
    if gateway:
        output.note(text("key.gateway_revoked", name=name, path=gateway))
        output.note(text("key.gateway_reload"))
    else:
        output.note(text("key.revoked", name=name))
