"""How all threads of a call are stopped: within a second, and none writes afterwards."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Reading(Protocol):
    """A response whose blocked reader is woken up by `shutdown`."""

    def shutdown(self) -> None: ...


class StoppedError(Exception):
    """The call is ending; the thread leaves everything as it is."""


class Halt:
    """A flag that wakes up who sleeps, waits or reads."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._away: set[int] = set()
        self._reading: set[_Reading] = set()

    def check(self) -> None:
        """Raises StoppedError once the flag is up."""
        if self._event.is_set():
            raise StoppedError

    def sleep(self, seconds: float) -> None:
        """Raises StoppedError as soon as the flag goes up."""
        if self._event.wait(seconds):
            raise StoppedError

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Around what cannot be woken up (look-ups of names, connecting, waiting for a head) and writes nothing.

        A thread in there is not waited for; it comes back to a StoppedError.
        """
        me = threading.get_ident()
        with self._lock:
            self.check()
            self._away.add(me)
        try:
            yield
        finally:
            with self._lock:
                self._away.discard(me)
                self.check()

    @contextlib.contextmanager
    def reading(self, response: _Reading) -> Iterator[None]:
        """Around reading a body: when the flag goes up, its socket is shut down."""
        with self._lock:
            self.check()
            self._reading.add(response)
        try:
            yield
        finally:
            with self._lock:
                self._reading.discard(response)

    def set(self) -> None:
        """Put the flag up; wakes up everybody who can be."""
        with self._lock:
            self._event.set()
            for response in self._reading:
                with contextlib.suppress(OSError, ValueError, RuntimeError):
                    response.shutdown()

    def join(self, threads: list[threading.Thread]) -> None:
        """Wait for the threads, except for those that are away."""
        for thread in threads:
            while thread.is_alive() and not self._is_away(thread):
                thread.join(0.02)

    def _is_away(self, thread: threading.Thread) -> bool:
        with self._lock:
            return thread.ident in self._away
