"""`selfhost ps|logs|stop|chat`."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import typer

from selfhost.cli import complete, output
from selfhost.columns import table
from selfhost.messages import word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfhost.app.chat import Conversation
    from selfhost.app.servers import Server
    from selfhost.errors import SelfhostError
    from selfhost.messages import Message

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
    from selfhost.app import servers, strays
    from selfhost.cli.output import text
    from selfhost.home import find_home

    home = find_home()
    found, problems = servers.list_servers(home)
    lost = strays.find(home)
    for problem in problems:
        with output.people():
            output.warn(f"{problem.what}: {problem.hint}" if problem.hint else problem.what)
    if as_json:
        output.write_json(
            {
                "schema_version": servers.SCHEMA_VERSION,
                "servers": [server.as_dict() for server in found],
                "strays": [stray.as_dict() for stray in lost],
            }
        )
        return
    for stray in lost:
        pids = " ".join(str(identity.pid) for identity in stray.members)
        output.warn(text("supervise.stray", name=stray.name, count=len(stray.members), pids=pids))
    if not found:
        output.note(text("serve.no_servers"))
        return
    heading = ("NAME", "MODEL", "STATE", "PID", "DEVICES", "URL", "UPTIME", "RESTARTS")
    with output.people():
        lines = table([[word(head) for head in heading], *(_row(server) for server in found)])
    for line in lines:
        output.write(line)
    for server in found:
        _tell_failures(server)


def _tell_failures(server: Server) -> None:
    """Why it failed, or else why it was started again last."""
    from selfhost.cli.output import text
    from selfhost.messages import Message

    record = server.record
    if record.failure and not server.state.running:
        what = Message(record.failure.message_id, record.failure.params).what
        output.note(text("serve.state_failed", name=record.name, what=what))
    elif record.last_failure:
        what = Message(record.last_failure.message_id, record.last_failure.params).what
        output.note(text("supervise.restarted", name=record.name, count=record.restarts, what=what))


def _row(server: Server) -> tuple[str, ...]:
    from selfhost.app import allotment
    from selfhost.units import format_duration

    values = server.as_dict()
    uptime = values["uptime_s"]
    return (
        str(values["name"]),
        str(values["model"]),
        word(str(values["state"])),
        str(values["pid"] or "-"),
        allotment.name_of(server.record),
        str(values["url"]),
        "-" if uptime is None else format_duration(uptime),
        str(values["restarts"]),
    )


def _logs(
    name: str = NAME,
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on until the server ends."),
    lines: int = typer.Option(
        None, "--lines", "-n", min=0, help="Only the last LINES lines.", metavar="LINES", show_default=False
    ),
    access: bool = typer.Option(False, "--access", help="The requests instead: one JSON object a line."),
) -> None:
    """Print the engine's log; also that of a server that failed or was stopped.

    `--access`: who asked for what, when, and what came of it; not a word of questions and answers.

    Examples: selfhost logs qwen2.5-7b -f; selfhost logs qwen2.5-7b -n 50.
    """
    from selfhost.app import server_logs
    from selfhost.home import find_home

    for piece in server_logs.log_lines(find_home(), name, lines, follow=follow, access=access):
        output.write_raw(piece)


def _stop(
    names: list[str] = typer.Argument(
        None, metavar="NAME...", help="Servers to end.", show_default=False, autocompletion=complete.servers
    ),
    every: bool = typer.Option(False, "--all", help="End every server that runs."),
    orphans: bool = typer.Option(
        False, "--orphans", help="End what nobody supervises any more, also processes whose record is gone."
    ),
    timeout: float | None = typer.Option(
        None,
        min=0,
        help="Seconds to wait for an orderly end before everything is killed [30, more with `--shutdown-timeout`].",
        metavar="S",
        show_default=False,
    ),
) -> None:
    """End servers: every process of each, and make sure that nothing is left.

    Examples: selfhost stop qwen2.5-7b; selfhost stop --all; selfhost stop --orphans.
    """
    from selfhost.app import servers, strays
    from selfhost.errors import UsageError
    from selfhost.home import find_home

    home = find_home()
    if [every, orphans, bool(names)].count(True) != 1:
        raise UsageError("serve.which_to_stop")
    if orphans:
        results = itertools.chain(
            servers.stop_all(home, servers.orphan_names(home), timeout), strays.end_all(home, timeout)
        )
    else:
        meant = servers.running_names(home) if every else [n for name in names for n in servers.names_meant(home, name)]
        results = itertools.chain(servers.stop_all(home, dict.fromkeys(meant), timeout))
    _tell_stopped(results, nothing="supervise.no_orphans" if orphans else "serve.none_running")


def _tell_stopped(results: Iterable[Message | SelfhostError], nothing: str) -> None:
    """Print what was ended as it is; raises the first failure once all was tried."""
    from selfhost.cli.output import text
    from selfhost.errors import SelfhostError

    failed: list[SelfhostError] = []
    ended = 0
    for result in results:
        if not isinstance(result, SelfhostError):
            ended += 1
            output.write(result.what)
            continue
        failed.append(result)
        if result is not failed[0]:
            output.print_error(result)
    if failed:
        raise failed[0]
    if not ended:
        output.note(text(nothing))


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
    from selfhost.cli.output import text

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
