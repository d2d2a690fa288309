"""Whether an engine computes, from what `/metrics` says: an API server answers `/health` long after its engine hangs.

Names: vLLM 0.32.0 v1/metrics/loggers.py. Of several engines (data parallelism) the figures are added up: one that hangs
beside others that work is not found here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE = re.compile(
    r"^vllm:(prompt_tokens_total|generation_tokens_total|kv_cache_usage_perc)(?:\{.*\})? ([^ ]+)$", re.MULTILINE
)


class Figures(NamedTuple):
    """What changes when an engine computes."""

    prompt_tokens: float
    generation_tokens: float
    kv_cache_usage: float
    """Moves at each step of a long prompt, whose tokens are counted at its end only."""


def read_figures(text: str) -> Figures | None:
    r"""The figures of a `/metrics` page; None when it has none (`--disable-log-stats`), and nothing can be told.

    >>> read_figures('vllm:prompt_tokens_total{engine="0"} 7.0\nvllm:generation_tokens_total{engine="0"} 2.0\n')
    Figures(prompt_tokens=7.0, generation_tokens=2.0, kv_cache_usage=0.0)
    """
    found: dict[str, float] = {}
    for name, value in _LINE.findall(text):
        try:
            found[name] = found.get(name, 0.0) + float(value)
        except ValueError:
            return None
    return _figures(found) if "prompt_tokens_total" in found and "generation_tokens_total" in found else None


def _figures(found: Mapping[str, float]) -> Figures:
    return Figures(
        found["prompt_tokens_total"], found["generation_tokens_total"], found.get("kv_cache_usage_perc", 0.0)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """What was seen last, and since when it is so."""

    figures: Figures | None = None
    since_s: float = 0.0

    def seen(self, figures: Figures | None, now_s: float) -> Watch:
        """The watch after another look. Where nothing can be told, nothing stalls."""
        if figures is not None and figures == self.figures:
            return self
        return Watch(figures=figures, since_s=now_s)

    def stalled(self, now_s: float, idle_s: float) -> bool:
        """Whether nothing moved for `idle_s`."""
        return self.figures is not None and now_s - self.since_s >= idle_s
