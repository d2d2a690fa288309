"""Answers that are small: read to their end, within a time. Who gives them may never come to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.messages import text
from selfhost.weights.move.client import shown, trouble
from selfhost.weights.move.retry import TroubleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3.response import BaseHTTPResponse

SMALL_S = 300.0
"""Seconds for a manifest, a token or an error: 4 MiB at 14 kB/s."""


def read_small(response: BaseHTTPResponse, limit: int, url: str, clock: Callable[[], float]) -> bytes:
    """A body, at most so many bytes of it. Raises TroubleError when it breaks off or takes longer than `SMALL_S`."""
    from urllib3.exceptions import HTTPError

    begun_s, found = clock(), bytearray()
    try:
        # What comes byte by byte never stalls: `read` would wait for its end for as long as it takes.
        while len(found) < limit and (data := response.read1(limit - len(found), decode_content=False)):
            found += data
            if clock() - begun_s > SMALL_S:
                raise TroubleError(text("registry.slow", url=shown(url), seconds=int(SMALL_S)))
    except (HTTPError, OSError) as error:
        raise TroubleError(trouble(error, url)) from error
    return bytes(found)
