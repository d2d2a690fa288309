"""Ranges of the files of a stored model, from where it came from: what a repair fetches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.app import sources
from selfhost.errors import IncompleteError
from selfhost.weights.move.pool import fetch_range
from selfhost.weights.move.types import MoveOptions
from selfhost.weights.places.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.weights.lock import ModelLock
    from selfhost.weights.repair import Fetch

_CHUNK_BYTES = 1 << 20


def open_source(lock: ModelLock, source: str | None = None) -> Fetch:
    """What fetches ranges: from `source` as `pull --source` has it, else from the place the model came from.

    Raises IncompleteError when that place is none that can be asked, UsageError for a source that is none.
    """
    place = sources.for_repair(lock, source) if source else sources.of_lock(lock)
    if isinstance(place, Folder):
        return lambda path, begin, end: _of_file(place, path, begin, end)
    options = MoveOptions()
    return lambda path, begin, end: fetch_range(lambda: place.address(path), begin, end, options, path)


def _of_file(folder: Folder, path: str, begin: int, end: int) -> Iterator[bytes]:
    with folder.local_path(path).open("rb") as stream:
        stream.seek(begin)
        while begin < end:
            data = stream.read(min(_CHUNK_BYTES, end - begin))
            if not data:
                raise IncompleteError("pull.file_too_short", path=path, place=folder.label)
            begin += len(data)
            yield data
