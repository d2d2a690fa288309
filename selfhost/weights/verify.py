"""Read every file of a model and compare it with what was written down; offline, as fast as the processor hashes.

A damaged file is told with the piece that is wrong, where marks of its content are at hand (`weights.digest`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any

from selfhost.errors import MissingError
from selfhost.records import dataclass
from selfhost.weights import ledger, store
from selfhost.weights.counter import Counter
from selfhost.weights.digest import PIECE_BYTES, Digest
from selfhost.weights.lock import LOCK_NAME, MODEL_SIGNATURE_NAME, path_problem
from selfhost.weights.places import sums
from selfhost.weights.places.sums import SUMS_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

_BUFFER_BYTES = 1 << 20
_POLL_S = 0.2
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR)


class Status(StrEnum):
    """What was found of a file."""

    OK = "ok"
    MISSING = "missing"
    SIZE = "size"
    DIGEST = "digest"
    EXTRA = "extra"
    """There, and not written down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A file as it was written down."""

    path: str
    sha256: str
    size: int | None
    """None where only digests are known (SHA256SUMS)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileCheck:
    """What was found of one file."""

    path: str
    status: Status
    size: int | None
    """Bytes wanted; of an extra file, bytes found."""
    sha256: str | None = None
    found_size: int | None = None
    found_sha256: str | None = None
    """None when the file was not read to its end."""
    begin: int | None = None
    """Where the first wrong piece begins, and where it ends; None for a file that is not damaged."""
    end: int | None = None

    @property
    def damaged(self) -> bool:
        """Whether bytes are wrong, too few or too many."""
        return self.status in (Status.SIZE, Status.DIGEST)

    def as_dict(self) -> dict[str, Any]:
        """One of `files` of `verify --json`."""
        names = ("path", "size", "sha256", "found_size", "found_sha256", "begin", "end")
        return {**{name: getattr(self, name) for name in names}, "status": self.status.value}


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How files are read."""

    workers: int
    progress: Callable[[int, int], None]
    """Gets bytes read and bytes altogether, several times a second."""
    marks: Callable[[str], bytes] = lambda _sha256: b""
    """Marks of a content, by sha256."""
    on_whole: Callable[[str, bytes], None] = lambda _sha256, _marks: None
    """Gets sha256 and marks of every file that is right; called in the thread that called `verify_files`."""
    ledger: ledger.Ledger | None = None


class _Unreadable(Exception):  # noqa: N818 - a verdict about a disk, caught where the file is read
    """The disk does not give the bytes back."""


def verify_files(directory: Path, wanted: Sequence[Wanted], reading: Reading) -> list[FileCheck]:
    """Check each file, several at a time, the largest first; results in the order of `wanted`.

    Raises MissingError for a file that this user may not read.
    """
    known = {file.path for file in wanted if reading.ledger and reading.ledger.knows(file.path, file.sha256)}
    todo = sorted((file for file in wanted if file.path not in known), key=lambda file: -_size(directory, file))
    done = {file.path: _right(file, file.size) for file in wanted if file.path in known}
    counter, total = Counter(), sum(_size(directory, file) for file in todo)
    pool = ThreadPoolExecutor(reading.workers, thread_name_prefix="verify")
    try:
        pending = {pool.submit(_checked, directory, file, reading.marks(file.sha256), counter.add) for file in todo}
        while pending:
            finished, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            for future in finished:
                check = _collect(future, reading)
                done[check.path] = check
            reading.progress(counter.done, total)
    finally:
        counter.stop.set()
        pool.shutdown(cancel_futures=True)
        if reading.ledger:
            reading.ledger.write()
    if reading.ledger:
        reading.ledger.close()
    return [done[file.path] for file in wanted]


def _collect(future: Future[tuple[FileCheck, bytes, list[int]]], reading: Reading) -> FileCheck:
    check, marks, identity = future.result()
    if check.status is Status.OK and check.sha256:
        reading.on_whole(check.sha256, marks)
        if reading.ledger:
            reading.ledger.add(check.path, check.sha256, identity)
    return check


def _size(directory: Path, file: Wanted) -> int:
    if file.size is not None:
        return file.size
    try:
        return (directory / file.path).stat().st_size
    except OSError:
        return 0


def _right(file: Wanted, size: int | None) -> FileCheck:
    return FileCheck(
        path=file.path,
        status=Status.OK,
        size=size,
        sha256=file.sha256,
        found_size=size,
        found_sha256=file.sha256,
    )


def _checked(
    directory: Path, file: Wanted, marks: bytes, tick: Callable[[int], None]
) -> tuple[FileCheck, bytes, list[int]]:
    """The verdict, the marks that were found, and the identity of what was read."""
    absent = FileCheck(path=file.path, status=Status.MISSING, size=file.size, sha256=file.sha256)
    path = directory / file.path
    try:
        # Not a pipe, which would keep the reader waiting for ever.
        if not stat.S_ISREG(path.stat().st_mode):
            return absent, b"", []
        stream = path.open("rb", buffering=0)
    except PermissionError as error:
        raise MissingError("model.not_readable", path=path, detail=error.strerror, directory=directory) from error
    except OSError as error:
        if error.errno in _ABSENT:
            return absent, b"", []
        raise
    with stream:
        info = os.fstat(stream.fileno())
        if file.size not in (None, info.st_size):
            return _other_size(file, info.st_size), b"", []
        digest = Digest()
        with contextlib.suppress(_Unreadable):
            _read(stream, digest, tick)
            if digest.hexdigest() == file.sha256:
                return _right(file, digest.size), digest.marks, ledger.identity(info)
            return _other_bytes(file, digest.size, digest.first_wrong(marks), digest.hexdigest()), b"", []
    begin = digest.size // PIECE_BYTES * PIECE_BYTES
    return _other_bytes(file, info.st_size, begin, None), b"", []


_buffers = threading.local()


def _read(stream: IO[bytes], digest: Digest, tick: Callable[[int], None]) -> None:
    if not hasattr(_buffers, "view"):
        _buffers.view = memoryview(bytearray(_BUFFER_BYTES))
    view = _buffers.view
    try:
        while count := stream.readinto(view):  # type: ignore[attr-defined]
            digest.update(view[:count])
            tick(count)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise _Unreadable from error


def _other_size(file: Wanted, found: int) -> FileCheck:
    begin, end = sorted((found, file.size or 0))
    return FileCheck(
        path=file.path,
        status=Status.SIZE,
        size=file.size,
        sha256=file.sha256,
        found_size=found,
        begin=begin,
        end=end,
    )


def _other_bytes(file: Wanted, size: int, begin: int | None, found_sha256: str | None) -> FileCheck:
    """The first piece that is wrong; the whole file where that is not known."""
    return FileCheck(
        path=file.path,
        status=Status.DIGEST,
        size=size,
        sha256=file.sha256,
        found_size=size,
        found_sha256=found_sha256,
        begin=begin or 0,
        end=size if begin is None else min(begin + PIECE_BYTES, size),
    )


def extra_files(directory: Path, named: Collection[str]) -> list[FileCheck]:
    """Files below a directory that are not written down, sorted; the lock and a signature are none."""
    found = store.entries(directory)
    return [
        FileCheck(path=path, status=Status.EXTRA, size=found[path].st_size, found_size=found[path].st_size)
        for path in sorted(set(found) - set(named) - {LOCK_NAME, SUMS_NAME, MODEL_SIGNATURE_NAME})
    ]


def parse_sums(text: str) -> tuple[Wanted, ...]:
    """The files of a SHA256SUMS. Raises ValueError."""
    found = sums.parse_sums(text)
    if problem := path_problem(found):
        raise ValueError(problem)
    return tuple(Wanted(path=path, sha256=digest, size=None) for path, digest in found.items())
