"""Puts one content into a volume, whole. It has its final name only after every byte was hashed and is on the medium.

Another run finds what an earlier one has finished and reads it instead of writing it again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NoReturn

from selfhost import files
from selfhost.bundle.layout import PART, BlobInfo, blob_path
from selfhost.errors import IntegrityError, MissingError, NoSpaceError
from selfhost.records import dataclass
from selfhost.weights.digest import digest_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODE, FOLDER_MODE = 0o644, 0o755
"""Of what is on a medium: whoever imports it is somebody else."""
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
    with explained(volume):
        blob = BlobInfo(sha256=content.sha256, size=content.size)
        return Written(blob=blob, how=_put_whole(content, volume, writing))


@contextlib.contextmanager
def explained(volume: Path) -> Iterator[None]:
    """What an error of the system means for a medium."""
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
    if is_there(target, content.size):
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
        raise_damaged(content)
    if how is not How.HARD:  # which has the mode of the file in the store
        part.chmod(MODE)
    files.sync(part)
    part.replace(target)
    files.sync(target.parent)
    return how


def is_there(path: Path, size: int) -> bool:
    """Whether an earlier run left a file of this size; a link goes."""
    if path.is_symlink():
        path.unlink()
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False


def raise_damaged(content: Content) -> NoReturn:
    """Raises IntegrityError for a source that has other bytes."""
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


def digest_of(path: Path, tick: Callable[[int], None], *, from_medium: bool = False) -> str:
    """sha256 of a file. from_medium: ask the kernel to forget what it remembers of the file, and read it again."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        if from_medium:
            with contextlib.suppress(OSError):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        digest_stream(stream, digest, tick=tick)
    return digest.hexdigest()
