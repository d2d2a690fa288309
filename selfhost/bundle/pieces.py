"""Puts a content on media in pieces: the file system takes no file of its size, or it is larger than every medium.

A piece has its final name when it is on the medium. Whether the pieces make the content shows at the last one: another
run that finds pieces which do not, its own or the source's, writes all of them once more.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from selfhost import files
from selfhost.bundle.layout import CHUNKS, PART, BlobInfo, ChunkInfo, chunk_path
from selfhost.bundle.write import MODE, How, Written, explained, is_there, raise_damaged
from selfhost.records import dataclass
from selfhost.weights.digest import digest_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from selfhost.bundle.write import Content


class Place(NamedTuple):
    """Where the next bytes of a content go, as one file."""

    volume: Path
    number: int | None
    """Of the volume; None: all pieces are on one."""
    size: int
    """Bytes."""


class Target(Protocol):
    """A volume that is to be made."""

    @property
    def path(self) -> Path:
        """Its directory."""

    @property
    def max_file_bytes(self) -> int | None:
        """The largest file that its file system takes; None: any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CutPlan:
    """A content that is larger than every volume."""

    content: Content
    shares: tuple[tuple[int, int], ...]
    """(number of a volume, bytes on it), in the order of the content."""

    def places(self, volumes: Sequence[Target]) -> list[Place]:
        """Its pieces."""
        return [
            Place(volumes[number - 1].path, number, size)
            for number, share in self.shares
            for size in sizes(share, volumes[number - 1].max_file_bytes)
        ]


def on_one(content: Content, volume: Target) -> list[Place]:
    """Pieces that go on one volume; empty: it is written whole. What is made for a bundle is small and always is."""
    most = volume.max_file_bytes
    if content.source is None or most is None or content.size <= most:
        return []
    return [Place(volume.path, None, size) for size in sizes(content.size, most)]


def sizes(total: int, most: int | None) -> Iterator[int]:
    """Sizes of files of at most `most` bytes that take `total`.

    >>> list(sizes(10, 4)), list(sizes(10, None))
    ([4, 4, 2], [10])
    """
    while total > 0:
        size = min(total, most or total)
        yield size
        total -= size


def put(content: Content, places: Sequence[Place], tick: Callable[[int], None]) -> Written:
    """Put a content into the volumes of these places, in this order, or find it there.

    Raises IntegrityError when the source has other bytes, NoSpaceError.
    """
    folders = list(dict.fromkeys(place.volume / CHUNKS / content.sha256 for place in places))
    with explained(places[0].volume):
        _make(folders)
        written = _try(content, places, tick)
        if written is None:
            # Pieces of an earlier run were wrong, or the source is.
            _remove(folders)
            _make(folders)
            tick(-content.size)
            written = _try(content, places, tick)
        if written is None:
            _remove(folders)
            raise_damaged(content)
        for folder in folders:
            files.sync(folder.parent)
    return written


def _make(folders: Sequence[Path]) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)


def _remove(folders: Sequence[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder)


def _try(content: Content, places: Sequence[Place], tick: Callable[[int], None]) -> Written | None:
    whole, chunks, how, begin = hashlib.sha256(), [], How.FOUND, 0
    for number, place in enumerate(places):
        target, piece = place.volume / chunk_path(content.sha256, number), hashlib.sha256()
        both = _Both(whole, piece)
        if is_there(target, place.size):
            with target.open("rb", buffering=0) as stream:
                digest_stream(stream, both, tick=tick)
        else:
            with explained(place.volume):
                _copy_piece(content, target, (begin, place.size), both, tick)
            how = How.COPY
        begin += place.size
        chunks.append(ChunkInfo(sha256=piece.hexdigest(), size=place.size, volume=place.number))
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
        os.fchmod(writing.fileno(), MODE)
        os.fsync(writing.fileno())
    part.replace(target)
    files.sync(target.parent)
