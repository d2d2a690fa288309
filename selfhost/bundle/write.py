"""Puts one content into a volume. It has its final name only after every byte was hashed and is on the medium.

Another run finds what an earlier one has finished and reads it instead of writing it again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.bundle.layout import CHUNKS, PART, BlobInfo, ChunkInfo, blob_path, chunk_path
from selfhost.errors import IntegrityError, MissingError, NoSpaceError
from selfhost.records import dataclass
from selfhost.weights.digest import digest_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CANNOT_LINK = (
    *(errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS),
    *(errno.EACCES, errno.EMLINK),
)


class LinkMode(StrEnum):
    """How contents of the store come onto a medium."""

    AUTO = "auto"
    """The cheapest that the file systems can: shared blocks, a hard link, a copy."""
    HARD = "hard"
    REFLINK = "reflink"
    COPY = "copy"


class How(StrEnum):
    """How one content came onto a medium."""

    FOUND = "found"
    """An earlier run had put it there."""
    HARD = "hard link"
    REFLINK = "shared blocks"
    COPY = "copy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What is to be put on a medium."""

    sha256: str
    size: int
    """Bytes."""
    source: Path | None = None
    """The file that has it; None: `data` has it."""
    data: bytes = b""

    @property
    def is_metadata(self) -> bool:
        """Whether it is made for the bundle, and on every volume."""
        return self.source is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Writing:
    """How to write."""

    link: LinkMode = LinkMode.AUTO
    max_file_bytes: int | None = None
    """A larger content is written in pieces; None: the file system takes any."""
    tick: Callable[[int], None] = lambda _count: None
    """Gets the number of bytes that were read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What was done about one content."""

    blob: BlobInfo
    how: How


def put(content: Content, volume: Path, writing: Writing) -> Written:
    """Put a content into a volume, or find it there.

    Raises IntegrityError when the source has other bytes, MissingError when it cannot be linked as asked for,
    NoSpaceError.
    """
    with _explained(volume):
        if in_pieces(content, writing.max_file_bytes):
            return _put_pieces(content, volume, writing, writing.max_file_bytes or 0)
        return Written(blob=_whole(content), how=_put_whole(content, volume, writing))


def in_pieces(content: Content, max_file_bytes: int | None) -> bool:
    """Whether a content is written in pieces; what is made for a bundle is small and never is."""
    return content.source is not None and max_file_bytes is not None and content.size > max_file_bytes


def _whole(content: Content) -> BlobInfo:
    return BlobInfo(sha256=content.sha256, size=content.size)


@contextlib.contextmanager
def _explained(volume: Path) -> Iterator[None]:
    try:
        with files.explain_os_errors(volume):
            yield
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise NoSpaceError("pack.file_too_large", path=error.filename or volume) from error
        if error.errno == errno.EIO:
            raise IntegrityError("pack.unreadable", path=error.filename or volume, detail=error.strerror) from error
        raise


