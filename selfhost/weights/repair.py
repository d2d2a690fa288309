"""Put damaged files right: from a content that is whole elsewhere in the store, else by fetching what is wrong.

A file is mended in a copy and takes its place only when its digest is right. Every model that has the same content gets
the new one. `fetch` is whatever can read a range of a file of the model; nothing here knows of networks.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

from selfhost import files
from selfhost.errors import IncompleteError, IntegrityError, NoSpaceError
from selfhost.records import dataclass
from selfhost.units import format_bytes
from selfhost.weights import inventory, store
from selfhost.weights.blobs import digest_stream
from selfhost.weights.digest import MARK_BYTES, PIECE_BYTES, Digest, marks_fit

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.weights.blobs import Blobs
    from selfhost.weights.lock import LockedFile

Fetch = Callable[[str, int, int], Iterator[bytes]]
"""`fetch(path, begin, end)`: these bytes of a file of the model, in pieces of any size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired:
    """A file that is right again."""

    path: str
    fetched: tuple[tuple[int, int], ...]
    """Ranges, begin and end; empty when the store had the content."""

    @property
    def bytes_downloaded(self) -> int:
        """What was fetched."""
        return sum(end - begin for begin, end in self.fetched)

    def as_dict(self) -> dict[str, Any]:
        """One of `repaired` of `verify --json`."""
        source = "source" if self.fetched else "store"
        return {"path": self.path, "from": source, "fetched": [list(part) for part in self.fetched]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What a repair works with."""

    directory: Path
    """Of the model."""
    models: Path
    """All models that may have the same contents."""
    blobs: Blobs
    open_source: Callable[[], Fetch]
    """Called when something has to be fetched, and not before. Raises what keeps it from being fetched."""
    progress: Callable[[str, int], None]
    """Gets the path and the bytes that were put right or read since the last call."""
    waiting: Callable[[], None]


def repair_file(bench: Bench, file: LockedFile, *, read: bool = False) -> Repaired:
    """Put one file of a model right. The caller has `blobs.in_use`; it does not hold models.

    `read` says that the file of the model was read and found wrong: it is not tried again.

    Raises IntegrityError when the source has another content, IncompleteError when there is no source or it gave too
    little, NoSpaceError.
    """
    fetched: list[tuple[int, int]] = []
    bad = set()
    with contextlib.suppress(OSError):
        bad = {inventory.inode((bench.directory / file.path).stat())} if read else set()
    if not _from_store(bench, file, bad):
        _mend(bench, file, fetched)
    _relink(bench, file)
    return Repaired(path=file.path, fetched=tuple(fetched))


# What the store has


def _from_store(bench: Bench, file: LockedFile, tried: set[tuple[int, int]]) -> bool:
    """Make sure that the content is whole, from what other names there are for it; False when none of them is."""
    blob = bench.blobs.path(file.sha256)
    for path in (blob, *_others(bench, file)):
        try:
            info = path.stat()
        except OSError:
            continue
        key = inventory.inode(info)
        if key in tried or info.st_size != file.size:
            continue
        tried.add(key)
        if path == blob:
            if _has_digest(bench, path, file):
                return True
        elif _has_digest(bench, path, file):
            # It went bad meanwhile, or there is no room for a copy: the next one may do.
            with contextlib.suppress(IntegrityError, OSError), bench.blobs.writing("repair") as part:
                files.copy_file(path, part)
                _adopt(bench, part, file)
                return True
    return False


def _others(bench: Bench, file: LockedFile) -> list[Path]:
    """Files of models that should have the same content, the one to repair included: it may be a copy that is fine."""
    return [directory / other.path for directory, other in _holders(bench, file)]


def _holders(bench: Bench, file: LockedFile) -> list[tuple[Path, LockedFile]]:
    found = []
    for directory in dict.fromkeys((bench.directory, *store.directories(bench.models))):
        if lock := inventory.lock_of(directory):
            found += [(directory, other) for other in lock.files if other.sha256 == file.sha256]
    return found


def _has_digest(bench: Bench, path: Path, file: LockedFile) -> bool:
    digest = Digest()
    try:
        with path.open("rb", buffering=0) as stream:
            digest_stream(stream, digest)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False
    if digest.hexdigest() != file.sha256:
        return False
    if digest.marks != bench.blobs.marks(file.sha256):
        bench.blobs.keep_marks(file.sha256, digest.marks)
    return True


def _adopt(bench: Bench, part: Path, file: LockedFile) -> None:
    """Check once more what lies on the disk, and give it its name."""
    digest = Digest()
    with part.open("rb", buffering=0) as stream:
        digest_stream(stream, digest)
        os.fsync(stream.fileno())
    if digest.hexdigest() != file.sha256:
        raise IntegrityError("verify.other_source", path=file.path, wanted=file.sha256, found=digest.hexdigest())
    bench.blobs.adopt(part, file.sha256, digest.marks, replace=True)


# What has to be fetched


def _mend(bench: Bench, file: LockedFile, fetched: list[tuple[int, int]]) -> None:
    fetch = bench.open_source()
    _check_space(bench, file)
    marks = bench.blobs.marks(file.sha256)
    damaged = _damaged_copy(bench, file) if marks_fit(marks, file.size) and marks else None
    with bench.blobs.writing("repair") as part, files.explain_os_errors(part):
        with part.open("r+b", buffering=0) as stream:
            if damaged is None:
                _fetch_whole(stream, file, fetch, fetched, bench)
            else:
                _copy_readable(damaged, stream, file.size)
                _Mending(stream, file, marks, fetch, fetched).run(bench.progress)
            os.fsync(stream.fileno())
        _adopt(bench, part, file)


def _check_space(bench: Bench, file: LockedFile) -> None:
    free = files.free_bytes(bench.blobs.root)
    if free < file.size:
        raise NoSpaceError(
            "verify.no_space",
            path=file.path,
            needed=format_bytes(file.size),
            where=bench.blobs.root,
            free=format_bytes(free),
        )


def _damaged_copy(bench: Bench, file: LockedFile) -> Path | None:
    """What there is of the content, the longest: the pieces of it that are right need not be fetched."""
    found: list[tuple[int, Path]] = []
    for path in (bench.directory / file.path, bench.blobs.path(file.sha256)):
        with contextlib.suppress(OSError):
            found.append((min(path.stat().st_size, file.size), path))
    return max(found)[1] if any(size for size, _ in found) else None


def _copy_readable(source: Path, target: IO[bytes], size: int) -> None:
    """Copy what the disk gives back, and bring it to its size; what it does not give is a hole."""
    with source.open("rb", buffering=0) as reading:
        if not files.clone(reading, target):
            for begin in range(0, min(size, os.fstat(reading.fileno()).st_size), PIECE_BYTES):
                with contextlib.suppress(OSError):
                    data = _read_at(reading, begin, begin + PIECE_BYTES)
                    _write_at(target, begin, data)
    target.truncate(size)


def _read_at(stream: IO[bytes], begin: int, end: int) -> bytes:
    parts = []
    while begin < end and (data := os.pread(stream.fileno(), end - begin, begin)):
        parts.append(data)
        begin += len(data)
    return b"".join(parts)


def _write_at(stream: IO[bytes], begin: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(stream.fileno(), view, begin)
        begin, view = begin + written, view[written:]


def _fetch_whole(
    stream: IO[bytes], file: LockedFile, fetch: Fetch, fetched: list[tuple[int, int]], bench: Bench
) -> None:
    size = 0
    for data in fetch(file.path, 0, file.size) if file.size else ():
        _write_at(stream, size, data)
        size += len(data)
        bench.progress(file.path, len(data))
    if size != file.size:
        raise IncompleteError("verify.short_source", path=file.path, wanted=file.size, found=size)
    if size:
        fetched.append((0, size))


class _Mending:
    """One file that is read from its beginning; at the first mark that differs its piece is fetched, and on it goes."""

    def __init__(
        self, stream: IO[bytes], file: LockedFile, marks: bytes, fetch: Fetch, fetched: list[tuple[int, int]]
    ) -> None:
        self._stream = stream
        self._file = file
        self._marks = [marks[n : n + MARK_BYTES].hex() for n in range(0, len(marks), MARK_BYTES)]
        self._fetch = fetch
        self._fetched = fetched

    def run(self, progress: Callable[[str, int], None]) -> None:
        """Put every piece right."""
        digest = Digest()
        for number, begin in enumerate(range(0, self._file.size, PIECE_BYTES)):
            end = min(begin + PIECE_BYTES, self._file.size)
            mark = self._marks[number] if number < len(self._marks) else self._file.sha256
            data = _read_at(self._stream, begin, end)
            digest = self._piece(digest, data, (begin, end), mark)
            progress(self._file.path, end - begin)

    def _piece(self, before: Digest, data: bytes, part: tuple[int, int], mark: str) -> Digest:
        """The digest after this piece, which is right then."""
        after = before.copy()
        after.update(data)
        if after.hexdigest().startswith(mark):
            return after
        begin, end = part
        fresh = b"".join(self._fetch(self._file.path, begin, end))
        if len(fresh) != end - begin:
            raise IncompleteError("verify.short_source", path=self._file.path, wanted=end - begin, found=len(fresh))
        self._fetched.append(part)
        if fresh == data and mark != self._file.sha256:
            # The bytes were right: it is the mark that is damaged. The digest at the end decides.
            return after
        after = before.copy()
        after.update(fresh)
        if not after.hexdigest().startswith(mark):
            raise IntegrityError(
                "verify.other_piece", path=self._file.path, begin=begin, end=end, wanted=mark, found=after.hexdigest()
            )
        _write_at(self._stream, begin, fresh)
        return after


# Every model that has the content


def _relink(bench: Bench, file: LockedFile) -> None:
    blob = bench.blobs.path(file.sha256).stat()
    for directory, other in _holders(bench, file):
        with contextlib.suppress(OSError):
            if inventory.inode((directory / other.path).stat()) == inventory.inode(blob):
                continue
        stored = directory.resolve().is_relative_to(bench.models.resolve())
        # Nobody else works on a directory outside the store, and no lock file is left beside it.
        with store.hold(directory, bench.waiting) if stored else contextlib.nullcontext():
            store.relink(directory, other, bench.blobs, symbolic=stored)
