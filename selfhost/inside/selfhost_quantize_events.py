"""What a run of the quantizer says: one JSON object a line on stdout, and refusals with an id that the caller words."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S = 0.25
"""Progress is told no more often."""
DETAIL = 300
"""Letters of a library's message that are passed on."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OUT_OF_MEMORY = re.compile("out of memory|not enough memory|can't allocate memory|allocate memory", re.IGNORECASE)
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
    stream.write(json.dumps({"event": event, **fields}, ensure_ascii=False, default=str) + "\n")
    stream.flush()


def attempt(work: Callable[[dict[str, Any]], None], path: str) -> int:
    """Do the work on the job in a file; the exit status. Whatever ends it early, the last line is an event."""
    place = ""
    try:
        job = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(job, dict):
            raise Refused("quantize.bad_job", detail="it is no JSON object")  # noqa: TRY301 - one place that tells
        place = str(job.get("target") or "")
        work(job)
    except Refused as refused:
        tell("error", id=refused.id, params=refused.params)
    except Exception as error:  # noqa: BLE001 - libraries raise what they like, and so do faults of ours
        traceback.print_exc()
        refused = meaning(error, place)
        tell("error", id=refused.id, params=refused.params)
    else:
        return 0
    return 1


def meaning(error: Exception, place: str = "") -> Refused:
    """What an error comes to that nobody expected; `place`: what was written to, where the error names no file."""
    detail = shortened(error)
    if isinstance(error, OSError) and error.errno is not None:
        unspaced = error.errno in _NO_SPACE
        said = error.strerror or detail
        found = "quantize.no_space" if unspaced else "quantize.unwritable"
        return Refused(found, path=str(error.filename or place), detail=said)
    if "No space left on device" in str(error):
        return Refused("quantize.no_space", path=place, detail=detail)
    if isinstance(error, ImportError):
        return Refused("quantize.no_package", package=error.name or "", detail=str(error)[:DETAIL])
    # torch has a RuntimeError of its own for either memory.
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or _OUT_OF_MEMORY.search(str(error))
    ):
        return Refused("quantize.out_of_memory", detail=detail)
    return Refused("quantize.failed", detail=detail)


def shortened(error: BaseException) -> str:
    """Type and first line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:DETAIL]


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
