"""The files that serving needs, from one place into the store: listed, chosen, checked, moved; not published yet."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from selfhost import files
from selfhost.errors import IntegrityError, NoSpaceError, UsageError
from selfhost.records import dataclass
from selfhost.units import format_bytes
from selfhost.weights.lock import LockedFile
from selfhost.weights.move.pool import move_all
from selfhost.weights.move.types import Transfer
from selfhost.weights.places import choose
from selfhost.weights.places.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Protocol

    from selfhost.recipe.schema import SourceFile
    from selfhost.weights.blobs import Blobs
    from selfhost.weights.lock import Origin
    from selfhost.weights.move.types import Moved, MoveOptions, Progress
    from selfhost.weights.places.names import RemoteCode
    from selfhost.weights.remote import Listing, Place, RemoteFile

    class Moving(Protocol):
        """Shows how far a number of files is."""

        def __call__(self, sizes: Mapping[str, int | None], have_bytes: int) -> AbstractContextManager[Progress]:
            """sizes: of every file that is moved; have_bytes: what is here already."""


_SPARE_BYTES = 64 << 20
"""Journals, links, the lock; and what else writes to that file system meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Needed:
    """What will be there at the end."""

    origin: Origin
    files: tuple[RemoteFile, ...]
    code: RemoteCode
    """What of it would be run."""

    @property
    def total_bytes(self) -> int:
        """Of all files together, as far as the place says."""
        return sum(file.size or 0 for file in self.files)


class Gathered(NamedTuple):
    """Files that are in the store now, as blobs."""

    files: tuple[LockedFile, ...]
    downloaded_bytes: int


class Gatherer:
    """Brings files of one model from one place. The caller keeps the store from being cleaned meanwhile."""

    def __init__(self, place: Place | Folder, blobs: Blobs, options: MoveOptions, moving: Moving) -> None:
        self._place = place
        self._blobs = blobs
        self._options = options
        self._moving = moving
        self._locked: dict[str, LockedFile] = {}
        self._downloaded_bytes = 0

    def need(self, listing: Listing, promised: Sequence[SourceFile] = ()) -> Needed:
        """What serving needs of what the place has; configurations and index are read for that.

        promised: what a recipe says of the files: those it names are needed, with that size and digest. Raises
        IntegrityError when the place has others, UsageError when it lacks one, TrustError for pickles only.
        """
        known = {file.path: file for file in listing.files}
        if absent := [file.path for file in promised if file.path not in known]:
            raise UsageError("pull.promised_absent", place=self._place.label, name=absent[0])
        known.update({file.path: _checked(known[file.path], file, self._place.label) for file in promised})
        listing = replace(listing, files=tuple(known.values()))
        listed = tuple(file.path for file in promised)
        chosen = choose.choose(self._place, listing, name=listing.origin.id, listed=listed)
        return Needed(origin=listing.origin, files=chosen.files, code=chosen.code)

    def check_space(self, needed: Needed, name: str, path: Path) -> int:
        """Bytes that are still to come. Raises NoSpaceError when they do not fit beside what is there."""
        # By what they hold: the same content under several names comes once.
        missing = {_key(file, needed.origin): file for file in needed.files if not self._has(file)}.values()
        to_come = sum(max((file.size or 0) - self._partial_bytes(file, needed.origin), 0) for file in missing)
        free = files.free_bytes(path)
        if to_come and to_come + _SPARE_BYTES > free:
            raise NoSpaceError(
                "pull.no_space", name=name, needed=format_bytes(to_come), path=path, free=format_bytes(free)
            )
        return to_come

    def bring(self, needed: Needed) -> Gathered:
        """Everything, as blobs. What was brought stays when this is interrupted, and is not fetched again."""
        for file in needed.files:
            if file.sha256 is not None and self._is_right(file):
                size = self._blobs.path(file.sha256).stat().st_size
                self._locked[file.path] = LockedFile(path=file.path, size=size, sha256=file.sha256)
        have = sum(file.size for file in self._locked.values())
        if missing := [file for file in needed.files if file.path not in self._locked]:
            with self._moving({file.path: file.size for file in missing}, have) as progress:
                if isinstance(self._place, Folder):
                    self._copy(self._place, missing, progress)
                else:
                    transfers = [self._transfer(file, self._place, needed.origin) for file in missing]
                    move_all(transfers, self._options, progress, self._arrived)
        locked = sorted(self._locked.values(), key=lambda file: file.path)
        return Gathered(tuple(locked), self._downloaded_bytes)

    def _transfer(self, file: RemoteFile, place: Place, origin: Origin) -> Transfer:
        return Transfer(
            path=file.path,
            part=self._blobs.part(_key(file, origin)),
            size=file.size,
            sha256=file.sha256,
            git_sha1=file.git_sha1,
            address=lambda: place.address(file.path),
            present=lambda: self._is_right(file),
        )

    def _arrived(self, transfer: Transfer, moved: Moved | None) -> None:
        if moved is None:
            # Another process, pulling another model, has brought the same content.
            sha256 = transfer.sha256 or ""
            size = self._blobs.path(sha256).stat().st_size
        else:
            sha256, size = moved.sha256, moved.size
            self._blobs.adopt(transfer.part, sha256, moved.marks)
            self._downloaded_bytes += moved.downloaded_bytes
        self._locked[transfer.path] = LockedFile(path=transfer.path, size=size, sha256=sha256)

    def _copy(self, folder: Folder, wanted: Sequence[RemoteFile], progress: Progress) -> None:
        for file in wanted:
            source = folder.local_path(file.path)
            size = source.stat().st_size
            progress.started(file.path, size, 0)
            sha256, size = self._blobs.copy_in(source, expected_sha256=file.sha256, expected_size=file.size)
            progress.moved(file.path, size)
            self._locked[file.path] = LockedFile(path=file.path, size=size, sha256=sha256)
            progress.done(file.path)

    def _is_right(self, file: RemoteFile) -> bool:
        return file.sha256 is not None and self._blobs.is_right(file.sha256, file.size)

    def _has(self, file: RemoteFile) -> bool:
        return file.sha256 is not None and self._blobs.has(file.sha256, file.size)

    def _partial_bytes(self, file: RemoteFile, origin: Origin) -> int:
        try:
            # Blocks, not size: the file may have holes.
            return self._blobs.part(_key(file, origin)).stat().st_blocks * 512
        except OSError:
            return 0


def _key(file: RemoteFile, origin: Origin) -> str:
    """What a partial file is found by again: its content where that is known, else where it comes from."""
    if file.sha256:
        return file.sha256
    named = "\n".join((origin.kind, origin.id, origin.revision or "", file.path, file.git_sha1 or ""))
    return hashlib.sha256(named.encode()).hexdigest()


def _checked(file: RemoteFile, promised: SourceFile, place: str) -> RemoteFile:
    """The file as the recipe promises it. Raises IntegrityError when the place says otherwise."""
    for wanted, found in ((promised.size_bytes, file.size), (promised.sha256, file.sha256)):
        if wanted is not None and found is not None and wanted != found:
            raise IntegrityError("pull.promised_differs", place=place, name=file.path, wanted=wanted, found=found)
    size = file.size if file.size is not None else promised.size_bytes
    return replace(file, size=size, sha256=file.sha256 or promised.sha256)
