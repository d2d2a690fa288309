"""What an answer or a failure means for the next try: once more and when, another address, or no more."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfhost.errors import SelfhostError
    from selfhost.weights.move.types import MoveOptions

_OK, _PARTIAL = 200, 206
_DENIED = (401, 403)
_ABSENT = (404, 410)
_RANGE = 416
_BUSY = (408, 425, 429)
_SERVER = 500
DOUBTFUL_ATTEMPTS = 3
"""For what rarely goes away: so often in a row."""


class TroubleError(Exception):
    """What went wrong with one request, and may be gone the next time."""

    def __init__(
        self, reason: str, *, wait_s: float | None = None, at_once: bool = False, final: SelfhostError | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s
        """What the server asks for."""
        self.at_once = at_once
        """The cause is known and was removed: the first time, no pause is needed."""
        self.final = final
        """What to raise when it stays so, which is likely: it is tried `DOUBTFUL_ATTEMPTS` times only."""


class ChangedError(Exception):
    """The file at the other end is no longer the one that was begun."""


class Meaning(StrEnum):
    """Of a status, for who wants bytes."""

    BYTES = "bytes"
    EXPIRED = "expired"
    DENIED = "denied"
    ABSENT = "absent"
    OUT_OF_RANGE = "out of range"
    LATER = "later"
    REFUSED = "refused"


def meaning(status: int, *, issued: bool) -> Meaning:
    """What a status says; `issued`: of an address that was given out for a while, by a redirect or an API."""
    if status in (_OK, _PARTIAL):
        return Meaning.BYTES
    if issued and (status in _DENIED or status == _ABSENT[1]):
        return Meaning.EXPIRED
    table = {**dict.fromkeys(_DENIED, Meaning.DENIED), **dict.fromkeys(_ABSENT, Meaning.ABSENT)}
    table |= {_RANGE: Meaning.OUT_OF_RANGE, **dict.fromkeys(_BUSY, Meaning.LATER)}
    return table.get(status, Meaning.LATER if status >= _SERVER else Meaning.REFUSED)


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Seconds a `Retry-After` asks for, given as seconds or as a date; None when it says nothing that can be read.

    `now_s` is the time since the epoch. Source: RFC 9110, 10.2.3.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


def pause_s(trouble: TroubleError, failures: int, fraction: float, options: MoveOptions) -> float:
    """Seconds until the next try, after so many failures in a row; `fraction` is random, in 0..1.

    Full jitter: a uniform part of a bound that doubles. Many clients that fail together then do not come back together.
    What the server asks for is the least, up to `retry_after_max_s`.
    """
    if trouble.at_once and failures == 1:
        return 0.0
    # 2**30 of any unit is beyond every bound.
    bound = min(options.backoff_max_s, options.backoff_s * 2.0 ** min(failures - 1, 30))
    asked = min(trouble.wait_s or 0.0, options.retry_after_max_s)
    return asked + bound * fraction
