"""How far a script that quantizes is, as one line."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from selfhost.cli import output
from selfhost.cli.output import text
from selfhost.cli.progress import StatusLine
from selfhost.quantize.job import Planned, Progress
from selfhost.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfhost.quantize.job import Event


class Listener:
    """Who is at the other end: a terminal, or a log."""

    def note(self, line: str) -> None:
        """Tell something."""
        output.note(line)

    @contextlib.contextmanager
    def following(self, what: str, *, steps: bool = False) -> Iterator[Callable[[Event], None]]:
        """Show how far a script is; steps: it counts them, not bytes."""
        with StatusLine() as line:
            yield Follower(what, line.show, steps=steps)


class Follower:
    """Events of a script as a line: bytes or steps, rate, what is left."""

    def __init__(
        self,
        what: str,
        show: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        steps: bool = False,
    ) -> None:
        self._what, self._show, self._clock = what, show, clock
        self._steps = steps
        self._total = 0
        self._first: tuple[float, int] | None = None

    def __call__(self, event: Event) -> None:
        """One event."""
        if isinstance(event, Planned):
            self._total = event.total_bytes
        elif isinstance(event, Progress) and self._total:
            self._show(self._what, self._line(event.done_bytes, event.file))

    def _line(self, done: int, file: str) -> str:
        now = self._clock()
        # What an earlier run finished is no speed of this one.
        began, before = self._first = self._first or (now, done)
        rate = (done - before) / (now - began) if now > began else 0.0
        shown = str if self._steps else format_bytes
        values = {
            "what": self._what,
            "done": shown(done),
            "total": shown(self._total),
            "percent": min(100 * done // self._total, 100),
            "rate": self._rate(rate, self._total - done),
            "file": f", {file}" if file else "",
        }
        return text("quantize.progress", **values)

    def _rate(self, rate: float, left: int) -> str:
        if rate <= 0 or left < 0:
            return ""
        told = format_duration(left / rate)
        if self._steps:
            return text("quantize.steps_left", left=told)
        return text("quantize.progress_left", rate=format_bytes(rate), left=told)
