"""`--for latency|throughput|context`: which of the legal layouts, when a goal was named.

The order is: what fits with margin; then the goal; then fewest devices. (The quality of the format comes before the
goal: `planner/variants.py` settles that.) The goals, each with what it is measured by:

- latency: the fewest bytes of weights that one token waits for, over all stages it passes. That is the largest tensor
  parallel size within a node, and no more stages than it takes.
- throughput: the most tokens of KV cache, all engines of data parallelism together. With experts that decides between
  sharding everything and data-parallel attention with whole experts (`DP EP`), which pays where tensor parallelism
  would hold the same cache several times: latent attention, few KV heads. (vLLM's recipes for DeepSeek-V3 do so too:
  github.com/vllm-project/recipes.) Without experts, engines do not communicate at all, so the layout with the smallest
  tensor parallel size is taken that keeps half of that most. Stages inside a node, which wait for one another, only
  where nothing else fits.
- context: the longest `max_model_len` of one request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.messages import text
from selfhost.planner import layouts
from selfhost.planner.plan import Goal, Verdict
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.planner.choose import Choice

_ENOUGH = 0.5
"""Of the most KV cache, for engines that need not communicate."""
_NEARLY = 0.98
"""Of the most KV cache: as good as that, where experts are shared."""


class Decided(NamedTuple):
    """The layout for a goal, and why not another."""

    choice: Choice
    reason: str


def decide(goal: Goal, choices: Sequence[Choice]) -> Decided:
    """The best of what was evaluated; the first, as without a goal, where nothing fits."""
    fitting = [choice for choice in choices if choice.estimate.verdict is not Verdict.DOES_NOT_FIT]
    if not fitting:
        return Decided(choices[0], text("plan.goal_none_fits", goal=goal.value, **_names(choices[0])))
    decide_for = {Goal.LATENCY: _latency, Goal.THROUGHPUT: _throughput, Goal.CONTEXT: _context}[goal]
    return decide_for(fitting)


def _latency(choices: list[Choice]) -> Decided:
    def bytes_per_token(choice: Choice) -> int:
        return choice.estimate.memory.weight_bytes * choice.setup.layout.pipeline_parallel_size

    best = min(choices, key=lambda choice: (_margin(choice), bytes_per_token(choice), _devices(choice)))
    return Decided(best, text("plan.goal_latency", **_names(best), weights=format_bytes(bytes_per_token(best))))


def _throughput(choices: list[Choice]) -> Decided:
    choices = [choice for choice in choices if not _stages_inside(choice)] or choices
    most = max(map(_tokens, choices))
    alone = not choices[0].setup.arch.is_moe

    def order(choice: Choice) -> tuple[float, ...]:
        enough = _tokens(choice) >= (_ENOUGH if alone else _NEARLY) * most
        tp = choice.setup.layout.tensor_parallel_size if alone and enough else 0
        return _margin(choice), not enough, tp, 0 if enough and not alone else -_tokens(choice), _devices(choice)

    # Of several that are equal the first, as without a goal: sharded experts before whole ones.
    best = min(choices, key=order)
    engines = best.setup.layout.data_parallel_size
    others = [choice for choice in choices if (choice.setup.layout.data_parallel_size > 1) is not (engines > 1)]
    other = max(others, key=_tokens, default=None)
    values = {"layout": layouts.describe(best.setup.layout), "engines": engines, "tokens": _tokens(best)}
    if other is None:
        return Decided(best, text("plan.goal_throughput_only", **values))
    values |= {"other": layouts.describe(other.setup.layout), "other_tokens": _tokens(other)}
    if engines == 1:
        return Decided(best, text("plan.goal_throughput_one", **values))
    alike = "plan.goal_throughput_replicas" if alone else "plan.goal_throughput_engines"
    return Decided(best, text(alike, **values))


def _context(choices: list[Choice]) -> Decided:
    best = min(choices, key=lambda choice: (-_length(choice), _margin(choice), _devices(choice)))
    first = choices[0]
    if _length(first) == _length(best):
        return Decided(best, text("plan.goal_context", **_names(best), length=_length(best)))
    other = layouts.describe(first.setup.layout)
    values = {"length": _length(best), "other": other, "other_length": _length(first)}
    return Decided(best, text("plan.goal_context_longer", **_names(best), **values))


def _names(choice: Choice) -> dict[str, object]:
    hardware, layout = choice.setup.hardware, choice.setup.layout
    return {"layout": layouts.describe(layout), "used": layout.world_size, "count": hardware.device_count}


def _stages_inside(choice: Choice) -> bool:
    """Whether there are more stages than nodes."""
    return choice.setup.layout.pipeline_parallel_size > choice.setup.hardware.nodes


def _margin(choice: Choice) -> int:
    """0 with margin, 1 without."""
    return int(choice.estimate.verdict is Verdict.TIGHT)


def _devices(choice: Choice) -> int:
    return choice.setup.layout.world_size


def _tokens(choice: Choice) -> int:
    """Of all engines."""
    return choice.estimate.kv_cache.tokens * choice.setup.layout.data_parallel_size


def _length(choice: Choice) -> int:
    return choice.setup.settings.max_model_len
