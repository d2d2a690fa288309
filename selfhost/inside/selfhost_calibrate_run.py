"""What scripts that load a model with transformers have in common: settings before torch, and the device."""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any

from selfhost_quantize_events import Refused, attempt, take_stdout

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


def main(work: Callable[[Job], None]) -> int:
    """Do the job that is named on the command line, and tell how it ended; the exit status."""
    os.umask(0o022)  # what is written may be served under another uid
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    take_stdout()

    def prepared(job: Job) -> None:
        prepare(job)
        work(job)

    return attempt(prepared, sys.argv[1])


def prepare(job: Job) -> None:
    """Set what must be set before torch is imported: no network, the device, the threads."""
    os.environ.update(QUIET)
    if job.get("device") == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if job.get("jobs"):
        os.environ["OMP_NUM_THREADS"] = str(job["jobs"])


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
