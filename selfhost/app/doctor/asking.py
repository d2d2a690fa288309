"""The machine that doctor asks, the time it has, and what it could not be told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from selfhost.hardware.system import Answer, System, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from selfhost.messages import Message

TOTAL_LIMIT_S = 20.0


class Asking:
    """Questions to one machine; each ends within the system's limit, all together within 20 s."""

    def __init__(self, system: System | None = None, limit_s: float = TOTAL_LIMIT_S) -> None:
        self.system = system or System()
        self.not_told: list[Message] = []
        self._deadline = time.monotonic() + limit_s

    def ask(self, argv: Sequence[str], more: Mapping[str, str] | None = None) -> Answer:
        """What a tool says."""
        limit_s = min(self.system.call_limit_s, self._deadline - time.monotonic())
        return run(argv, {**self.system.environ, "LC_ALL": "C", **(more or {})}, limit_s)

    def exists(self, path: str) -> bool:
        """Whether a file is there, as far as this user can see."""
        try:
            return self.system.at(path).exists()
        except OSError:
            return False
