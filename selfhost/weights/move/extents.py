"""Which bytes of a file are there: arithmetic of half-open ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Extents:
    """Disjoint ranges [begin, end), sorted, none touching the next.

    >>> have = Extents([(0, 4), (4, 6), (10, 12)])
    >>> have.pairs(), have.front, have.total, have.missing(14)
    ([(0, 6), (10, 12)], 6, 8, [(6, 10), (12, 14)])
    """

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        for begin, end in pairs:
            self.add(begin, end)

    def add(self, begin: int, end: int) -> None:
        """Take a range in; it may overlap others. Raises ValueError when it is none."""
        if not 0 <= begin <= end:
            msg = f"not a range: {begin}..{end}"
            raise ValueError(msg)
        if begin == end:
            return
        first, last = bisect_left(self._ends, begin), bisect_right(self._begins, end)
        if first < last:
            begin, end = min(begin, self._begins[first]), max(end, self._ends[last - 1])
        self._begins[first:last], self._ends[first:last] = [begin], [end]

    def pairs(self) -> list[tuple[int, int]]:
        """All ranges."""
        return list(zip(self._begins, self._ends, strict=True))

    @property
    def front(self) -> int:
        """Where the first gap begins."""
        return self._ends[0] if self._begins and self._begins[0] == 0 else 0

    @property
    def total(self) -> int:
        """Bytes that are there."""
        return sum(self._ends) - sum(self._begins)

    @property
    def end(self) -> int:
        """Where the last range ends."""
        return self._ends[-1] if self._ends else 0

    def missing(self, size: int) -> list[tuple[int, int]]:
        """The gaps of a file of `size` bytes."""
        begins, ends = [0, *self._ends], [*self._begins, size]
        return [(begin, min(end, size)) for begin, end in zip(begins, ends, strict=True) if begin < min(end, size)]

    def pieces(self, size: int, piece_bytes: int) -> list[tuple[int, int]]:
        """The gaps, cut at multiples of `piece_bytes`."""
        found = []
        for begin, end in self.missing(size):
            cuts = range((begin // piece_bytes + 1) * piece_bytes, end, piece_bytes)
            found += list(zip([begin, *cuts], [*cuts, end], strict=True))
        return found
