"""The machine that doctor asks, the time it has, and what it could not be told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from selfhost.hardware import system as machine

if TYPE_CHECKING:
    from selfhost.messages import Message

TOTAL_LIMIT_S = 20.0


class Asking(machine.Asking):
    """Questions to one machine; each ends within the system's limit, all together within 20 s."""

    def __init__(self, system: machine.System | None = None, limit_s: float = TOTAL_LIMIT_S) -> None:
        super().__init__(system or machine.System())
        self.deadline = time.monotonic() + limit_s
        self.not_told: list[Message] = []

    def exists(self, path: str) -> bool:
        """Whether a file is there, as far as this user can see."""
        try:
            return self.system.at(path).exists()
        except OSError:
            return False
