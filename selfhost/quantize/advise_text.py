"""Advice as people read it: the answer, a table of the ways, the arithmetic, what stands against the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.columns import table
from selfhost.messages import text, word
from selfhost.planner.layouts import describe
from selfhost.planner.plan import Verdict
from selfhost.quantize import needs
from selfhost.quantize.advise import Kind
from selfhost.units import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selfhost.quantize.advise import Advice, Way


def draw(advice: Advice) -> str:
    """Everything, as lines."""
    lines = [*_answer(advice), "", *_table(advice.ways), "", *_arithmetic(advice), *_why(advice), *_how(advice)]
    return "\n".join(lines).rstrip("\n")


def _answer(advice: Advice) -> Iterator[str]:
    best, values = advice.best, {"model": advice.model, "hardware": advice.hardware.text}
    if best is not None:
        message = _headline(best, advice)
        yield text(message, name=best.name, **values)
        own = next(
            (way for way in advice.ways if way.kind is Kind.READY and way.bits > best.bits and way.shorter), None
        )
        if own is not None:
            whole = own.plan.settings.max_model_len
            yield text("advise.own_shorter", name=own.name, length=f"{own.shorter:,}", whole=f"{whole:,}")
        return
    first = next((way for way in advice.ways if way.shorter and way.against is None), None)
    if first is not None:
        yield text("advise.shorter", name=first.name, length=f"{first.shorter:,}", **values)
    else:
        yield text("advise.nothing", **values)
    if advice.larger is not None:
        hardware, way = advice.larger
        yield text("advise.larger", hardware=hardware.text, name=text(_KINDS[way.kind], name=way.name))
    elif advice.hardware.device.supported:
        yield text("advise.no_larger")


def _headline(best: Way, advice: Advice) -> str:
    if best.kind is Kind.MODELSLIM:
        return "advise.make_modelslim"
    if best.kind is Kind.MADE:
        return "advise.make"
    return "advise.serve_own" if best.name == advice.own else "advise.take_ready"


# The table


def _table(ways: Sequence[Way]) -> Iterator[str]:
    head = ("way", "verdict", "layout", "weights", "kv", "context", "time", "memory", "disk")
    rows = [tuple(text(_HEADS[name]) for name in head), *(_row(way) for way in ways)]
    yield from table(rows)


_KINDS = {
    Kind.READY: "advise.kind_ready",
    Kind.MADE: "advise.kind_make",
    Kind.MODELSLIM: "advise.kind_modelslim",
}
_HEADS = {
    "way": "advise.head_way",
    "verdict": "advise.head_verdict",
    "layout": "advise.head_layout",
    "weights": "advise.head_weights",
    "kv": "advise.head_kv",
    "context": "advise.head_context",
    "time": "advise.head_time",
    "memory": "advise.head_memory",
    "disk": "advise.head_disk",
}


def _row(way: Way) -> tuple[str, ...]:
    plan, cost = way.plan, way.cost
    known = bool(plan.memory.budget_bytes)
    cost = None if way.against is not None or plan.verdict is Verdict.UNSUPPORTED else cost
    verdict = word("out" if way.against is not None else plan.verdict.value.replace("_", " "))
    length = plan.settings.max_model_len if plan.fits else way.shorter
    time = sum(term.value for term in cost.seconds) if cost and cost.seconds else None
    return (
        _name(way),
        verdict,
        describe(plan.layout) if known else "-",
        format_bytes(plan.memory.weight_bytes) if known else "-",
        format_bytes(plan.memory.kv_cache_bytes) if known else "-",
        f"{length:,}" if known and length and way.against is None else "-",
        format_duration(time) if time is not None else "-",
        format_bytes(cost.needs.memory_bytes) if cost else "-",
        format_bytes(cost.needs.disk_bytes + cost.first_bytes) if cost else "-",
    )


def _name(way: Way) -> str:
    group = f" g{way.group_size}" if way.group_size else ""
    return text(_KINDS[way.kind], name=f"{way.name}{group}")


# The arithmetic


def _arithmetic(advice: Advice) -> Iterator[str]:
    """Of what would fit, and of the nearest where nothing does."""
    usable = [way for way in advice.ways if way.against is None and way.plan.memory.budget_bytes]
    shown = [way for way in usable if way.fits] or usable[:1]
    if not shown:
        return
    disk = needs.DISK_BYTES_PER_S // 10**9
    if flops := advice.hardware.device.bf16_flops:
        share = round(100 * needs.EFFICIENCY)
        yield text("advise.arithmetic", disk=disk, share=share, flops=round(flops / 10**12))
    else:
        yield text("advise.arithmetic_plain", disk=disk)
    for way in shown:
        yield f"  {_fit(way)}"
        for line in _cost(way):
            yield f"    {line}"
    yield ""


def _fit(way: Way) -> str:
    memory, plan = way.plan.memory, way.plan
    other = memory.budget_bytes - memory.weight_bytes - memory.activation_bytes - memory.kv_cache_bytes
    return text(
        "advise.term_fit",
        name=_name(way),
        budget=format_bytes(memory.budget_bytes),
        weights=format_bytes(memory.weight_bytes),
        activations=format_bytes(memory.activation_bytes),
        other=format_bytes(other),
        kv=format_bytes(memory.kv_cache_bytes),
        length=f"{plan.settings.max_model_len:,}",
        request=format_bytes(plan.request_bytes),
    )


def _cost(way: Way) -> Iterator[str]:
    cost = way.cost
    if cost is None:
        return
    if cost.seconds is not None:
        total = format_duration(sum(term.value for term in cost.seconds))
        yield text("advise.term_time", time=total, terms=needs.time_text(cost.seconds))
    yield text("advise.term_memory", memory=format_bytes(cost.needs.memory_bytes), terms=needs.memory_text(cost.needs))
    first = text("advise.term_disk_first", first=format_bytes(cost.first_bytes)) if cost.first_bytes else ""
    disk = format_bytes(cost.needs.disk_bytes + cost.first_bytes)
    yield text("advise.term_disk", disk=disk, output=format_bytes(cost.needs.output_bytes), first=first)


# The others


def _why(advice: Advice) -> Iterator[str]:
    """What stands against each that is out; the same words once."""
    reasons: dict[str, list[str]] = {}
    for way in advice.ways:
        if (why := way.why_not) is None:
            continue
        reasons.setdefault(why, []).append(_name(way))
    if reasons:
        yield text("advise.why")
        for why, names in reasons.items():
            yield "  " + text("advise.why_line", name=", ".join(names), why=why)
        yield ""


def _how(advice: Advice) -> Iterator[str]:
    fitting = [way for way in advice.ways if way.fits]
    shown = fitting or ([advice.larger[1]] if advice.larger else [])
    # On Ascend what is made is made elsewhere: how, is told in any case.
    shown += [way for way in advice.ways if way.kind is Kind.MODELSLIM and way.commands and way not in shown]
    if not shown:
        return
    yield text("advise.how")
    for way in shown:
        yield "  " + (text("advise.note_line", name=_name(way), note=way.note) if way.note else f"{_name(way)}:")
        yield from (f"    {command}" for command in way.commands)
