"""`selfhost doctor --log`: a log from a file or from stdin, plain or gzip, of any size, whatever bytes it has."""

from __future__ import annotations

import contextlib
import gzip
import sys
import zlib
from typing import IO, TYPE_CHECKING, cast

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
_PIECE_BYTES = 1 << 20
_LONGEST_BYTES = 16 << 10
"""Of a line; the rest is not looked at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadLog:
    """What was read from where."""

    path: str
    reading: log.LogReading
    cut: str | None = None
    """Why the end could not be read; None: it was."""

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
    return ReadLog(path=str(path), reading=reading, cut=lines.cut)


class _Lines:
    """The lines of a stream, each at most 16 KiB long; progress bars end theirs with a carriage return."""

    def __init__(self) -> None:
        self.cut: str | None = None

    def of(self, stream: IO[bytes]) -> Iterator[str]:
        rest, skipping = b"", False
        for piece in self._pieces(stream):
            *lines, last = piece.replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                if not skipping:
                    yield (rest + line)[:_LONGEST_BYTES].decode(errors="replace")
                rest, skipping = b"", False
            if skipping:
                continue
            rest += last
            if len(rest) > _LONGEST_BYTES:
                yield rest[:_LONGEST_BYTES].decode(errors="replace")
                rest, skipping = b"", True
        if rest:
            yield rest.decode(errors="replace")

    def _pieces(self, stream: IO[bytes]) -> Iterator[bytes]:
        first = stream.read(_PIECE_BYTES)
        if not first.startswith(_GZIP):
            while first:
                yield first
                first = stream.read(_PIECE_BYTES)
            return
        unpacked = gzip.GzipFile(mode="rb", fileobj=cast("IO[bytes]", _Again(first, stream)))
        try:
            while piece := unpacked.read(_PIECE_BYTES):
                yield piece
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.cut = text("doctor.log_cut", detail=error)


class _Again:
    """A stream whose beginning was read already; what `gzip` needs of one."""

    def __init__(self, first: bytes, stream: IO[bytes]) -> None:
        self._first, self._stream = first, stream

    def read(self, size: int = -1) -> bytes:
        if not self._first:
            return self._stream.read(size)
        if size < 0:
            size = len(self._first)
        piece, self._first = self._first[:size], self._first[size:]
        return piece
