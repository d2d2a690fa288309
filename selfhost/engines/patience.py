"""How long an engine may take to start, and how long its ranks wait for one another: with the time its weights take."""

from __future__ import annotations

import math

DISK_BYTES_PER_S = 200_000_000
"""Assumed where nobody measured: a busy network file system, or one spinning disk."""
FLOOR_S = 600
"""vLLM's own default (`VLLM_ENGINE_READY_TIMEOUT_S`, the time limit of NCCL)."""
_LARGE_BYTES = 200_000_000_000
_LARGE_FLOOR_S = 3600
_SAFETY = 2
_CONNECT_S = (120, 7200)
"""The least, which is the default, and the most that HCCL_CONNECT_TIMEOUT may be.
Source: CANN's documentation of its environment variables."""
_EXECUTE_S = (1836, 17340)
"""The same of HCCL_EXEC_TIMEOUT; 17340 is the most on every chip family."""


def load_s(weight_bytes: int, disk_bytes_per_s: int = DISK_BYTES_PER_S) -> int:
    """Seconds that reading the weights takes."""
    return math.ceil(weight_bytes / disk_bytes_per_s)


def ready_s(weight_bytes: int, disk_bytes_per_s: int = DISK_BYTES_PER_S) -> int:
    """Seconds that a start may take; twice the time of the weights at least.

    Check: 689 GB at 200 MB/s -> 6890 s; 16 GB -> the floor of 600 s.
    """
    floor = _LARGE_FLOOR_S if weight_bytes > _LARGE_BYTES else FLOOR_S
    return max(floor, _SAFETY * load_s(weight_bytes, disk_bytes_per_s))


def hccl(limit_s: int) -> dict[str, str]:
    """Time limits of HCCL for ranks whose starts are up to `limit_s` seconds apart.

    The first collective is in the profile run, after the weights: a rank that has read them waits there for the slowest
    (vllm-project/vllm-ascend#9447, #1955).

    >>> hccl(600), hccl(6890)
    ({'HCCL_CONNECT_TIMEOUT': '600'}, {'HCCL_CONNECT_TIMEOUT': '6890', 'HCCL_EXEC_TIMEOUT': '6890'})
    """
    found = {"HCCL_CONNECT_TIMEOUT": str(min(max(limit_s, _CONNECT_S[0]), _CONNECT_S[1]))}
    if limit_s > _EXECUTE_S[0]:
        found["HCCL_EXEC_TIMEOUT"] = str(min(limit_s, _EXECUTE_S[1]))
    return found
