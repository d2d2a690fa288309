"""The figures of a plan as they stand in a sheet; every one is a figure of the plan itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.planner.layouts import describe, nodes_used
from selfhost.planner.plan import Confidence
from selfhost.planner.reasons import unit
from selfhost.units import GIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.planner.plan import MemoryPerRank, Plan


class Made(NamedTuple):
    """By what, and when."""

    version: str
    """Of selfhost."""
    date: str
    """`2026-11-28`."""


class Term(NamedTuple):
    """One part of a rank's memory."""

    name: str
    letter: str
    label: str
    size_bytes: int
    beside: bool = False
    """Not a term of the budget."""


class Rank(NamedTuple):
    """Ranks that hold the same, drawn as one bar."""

    label: str
    short: str
    """Above its column of figures, where there are several."""
    memory: MemoryPerRank
    is_the_plans: bool
    """Whether it is the rank whose figures the plan has."""


def basis(plan: Plan) -> str:
    """What the figures rest on."""
    return {
        Confidence.MEASURED: text("sheet.basis_measured"),
        Confidence.CALIBRATED: text("sheet.basis_calibrated"),
        Confidence.DERIVED: text("sheet.basis_derived"),
    }[plan.confidence]


def gib(size_bytes: int) -> str:
    """`1,234.56`."""
    return f"{size_bytes / GIB:,.2f}"


def terms(plan: Plan, memory: MemoryPerRank) -> list[Term]:
    """The terms of a rank; those of the budget add up to it."""
    on_ascend = plan.hardware.device.platform is Platform.ASCEND
    found = [
        Term("weights", "W", text("sheet.weights"), memory.weight_bytes),
        Term("buffers", "B", text("sheet.buffers"), memory.buffer_bytes),
        Term("activation", "A", text("sheet.activation"), memory.activation_bytes),
        Term("non_torch", "N", text("sheet.non_torch"), memory.non_torch_bytes),
        Term("graphs", "G", text("sheet.graphs"), memory.cudagraph_bytes),
        Term("kv_cache", "K", text("sheet.kv_cache"), memory.kv_cache_bytes),
    ]
    if on_ascend:
        # vllm-ascend does not take graphs from the budget.
        found.append(found.pop(4)._replace(label=text("sheet.graphs_beside"), beside=True))
    return found


def ranks(plan: Plan) -> list[Rank]:
    """A bar for each kind of rank: all are alike without pipeline stages; stages that are alike stand together.

    Stages are as computed; where a boot record of this machine speaks, the rank that it is of comes first.
    """
    stages = plan.capacity.stages if plan.capacity else ()
    if len(stages) < 2:  # noqa: PLR2004
        return [Rank(_each(plan), "", plan.memory, is_the_plans=True)]
    alike: dict[MemoryPerRank, list[int]] = {}
    for stage in stages:
        alike.setdefault(stage.memory, []).append(stage.pipeline_rank)
    found = [
        Rank(
            _of_stages(plan, of),
            text("sheet.stages", stages=", ".join(_runs(of))),
            memory,
            is_the_plans=memory == plan.memory,
        )
        for memory, of in alike.items()
    ]
    if plan.memory not in alike:
        measured = text("sheet.rank_measured", per=unit(plan.hardware))
        found.insert(0, Rank(measured, text("sheet.measured"), plan.memory, is_the_plans=True))
    return found


def _each(plan: Plan) -> str:
    count, per = plan.layout.world_size, unit(plan.hardware)
    return text("sheet.rank_one", per=per) if count == 1 else text("sheet.rank_each", count=count, per=per)


def _of_stages(plan: Plan, stages: Sequence[int]) -> str:
    layout = plan.layout
    count = len(stages) * layout.tensor_parallel_size * layout.data_parallel_size
    names = ", ".join(_runs(stages))
    nodes = sorted({place.node for place in places(plan) if place.stage in set(stages)})
    values = {"stages": names, "count": count, "per": unit(plan.hardware)}
    if nodes_used(plan.hardware, layout) == 1:
        return text("sheet.rank_stages", **values)
    return text("sheet.rank_stages_nodes", **values, nodes=", ".join(_runs(nodes)))


def _runs(numbers: Sequence[int]) -> list[str]:
    """`0-2`, `5` for 0, 1, 2, 5."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found]


class Place(NamedTuple):
    """Which rank a device runs."""

    node: int
    device: int
    """Of its node."""
    engine: int
    """Data-parallel rank."""
    stage: int
    """Pipeline rank."""
    tensor: int


def places(plan: Plan) -> list[Place]:
    """The device of each rank, in order: every node has the same number of them.

    Check: TP=8 PP=2 on two nodes of 8 -> stage 0 is node 0.
    """
    layout = plan.layout
    per_node = -(-layout.world_size // nodes_used(plan.hardware, layout))
    found = []
    for rank in range(layout.world_size):
        rest, tensor = divmod(rank, layout.tensor_parallel_size)
        engine, stage = divmod(rest, layout.pipeline_parallel_size)
        found.append(Place(rank // per_node, rank % per_node, engine, stage, tensor))
    return found


def facts(plan: Plan) -> list[tuple[str, str]]:
    """What a buyer asks first, by name: hardware, layout, context, what fits at once."""
    hardware, layout, memory, kv = plan.hardware, plan.layout, plan.memory, plan.kv_cache
    visible = format_bytes(hardware.visible_memory_bytes)
    shape = {"nodes": hardware.nodes, "count": hardware.devices_per_node, "name": hardware.device.name}
    found = [
        (
            text("sheet.hardware"),
            text("sheet.nodes" if hardware.nodes > 1 else "sheet.devices", **shape, visible=visible),
        ),
        (text("sheet.engine"), f"{plan.engine.name} {plan.engine.version}"),
    ]
    if not memory.budget_bytes:
        return found
    used = {"layout": describe(layout), "used": layout.world_size, "count": hardware.device_count}
    on_cpu = hardware.device.platform is Platform.CPU
    found.append((text("sheet.layout"), describe(layout) if on_cpu else text("sheet.layout_used", **used)))
    length = plan.settings.max_model_len
    longest = plan.capacity.longest_max_model_len if plan.capacity else None
    context = text("sheet.tokens", tokens=length)
    if longest and longest != length:
        context = text("sheet.context_longest", tokens=length, longest=longest)
    found.append((text("sheet.context"), context))
    sizes = (memory.kv_cache_bytes_low, memory.kv_cache_bytes, memory.kv_cache_bytes_high)
    low, likely, high = (format_bytes(max(0, size), 2) for size in sizes)
    cache = text("sheet.kv_range", likely=likely, low=low, high=high, per=unit(hardware))
    found.append((text("sheet.kv_cache"), cache if memory.kv_cache_bytes_high > 0 else text("sheet.kv_none")))
    engines = layout.data_parallel_size
    if engines > 1:
        many = {"engines": engines, "each": kv.tokens, "all": plan.tokens_all_engines}
        tokens = text("sheet.tokens_engines", **many)
        at_once = text("sheet.requests_engines", requests=plan.max_concurrency_all_engines, length=length, **many)
    else:
        tokens = text("sheet.tokens", tokens=kv.tokens)
        at_once = text("sheet.requests", requests=kv.max_concurrency, length=length)
    found += [(text("sheet.kv_tokens"), tokens), (text("sheet.at_once"), at_once)]
    if plan.missing_bytes > 0:
        lacks = text("sheet.missing_of", missing=format_bytes(plan.missing_bytes, 2), per=unit(hardware))
        found.append((text("sheet.missing"), lacks))
    return found
