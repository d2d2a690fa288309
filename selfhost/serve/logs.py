"""Reading a log that another process is writing: what is new since last time, the beginning and end of a long one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PART_BYTES = 4 << 20
"""Enough for any start; a log that ran for months is not read whole."""


class Tail:
    """Complete lines of a growing file, each once. A file that is missing is empty; one that shrank starts anew."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._rest = b""

    def read(self, *, final: bool = False) -> str:
        """What was added since the last call, up to the last end of line; with `final`, all of it."""
        try:
            with self._path.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size < self._offset:
                    self._offset, self._rest = 0, b""
                stream.seek(self._offset)
                added = stream.read()
        except FileNotFoundError:
            return ""
        self._offset += len(added)
        data = self._rest + added
        # A progress bar ends its lines with a carriage return.
        end = len(data) if final else max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        self._rest = data[end:]
        return data[:end].decode(errors="replace")


def read_ends(path: Path) -> str:
    """The text of a log; of a very long one the first and the last 4 MiB. Empty when there is none."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            first = stream.read(_PART_BYTES)
            if size > 2 * _PART_BYTES:
                stream.seek(size - _PART_BYTES)
            return (first + stream.read()).decode(errors="replace")
    except FileNotFoundError:
        return ""


def read_end(path: Path, since: int = 0) -> str:
    """What a log has from offset `since`, at most its last 4 MiB, then from the beginning of a line."""
    return _end(path, since)[0].decode(errors="replace")


def _end(path: Path, since: int = 0) -> tuple[bytes, int]:
    try:
        with path.open("rb") as stream:
            start = max(since, os.fstat(stream.fileno()).st_size - _PART_BYTES)
            stream.seek(start)
            data = stream.read()
            size = stream.tell()
    except FileNotFoundError:
        return b"", 0
    return (data if start == since else data.partition(b"\n")[2]), size


def last_lines(path: Path, count: int) -> tuple[list[str], int]:
    """The last `count` complete lines of a log, and the offset behind them, where a `Tail` goes on."""
    data, size = _end(path)
    complete = data[: data.rfind(b"\n") + 1]
    lines = complete.decode(errors="replace").splitlines()
    return (lines[-count:] if count else []), size - (len(data) - len(complete))
