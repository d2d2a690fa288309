"""One file on disk while it is moved: its lock, its journal, and the digest that follows the bytes.

The journal lists what was written before the journal was: after the death of the process, what the kernel took is there
and only that is trusted. After a loss of power bytes may be missing that it lists: then the promised digest decides,
and for a file without one the bytes are synced first. All that is needed of a file system is `pwrite` and `flock`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.errors import IncompleteError, IntegrityError, MissingError
from selfhost.weights.digest import Digest
from selfhost.weights.move.extents import Extents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selfhost.weights.move.types import Transfer

SCHEMA_VERSION = 1
_BLOCK_BYTES = 1 << 20
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_STALE_TRIES = 5


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Errors of the operating system as ours: a full disk, a file system that takes no large files, a failing disk."""
    try:
        with files.explain_write_errors(path):
            yield
    except OSError as error:
        raise IncompleteError("move.disk", path=path, detail=error.strerror or error) from error


class PartLock:
    """The right to write a part; the kernel frees it when its owner dies."""

    def __init__(self, part: Path) -> None:
        self._path = part.with_suffix(".lock")
        self._descriptor = -1

    def acquire(self) -> bool:
        """Whether it was got; never waits."""
        files.make_directory(self._path.parent)
        for left in reversed(range(_STALE_TRIES)):
            try:
                with explained(self._path):
                    got = self._try()
            except IncompleteError as error:
                # NFS: another host has removed the file between opening and locking it.
                if left and isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ESTALE:
                    continue
                raise
            if got is not None:
                return got
        return False

    def _try(self) -> bool | None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._is(descriptor):
                # Who held it has removed it: a lock on a file that nobody else finds is none.
                os.close(descriptor)
                return None
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            if error.errno in _NO_LOCKS:
                raise MissingError("move.no_locks", path=self._path, detail=error.strerror) from error
            raise
        self._descriptor = descriptor
        return True

    def _is(self, descriptor: int) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(descriptor))

    @property
    def held(self) -> bool:
        """Whether it is ours now."""
        return self._descriptor >= 0

    def release(self, *, remove: bool) -> None:
        """Give it up; `remove` when the part is gone, too."""
        if self._descriptor < 0:
            return
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1


