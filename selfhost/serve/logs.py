"""Logs that another process is writing: what is new since last time, the ends of a long one, rolling by size.

A log is one text in several files: `engine.log`, before it `engine.log.1`, before that `engine.log.2`. The front door
rolls its own log by renaming. The engine goes on writing to the file it was given, so that one is copied and emptied:

- on ext4 and XFS its beginning is cut off in one step (`FALLOC_FL_COLLAPSE_RANGE`): no line is lost;
- elsewhere what is written between the end of the copy and the emptying is lost, some microseconds' worth of lines.

Who rolls holds an exclusive lock on the file, who reads a shared one, so that nobody reads a line twice or not at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.units import format_bytes, parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader, FileIO
    from pathlib import Path

LOG_BYTES = 64 << 20
"""A log is rolled when it is as long as this."""
KEPT = 4
"""Earlier files beside the one that is written; as in the front door (`selfhost/inside/selfhost_access.py`)."""
_LEAST_BYTES = 4 << 10
_PART_BYTES = 4 << 20
"""Enough for any start; a log that ran for months is not read whole."""
_BLOCK_BYTES = 1 << 16
"""A multiple of every size that blocks have."""
_COLLAPSE = 0x08
"""`FALLOC_FL_COLLAPSE_RANGE` of linux/falloc.h."""


def numbered(path: Path, number: int) -> Path:
    """An earlier file of a log; 1 is the one before."""
    return path.with_name(f"{path.name}.{number}")


def generations(path: Path) -> list[Path]:
    """The files of a log that are there, the oldest first."""
    earlier = (numbered(path, number) for number in range(KEPT, 0, -1))
    return [found for found in (*earlier, path) if found.exists()]


def remove(path: Path) -> None:
    """Remove a log with all its files."""
    for found in generations(path):
        found.unlink(missing_ok=True)


def wanted_bytes(text: str | None) -> int:
    """The size at which logs are rolled: what `SELFHOST_LOG_SIZE` says, else 64 MiB. Raises UsageError."""
    if not text:
        return LOG_BYTES
    try:
        size = parse_bytes(text)
    except ValueError:
        size = 0
    if size < _LEAST_BYTES:
        raise UsageError("serve.bad_log_size", text=text, least=format_bytes(_LEAST_BYTES))
    return size


def roll(path: Path, limit_bytes: int = LOG_BYTES) -> int:
    """Move what a log has to an earlier file once it is long; the bytes that went, to put places in it right.

    0 when it is not long, or is being read: then it is rolled later. Raises OSError, and leaves the log as it was.
    """
    try:
        if path.stat().st_size < limit_bytes:
            return 0
        with path.open("r+b", buffering=0) as log:
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            return _roll(path, log)
    except FileNotFoundError:
        return 0


def _roll(path: Path, log: FileIO) -> int:
    copy = path.with_name(f".{path.name}.copy")
    try:
        with copy.open("wb", buffering=0) as target:
            copy.chmod(0o600)
            size = _move(log, target)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    for number in range(KEPT - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            numbered(path, number).replace(numbered(path, number + 1))
    copy.replace(numbered(path, 1))
    return size


def _move(log: FileIO, target: FileIO) -> int:
    """Copy a log and take what was copied out of it; the bytes."""
    shutil.copyfileobj(log, target, 1 << 20)
    # The end of a file cannot be cut off with its beginning, and a read beside a write often ends with a block.
    whole = max(0, log.tell() - 1) // _BLOCK_BYTES * _BLOCK_BYTES
    if whole and _cut_off(log, whole):
        # What is behind the last whole block stays where the engine writes.
        target.truncate(whole)
        return whole
    while piece := log.read(1 << 20):
        target.write(piece)
    log.truncate(0)
    return log.tell()


def _cut_off(log: FileIO, size: int) -> bool:
    """Take the beginning out of a file that others append to, in one step; whether the file system can."""
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return bool(fallocate(log.fileno(), _COLLAPSE, 0, size) == 0)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[BufferedReader | None]:
    """The file that has the name of the log, kept from being rolled meanwhile; None when there is none."""
    while True:
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            yield None
            return
        with stream:
            fcntl.flock(stream, fcntl.LOCK_SH)
            # Else it was renamed between opening and locking, and is an earlier file by now.
            if os.fstat(stream.fileno()).st_ino == _inode(path):
                yield stream
                return


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


class Tail:
    """Complete lines of a growing log, each once. A file that is missing is empty; one that shrank starts anew.

    Rolled between two calls, nothing is lost; rolled several times, what only the earlier ones had.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._rest = b""
        self._before = _inode(numbered(path, 1))

    def read(self, *, final: bool = False) -> str:
        """What was added since the last call, up to the last end of line; with `final`, all of it."""
        with _held(self._path) as stream:
            added = self._of_rolled()
            if stream is not None:
                if os.fstat(stream.fileno()).st_size < self._offset:
                    self._offset, self._rest = 0, b""
                stream.seek(self._offset)
                piece = stream.read()
                self._offset += len(piece)
                added += piece
        return self._complete(added, final=final)

    def _complete(self, added: bytes, *, final: bool = False) -> str:
        data = self._rest + added
        # A progress bar ends its lines with a carriage return.
        end = len(data) if final else max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        self._rest = data[end:]
        return data[:end].decode(errors="replace")

    def _of_rolled(self) -> bytes:
        """What was not read yet of a file that was rolled since the last call."""
        earlier = numbered(self._path, 1)
        inode = _inode(earlier)
        if inode == self._before:
            return b""
        self._before = inode
        try:
            with earlier.open("rb") as stream:
                stream.seek(self._offset)
                left = stream.read()
                # More had been read than went: the beginning is cut off in whole blocks.
                self._offset = max(0, self._offset - os.fstat(stream.fileno()).st_size)
        except FileNotFoundError:  # all of it was removed for a new start
            return b""
        return left

    def earlier(self) -> Iterator[str]:
        """What the log has in earlier files, in pieces; called first, `read` goes on behind it."""
        with _held(self._path):
            # As they are now; nobody who reads slowly keeps the log from being rolled.
            streams = [one.open("rb") for one in generations(self._path) if one != self._path]
            self._before = _inode(numbered(self._path, 1))
        for stream in streams:
            with stream:
                while piece := stream.read(_PART_BYTES):
                    yield self._complete(piece)

    def last_lines(self, count: int) -> list[str]:
        """The last `count` complete lines; `read` goes on behind them."""
        with _held(self._path):
            lines, self._offset = last_lines(self._path, count)
            self._before = _inode(numbered(self._path, 1))
        return lines


