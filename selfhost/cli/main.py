"""The `selfhost` command: groups, and the single error boundary.

A command's body imports what it needs when it runs, so that `--help` and completion stay fast.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import typer

from selfhost.cli import (
    bench,
    bundle,
    complete,
    detect,
    doctor,
    engine,
    image,
    key,
    mirror,
    output,
    plan,
    pull,
    quantize,
    recipe,
    render,
    replace,
    serve,
    servers,
    smoke,
    storage,
    verify,
)
from selfhost.errors import ExitCode, Interrupted, NoSpaceError, SelfhostError, Terminated, UsageError
from selfhost.messages import LANGUAGES

if TYPE_CHECKING:
    from types import FrameType

app = typer.Typer(
    name="selfhost",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Plan, download, verify and serve open-weight models on your own hardware.",
)


def _version(value: bool) -> None:
    if value:
        from selfhost import __version__

        output.write(f"selfhost {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def _on_sigterm(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated


def _on_sigint(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise Interrupted


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit; every failure leaves through here with its code."""
    arguments = sys.argv[1:] if argv is None else argv
    output.open_what_was_closed()
    output.escape_what_stdout_lacks()
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGINT, _on_sigint)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # not under nohup
        signal.signal(signal.SIGHUP, _on_sigterm)  # a terminal that closes: what was begun is ended
    try:
        _choose_language()
        _run(arguments)
        code = ExitCode.OK
    except SelfhostError as error:
        code = error.code
        _report(error, as_json="--json" in arguments)
    except Interrupted:
        code = ExitCode.INTERRUPTED
        output.note(output.text("cli.interrupted"))
    except Terminated:
        code = ExitCode.TERMINATED
        output.note(output.text("cli.terminated"))
    except BrokenPipeError:
        # The reader went away (`selfhost ls | head`): nothing to report, and nothing to flush at exit.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        code = ExitCode.FAILURE
    except Exception as error:
        if os.environ.get("SELFHOST_TRACEBACK"):
            raise
        wrapped = _stdout_is_full(error) or SelfhostError("cli.unexpected", kind=type(error).__name__, detail=error)
        code = wrapped.code
        _report(wrapped, as_json="--json" in arguments)
    sys.exit(code)


def _stdout_is_full(error: Exception) -> SelfhostError | None:
    """The error to tell where stdout goes to a file on a full file system; nothing more is written there."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT) or error.filename is not None:
        return None
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
    return NoSpaceError("cli.no_space", path="stdout", detail=error.strerror)


def _choose_language() -> None:
    try:
        output.choose_language()
    except KeyError as error:
        raise UsageError("cli.unknown_language", value=error.args[0], known=", ".join(LANGUAGES)) from None


def _run(arguments: list[str]) -> None:
    try:
        app(arguments, prog_name="selfhost", standalone_mode=True)
    finally:
        if "--install-completion" in arguments:
            complete.mend_zsh()


def _report(error: SelfhostError, *, as_json: bool) -> None:
    output.print_error(error)
    if as_json:
        output.error_json(error)


# The order is the order of the help page.
for _group in (
    detect,
    recipe,
    plan,
    pull,
    verify,
    quantize,
    serve,
    servers,
    replace,
    smoke,
    bench,
    storage,
    bundle,
    mirror,
    render,
    image,
    engine,
    key,
    doctor,
):
    _group.register(app)
