"""The log of operations on bundles: one line of JSON each, on the disk before the operation counts as done."""

from __future__ import annotations

import contextlib
import datetime as dt
import getpass
import json
import os
import socket
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import ExitCode, SelfhostError

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

    Facts worth giving: bundle, serial, signers, reason. Raises MissingError or NoSpaceError when the log cannot be
    written.
    """
    started, told = now(), dict(facts)
    result: str = "ok"
    code: int = ExitCode.OK
    try:
        yield told
    except SelfhostError as error:
        result, code = error.message.id, error.code
        raise
    except KeyboardInterrupt:
        result, code = "interrupted", ExitCode.INTERRUPTED
        raise
    except BaseException as error:
        result, code = type(error).__name__, ExitCode.FAILURE
        raise
    finally:
        line = {
            **told,
            "schema_version": _SCHEMA_VERSION,
            "operation": operation,
            "started": started.isoformat(timespec="seconds"),
            "ended": now().isoformat(timespec="seconds"),
            **_who(),
            "result": result,
            "exit_code": int(code),
        }
        _append(home, line)


def _append(home: Home, line: dict[str, object]) -> None:
    data = json.dumps(line, sort_keys=True, default=str).encode() + b"\n"
    files.make_directory(home.root)
    with files.explain_os_errors(home.audit), files.hold_lock(home.root / ".audit.lock"):
        new = not home.audit.exists()
        descriptor = os.open(home.audit, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as stream:
            # A loss of power may have cut the last line; it does not take this one with it.
            if (size := stream.seek(0, os.SEEK_END)) and os.pread(stream.fileno(), 1, size - 1) != b"\n":
                data = b"\n" + data
            _write_all(stream.fileno(), data)
            os.fsync(stream.fileno())
        if new:
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
