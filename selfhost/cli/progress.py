"""One line on stderr that tells how far a long piece of work is."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Self

from selfhost.cli import output
from selfhost.columns import cut

if TYPE_CHECKING:
    from collections.abc import Callable

_PLAIN_EVERY_S = 10.0
_DRAW_EVERY_S = 0.2


class StatusLine:
    """On a terminal one line that is redrawn; elsewhere a plain line per phase, and every 10 seconds within one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._live = output.is_terminal()
        self._phase: str | None = None
        self._last = ""
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the line off the terminal, before something else is printed there."""
        if self._live and self._last:
            output.to_stderr("\r\x1b[K")

    def show(self, phase: str, line: str) -> None:
        """Tell where the work is; may be called as often as one likes."""
        now = self._clock()
        every = _DRAW_EVERY_S if self._live else _PLAIN_EVERY_S
        if line == self._last or (phase == self._phase and now - self._shown_at < every):
            return
        self._phase, self._last, self._shown_at = phase, line, now
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            output.to_stderr(f"\r\x1b[K{cut(line, width, '')}")
        else:
            output.note(line)
