"""The store as a mirror reads it: its locks, read again when they change, and its contents, opened one by one."""

from __future__ import annotations

import os
import stat
import threading
import time
from typing import IO, TYPE_CHECKING

from selfhost.errors import IntegrityError
from selfhost.mirror.catalogue import Stored, catalogue
from selfhost.weights import store
from selfhost.weights.blobs import Blobs
from selfhost.weights.lock import LOCK_NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from selfhost.mirror.catalogue import Catalogue, ServedFile
    from selfhost.weights.lock import ModelLock

_FRESH_S = 1.0
"""How long a look at the store holds: a client that fetches a model asks hundreds of times."""
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Shelf:
    """The models of one store. Used by many threads; nothing here writes but marks of contents that were read again."""

    def __init__(
        self,
        models: Path,
        blobs: Path,
        hub_id: Callable[[ModelLock], str | None] = lambda _lock: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models, self._blobs, self._hub_id, self._clock = models, Blobs(blobs), hub_id, clock
        self._guard = threading.Lock()
        self._known: dict[Path, tuple[tuple[int, ...], Stored | None]] = {}
        self._catalogue: Catalogue | None = None
        self._looked_s = 0.0
        self._checking = threading.Lock()
        self._checked: dict[str, tuple[tuple[int, ...], bool]] = {}

    def catalogue(self) -> Catalogue:
        """What there is; a model whose lock cannot be read is left out."""
        with self._guard:
            now = self._clock()
            if self._catalogue is None or now - self._looked_s >= _FRESH_S:
                known = {directory: self._look(directory) for directory in store.directories(self._models)}
                if self._catalogue is None or known != self._known:
                    self._catalogue = catalogue(one for _, one in known.values() if one is not None)
                self._known, self._looked_s = known, now
            return self._catalogue

    def _look(self, directory: Path) -> tuple[tuple[int, ...], Stored | None]:
        try:
            info = (directory / LOCK_NAME).stat()
        except OSError:
            return (), None
        state = (info.st_mtime_ns, info.st_size, info.st_ino)
        before = self._known.get(directory)
        if before is not None and before[0] == state:
            return before
        try:
            lock = store.read_lock(directory)
        except (IntegrityError, OSError):
            return state, None
        return state, Stored(directory=directory, lock=lock, written_ns=info.st_mtime_ns, hub_id=self._hub_id(lock))

    def open(self, served: ServedFile) -> IO[bytes] | None:
        """Open the content of a file; None when it is not there, is another one, or is a link to elsewhere."""
        sha256, size = served.locked.sha256, served.locked.size
        stream = _open_file(str(self._blobs.path(sha256)))
        is_blob = stream is not None
        # Models of an older selfhost have files of their own.
        stream = stream or _open_below(served.directory, served.locked.path)
        if stream is None:
            return None
        info = os.fstat(stream.fileno())
        if info.st_size != size or (is_blob and not self._is_right(sha256, info)):
            stream.close()
            return None
        return stream

    def _is_right(self, sha256: str, info: os.stat_result) -> bool:
        """Whether nobody wrote to a content since it was checked; what was written to is read once.

        The answer says which digest it has, and the hub's client does not check that.
        """
        state = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        if (found := self._checked.get(sha256)) is None or found[0] != state:
            with self._checking:
                if (found := self._checked.get(sha256)) is None or found[0] != state:
                    found = self._checked[sha256] = (state, self._blobs.is_right(sha256, info.st_size))
        return found[1]


def _open_file(path: str, folder: int | None = None) -> IO[bytes] | None:
    try:
        descriptor = os.open(path, _READ, dir_fd=folder)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb", buffering=0)


def _open_below(directory: Path, path: str) -> IO[bytes] | None:
    """A file of a model's directory; no link on the way is followed."""
    *folders, name = path.split("/")
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        for folder in folders:
            inner = os.open(folder, _READ | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        return _open_file(name, descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
