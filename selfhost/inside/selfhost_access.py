"""The access log of the front door: one line of JSON for each request, without a word of what was asked or answered.

Used by `selfhost_gate` in the engine's process and environment: standard library only. A line is written when the
answer has ended:

    {"time": "2026-11-28T01:02:03.456+00:00", "request_id": "5f...", "key": "alice", "client": "10.0.0.7",
     "method": "POST", "path": "/v1/chat/completions", "status": 200, "complete": true, "bytes_in": 312,
     "bytes_out": 9121, "seconds": 4.211}

`key` is the name of the key, `(selfhost)` for selfhost's own, null where none was right or none is asked for. `path` is
null for what is not in the table of routes: whoever asks for other paths decides what is in them. `complete` is false
for an answer that was cut off. The engine knows the request by the same `request_id`, and so does the client: it comes
back as `x-request-id`.

The file is rolled by size: `access.log` becomes `access.log.1` and so on. Several processes may write one log; a line
is one write to a file that is open for appending. Where the disk is full, lines are lost, requests are not.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from pathlib import Path

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOG_BYTES = 64 << 20
KEPT = 4
"""Earlier files beside the one that is written."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"})
_HEADER = b"x-request-id"
_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_LOOK_S = 1.0
_ERROR = 500
_MOST_DIGITS = 18
_SWITCHED = 101


class Caller(NamedTuple):
    """What the gate has found out about a request."""

    key: str | None
    path: str | None
    """As the table of routes has it; None: it is not there."""


class AccessLog:
    """Lines in a file that is rolled by size."""

    def __init__(self, path: Path, limit_bytes: int = LOG_BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._descriptor: int | None = None
        self._size_bytes = 0
        self._next_look = float("-inf")
        self._failing = False

    def write(self, line: bytes) -> None:
        """Append a line; where that cannot be done it is dropped, and that is said once."""
        try:
            self._open()
            if self._descriptor is not None:
                self._size_bytes += os.write(self._descriptor, line)
            if self._size_bytes >= self._limit_bytes:
                self._roll()
            self._failing = False
        except OSError as error:
            if not self._failing:
                print(f"selfhost_gate: no access log for now: {error}", file=sys.stderr, flush=True)
            self._failing = True

    def _open(self) -> None:
        """Have the file open that has the name now: another process may have rolled it."""
        now = self._clock()
        if self._descriptor is not None and now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        if self._descriptor is not None and not self._has_the_name(self._descriptor):
            self.close()
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
        self._size_bytes = os.fstat(self._descriptor).st_size

    def _has_the_name(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _roll(self) -> None:
        """Give the file the name of an earlier one; who reads it holds a shared lock for a moment, then it is later."""
        if self._descriptor is None:
            return
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._has_the_name(self._descriptor):
                for number in range(KEPT - 1, 0, -1):
                    with contextlib.suppress(FileNotFoundError):
                        self._numbered(number).replace(self._numbered(number + 1))
                self._path.replace(self._numbered(1))
            self.close()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def close(self) -> None:
        """Let go of the file; the next line opens it again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    async def follow(self, app: App, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        """Have a request answered by `app`, and write its line when it ended, however it did."""
        began, started = datetime.now(UTC), time.perf_counter()
        number, scope = _numbered_request(scope)
        seen = _Seen(send, number)
        try:
            await app(scope, receive, seen.send)
        except Exception:
            # The server answers in the application's place.
            seen.status = seen.status or _ERROR
            raise
        finally:
            method = scope.get("method", "WEBSOCKET")
            entry = {
                "time": began.isoformat(timespec="milliseconds"),
                "request_id": number.decode(),
                "key": caller.key,
                "client": (scope.get("client") or [None])[0],
                "method": method if method in _METHODS or scope["type"] == "websocket" else None,
                "path": caller.path,
                "status": seen.status,
                "complete": seen.complete,
                "bytes_in": _announced(scope),
                "bytes_out": seen.sent_bytes,
                "seconds": round(time.perf_counter() - started, 3),
            }
            self.write(json.dumps(entry).encode() + b"\n")


class _Seen:
    """What is seen of an answer on its way; each piece costs a look and is handed on as it is."""

    __slots__ = ("_number", "_send", "complete", "sent_bytes", "status")

    def __init__(self, send: Send, number: bytes) -> None:
        self._send = send
        self._number = number
        self.status: int | None = None
        self.sent_bytes = 0
        self.complete = False

    def send(self, message: Message) -> Awaitable[None]:
        """Not a coroutine of its own: the server's is handed back."""
        kind = message["type"]
        if kind == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
            return self._send(message)
        if kind in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
            message = self._with_number(message)
        elif kind == "websocket.accept":
            self.status = _SWITCHED
        elif kind in ("websocket.close", "websocket.http.response.body"):
            self.complete = True
        elif kind == "websocket.send":
            self.sent_bytes += len(message.get("bytes") or (message.get("text") or "").encode())
        return self._send(message)

    def _with_number(self, message: Message) -> Message:
        headers = list(message.get("headers", ()))
        if any(name.lower() == _HEADER for name, _ in headers):
            return message
        return {**message, "headers": [*headers, (_HEADER, self._number)]}


def _numbered_request(scope: Scope) -> tuple[bytes, Scope]:
    """The number of a request, and its scope with it: the client's own where it is one plain word, else a new one."""
    given = [value for name, value in scope["headers"] if name.lower() == _HEADER]
    if len(given) == 1 and _ID.fullmatch(given[0]):
        return given[0], scope
    number = os.urandom(8).hex().encode()
    headers = [pair for pair in scope["headers"] if pair[0].lower() != _HEADER]
    return number, {**scope, "headers": [*headers, (_HEADER, number)]}


def _announced(scope: Scope) -> int | None:
    """Bytes of the body, where they were announced."""
    value = next((value for name, value in scope["headers"] if name.lower() == b"content-length"), b"")
    return int(value) if value.isdigit() and len(value) <= _MOST_DIGITS else None
