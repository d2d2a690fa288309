"""How a script of the quantize environment speaks with selfhost: a job from a file, events as lines of JSON on stdout.

Libraries print where they like: what they write to stdout goes to stderr instead, and only events keep the real one.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

Job = dict[str, Any]

USAGE, NO, MISSING, INTEGRITY, NO_SPACE = 2, 3, 4, 5, 8
"""Exit codes of the command line, told with an error: its class is known where it is found."""
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
_PROGRESS_S = 0.2
_DETAIL = 300
_events = sys.stdout


class Failure(Exception):
    """What ends a job, as an id of selfhost's catalogue with its values."""

    def __init__(self, message_id: str, exit_code: int, **params: object) -> None:
        super().__init__(message_id)
        self.id, self.exit_code, self.params = message_id, exit_code, params


def fail(message_id: str, exit_code: int, **params: object) -> NoReturn:
    """Raise the failure."""
    raise Failure(message_id, exit_code, **params)


def say(event: str, **values: object) -> None:
    """One event, on a line of its own, at once."""
    _events.write(json.dumps({"event": event, **values}, ensure_ascii=False) + "\n")
    _events.flush()


class Progress:
    """Says how many bytes are done, a few times a second at most."""

    def __init__(self) -> None:
        self.done_bytes = 0
        self._said = 0.0

    def add(self, count: int, what: str) -> None:
        """Count further bytes of something."""
        self.done_bytes += count
        if time.monotonic() - self._said >= _PROGRESS_S:
            self._said = time.monotonic()
            say("progress", done_bytes=self.done_bytes, file=what)


def peak_rss_bytes() -> int:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB


def run(main: Callable[[Job], None]) -> int:
    """Read the job, do it, and say how it ended; returns the exit status."""
    global _events  # noqa: PLW0603 - stdout is handed over once, here
    _events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.umask(0o022)  # what is written may be served under another uid
    try:
        job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        prepare(job)
        main(job)
    except Failure as failure:
        say("error", id=failure.id, params=failure.params, exit_code=failure.exit_code)
        return failure.exit_code
    except Exception as error:  # noqa: BLE001 - libraries raise what they like; the last line must be an event
        traceback.print_exc()
        failure = known(error)
        say("error", id=failure.id, params=failure.params, exit_code=failure.exit_code)
        return failure.exit_code
    return 0


def prepare(job: Job) -> None:
    """What must be set before torch is imported: no network, the device, the threads."""
    for name, value in QUIET.items():
        os.environ[name] = value
    if job.get("device") == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if job.get("jobs"):
        os.environ["OMP_NUM_THREADS"] = str(job["jobs"])


def known(error: BaseException) -> Failure:
    """What a library's error means to a user, as far as it can be told."""
    text = f"{type(error).__name__}: {error}".splitlines()[0][:_DETAIL]
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "No space left on device" in str(error):
        return Failure("calibrate.no_disk", NO_SPACE, detail=text)
    if isinstance(error, MemoryError) or "OutOfMemoryError" in type(error).__name__ or "allocate memory" in str(error):
        return Failure("calibrate.no_memory", MISSING, detail=text)
    return Failure("calibrate.failed", 1, detail=text)


def device_of(job: Job) -> str:
    """`cuda` where there is one and it was not ruled out, else `cpu`; raises Failure where `cuda` was asked for."""
    import torch

    wanted = job.get("device") or "auto"
    if wanted != "cpu" and torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        fail("calibrate.no_device", MISSING, device=wanted)
    return "cpu"
