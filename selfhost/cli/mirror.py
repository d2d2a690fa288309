"""`selfhost mirror serve`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

group = typer.Typer(
    name="mirror",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Give other machines what this one has stored: models as from a hub, wheels as from an index.",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(group)


@group.callback()
def _group() -> None:
    """A group although it has one command."""


@group.command()
def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 takes a free one.", min=0, max=65535)] = 8080,
    wheelhouse: Annotated[
        list[Path] | None,
        typer.Option("--wheelhouse", metavar="DIR", help="Wheels for pip; may be repeated.", show_default=False),
    ] = None,
    no_key: Annotated[
        bool, typer.Option("--no-key", help="Everybody who reaches the address may read, without an API key.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No access log.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object once it is ready.")] = False,
) -> None:
    """Serve the store, read-only, until Ctrl-C. The address is printed; the access log is on stderr.

        selfhost mirror serve --host 10.0.0.5 --wheelhouse ./wheels

    On the other machines, unchanged programs use it:

        HF_ENDPOINT=http://10.0.0.5:8080 HF_TOKEN=KEY vllm serve Qwen/Qwen2.5-7B-Instruct

        selfhost pull qwen2.5-7b --source http://user:KEY@10.0.0.5:8080

        pip install --index-url http://user:KEY@10.0.0.5:8080/simple/ --trusted-host 10.0.0.5 vllm
    """
    import threading
    import urllib.parse

    from selfhost.app import mirror
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.home import find_home
    from selfhost.mirror.server import GRACE_S

    home = find_home()
    request = mirror.MirrorRequest(host=host, port=port, wheelhouses=tuple(wheelhouse or ()), no_key=no_key)
    log = (lambda _line: None) if quiet else output.note
    server, count = mirror.listen(home, request, log)
    with server:
        try:
            url = server.url
            if as_json:
                output.write_json({"schema_version": 1, "url": url, "models": count})
            else:
                output.write(url)
            output.note(text("mirror.ready", count=count, url=url))
            there = mirror.reached_at(url)
            output.note(text("mirror.use_hub", url=there))
            if wheelhouse:
                output.note(text("mirror.use_pip", url=there, host=urllib.parse.urlsplit(there).hostname))
            if mirror.asks_for_key(home, request):
                output.note(text("mirror.use_key"))
            threading.Event().wait()
        finally:
            if server.transfers:
                output.note(text("mirror.stopping", count=server.transfers, grace_s=GRACE_S))
            server.stop()
