"""The log of operations on bundles: one line of JSON each, on the disk before the operation counts as done."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import getpass
import json
import os
import signal
import socket
import stat
from typing import IO, TYPE_CHECKING

from selfhost import files
from selfhost.errors import ExitCode, SelfhostError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfhost.home import Home

_SCHEMA_VERSION = 1


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@contextlib.contextmanager
def audited(
    home: Home, operation: str, *, now: Callable[[], dt.datetime] = _now, **facts: object
) -> Iterator[dict[str, object]]:
    """Write one line when the operation inside has ended, however it ended; yields the facts, to add to.

    Facts worth giving: bundle, serial, signers, reason; as `problem` the error of an operation that was done and found
    something wrong, with which the command will end. Raises MissingError or NoSpaceError when the log cannot be
    written: before the operation begins, where that is known by then.
    """
    _open(home).close()
    started, told = now(), dict(facts)

    def write(result: str, code: int) -> None:
        line = {
            **told,
            "schema_version": _SCHEMA_VERSION,
            "operation": operation,
            "started": started.isoformat(timespec="seconds"),
            "ended": now().isoformat(timespec="seconds"),
            **_who(),
            "result": result,
            "exit_code": code,
        }
        with _undisturbed():
            _append(home, line)

    try:
        yield told
    except BaseException as error:
        # What went wrong first is what a person needs to know.
        with contextlib.suppress(SelfhostError):
            write(*_outcome(error))
        raise
    problem = told.pop("problem", None)
    write(*(_outcome(problem) if isinstance(problem, SelfhostError) else ("ok", int(ExitCode.OK))))


def _outcome(error: BaseException) -> tuple[str, int]:
    match error:
        case SelfhostError():
            return error.message.id, int(error.code)
        case Stopped():
            return type(error).__name__.lower(), int(error.code)
        case KeyboardInterrupt():
            return "interrupted", int(ExitCode.INTERRUPTED)
        case _:
            return type(error).__name__, int(ExitCode.FAILURE)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let signals wait: who presses Ctrl-C twice loses no line, and writes no half one."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _open(home: Home) -> IO[bytes]:
    files.make_directory(home.root)
    with files.explain_os_errors(home.audit):
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(home.audit, flags, 0o600)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "r+b", buffering=0)
        os.close(descriptor)
        # A pipe or a device keeps nothing that could be looked at later.
        raise FileExistsError(errno.EEXIST, "it is no plain file", str(home.audit))


def _append(home: Home, line: dict[str, object]) -> None:
    data = json.dumps(line, sort_keys=True, default=str).encode() + b"\n"
    with files.explain_os_errors(home.audit), files.hold_lock(home.root / ".audit.lock"), _open(home) as stream:
        size = stream.seek(0, os.SEEK_END)
        # A loss of power may have cut the last line; it does not take this one with it.
        if size and os.pread(stream.fileno(), 1, size - 1) != b"\n":
            data = b"\n" + data
        _write_all(stream.fileno(), data)
        os.fsync(stream.fileno())
        if not size:
            files.sync(home.root)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _who() -> dict[str, object]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a uid without a passwd entry
        user = ""
    return {"user": user, "uid": os.getuid(), "host": socket.gethostname()}
