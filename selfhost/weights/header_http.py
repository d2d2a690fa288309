"""Pieces of files from a server that answers range requests: headers are known before anything is downloaded."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from selfhost.errors import IncompleteError
from selfhost.weights.headers import Piece

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.weights.headers import OpenRange

_TIMEOUT_S = 30.0
_PARTIAL = 206
_RANGE = re.compile(r"bytes \d+-\d+/(\d+)")


def over_http(base_url: str, headers: Mapping[str, str] | None = None) -> OpenRange:
    """Pieces of files below an address, by range requests; `headers` go along with each (a token).

    A server that does not know ranges and would send whole files is an IncompleteError: it is not waited for.
    """
    if not base_url.startswith(("http://", "https://")):
        raise IncompleteError("model.header_unread", name=base_url, detail="not an address of HTTP")

    def open_range(name: str, begin: int, end: int) -> Piece:
        url = f"{base_url.rstrip('/')}/{urllib.parse.quote(name)}"
        asked = urllib.request.Request(url, headers={**(headers or {}), "Range": f"bytes={begin}-{end - 1}"})  # noqa: S310
        try:
            with urllib.request.urlopen(asked, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                total = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
                if answer.status != _PARTIAL or total is None:
                    raise IncompleteError("model.no_ranges", url=url)
                return Piece(answer.read(end - begin), int(total[1]))
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise IncompleteError("model.header_unread", name=url, detail=error) from error

    return open_range
