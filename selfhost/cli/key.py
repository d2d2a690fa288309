"""`selfhost key new|ls|rotate|revoke`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path  # noqa: TC003 - Typer reads the annotations

import typer

from selfhost.cli import complete

NAME = typer.Argument(help="Whose key it is: a person, a program.", show_default=False)
KNOWN = typer.Argument(help="Of a key that there is.", show_default=False, autocompletion=complete.keys)
OUTPUT = typer.Option(
    None, "--output", help="Write the key to this new file (0600) instead of printing it.", metavar="FILE"
)
EXPIRES = typer.Option(
    None, "--expires", help="When it ends by itself: `30d`, `12h`, `10m`.", metavar="TIME", show_default=False
)
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
    to: Path = OUTPUT,
    expires: str | None = EXPIRES,
    gateway: Path = GATEWAY,
) -> None:
    """Make a key and print it, once; only a digest is kept.

    A gateway's key is kept in its file as it is: nginx makes no digests. The file is made for its owner alone (0600),
    and keeps the mode and the group it is given later.

    Examples: selfhost key new alice; selfhost key new ci --output ci.key --expires 30d; selfhost key new alice
    --gateway keys.conf.
    """
    from selfhost.app import key
    from selfhost.cli import output
    from selfhost.cli.output import text

    expires_s = _seconds("--expires", expires)
    made = key.new(name, to, gateway, expires_s)
    if gateway:
        output.note(text("key.gateway_made", name=name, path=gateway))
    elif to:
        output.note(text("key.written", name=name, path=to))
    else:
        output.note(text("key.made", name=name))
    _hand_over(made, to, expires_s, gateway)


@group.command()
def rotate(
    name: str = KNOWN,
    to: Path = OUTPUT,
    keep: str | None = typer.Option(
        None, "--keep", help="How long the key before still holds [10m]; 0s: not at all.", metavar="TIME"
    ),
    expires: str | None = EXPIRES,
    gateway: Path = GATEWAY,
) -> None:
    """Make another key of a name and print it; the one before holds a while longer. Nothing is restarted.

    A gateway lets both in until `selfhost key revoke NAME --old --gateway FILE`.

    Examples: selfhost key rotate alice; selfhost key rotate ci --keep 1h --output ci-2.key --expires 30d.
    """
    import shlex

    from selfhost.app import key
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.units import format_duration

    kept = _seconds("--keep", keep)
    keep_s = key.KEEP_S if kept is None else kept
    expires_s = _seconds("--expires", expires)
    made = key.rotate(name, to, gateway, keep_s, expires_s)
    if gateway:
        output.note(text("key.gateway_rotated", name=name, path=gateway, quoted=shlex.quote(str(gateway))))
    elif to:
        output.note(text("key.rotated_to", name=name, path=to, keep=format_duration(keep_s)))
    else:
        output.note(text("key.rotated", name=name, keep=format_duration(keep_s)))
    _hand_over(made, to, expires_s, gateway)


def _hand_over(made: str, to: Path | None, expires_s: float | None, gateway: Path | None) -> None:
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.units import format_duration

    if not to:
        output.write(made)
    if expires_s is not None:
        output.note(text("key.ends", duration=format_duration(expires_s)))
    output.note(text("key.gateway_reload" if gateway else "key.in_force"))


def _seconds(flag: str, given: str | None) -> float | None:
    from selfhost.errors import UsageError
    from selfhost.units import parse_duration

    if given is None:
        return None
    try:
        seconds = parse_duration(given)
        datetime.now(UTC) + timedelta(seconds=seconds)
    except (ValueError, OverflowError) as error:
        raise UsageError("key.bad_time", flag=flag, text=given) from error
    return seconds


@group.command("ls")
def list_keys(
    gateway: Path = GATEWAY, as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")
) -> None:
    """List the keys: name, when made, the first digits of the sha256, and which of them end or were replaced."""
    from selfhost.app import key
    from selfhost.cli import output
    from selfhost.cli.output import text

    keys = key.ls(gateway)
    if as_json:
        output.write_json({"schema_version": 1, "keys": keys})
    elif not keys:
        output.note(text("key.gateway_none") if gateway else text("key.none"))
    else:
        width = max(len(row["name"] or "") for row in keys)
        for row in keys:
            state = row["state"] if row["state"] != "holds" else None
            until = f"until {row['expires']}" if row["expires"] else None
            output.write(
                "  ".join(
                    [f"{row['name']:{width}}", *filter(None, [row["created"], row["sha256_prefix"], state, until])]
                )
            )


@group.command()
def revoke(
    name: str = KNOWN,
    old: bool = typer.Option(False, "--old", help="Only what a rotation has left; the newest key goes on."),
    gateway: Path = GATEWAY,
) -> None:
    """End a key; running servers refuse it within about a second, a gateway when it has read its file again."""
    from selfhost.app import key
    from selfhost.cli import output
    from selfhost.cli.output import text

    key.revoke(name, gateway, old_only=old)
    if old:
        output.note(text("key.old_revoked", name=name))
    elif gateway:
        output.note(text("key.gateway_revoked", name=name, path=gateway))
    else:
        output.note(text("key.revoked", name=name))
    if gateway:
        output.note(text("key.gateway_reload"))
