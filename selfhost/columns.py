"""Text in columns of a terminal, where Chinese characters are two wide: how wide it is, padded, cut, wrapped."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_CLOSING = "，。、：；！？）》」』】”’…"  # noqa: RUF001
_OPENING = "（《「『【“‘"  # noqa: RUF001
"""No line begins with one of the former, none ends with one of the latter."""
_PIECES = re.compile(r"\s+|[^\s\u2e80-\U0003ffff“”‘’]+|.", re.DOTALL)  # noqa: RUF001
"""Space, a word, or one character of a script that has no spaces."""


def columns(text: str) -> int:
    """How many columns a line takes.

    >>> columns("KV 缓存")
    7
    """
    if text.isascii():
        return len(text)
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def ljust(text: str, width: int) -> str:
    """Filled with spaces behind."""
    return text + " " * (width - columns(text))


def rjust(text: str, width: int) -> str:
    """Filled with spaces before."""
    return " " * (width - columns(text)) + text


def cut(text: str, width: int, mark: str = "…") -> str:
    """The line where it fits, else its beginning and `mark`."""
    if columns(text) <= width:
        return text
    kept = text[: max(0, width - len(mark))]
    while columns(kept) + len(mark) > width:
        kept = kept[:-1]
    return kept + mark


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with the cells of a column under each other."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(ljust, row, widths)).rstrip() for row in rows]


def wrap(  # noqa: PLR0913 - as of textwrap
    text: str,
    width: int,
    *,
    initial_indent: str = "",
    subsequent_indent: str = "",
    break_long_words: bool = True,
    break_on_hyphens: bool = True,
    replace_whitespace: bool = True,
) -> list[str]:
    """As `textwrap.wrap`; text with wide characters is also broken between these, and its words are never cut."""
    text = str(text)
    if all(east_asian_width(one) not in "WF" for one in text if not one.isascii()):
        return textwrap.wrap(
            text,
            width,
            initial_indent=initial_indent,
            subsequent_indent=subsequent_indent,
            break_long_words=break_long_words,
            break_on_hyphens=break_on_hyphens,
            replace_whitespace=replace_whitespace,
        )
    lines: list[str] = []
    line, filled = initial_indent, False
    for piece in _pieces(text):
        if filled and columns(line) + columns(piece.rstrip()) > width:
            lines.append(line.rstrip())
            line, filled = subsequent_indent, False
        line += piece if filled else piece.lstrip()
        filled = filled or not piece.isspace()
    return [*lines, line.rstrip()] if filled else lines


def fill(text: str, width: int, *, initial_indent: str = "", subsequent_indent: str = "") -> str:
    """The lines of `wrap`, joined."""
    return "\n".join(wrap(text, width, initial_indent=initial_indent, subsequent_indent=subsequent_indent))


def _pieces(text: str) -> Iterator[str]:
    """What must not be parted, in order; space by itself."""
    piece = ""
    for part in _PIECES.findall(text):
        if piece and part not in _CLOSING and piece[-1] not in _OPENING:
            yield piece
            piece = ""
        piece += part
    if piece:
        yield piece
