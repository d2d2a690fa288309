"""What a client sends, within bounds of time, and what of it goes into a log."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

MAX_BODY_BYTES = 1 << 20
_MAX_DIGITS = len(str(MAX_BODY_BYTES))


class Incoming(io.RawIOBase):
    """The bytes of a connection; a request that does not come within `limit_s` as a whole raises TimeoutError.

    A limit for each byte is none: a few hundred clients that send one a minute would keep everybody else out.
    """

    def __init__(self, connection: socket.socket, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._connection, self._limit_s, self._clock = connection, limit_s, clock
        self._ends_s: float | None = None

    def begin(self) -> None:
        """The next request: its time begins with its first byte, which may be waited for as long."""
        self._ends_s = None

    def readable(self) -> bool:
        """Whether it can be read from."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """What there is, once there is something."""
        left_s = self._limit_s if self._ends_s is None else self._ends_s - self._clock()
        if left_s <= 0:
            raise TimeoutError
        self._connection.settimeout(left_s)
        try:
            count = self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(self._limit_s)
        if self._ends_s is None:
            self._ends_s = self._clock() + self._limit_s
        return count


def body_length(lengths: list[str]) -> int | None:
    """Of the `Content-Length` headers of a request; None for what is too large, or no length.

    >>> (
    ...     body_length([]),
    ...     body_length(["5", "5"]),
    ...     body_length(["5", "6"]),
    ...     body_length(["-1"]),
    ...     body_length(["9" * 5000]),
    ... )
    (0, 5, None, None, None)
    """
    if len(set(lengths)) > 1:
        return None
    text = lengths[0] if lengths else "0"
    if not (text.isascii() and text.isdecimal()) or len(text) > _MAX_DIGITS or int(text) > MAX_BODY_BYTES:
        return None
    return int(text)


def logged_request(requestline: str) -> str:
    r"""A request as a log may have it: keys come in queries and in addresses, and control characters anywhere.

    >>> logged_request("GET /a%20b?token=abc HTTP/1.1"), logged_request("GET http://user:key@host/a HTTP/1.1")
    ('GET /a%20b?... HTTP/1.1', 'GET ... HTTP/1.1')
    >>> logged_request("GET /\x1b[2J HTTP/1.1"), logged_request("Bearer abc")
    ('GET /\\x1b[2J HTTP/1.1', '...')
    """
    method, _, rest = requestline.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not version.startswith("HTTP/"):
        return "..."
    path, mark, _ = target.partition("?")
    shown = path + ("?..." if mark else "") if path.startswith("/") else "..."
    return ascii(f"{method} {shown} {version}")[1:-1]