def read_ends(path: Path) -> str:
    """The text of a log; of a very long one the first and the last 4 MiB. Empty when there is none."""
    with _held(path):
        found = generations(path)
        if sum(one.stat().st_size for one in found) <= 2 * _PART_BYTES:
            return b"".join(one.read_bytes() for one in found).decode(errors="replace")
        with found[0].open("rb") as stream:
            first = stream.read(_PART_BYTES)
        return (first + _last_bytes(found, _PART_BYTES)).decode(errors="replace")


def read_end(path: Path, since: int | None = None) -> str:
    """What a log has from offset `since`, at most its last 4 MiB, then from the beginning of a line.

    since: in the file that is written; below 0 it is so much before it, in earlier ones; None: from its beginning.
    """
    return _end(path, since)[0].decode(errors="replace")


def _end(path: Path, since: int | None) -> tuple[bytes, int]:
    """The last bytes of a log from a place in it, and the size of the file that is written."""
    with _held(path) as stream:
        size = os.fstat(stream.fileno()).st_size if stream else 0
        found = generations(path)
        whole = sum(one.stat().st_size for one in found if one != path) + size
        wanted = whole if since is None else min(whole, size - since)
        data = _last_bytes(found, min(wanted, _PART_BYTES))
    return (data if wanted <= _PART_BYTES else data.partition(b"\n")[2]), size


def _last_bytes(found: list[Path], count: int) -> bytes:
    """The last bytes of files that follow each other."""
    data = b""
    for one in reversed(found):
        if (wanted := count - len(data)) <= 0:
            break
        with one.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - wanted))
            data = stream.read(wanted) + data
    return data


def last_lines(path: Path, count: int) -> tuple[list[str], int]:
    """The last `count` complete lines of a log, and the offset behind them in the file that is written."""
    data, size = _end(path, None)
    complete = data[: data.rfind(b"\n") + 1]
    lines = complete.decode(errors="replace").splitlines()
    return (lines[-count:] if count else []), max(0, size - (len(data) - len(complete)))
