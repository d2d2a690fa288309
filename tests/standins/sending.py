"""Bytes out of a socket: straight from the file where nothing is done to them, within a rate where there is one."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PIECE_BYTES = 1 << 20
CREDIT_S = 0.03
"""What a rate makes up for: who sleeps wakes up late."""


@dataclass(frozen=True)
class Content:
    """What a file's answer is made of: bytes on disk, or in memory."""

    size: int
    etag: str
    local: Path | None = None
    data: bytes = b""
    change: Callable[[int, bytes], bytes] | None = None
    """Takes the place in the file and the bytes there, gives what is sent instead: as many bytes."""

    def read(self, begin: int, end: int) -> bytes:
        if self.local is None:
            found = self.data[begin:end]
        else:
            with self.local.open("rb") as stream:
                stream.seek(begin)
                found = stream.read(end - begin)
        return self.change(begin, found) if self.change else found


class Bucket:
    """One rate for everybody who takes from it."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self.bytes_per_s, self._lock, self._free_at = bytes_per_s, threading.Lock(), 0.0

    @property
    def piece_bytes(self) -> int:
        """As much as goes out at once: 20 ms of the rate."""
        if self.bytes_per_s is None:
            return PIECE_BYTES
        return int(max(1, min(self.bytes_per_s / 50, 1 << 20)))

    def take(self, n_bytes: int) -> float:
        """Seconds until these bytes have gone out, after all that were taken before."""
        if self.bytes_per_s is None:
            return 0.0
        with self._lock:
            now = time.monotonic()
            self._free_at = max(now - CREDIT_S, self._free_at) + n_bytes / self.bytes_per_s
            return self._free_at - now


class Pace:
    """The slowest of several rates."""

    def __init__(self, stopping: threading.Event, *buckets: Bucket) -> None:
        self._stopping, self._buckets = stopping, buckets
        self.piece_bytes = min(bucket.piece_bytes for bucket in buckets)

    def wait(self, n_bytes: int) -> None:
        wait_s = max(bucket.take(n_bytes) for bucket in self._buckets)
        if wait_s > 0:
            self._stopping.wait(wait_s)


def send(connection: socket.socket, content: Content, span: tuple[int, int], pace: Pace, on_sent) -> None:
    """Send the bytes of a span.

    `on_sent(n)` hears of every piece before it goes, so that who has received it finds it counted, and of what the
    kernel did not take as a negative number.
    """
    begin, end = span
    if content.local is None or content.change is not None:
        while begin < end:
            piece = content.read(begin, min(begin + pace.piece_bytes, end))
            if not piece:
                return
            pace.wait(len(piece))
            on_sent(len(piece))
            connection.sendall(piece)
            begin += len(piece)
        return
    with content.local.open("rb") as stream:
        while begin < end:
            wanted = min(pace.piece_bytes, end - begin)
            pace.wait(wanted)
            on_sent(wanted)
            sent = 0
            try:
                sent = os.sendfile(connection.fileno(), stream.fileno(), begin, wanted)
            finally:
                on_sent(sent - wanted)
            if not sent:
                return  # the file became shorter: the connection ends early, as it would anywhere
            begin += sent


def wait_for_end(connection: socket.socket, stopping: threading.Event) -> None:
    """Keep a connection open and silent until the other side, or the server's end, closes it."""
    while not stopping.is_set():
        select.select([connection], [], [])
        if not connection.recv(1, socket.MSG_PEEK):
            return
        stopping.wait(0.1)  # it sent more, which nobody reads


def reset(connection: socket.socket) -> None:
    """Close with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    # The handler's reader holds the socket open: only the number itself closes it now.
    os.close(connection.detach())
