"""`selfhost doctor --log`: a log from a file or from stdin, plain or gzip, of any size, whatever bytes it has."""

from __future__ import annotations

import contextlib
import sys
import zlib
from collections import deque
from typing import IO, TYPE_CHECKING

from selfhost.doctor import log
from selfhost.errors import IncompleteError
from selfhost.messages import text
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA_VERSION = 1
STDIN = "-"
_GZIP = b"\x1f\x8b"
_GZIP_FORMAT = 31
"""zlib's number for it, with the largest window."""
_PIECE_BYTES = 1 << 20
LAST_LINES = 80
_LONGEST_BYTES = 8 << 10
"""Of a line; the rest is not looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadLog:
    """What was read from where."""

    path: str
    reading: log.LogReading
    cut: str | None = None
    """Why the end could not be read; None: it was."""
    last_lines: tuple[str, ...] = ()
    """As they are; a report shows what of them is fit to be shown."""

    def as_dict(self) -> dict[str, object]:
        """The contract of `selfhost doctor --log FILE --json`."""
        reading = self.reading
        return {
            "schema_version": SCHEMA_VERSION,
            "log": self.path,
            "lines": reading.lines,
            "cut": self.cut,
            "cause": reading.cause.as_dict() if reading.cause else None,
            "others": [seen.as_dict() for seen in reading.others],
        }


def read_log(path: Path) -> ReadLog:
    """Read a log to its end. Raises IncompleteError when it cannot be opened or read at all."""
    lines = _Lines()
    try:
        with contextlib.ExitStack() as stack:
            stream: IO[bytes] = sys.stdin.buffer if str(path) == STDIN else stack.enter_context(path.open("rb"))
            reading = log.read(lines.of(stream))
    except OSError as error:
        raise IncompleteError("doctor.no_log", path=path, detail=error.strerror or error) from error
    return ReadLog(path=str(path), reading=reading, cut=lines.cut, last_lines=tuple(lines.last))


class _Lines:
    """The lines of a stream, each at most 8 KiB long; progress bars end theirs with a carriage return."""

    def __init__(self) -> None:
        self.cut: str | None = None
        self.last: deque[str] = deque(maxlen=LAST_LINES)

    def of(self, stream: IO[bytes]) -> Iterator[list[str]]:
        rest = b""
        for piece in self._pieces(stream):
            *lines, last = (rest + piece).replace(b"\r", b"\n").split(b"\n")
            # Of a line without an end only its beginning is kept; one byte more says that it goes on.
            rest = last[: _LONGEST_BYTES + 1]
            yield self._told(lines)
        if rest:
            yield self._told([rest])

    def _told(self, lines: list[bytes]) -> list[str]:
        told = [line[:_LONGEST_BYTES].decode(errors="replace") for line in lines]
        self.last.extend(told)
        return told

    def _pieces(self, stream: IO[bytes]) -> Iterator[bytes]:
        first = stream.read(_PIECE_BYTES)
        if first.startswith(_GZIP):
            yield from self._unpacked(first, stream)
            return
        while first:
            yield first
            first = stream.read(_PIECE_BYTES)

    def _unpacked(self, data: bytes, stream: IO[bytes]) -> Iterator[bytes]:
        """What gzip packed, up to where it is damaged; several members in a row, as rotated logs that were joined."""
        unpack, within = zlib.decompressobj(_GZIP_FORMAT), True
        while data:
            try:
                piece = unpack.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                self.cut = text("doctor.log_cut", detail=error)
                return
            if piece:
                yield piece
            within = not unpack.eof
            if within:
                data = unpack.unconsumed_tail or stream.read(_PIECE_BYTES)
            else:
                data = unpack.unused_data or stream.read(_PIECE_BYTES)
                unpack = zlib.decompressobj(_GZIP_FORMAT)
        if within:
            self.cut = text("doctor.log_cut", detail=text("doctor.log_unfinished"))