def _put_whole(content: Content, volume: Path, writing: Writing) -> How:
    target = volume / blob_path(content.sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    if _is_there(target, content.size):
        if digest_of(target, writing.tick) == content.sha256:
            return How.FOUND
        writing.tick(-content.size)
        target.unlink()
    part = target.with_name(target.name + PART)
    part.unlink(missing_ok=True)
    digest = hashlib.sha256()
    how = _fill(content, part, digest, writing)
    if digest.hexdigest() != content.sha256:
        part.unlink()
        _raise_damaged(content)
    files.sync(part)
    part.replace(target)
    files.sync(target.parent)
    return how


def _is_there(path: Path, size: int) -> bool:
    if path.is_symlink():
        path.unlink()
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def _raise_damaged(content: Content) -> None:
    raise IntegrityError("pack.source_damaged", path=content.source, sha256=content.sha256)


def _fill(content: Content, part: Path, digest: Any, writing: Writing) -> How:
    if content.source is None:
        with part.open("xb") as stream:
            stream.write(content.data)
        digest.update(content.data)
        writing.tick(len(content.data))
        return How.COPY
    if how := _linked(content.source, part, writing.link):
        with part.open("rb", buffering=0) as stream:
            digest_stream(stream, digest, tick=writing.tick)
        return how
    if writing.link not in (LinkMode.AUTO, LinkMode.COPY):
        raise MissingError("pack.no_link", path=part.parent, source=content.source, mode=writing.link.value)
    with content.source.open("rb", buffering=0) as reading, part.open("xb", buffering=0) as target:
        digest_stream(reading, digest, target, writing.tick)
    part.chmod(0o644)
    return How.COPY


def _linked(source: Path, part: Path, mode: LinkMode) -> How | None:
    """Shared blocks come first: a file of its own stays right when somebody edits the other."""
    if mode in (LinkMode.AUTO, LinkMode.REFLINK):
        with source.open("rb") as reading, part.open("xb") as target:
            if files.clone(reading, target):
                return How.REFLINK
        part.unlink()
    if mode in (LinkMode.AUTO, LinkMode.HARD):
        try:
            os.link(source.resolve(), part)
        except OSError as error:
            if error.errno not in _CANNOT_LINK:
                raise
        else:
            return How.HARD
    return None


def _put_pieces(content: Content, volume: Path, writing: Writing, most: int) -> Written:
    folder = volume / CHUNKS / content.sha256
    folder.mkdir(parents=True, exist_ok=True)
    written = _try_pieces(content, volume, writing, most)
    if written is None:
        # Pieces of an earlier run were wrong, or the source is.
        shutil.rmtree(folder)
        folder.mkdir()
        writing.tick(-content.size)
        written = _try_pieces(content, volume, writing, most)
    if written is None:
        shutil.rmtree(folder)
        _raise_damaged(content)
    files.sync(folder.parent)
    return written  # type: ignore[return-value]


def _try_pieces(content: Content, volume: Path, writing: Writing, most: int) -> Written | None:
    whole, chunks, how = hashlib.sha256(), [], How.FOUND
    for number, begin in enumerate(range(0, content.size, most)):
        size = min(most, content.size - begin)
        target, piece = volume / chunk_path(content.sha256, number), hashlib.sha256()
        both = _Both(whole, piece)
        if _is_there(target, size):
            with target.open("rb", buffering=0) as stream:
                digest_stream(stream, both, tick=writing.tick)
        else:
            _copy_piece(content, target, (begin, size), both, writing.tick)
            how = How.COPY
        chunks.append(ChunkInfo(sha256=piece.hexdigest(), size=size))
    if whole.hexdigest() != content.sha256:
        return None
    return Written(blob=BlobInfo(sha256=content.sha256, size=content.size, chunks=tuple(chunks)), how=how)


class _Both:
    """Two digests of the same bytes."""

    def __init__(self, *digests: Any) -> None:
        self._digests = digests

    def update(self, data: memoryview) -> None:
        for digest in self._digests:
            digest.update(data)


def _copy_piece(
    content: Content, target: Path, extent: tuple[int, int], digest: _Both, tick: Callable[[int], None]
) -> None:
    part = target.with_name(target.name + PART)
    part.unlink(missing_ok=True)
    assert content.source is not None
    with content.source.open("rb", buffering=0) as reading, part.open("xb", buffering=0) as writing:
        reading.seek(extent[0])
        digest_stream(reading, digest, writing, tick, limit=extent[1])
        os.fsync(writing.fileno())
    part.replace(target)
    files.sync(target.parent)


def digest_of(path: Path, tick: Callable[[int], None], *, from_medium: bool = False) -> str:
    """sha256 of a file. from_medium: ask the kernel to forget what it remembers of the file, and read it again."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        if from_medium:
            with contextlib.suppress(OSError):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        digest_stream(stream, digest, tick=tick)
    return digest.hexdigest()
