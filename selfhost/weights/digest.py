"""sha256 of a file, with marks on the way: which piece of a damaged file is wrong, at no further cost.

A mark is the digest of everything up to there, cut to `MARK_BYTES`: one every `PIECE_BYTES`, and none at the end, where
the whole digest is. Reading a file again, the first mark that differs says in which piece the first wrong byte is. The
state before that piece is still at hand: with the piece put right, reading goes on from there and finds the next one.
"""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    class Updated(Protocol):
        """A digest, of any kind."""

        def update(self, data: memoryview, /) -> None:
            """Take the next bytes."""


PIECE_BYTES = 16 << 20
MARK_BYTES = 8
_BUFFER_BYTES = 1 << 20


def marks_fit(marks: bytes, size: int) -> bool:
    """Whether these are marks of a file of this size."""
    return len(marks) == max(size - 1, 0) // PIECE_BYTES * MARK_BYTES


class Digest:
    """sha256 of bytes that come in order, with a mark at each full piece.

    >>> digest = Digest()
    >>> digest.update(b"abc")
    >>> digest.hexdigest()[:8], digest.marks
    ('ba7816bf', b'')
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._marks = bytearray()
        self.size = 0
        """Bytes so far."""

    @property
    def marks(self) -> bytes:
        """`MARK_BYTES` for each multiple of `PIECE_BYTES` before the last byte."""
        # A mark at the very end says nothing that the digest does not.
        return bytes(self._marks[: (max(self.size - 1, 0) // PIECE_BYTES) * MARK_BYTES])

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            room = PIECE_BYTES - self.size % PIECE_BYTES
            taken = view[:room]
            self._hash.update(taken)
            self.size += len(taken)
            if len(taken) == room:
                self._marks += self._hash.copy().digest()[:MARK_BYTES]
            view = view[room:]

    def hexdigest(self) -> str:
        """Of all bytes so far."""
        return self._hash.hexdigest()

    def first_wrong(self, marks: bytes) -> int | None:
        """Where the first piece begins that differs from these marks; None when they are not of a file of this size."""
        if not marks_fit(marks, self.size):
            return None
        found = self.marks
        steps = range(0, len(marks), MARK_BYTES)
        first = next((n for n in steps if marks[n : n + MARK_BYTES] != found[n : n + MARK_BYTES]), len(marks))
        return first // MARK_BYTES * PIECE_BYTES

    def copy(self) -> Digest:
        """Another one in the same state."""
        other = Digest()
        other._hash, other._marks, other.size = self._hash.copy(), bytearray(self._marks), self.size
        return other


def digest_stream(
    stream: IO[bytes],
    digest: Updated,
    copy_to: IO[bytes] | None = None,
    tick: Callable[[int], None] = lambda _count: None,
    *,
    limit: int | None = None,
) -> None:
    """Hash what is left of an unbuffered stream, at most `limit` bytes, and write it elsewhere where asked."""
    buffer, left = memoryview(bytearray(_BUFFER_BYTES)), limit
    while read := stream.readinto(buffer if left is None else buffer[:left]):  # type: ignore[attr-defined]
        digest.update(buffer[:read])
        rest = buffer[:read] if copy_to else None
        while rest and copy_to:
            rest = rest[copy_to.write(rest) :]
        left = None if left is None else left - read
        tick(read)
