"""How far a verification got: files that were read and found right, so that an interrupted one goes on from there.

One small file per directory under `$SELFHOST_HOME/verify`, gone when the verification has ended. A file counts as read
while it is the same file (device, inode), has the same size and was not written to since.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import SelfhostError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA_VERSION = 1
MAX_AGE_S = 86400
"""An older one is forgotten: files go bad on the disk, too."""
_WRITE_EVERY_S = 2.0


class Ledger:
    """Files of one directory that are known to be right. Not safe for threads: the one that collects results has it."""

    def __init__(self, folder: Path, directory: Path, clock: Callable[[], float]) -> None:
        key = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
        self.path = folder / f"{key}.json"
        self._directory = directory
        self._clock = clock
        self._written_at = clock()
        self._began_at = clock()
        self._files: dict[str, list[object]] = {}
        self._read()
        self.goes_on = bool(self._files)
        """Whether an interrupted verification is continued."""

    def _read(self) -> None:
        body = files.read_json(self.path) or {}
        began, known = body.get("began_at"), body.get("files")
        if body.get("schema_version") != SCHEMA_VERSION or body.get("directory") != str(self._directory):
            return
        if isinstance(began, int | float) and isinstance(known, dict) and 0 <= self._clock() - began < MAX_AGE_S:
            self._began_at, self._files = began, known

    def knows(self, path: str, sha256: str) -> bool:
        """Whether a file was found to have this digest, and is still the same."""
        try:
            return self._files.get(path) == [*self._identity(path), sha256]
        except OSError:
            return False

    def add(self, path: str, sha256: str, identity: list[int]) -> None:
        """A file was right; `identity` is from before it was read."""
        self._files[path] = [*identity, sha256]
        if self._clock() - self._written_at >= _WRITE_EVERY_S:
            self.write()

    def _identity(self, path: str) -> list[int]:
        return identity((self._directory / path).stat())

    def write(self) -> None:
        """Put it on the disk; without a sync: a loss of power costs only time."""
        if not self._files:
            return
        self._written_at = self._clock()
        body = {
            "schema_version": SCHEMA_VERSION,
            "directory": str(self._directory),
            "began_at": self._began_at,
            "files": self._files,
        }
        # A home that cannot be written to costs only the memory of an interruption.
        with contextlib.suppress(SelfhostError):
            files.make_directory(self.path.parent)
            files.write_json(self.path, body, sync=False)

    def close(self) -> None:
        """The verification has ended: the next one starts anew."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def identity(info: os.stat_result) -> list[int]:
    """What changes when a file is written to or replaced."""
    return [info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns]
