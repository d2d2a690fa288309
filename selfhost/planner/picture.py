"""A plan as plain text: verdict, memory per rank as bars, reasons, remedies, command line. Readable without colour."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from selfhost.columns import ljust, wrap
from selfhost.hardware.types import Platform
from selfhost.messages import text, word
from selfhost.planner.capacity_text import draw_capacity
from selfhost.planner.layouts import describe
from selfhost.planner.plan import Verdict
from selfhost.planner.reasons import unit
from selfhost.units import GIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selfhost.planner.plan import Plan

_NARROW = 40
_LABEL = 12
_FIGURE = 9


def draw(plan: Plan, *, width: int) -> str:
    """The whole picture, in lines of at most `width` characters but for the command line, which can be pasted."""
    width = max(width, _NARROW)
    parts = [_wrapped(_verdict(plan), width)]
    if plan.memory.budget_bytes:
        parts += [_memory(plan, width), _wrapped(_kv_cache(plan), width)]
    if plan.capacity is not None:
        parts.append(draw_capacity(plan, plan.capacity, width=width))
    if plan.measured:
        from selfhost.planner import compare

        parts.append(compare.table(plan.measured))
    parts.append(_listed(text("plan.title_reasons"), plan.reasons, width))
    if plan.remedies:
        offered = [text("plan.remedy", change=r.change, length=r.max_model_len) for r in plan.remedies]
        parts.append(_listed(text("plan.title_remedies"), offered, width))
    if plan.argv and plan.fits:
        parts.append(_command(plan))
    if plan.explanation is not None:
        from selfhost.planner.explain_text import draw_explanation

        parts.append(draw_explanation(plan.explanation, width=width))
    return "\n\n".join(parts)


def draw_short(plan: Plan, *, width: int) -> str:
    """Verdict, layout, memory and KV cache: what is shown before a start."""
    width = max(width, _NARROW)
    layout = text("plan.short_layout", layout=describe(plan.layout), hardware=plan.hardware.text)
    parts = [_wrapped(_verdict(plan) + "\n" + layout, width)]
    if plan.memory.budget_bytes:
        parts += [_memory(plan, width), _wrapped(_kv_cache(plan), width)]
    return "\n".join(parts)


def verdict_line(plan: Plan) -> str:
    """The answer as a sentence: `qwen2.5-7b (bf16) fits on H20-96G`."""
    return {
        Verdict.FITS: text("plan.verdict_fits", **_names(plan)),
        Verdict.TIGHT: text("plan.verdict_tight", **_names(plan)),
        Verdict.DOES_NOT_FIT: text("plan.verdict_does_not_fit", **_names(plan)),
        Verdict.UNSUPPORTED: text("plan.verdict_unsupported", **_names(plan)),
    }[plan.verdict]


def _verdict(plan: Plan) -> str:
    verdict = text("plan.verdict_line", verdict=word(plan.verdict.value), sentence=verdict_line(plan))
    return f"{verdict}\n" + text(
        "plan.basis", confidence=word(plan.confidence.value), engine=plan.engine.name, version=plan.engine.version
    )


def _names(plan: Plan) -> dict[str, str]:
    return {"model": plan.model, "variant": plan.variant, "hardware": plan.hardware.text}


def _memory(plan: Plan, width: int) -> str:
    """One bar per term, all to one scale: the whole bar is the budget, or what would be needed when that is more."""
    memory = plan.memory
    terms = [
        ("weights", memory.weight_bytes),
        ("buffers", memory.buffer_bytes),
        ("activation", memory.activation_bytes),
        ("non-torch", memory.non_torch_bytes),
        ("CUDA graphs", memory.cudagraph_bytes),
        ("KV cache", memory.kv_cache_bytes),
    ]
    # vllm-ascend does not take graphs from the budget.
    on_top = [("NPU graphs", terms.pop(-2)[1])] if plan.hardware.device.platform is Platform.ASCEND else []
    room = max(0, width - _LABEL - _FIGURE - 6)
    scale = max(memory.budget_bytes, sum(size for _, size in terms if size > 0))
    lines = [text("plan.title_memory", per=unit(plan.hardware))]
    for label, size in terms:
        bar = "#" * round(room * max(0, size) / scale)
        lines.append(f"  {_label(label)} {size / GIB:>{_FIGURE},.2f}  {bar}".rstrip())
    lines.append(f"  {_label('budget')} {memory.budget_bytes / GIB:>{_FIGURE},.2f}")
    beside = text("plan.on_top")
    lines += [f"  {_label(label)} {size / GIB:>{_FIGURE},.2f}  {beside}" for label, size in on_top]
    return "\n".join(lines)


def _label(term: str) -> str:
    return ljust(str(word(term)), _LABEL)


def _kv_cache(plan: Plan) -> str:
    memory, kv = plan.memory, plan.kv_cache
    low, high = (format_bytes(max(0, size)) for size in (memory.kv_cache_bytes_low, memory.kv_cache_bytes_high))
    in_range = text("plan.kv_range", low=low, high=high, per=unit(plan.hardware))
    return "\n".join(
        [
            in_range if memory.kv_cache_bytes_high > 0 else text("plan.kv_none"),
            text("plan.kv_tokens", tokens=kv.tokens, per_token=kv.bytes_per_token, block=kv.block_size),
            text("plan.kv_requests", requests=kv.max_concurrency, length=plan.settings.max_model_len),
        ]
    )


def _listed(title: str, sentences: Sequence[str], width: int) -> str:
    return "\n".join(
        [title, *("  - " + _wrapped(sentence, width - 4).replace("\n", "\n    ") for sentence in sentences)]
    )


def _wrapped(lines: str, width: int) -> str:
    wrapped = [wrap(line, width, break_long_words=False, break_on_hyphens=False) for line in str(lines).splitlines()]
    return "\n".join(part for parts in wrapped for part in parts)


def _command(plan: Plan) -> str:
    """Variables and command, one option per line, as a shell takes it."""
    return text("plan.title_command") + "\n  " + command_text(plan, plan.argv).replace("\n", "\n  ")


def command_text(plan: Plan, argv: tuple[str, ...]) -> str:
    """Variables and a command of a plan, its own or that of a node, as a shell takes them."""
    lines = [f"{name}={shlex.quote(value)}" for name, value in plan.env.items()]
    return " \\\n".join([*lines, *(shlex.join(group) for group in _grouped(argv))])


def _grouped(argv: tuple[str, ...]) -> Iterator[list[str]]:
    """The words up to the first option, then each option with its values."""
    group: list[str] = []
    for part in argv:
        if part.startswith("--"):
            yield group
            group = []
        group.append(part)
    yield group
