"""One bandwidth for all threads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BURST_S = 0.25
# Below what the C library gets from the kernel piece by piece.
_STEP_BYTES = 120 << 10


class Limit:
    """A bucket of tokens: who took bytes waits until they are paid for; without a rate, nobody waits."""

    def __init__(self, rate_per_s: int | None, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._rate_per_s = rate_per_s
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._paid_at = float("-inf")

    @property
    def step_bytes(self) -> int:
        """Most bytes to take at a time, so that slow rates stay smooth."""
        return _STEP_BYTES if self._rate_per_s is None else max(4 << 10, min(_STEP_BYTES, self._rate_per_s // 16))

    def take(self, n_bytes: int) -> None:
        """Account for bytes; returns when the rate allows for more."""
        if self._rate_per_s is None:
            return
        with self._lock:
            now = self._clock()
            # Time in which nobody took anything counts up to the burst.
            self._paid_at = max(self._paid_at, now - _BURST_S) + n_bytes / self._rate_per_s
            wait = self._paid_at - now
        if wait > 0:
            self._sleep(wait)
