"""How often one piece of work at a registry is tried, and what is waited between."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from selfhost.errors import IncompleteError
from selfhost.messages import text
from selfhost.weights.move.retry import DOUBTFUL_ATTEMPTS, pause_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.registry.transport import Transport
    from selfhost.registry.types import Told
    from selfhost.weights.move.retry import TroubleError


class Tries:
    """How often one piece of work failed in a row."""

    def __init__(self, transport: Transport, name: str, told: Told, sleep: Callable[[float], None]) -> None:
        self._options, self._host, self._name = transport.options.moving, transport.host, name
        self._told, self._sleep = told, sleep
        self._failures = self._doubtful = 0

    def progressed(self) -> None:
        """The registry has more than ever before."""
        self._failures = 0

    def failed(self, trouble: TroubleError) -> None:
        """Wait for the next try. Raises what ends the work when there were too many."""
        options = self._options
        self._failures += 1
        self._doubtful += 1 if trouble.final else 0
        if self._failures >= options.attempts or self._doubtful >= DOUBTFUL_ATTEMPTS:
            host, count = self._host, self._failures
            given_up = IncompleteError(
                "registry.gave_up", host=host, name=self._name, count=count, detail=trouble.reason
            )
            raise (trouble.final or given_up) from trouble
        left = pause_s(trouble, self._failures, random.random(), options)  # noqa: S311 - spreads load, guards nothing
        self._told.note(text("move.note_retry", reason=trouble.reason, seconds=left))
        if left > 0:
            self._sleep(left)
