"""What a plan holds, as plain text: requests at once, the longest context, stages, speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.columns import wrap
from selfhost.messages import text
from selfhost.planner.reasons import unit
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from selfhost.planner.capacity import Capacity
    from selfhost.planner.plan import Plan
    from selfhost.planner.speed import Speed


def draw_capacity(plan: Plan, capacity: Capacity, *, width: int) -> str:
    """In lines of at most `width` characters, at least 40."""
    lines = []
    if plan.fits:
        title = "plan.title_requests_engines" if capacity.engines > 1 else "plan.title_requests"
        lines.append(text(title, engines=capacity.engines))
        each = max(len(f"{load.tokens_each:,}") for load in capacity.loads)
        for load in capacity.loads:
            of_all = f"{load.requests_all_engines:>10,}" if capacity.engines > 1 else ""
            lines.append(f"  {load.tokens_each:>{each},} {load.requests_per_engine:>9,}{of_all}")
    lines.append(longest_line(capacity))
    if capacity.engines > 1 and plan.fits:
        lines.append(text("plan.tokens_engines", engines=capacity.engines, tokens=capacity.tokens_all_engines))
    if len(capacity.stages) > 1:
        lines += [
            text(
                "plan.stage",
                stage=stage.pipeline_rank,
                weights=format_bytes(stage.memory.weight_bytes),
                left=format_bytes(stage.memory.kv_cache_bytes),
                per=unit(plan.hardware),
            )
            for stage in capacity.stages
        ]
    if capacity.speed is not None:
        lines += speed_lines(capacity.speed)
    return "\n".join(
        part for line in lines for part in wrap(line, width, subsequent_indent="  ", replace_whitespace=False)
    )


def longest_line(capacity: Capacity) -> str:
    """The longest context, as a line."""
    if capacity.longest_max_model_len is None:
        return text("plan.longest_none")
    return text("plan.longest", length=capacity.longest_max_model_len)


def speed_lines(speed: Speed) -> list[str]:
    """Two lines, or one where nothing is known."""
    if speed.decode_one is None or speed.decode_all is None:
        return [text("plan.speed_unknown")]
    if speed.requests == 1:
        lines = [text("plan.speed_decode_one", one=_per_s(speed.decode_one), context=speed.context_tokens)]
    else:
        lines = [
            text(
                "plan.speed_decode",
                one=_per_s(speed.decode_one),
                many=_per_s(speed.decode_all),
                requests=speed.requests,
                context=speed.context_tokens,
            )
        ]
    if speed.prefill is None:
        return [*lines, text("plan.speed_prefill_unknown")]
    return [*lines, text("plan.speed_prefill", rate=_per_s(speed.prefill), prompt=speed.prompt_tokens)]


def _per_s(value: float) -> str:
    """Two digits: more would be a claim.

    >>> _per_s(56.3), _per_s(141234.0), _per_s(4.44)
    ('56', '140,000', '4.4')
    """
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"  # noqa: PLR2004
