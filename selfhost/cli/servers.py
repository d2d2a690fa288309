"""`selfhost ps|logs|stop|chat`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from selfhost.cli import complete, output

if TYPE_CHECKING:
    from selfhost.app.chat import Conversation
    from selfhost.app.servers import Server

NAME = typer.Argument(
    help="Name of the server, as `selfhost ps` shows it.", show_default=False, autocompletion=complete.servers
)
_ANSWER_TOKENS = 2048
"""Small models can go on for ever; long answers of large ones need a larger `--max-tokens`."""


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("ps")(_ps)
    app.command("logs")(_logs)
    app.command("stop")(_stop)
    app.command("chat")(_chat)


def _ps(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """List servers: those that run, and those that failed and were not looked after yet.

    Example: selfhost ps --json
    """
    from selfhost.app import servers
    from selfhost.home import find_home
    from selfhost.messages import Message, text

    found, problems = servers.list_servers(find_home())
    for problem in problems:
        output.warn(problem.what)
    if as_json:
        output.write_json({"schema_version": servers.SCHEMA_VERSION, "servers": [server.as_dict() for server in found]})
        return
    if not found:
        output.note(text("serve.no_servers"))
        return
    rows = [("NAME", "MODEL", "STATE", "PID", "DEVICES", "URL", "UPTIME"), *(_row(server) for server in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        output.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for server in found:
        if server.record.failure and not server.state.running:
            failure = server.record.failure
            output.note(
                text(
                    "serve.state_failed", name=server.record.name, what=Message(failure.message_id, failure.params).what
                )
            )


def _row(server: Server) -> tuple[str, ...]:
    from selfhost.app import allotment
    from selfhost.units import format_duration

    values = server.as_dict()
    uptime = values["uptime_s"]
    return (
        str(values["name"]),
        str(values["model"]),
        str(values["state"]),
        str(values["pid"] or "-"),
        allotment.name_of(server.record),
        str(values["url"]),
        "-" if uptime is None else format_duration(uptime),
    )


def _logs(
    name: str = NAME,
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on until the server ends."),
    lines: int = typer.Option(
        None, "--lines", "-n", min=0, help="Only the last LINES lines.", metavar="LINES", show_default=False
    ),
) -> None:
    """Print the engine's log; also that of a server that failed or was stopped.

    Examples: selfhost logs qwen2.5-7b -f; selfhost logs qwen2.5-7b -n 50.
    """
    from selfhost.app import servers
    from selfhost.home import find_home

    for piece in servers.log_lines(find_home(), name, lines, follow=follow):
        output.write_raw(piece)


def _stop(
    names: list[str] = typer.Argument(
        None, metavar="NAME...", help="Servers to end.", show_default=False, autocompletion=complete.servers
    ),
    every: bool = typer.Option(False, "--all", help="End every server that runs."),
    timeout: float | None = typer.Option(
        None,
        min=0,
        help="Seconds to wait for an orderly end before everything is killed [30, more with `--shutdown-timeout`].",
        metavar="S",
        show_default=False,
    ),
) -> None:
    """End servers: every process of each, and make sure that nothing is left.

    Examples: selfhost stop qwen2.5-7b; selfhost stop --all.
    """
    from selfhost.app import servers
    from selfhost.errors import SelfhostError, UsageError
    from selfhost.home import find_home

    home = find_home()
    if every == bool(names):
        raise UsageError("serve.which_to_stop")
    failed: list[SelfhostError] = []
    for result in servers.stop_all(home, servers.running_names(home) if every else list(dict.fromkeys(names)), timeout):
        if isinstance(result, SelfhostError):
            failed.append(result)
            if result is not failed[0]:
                output.print_error(result)
        else:
            output.write(result.what)
    if failed:
        raise failed[0]


def _chat(
    name: str = typer.Argument(
        None, help="Name of the server; may be left out when only one runs.", autocompletion=complete.servers
    ),
    prompt: str = typer.Argument(None, help="One question; without it, a conversation: one question per line."),
    max_tokens: int = typer.Option(_ANSWER_TOKENS, min=1, help="Longest answer.", metavar="TOKENS"),
    temperature: float = typer.Option(
        None, min=0, help="0 always takes the likeliest token; otherwise the model's own.", show_default=False
    ),
) -> None:
    """Talk with a running server; the answer goes to stdout as it comes. Ctrl-D ends a conversation.

    Examples: selfhost chat qwen2.5-7b "Why is the sky blue?"; selfhost chat; selfhost chat qwen2.5-7b < questions.txt.
    """
    from selfhost.app import chat
    from selfhost.home import find_home

    conversation = chat.open_chat(find_home(), name, max_tokens=max_tokens, temperature=temperature)
    if prompt is not None:
        _answer(conversation, prompt)
        return
    while (question := _question()) is not None:
        if question:
            _answer(conversation, question)


def _question() -> str | None:
    """The next line that was typed or piped; None at its end."""
    if sys.stdin.isatty():
        import readline  # noqa: F401 - lines can be edited and recalled

        try:
            return input("> ").strip()
        except EOFError:
            output.note("")
            return None
    line = sys.stdin.readline()
    return line.strip() if line else None


def _answer(conversation: Conversation, question: str) -> None:
    """Print an answer while it comes; what a model thinks first goes to the terminal only, dimmed."""
    from selfhost.messages import text

    thinking = cut = False
    for piece in conversation.ask(question):
        cut = cut or piece.cut
        if piece.reasoning:
            thinking = output.write_thought(piece.text) or thinking
        else:
            if thinking and piece.text:
                output.note("")
                thinking = False
            output.write_raw(piece.text)
    output.write("")
    if cut:
        output.note(text("serve.chat_cut"))
