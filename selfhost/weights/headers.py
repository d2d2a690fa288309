"""Headers of weight files, read where the files are: in a directory, or by what else reads pieces of files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from selfhost.errors import IncompleteError
from selfhost.models.headers import Headers, tensors_of
from selfhost.models.safetensors import MAX_HEADER_BYTES, HeaderError
from selfhost.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from selfhost.models.headers import Tensor

_FIRST_BYTES = 64 << 10
"""Most headers are shorter; with a longer one a second request follows."""
_LENGTH_BYTES = 8
QUICK_BYTES = MIB
"""What is read of headers where somebody waits for a plan: 20 ms of parsing, the whole of a dense model."""


class Piece(NamedTuple):
    """A piece of a file, and the size of the whole."""

    data: bytes
    file_size: int


class OpenRange(Protocol):
    """Reads a piece of a file by its name; `end` is exclusive. The piece may be shorter at the end of the file."""

    def __call__(self, name: str, begin: int, end: int) -> Piece:
        """Raises IncompleteError when the file cannot be read."""
        ...


def in_directory(directory: Path) -> OpenRange:
    """Pieces of files of a directory."""

    def open_range(name: str, begin: int, end: int) -> Piece:
        try:
            with (directory / name).open("rb") as stream:
                size = stream.seek(0, 2)
                stream.seek(begin)
                return Piece(stream.read(end - begin), size)
        except OSError as error:
            raise IncompleteError("model.header_unread", name=name, detail=error.strerror or error) from error

    return open_range


def read_headers(
    names: Iterable[str],
    open_range: OpenRange,
    *,
    absent: int = 0,
    known_names: Iterable[str] = (),
    limit_bytes: int | None = None,
) -> Headers:
    """What the headers of files say.

    absent: files of the model that are not there. known_names: of tensors, from an index. limit_bytes: of headers
    together; files beyond it are not read. Raises IncompleteError for a file that cannot be read or has no header.
    """
    tensors: dict[str, Tensor] = {}
    files = sorted(names)
    left, read, total = limit_bytes, 0, 0
    for name in files:
        piece = open_range(name, 0, _FIRST_BYTES)
        total += piece.file_size
        length = _LENGTH_BYTES + int.from_bytes(piece.data[:_LENGTH_BYTES], "little")
        if left is not None and (left := left - length) < 0:
            continue
        tensors.update(_tensors(name, piece, length, open_range))
        total -= length
        read += 1
    every = frozenset((*tensors, *known_names))
    return Headers(tensors=tensors, names=every, data_bytes=total, files=len(files) + absent, read=read)


def _tensors(name: str, piece: Piece, length: int, open_range: OpenRange) -> dict[str, Tensor]:
    if length > min(piece.file_size, MAX_HEADER_BYTES + _LENGTH_BYTES):
        detail = f"header of {length - _LENGTH_BYTES} bytes in a file of {piece.file_size}"
        raise IncompleteError("model.header_unread", name=name, detail=detail)
    data = piece.data
    if length > len(data):
        data += open_range(name, len(data), length).data
    try:
        return tensors_of(data)
    except HeaderError as error:
        raise IncompleteError("model.header_unread", name=name, detail=error) from error
