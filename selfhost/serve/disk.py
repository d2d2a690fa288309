"""How fast the weights come off their disk: a short read that no cache answers."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READ_BYTES = 64 << 20
_PIECE_BYTES = 4 << 20
_LONGEST_S = 2.0
_LEAST_BYTES = 8 << 20
"""Of a file smaller than this nothing can be told, and its model needs no time."""
_BLOCK = 4096


def read_speed(directory: Path) -> float | None:
    """Bytes a second that one reader gets from the largest file of a model; None when that cannot be told.

    Reads 64 MiB from its middle, 2 s at most (a piece of 4 MiB that is begun is ended), past the page cache where the
    file system can (O_DIRECT), else after telling it to forget that part.
    """
    try:
        files = [path for path in directory.iterdir() if path.is_file()]
        path = max(files, key=lambda path: path.stat().st_size, default=None)
        if path is None or path.stat().st_size < _LEAST_BYTES:
            return None
        return _timed(path, path.stat().st_size)
    except OSError:
        return None


def _timed(path: Path, size: int) -> float | None:
    start = max(0, size // 2 - _READ_BYTES // 2) // _BLOCK * _BLOCK
    # Whole blocks in whole pages: what O_DIRECT wants.
    with contextlib.closing(mmap.mmap(-1, _PIECE_BYTES)) as piece, _opened(path, start) as descriptor:
        began, read = time.monotonic(), 0
        while read < _READ_BYTES and time.monotonic() - began < _LONGEST_S:
            if not (got := os.preadv(descriptor, [piece], start + read)):
                break
            read += got
        seconds = time.monotonic() - began
    return read / seconds if read and seconds > 0 else None


@contextlib.contextmanager
def _opened(path: Path, start: int) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.posix_fadvise(descriptor, start, _READ_BYTES, os.POSIX_FADV_DONTNEED)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
