"""How long the parts of a server's life may take, from what is known of its model, its machine and its flags."""

from __future__ import annotations

_COMPILING_S = 45 * 60
DISK_BYTES_PER_S = 50_000_000
"""A busy network file system: what is taken where the disk was not asked."""
_SLOWEST_BYTES_PER_S = 10_000_000
_FASTEST_BYTES_PER_S = 200_000_000
_DISK_MARGIN = 4
"""Ranks read at once and out of order, and others use the disk as well: a quarter of what one reader gets."""

_GRACE_S = 30
_AFTER_DRAIN_S = 10
"""For the engine itself, once nothing is running any more."""

_KERNELS_S = 300.0
"""A shape that was not seen before may have kernels compiled (Triton, DeepGEMM) while nothing else is computed."""
_PREFILL_PER_S = {True: 500.0, False: 50.0}
"""Tokens a second that the slowest setup prefills: a 671B model over PCIe, a 7B model on a CPU."""


def start_deadline_s(weight_bytes: int, disk_bytes_per_s: float | None = None) -> float:
    """Seconds a start may take: 45 minutes for compiling and warming, and the weights from their disk.

    disk_bytes_per_s: what one reader got from it; None: unknown. A quarter of it counts, 10 to 200 MB/s.

    torch.compile alone was seen to take 2219 s (vllm-project/vllm#34399), and a terabyte to outlive a fixed 75 minutes
    (aws-samples/aws-do-eks#40). Check: 100 GB -> 2700 + 2000 = 4700 s; on a disk of 800 MB/s 2700 + 500 = 3200 s.
    """
    speed: float = DISK_BYTES_PER_S
    if disk_bytes_per_s is not None:
        speed = min(max(disk_bytes_per_s / _DISK_MARGIN, _SLOWEST_BYTES_PER_S), _FASTEST_BYTES_PER_S)
    return _COMPILING_S + weight_bytes / speed


def stop_grace_s(drain_s: int) -> int:
    """Seconds between TERM and KILL of an engine that lets running requests finish for `drain_s`.

    Check: the 10 s of a plan -> 30; `--shutdown-timeout 60` -> 70.
    """
    return max(_GRACE_S, drain_s + _AFTER_DRAIN_S)


def wedge_s(step_tokens: int, *, accelerator: bool) -> float:
    """Seconds after which an engine that shows no progress and does not answer hangs.

    A long prompt is computed in steps of at most `step_tokens` (`max_num_batched_tokens`), and the fill of the KV cache
    moves at each of them, also when a prompt of 128k tokens takes minutes to its first token (vLLM 0.32
    v1/core/sched/scheduler.py `update_from_output`: statistics go out without outputs, too). So one step is what may
    take its time, not a prompt. Check: 8192 on a GPU -> 300 + 16.4 s; 4096 on a CPU -> 300 + 81.9 s.
    """
    return _KERNELS_S + step_tokens / _PREFILL_PER_S[accelerator]
