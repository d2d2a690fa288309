"""What scripts that load a model with transformers have in common: settings before torch, and errors of libraries.

The id of an error is one that selfhost has a sentence for; what no sentence fits goes into its `detail`.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost_quantize_events import Refused, take_stdout, tell

if TYPE_CHECKING:
    from collections.abc import Callable

Job = dict[str, Any]

QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
DETAIL = 300
"""Letters of a library's message that are passed on."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(work: Callable[[Job], None]) -> int:
    """Read the job that is named on the command line, do it, tell how it ended; the exit status."""
    os.umask(0o022)  # what is written may be served under another uid
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    take_stdout()
    try:
        job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
        prepare(job)
        work(job)
    except Refused as refused:
        tell("error", id=refused.id, params=refused.params)
    except Exception as error:  # noqa: BLE001 - libraries raise what they like; the last line must be an event
        traceback.print_exc()
        refused = meaning(error)
        tell("error", id=refused.id, params=refused.params)
    else:
        return 0
    return 1


def prepare(job: Job) -> None:
    """Set what must be set before torch is imported: no network, the device, the threads."""
    os.environ.update(QUIET)
    if job.get("device") == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if job.get("jobs"):
        os.environ["OMP_NUM_THREADS"] = str(job["jobs"])


def meaning(error: BaseException) -> Refused:
    """What an error of a library comes to."""
    detail = shortened(error)
    if (isinstance(error, OSError) and error.errno in _NO_SPACE) or "No space left on device" in str(error):
        return Refused("quantize.no_space", path=str(getattr(error, "filename", None) or ""), detail=detail)
    if isinstance(error, ImportError):
        return Refused("quantize.no_package", package=error.name or "", detail=detail)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
        return Refused("quantize.out_of_memory", detail=detail)
    return Refused("quantize.failed", detail=detail)


def shortened(error: BaseException) -> str:
    """Type and first line."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:DETAIL]


def device_of(job: Job) -> str:
    """`cuda` where there is one and it was not ruled out, else `cpu`; raises Refused where `cuda` was asked for."""
    import torch

    wanted = job.get("device") or "auto"
    if wanted != "cpu" and torch.cuda.is_available():
        return "cuda"
    if wanted not in ("auto", "cpu"):
        raise Refused("quantize.no_device", device=wanted, detail="torch sees no CUDA device")
    return "cpu"


def peak_rss_bytes() -> int:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB
