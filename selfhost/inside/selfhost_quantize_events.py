"""What a run of the quantizer says: one JSON object a line on stdout, and refusals with an id that the caller words."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any, TextIO

EVERY_S = 0.25
"""Progress is told no more often."""
_STREAM: list[TextIO] = []


class Refused(Exception):  # noqa: N818 (no fault of the program)
    """The run cannot go on; `id` names the sentence, `params` are its fields."""

    def __init__(self, message: str, **params: object) -> None:
        super().__init__(message, params)
        self.id, self.params = message, params


def take_stdout() -> None:
    """Keep stdout for events: what libraries print goes to stderr from here on."""
    if not _STREAM:
        _STREAM.append(os.fdopen(os.dup(1), "w", encoding="utf-8"))
        os.dup2(2, 1)


def tell(event: str, **fields: Any) -> None:
    """One event, at once."""
    stream = _STREAM[0] if _STREAM else sys.stdout
    stream.write(json.dumps({"event": event, **fields}, ensure_ascii=False) + "\n")
    stream.flush()


class Progress:
    """Bytes of the input that are done, told from any thread."""

    def __init__(self, done_bytes: int = 0) -> None:
        self.done_bytes = done_bytes
        self._told = -EVERY_S
        self._lock = threading.Lock()

    def add(self, size: int, file: str) -> None:
        """Count bytes of a file; told when some time has passed since the last time."""
        with self._lock:
            self.done_bytes += size
            now = time.monotonic()
            if now - self._told >= EVERY_S:
                self._told = now
                tell("progress", done_bytes=self.done_bytes, file=file)
