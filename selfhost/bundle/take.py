"""One blob from a medium into the store: copied and hashed in one read, in place only when it is right.

Nothing is remembered about half a blob: under its final name it was hashed and synced (`weights.blobs`), and what was
not is read again. So an import that was killed goes on with the blobs that are lacking.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from typing import IO, TYPE_CHECKING

from selfhost import files
from selfhost.errors import IntegrityError, SelfhostError
from selfhost.records import dataclass
from selfhost.weights.digest import Digest, digest_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from selfhost.bundle.medium import Medium
    from selfhost.weights.blobs import Blobs

_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One file of a medium: a blob, or a part of one that is larger than the medium's files may be."""

    medium: Medium
    path: str
    size: int
    sha256: str

    @property
    def shown(self) -> Path:
        """As messages name it."""
        return self.medium.root / self.path


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A blob, and the files of a medium that make it."""

    sha256: str
    size: int
    pieces: tuple[Piece, ...]


def take(source: Source, blobs: Blobs, tick: Callable[[int], None], *, clone: bool = True) -> None:
    """Copy a blob into the store, or let it share the medium's blocks where the file system can.

    tick: gets bytes as they are read; what it raises stops the copy. The caller holds `blobs.in_use`. Raises
    IntegrityError, naming the file, when the bytes are not the ones that were written down; NoSpaceError; what
    `Medium.open` raises.
    """
    with blobs.writing("bundle") as part, files.explain_write_errors(part), part.open("r+b", buffering=0) as target:
        digest = Digest()
        whole = source.pieces[0] if len(source.pieces) == 1 else None
        if not (clone and whole is not None and _cloned(whole, target, digest, tick)):
            _reserve(target, source.size)
            for piece in source.pieces:
                _copy(piece, target, digest, tick, check=whole is None)
        if (digest.hexdigest(), digest.size) != (source.sha256, source.size):
            _raise_other(source.pieces[0], source.sha256, digest.hexdigest())
        os.fsync(target.fileno())
        blobs.adopt(part, source.sha256, digest.marks)


def read_whole(source: Source, tick: Callable[[int], None]) -> tuple[Digest, dict[int, SelfhostError | None]]:
    """Read a blob, writing nothing: what was found, and the pieces that are wrong, by their place.

    With each comes why it could not be read; None: it was, and has other bytes. Of pieces that are right by themselves
    and do not make the blob the first is named.
    """
    whole = Digest()
    wrong: dict[int, SelfhostError | None] = {}
    alone = len(source.pieces) == 1
    for place, piece in enumerate(source.pieces):
        found = hashlib.sha256()
        try:
            for data in _read(piece, tick):
                whole.update(data)
                if not alone:
                    found.update(data)
        except SelfhostError as error:
            wrong[place] = error
            continue
        if not alone and found.hexdigest() != piece.sha256:
            wrong[place] = None
    if not wrong and whole.hexdigest() != source.sha256:
        wrong[0] = None
    return whole, wrong


def _cloned(piece: Piece, target: IO[bytes], digest: Digest, tick: Callable[[int], None]) -> bool:
    with piece.medium.open(piece.path) as stream:
        _check_size(piece, stream)
        if not piece.size or not files.clone(stream, target):
            return False
    # What was taken in is hashed, not what lies on the medium by now.
    digest_stream(target, digest, tick=tick)
    return True


def _copy(piece: Piece, target: IO[bytes], digest: Digest, tick: Callable[[int], None], *, check: bool) -> None:
    found = hashlib.sha256()
    for data in _read(piece, tick):
        digest.update(data)
        if check:
            found.update(data)
        rest = data
        while rest:
            rest = rest[target.write(rest) :]
    if check and found.hexdigest() != piece.sha256:
        _raise_other(piece, piece.sha256, found.hexdigest())


def read_range(source: Source, begin: int, end: int) -> Iterator[memoryview]:
    """Bytes of a blob from one place up to another, in a buffer that is used again; not compared with anything.

    Raises IntegrityError for a file of another size or that cannot be read, and what `Medium.open` raises.
    """
    place = 0
    for piece in source.pieces:
        first, last = max(begin - place, 0), min(end - place, piece.size)
        if first < last:
            yield from _read(piece, lambda _count: None, first, last)
        place += piece.size


def _read(piece: Piece, tick: Callable[[int], None], begin: int = 0, end: int | None = None) -> Iterator[memoryview]:
    """The bytes of a file, never more than were written down: a medium can go on growing."""
    buffer, left = memoryview(bytearray(_BUFFER_BYTES)), (piece.size if end is None else end) - begin
    with piece.medium.open(piece.path) as stream:
        _check_size(piece, stream)
        stream.seek(begin)
        while left:
            try:
                count = stream.readinto(buffer[: min(left, _BUFFER_BYTES)])  # type: ignore[attr-defined]
            except OSError as error:
                raise piece.medium.explained(piece.path, error) from error
            if not count:
                raise IntegrityError("unpack.other_size", path=piece.shown, wanted=piece.size, found=piece.size - left)
            left -= count
            tick(count)
            yield buffer[:count]


def _check_size(piece: Piece, stream: IO[bytes]) -> None:
    found = os.fstat(stream.fileno()).st_size
    if found != piece.size:
        raise IntegrityError("unpack.other_size", path=piece.shown, wanted=piece.size, found=found)


def _reserve(target: IO[bytes], size: int) -> None:
    """Have the space before bytes move; a file system that cannot promise it says so when it is full."""
    if size:
        with contextlib.suppress(OSError):
            target.truncate(0)
        try:
            os.posix_fallocate(target.fileno(), 0, size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise


def _raise_other(piece: Piece, wanted: str, found: str) -> None:
    raise IntegrityError("unpack.other_bytes", path=piece.shown, wanted=wanted, found=found)