class Part:
    """The bytes of one file, written at their places. For all threads that move ranges of it."""

    def __init__(self, transfer: Transfer, journal_bytes: int) -> None:
        self.path = transfer.part
        self._journal = transfer.part.with_suffix(".json")
        self._transfer = transfer
        self._journal_bytes = journal_bytes
        self._lock = threading.RLock()
        self._hash_lock = threading.Lock()
        self._descriptor = -1
        self._unsaved = 0
        self.done = Extents()
        self.digest = Digest()
        self.size = transfer.size
        self.etag: str | None = None
        self.resumable = True
        """Whether what is there may be listed in the journal."""
        self.generation = 0
        """Goes up when the file is begun again: who writes for an older one is too late."""

    def open(self) -> bool:
        """Open or create the file, and take up what is left from before; False when that was of no use."""
        with explained(self.path):
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            there = os.fstat(self._descriptor).st_size
            found = _usable(files.read_json(self._journal), self._transfer, there)
            if found is None:
                os.ftruncate(self._descriptor, 0)
                left = there > 0
                self._journal.unlink(missing_ok=True)
                return not left
        self.done, self.size, self.etag = found
        return True

    @property
    def missing(self) -> int | None:
        """Bytes that are not there yet; None when the size is not known."""
        with self._lock:
            return None if self.size is None else self.size - self.done.total

    def write(self, generation: int, offset: int, view: memoryview) -> bool:
        """Write bytes at their place and list them; False when the file was begun again meanwhile.

        Raises IntegrityError when more comes than there is.
        """
        with self._lock, explained(self.path):
            if generation != self.generation:
                return False
            if self.size is not None and offset + len(view) > self.size:
                raise IntegrityError("move.too_long", path=self._transfer.path, wanted=self.size)
            written = 0
            while written < len(view):
                written += os.pwrite(self._descriptor, view[written:], offset + written)
            self.done.add(offset, offset + len(view))
            digest = self.digest
            self._unsaved += len(view)
            if self.resumable and self._unsaved >= self._journal_bytes:
                self._save()
        # The next bytes are hashed right away, while they are in the processor's cache.
        if digest.size == offset and self._hash_lock.acquire(blocking=False):
            try:
                if digest.size == offset:
                    digest.update(view)
            finally:
                self._hash_lock.release()
        return True

    @property
    def _front(self) -> int:
        with self._lock:
            return self.done.front

    def follow(self, check: Callable[[], None], buffer: bytearray, *, wait: bool = False) -> None:
        """Let the digest catch up with the bytes that are there; without `wait`, only when no other thread does it."""
        if not self._hash_lock.acquire(blocking=wait):
            return
        try:
            view = memoryview(buffer)
            digest = self.digest
            while digest is self.digest and (room := min(self._front - digest.size, len(view))) > 0:
                check()
                with explained(self.path):
                    n_bytes = os.preadv(self._descriptor, [view[:room]], digest.size)
                if n_bytes == 0 and digest is self.digest:
                    raise IncompleteError(
                        "move.disk", path=self.path, detail="the file is shorter than what was written"
                    )
                digest.update(view[:n_bytes])
        finally:
            self._hash_lock.release()

    def begin_again(self, generation: int) -> int | None:
        """Forget everything; bytes that were lost. None when another thread has done so already."""
        with self._lock, explained(self.path):
            if generation != self.generation:
                return None
            lost = self.done.total
            self.generation += 1
            self._journal.unlink(missing_ok=True)
            # The digest first: a thread that is just hashing sees by it that it is too late.
            self.done, self.digest, self._unsaved = Extents(), Digest(), 0
            os.ftruncate(self._descriptor, 0)
            self.size, self.etag = self._transfer.size, None
            return lost

    def save(self) -> None:
        """Bring the journal up to date."""
        with self._lock:
            if self._descriptor >= 0 and self.resumable and self._unsaved:
                self._save()

    def _save(self) -> None:
        promised = self._transfer.promised
        if not promised:
            os.fdatasync(self._descriptor)
        body = {"schema_version": SCHEMA_VERSION, "size": self.size, "etag": self.etag, "done": self.done.pairs()}
        body |= {"sha256": self._transfer.sha256, "git_sha1": self._transfer.git_sha1}
        files.write_json(self._journal, body, sync=not promised)
        self._unsaved = 0

    def read(self) -> Iterator[bytes]:
        """All bytes, from the disk."""
        with explained(self.path), self.path.open("rb") as stream:
            while data := stream.read(_BLOCK_BYTES):
                yield data

    def flush(self) -> None:
        """Bring the bytes that were written so far to the disk; other threads go on meanwhile."""
        with explained(self.path):
            os.fdatasync(self._descriptor)

    def sync(self) -> None:
        """Bring the bytes to the disk."""
        with explained(self.path):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """The journal stays as it is."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def remove(self, *, keep_bytes: bool = False) -> None:
        """Close and remove journal and file; with `keep_bytes` the journal only."""
        self.close()
        with explained(self.path):
            self._journal.unlink(missing_ok=True)
            if not keep_bytes:
                self.path.unlink(missing_ok=True)


def _usable(
    body: dict[str, Any] | None, transfer: Transfer, there: int
) -> tuple[Extents, int | None, str | None] | None:
    """(what is there, size, ETag) of a journal that is sound and is about this very file."""
    if body is None or body.get("schema_version") != SCHEMA_VERSION:
        return None
    size, etag = body.get("size"), body.get("etag")
    if (body.get("sha256"), body.get("git_sha1")) != (transfer.sha256, transfer.git_sha1):
        return None
    if type(size) is not int or transfer.size not in (None, size):
        return None
    if transfer.promised:
        # Another place may give the same bytes another tag, and the digest decides.
        etag = None
    elif not isinstance(etag, str):
        # Nothing would tell whether the rest is of the same file.
        return None
    try:
        done = Extents((int(begin), int(end)) for begin, end in body["done"])
    except (KeyError, TypeError, ValueError):
        return None
    return (done, size, etag) if done.end <= min(size, there) else None
