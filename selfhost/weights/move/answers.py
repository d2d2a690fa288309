"""Whether the answer to a range request holds what was asked for: decided from its head, before a byte is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.errors import IncompleteError, IntegrityError
from selfhost.messages import text
from selfhost.records import dataclass
from selfhost.weights.move.retry import ChangedError, TroubleError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARTIAL, _OUT_OF_RANGE = 206, 416
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.IGNORECASE)
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """What an answer says of its body."""

    url: str
    """Without what may be secret."""
    status: int
    content_range: str | None = None
    content_length: int | None = None
    content_type: str = ""
    content_encoding: str = ""
    etag: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What was asked for, and what is known of the file."""

    path: str
    begin: int
    end: int
    size: int | None
    etag: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """What an answer brings."""

    whole: bool
    """The file from its beginning, because the server takes no ranges."""
    length: int | None
    """Bytes; None: until the connection ends."""
    total: int | None
    """Bytes of the file."""
    etag: str | None
    """A strong one."""


def head_of(url: str, status: int, headers: Mapping[str, str]) -> Head:
    """The head in the headers of an answer; `headers` compares names without case."""
    length = headers.get("Content-Length", "")
    return Head(
        url=url,
        status=status,
        content_range=headers.get("Content-Range"),
        content_length=int(length) if length.isascii() and length.isdigit() else None,
        content_type=headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        content_encoding=headers.get("Content-Encoding", "").strip().lower(),
        etag=strong(headers.get("ETag")),
    )


def strong(etag: str | None) -> str | None:
    """The tag when equal tags mean equal bytes. Source: RFC 9110, 8.8.3."""
    return etag if etag and etag.startswith('"') and etag.endswith('"') else None


def examine(head: Head, wanted: Wanted) -> Body:
    """What the answer brings.

    Raises ChangedError for another ETag than the known one, TroubleError for an answer that contradicts the request or
    itself, for another size, for a page instead of the file and for a compressed body: all seen of servers in trouble.
    """
    if head.status == _OUT_OF_RANGE:
        return _outside(head, wanted)
    if head.content_encoding not in ("", "identity"):
        final = IncompleteError("move.encoded", path=wanted.path, url=head.url, found=head.content_encoding)
        raise TroubleError(final.message.what, final=final)
    if head.content_type == "text/html" and not wanted.path.endswith((".html", ".htm")):
        final = IncompleteError("move.page", path=wanted.path, url=head.url)
        raise TroubleError(final.message.what, final=final)
    if wanted.etag and head.etag and head.etag != wanted.etag:
        raise ChangedError
    return _partial(head, wanted) if head.status == _PARTIAL else _whole(head, wanted)


def _outside(head: Head, wanted: Wanted) -> Body:
    """Nothing can be a part of an empty file; otherwise the server contradicts what it said before."""
    found = _UNSATISFIED.fullmatch(head.content_range or "")
    total = int(found[1]) if found else None
    check_size(head, wanted, total)
    if total == 0 and wanted.begin == 0:
        return Body(whole=False, length=0, total=0, etag=None)
    raise TroubleError(text("move.status", status=head.status, url=head.url))


def _whole(head: Head, wanted: Wanted) -> Body:
    check_size(head, wanted, head.content_length)
    length = head.content_length
    return Body(whole=True, length=length, total=length, etag=head.etag)


def _partial(head: Head, wanted: Wanted) -> Body:
    found = _CONTENT_RANGE.fullmatch(head.content_range or "")
    if found is None:
        raise TroubleError(text("move.bad_range", found=head.content_range, begin=wanted.begin, end=wanted.end - 1))
    begin, end = int(found[1]), int(found[2]) + 1
    total = None if found[3] == "*" else int(found[3])
    check_size(head, wanted, total)
    outside = begin != wanted.begin or not begin < end <= wanted.end or (total is not None and end > total)
    if outside or head.content_length not in (None, end - begin):
        raise TroubleError(text("move.bad_range", found=head.content_range, begin=wanted.begin, end=wanted.end - 1))
    return Body(whole=False, length=end - begin, total=total, etag=head.etag)


def check_size(head: Head, wanted: Wanted, total: int | None) -> None:
    """Raises TroubleError, in the end IntegrityError, when the file has another size at the other end."""
    if total is not None and wanted.size is not None and total != wanted.size:
        final = IntegrityError("move.size", path=wanted.path, url=head.url, wanted=wanted.size, found=total)
        raise TroubleError(final.message.what, final=final)
