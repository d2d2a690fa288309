"""Headers that decide how much of a file an answer has: conditions, ranges, what a client accepts (RFC 9110)."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.IGNORECASE)
_Q = re.compile(r"q=([01](?:\.\d{0,3})?)", re.IGNORECASE)


class UnsatisfiableError(ValueError):
    """A range that begins behind the end of the file."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None for the whole file. Raises UnsatisfiableError.

    Several ranges at once, and what is no range, are answered with the whole file, as a server may.

    >>> byte_range("bytes=2-", 10), byte_range("bytes=-3", 10), byte_range("bytes=0-99", 10), byte_range("lines=1-", 10)
    ((2, 10), (7, 10), (0, 10), None)
    """
    match = _RANGE.fullmatch((header or "").strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        begin, end = max(size - int(last), 0), size
    else:
        begin, end = int(first), size if not last else min(int(last) + 1, size)
        if last and int(last) < begin:
            return None
    if begin >= end:
        raise UnsatisfiableError(header)
    return begin, end


def is_unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this content already.

    >>> is_unchanged('W/"a", "b"', "b"), is_unchanged("*", "b"), is_unchanged('"c"', "b"), is_unchanged(None, "b")
    (True, True, False, False)
    """
    if if_none_match is None:
        return False
    tags = [tag.strip() for tag in if_none_match.split(",")]
    return "*" in tags or f'"{etag}"' in [tag.removeprefix("W/") for tag in tags]


def range_holds(if_range: str | None, etag: str) -> bool:
    """Whether the part that the client has is of this content; a date is never taken for that.

    >>> range_holds(None, "b"), range_holds('"b"', "b"), range_holds('W/"b"', "b")
    (True, True, False)
    """
    return if_range is None or if_range.strip() == f'"{etag}"'


def preferred(accept: str | None, offered: tuple[str, ...]) -> str | None:
    """The one of the offered types that the client likes best, the first of those alike; None when it takes none.

    >>> preferred("text/html;q=0.1, application/json", ("application/json", "text/html"))
    'application/json'
    >>> preferred(None, ("text/html", "application/json")), preferred("image/png", ("text/html",))
    ('text/html', None)
    """
    liked = _likings(accept or "*/*")
    best, found = 0.0, None
    for kind in offered:
        wanted = next((liked[k] for k in (kind, f"{kind.partition('/')[0]}/*", "*/*") if k in liked), 0.0)
        if wanted > best:
            best, found = wanted, kind
    return found


def _likings(accept: str) -> dict[str, float]:
    liked = {}
    for part in accept.split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        weight = next((match[1] for p in parameters if (match := _Q.fullmatch(p))), "1")
        liked[kind.lower()] = min(float(weight), 1.0)
    return liked
