"""What an engine's `/metrics` says about its load: requests that run and wait, KV cache in use, preemptions.

Names as vLLM 0.8 to 0.32 and vllm-ascend 0.23 have them (v1/metrics/loggers.py @ 0.32.0). Data-parallel engines each
have a line: counts are added up, of the KV cache the fullest counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINE = re.compile(r"^(vllm:\w+)(?:\{.*\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """One look; None: the engine does not tell."""

    running: int | None = None
    waiting: int | None = None
    kv_cache_fraction: float | None = None
    """Of the KV cache in use, 0 to 1."""
    preemptions: int | None = None
    """Since the engine started: requests that lost their place in the KV cache and begin again."""
    finished: int | None = None
    """Since the engine started: requests that ended, however they did."""


def read(text: str) -> Load:
    r"""The load in a Prometheus exposition.

    >>> read('vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_running{engine="1"} 3.0').running
    5
    """
    found: dict[str, list[float]] = {}
    for name, value in _LINE.findall(text):
        try:
            found.setdefault(name, []).append(float(value))
        except ValueError:
            continue
    usage = found.get("vllm:kv_cache_usage_perc")
    return Load(
        running=_sum(found, "vllm:num_requests_running"),
        waiting=_sum(found, "vllm:num_requests_waiting"),
        kv_cache_fraction=max(usage) if usage else None,
        preemptions=_sum(found, "vllm:num_preemptions_total"),
        finished=_sum(found, "vllm:request_success_total"),
    )


def _sum(found: dict[str, list[float]], name: str) -> int | None:
    return int(sum(found[name])) if name in found else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """The most that was seen of each during a time; None: never told."""

    running: int | None = None
    waiting: int | None = None
    kv_cache_fraction: float | None = None
    preemptions: int | None = None
    """In that time."""


def peak(looks: Iterable[Load]) -> Peak:
    """Of the looks of a time, the first of them just before it."""
    seen = list(looks)
    counts = [look.preemptions for look in seen if look.preemptions is not None]
    return Peak(
        running=max((look.running for look in seen if look.running is not None), default=None),
        waiting=max((look.waiting for look in seen if look.waiting is not None), default=None),
        kv_cache_fraction=max((x.kv_cache_fraction for x in seen if x.kv_cache_fraction is not None), default=None),
        preemptions=max(counts) - min(counts) if counts else None,
    )
