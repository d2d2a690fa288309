"""Counts the bytes that several threads read, and stops them all."""

from __future__ import annotations

import threading


class StoppedError(Exception):
    """Somebody interrupted, or another thread failed: readers stop at the next buffer."""


class Counter:
    """Bytes of all threads together."""

    def __init__(self) -> None:
        self.done = 0
        self.stop = threading.Event()
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes. Raises StoppedError once `stop` is set."""
        if self.stop.is_set():
            raise StoppedError
        with self._lock:
            self.done += count
