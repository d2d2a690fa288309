"""Where each figure of a plan comes from: formula, numbers, range and source, for someone who checks it by hand.

The formulas are those of the planner itself: `memory.estimate` is called once more with numbers that remember how they
were computed (`planner/trace.py`). What it takes as given (tensors of a rank, KV layout) is listed. A figure that the
plan has from elsewhere, a calibration or a boot record of this machine, has no formula and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.planner import calibration, layouts, memory, terms
from selfhost.planner.choose import evaluate, known_of
from selfhost.planner.contract import layout_dict
from selfhost.planner.dimensions import kv_bytes_per_layer, loaded_weights
from selfhost.planner.explain_ascend import on_ascend
from selfhost.planner.terms import Setup
from selfhost.planner.trace import formula, in_numbers, traced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.planner.calibration import Calibration
    from selfhost.planner.memory import Estimate, RankSize, Sizes
    from selfhost.planner.plan import EngineFacts, Layout, MemoryPerRank, ModelToPlan, Plan, PlanRequest

SOURCES = {
    "budget": "v1/worker/utils.py request_memory",
    "weights": "model_executor/models/ and layers/linear.py; memory as allocated: v1/worker/gpu_worker.py",
    "buffers": "v1/worker/gpu/sample/penalties.py, layers/fused_moe/modular_kernel.py, v1/worker/workspace.py",
    "activation": "v1/worker/gpu/model_runner.py profile_run",
    "non_torch": "public logs of vLLM 0.2x and 0.3x: what loaded kernels and NCCL take beside the allocator",
    "processes": "measured on the CPU build of vLLM 0.32: resident memory of its processes",
    "cuda_graphs": "v1/worker/gpu/cudagraph_utils.py profile_cudagraph_memory; size: public logs of vLLM 0.2x and 0.3x",
    "kv_cache": "v1/worker/gpu_worker.py determine_available_memory",
    "kv_cache_cpu": "v1/worker/cpu_worker.py; the size is given to the engine with --kv-cache-memory-bytes",
    "page": "v1/kv_cache_interface.py",
    "blocks": "v1/core/kv_cache_utils.py get_kv_cache_configs",
    "null": "v1/core/block_pool.py: one block is kept back",
    "record": "boot records of this machine",
    "capacity": "v1/core/kv_cache_utils.py get_kv_cache_capacity",
}
"""Files of vLLM 0.32 below `vllm/`, unless another origin is named."""

_SMALLEST_SHARE = 0.002
"""Tensors that are less of the weights than this are told together."""
_MOST_LAYOUTS = 12


class Tensors(NamedTuple):
    """Equal tensors among the weights of the rank."""

    name: str
    number: int
    bytes_each: int
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One term of the budget, on the rank with the fewest KV blocks."""

    name: str
    value_bytes: int
    low: int
    high: int
    formula: str | None
    """With names of settings and of keys in `config.json`; None for what was measured, not derived."""
    in_numbers: str | None
    source: str
    tensors: tuple[Tensors, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        tensors = [{**t._asdict(), "shape": list(t.shape)} for t in self.tensors]
        return {
            "term": self.name,
            "formula": self.formula,
            "in_numbers": self.in_numbers,
            "value_bytes": self.value_bytes,
            "low": self.low,
            "high": self.high,
            "source": self.source,
            **({"tensors": tensors} if tensors else {}),
        }


class Quantity(NamedTuple):
    """One step from the bytes of the KV cache to tokens and requests."""

    name: str
    value: float
    formula: str | None
    in_numbers: str | None
    source: str


class Tried(NamedTuple):
    """A layout that was looked at, in the order of preference."""

    layout: Layout
    verdict: str
    weight_bytes: int
    tokens_all_engines: int
    max_model_len: int
    chosen: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Everything behind the figures of one plan."""

    terms: tuple[Term, ...]
    kv_cache: tuple[Quantity, ...]
    layouts: tuple[Tried, ...]

    def as_dict(self) -> dict[str, object]:
        """For `--json`: added to the plan's own object."""
        tried = [{**one._asdict(), "layout": layout_dict(one.layout)} for one in self.layouts]
        return {
            "explain": [term.as_dict() for term in self.terms],
            "explain_kv_cache": [quantity._asdict() for quantity in self.kv_cache],
            "explain_layouts": tried,
        }


def explain(model: ModelToPlan, plan: Plan, request: PlanRequest, *, engine: EngineFacts) -> Explanation:
    """What a plan's figures are made of; empty where it has none."""
    if not plan.memory.budget_bytes:
        return Explanation(terms=(), kv_cache=(), layouts=())
    setup = Setup(arch=model.arch, hardware=plan.hardware, layout=plan.layout, settings=plan.settings)
    sizes = memory.measure(model.arch, plan.hardware, plan.layout, plan.settings.kv_cache_dtype)
    rank = min(sizes.ranks, key=lambda rank: memory.estimate(setup, sizes._replace(ranks=(rank,))).blocks)
    found = list(_terms(setup, rank, plan.memory, calibration.find(setup, engine.ref)))
    if plan.hardware.device.platform is Platform.ASCEND:
        found = on_ascend(setup, rank, found, recorded=SOURCES["record"])
    return Explanation(
        terms=tuple(found),
        kv_cache=tuple(_kv_cache(setup, rank, known_of(setup, sizes, engine).estimate)),
        layouts=tuple(_layouts(model, plan, request, engine)),
    )


def _terms(setup: Setup, rank: RankSize, planned: MemoryPerRank, row: Calibration | None) -> Iterator[Term]:
    """The terms in the order of the picture."""
    counted = memory.estimate(traced(setup), _alone(setup, rank)).memory
    cpu = setup.hardware.device.platform is Platform.CPU
    computed = list(_computed(setup, rank, counted))
    parts = [_as_planned(setup, term, planned, row) for term in computed]
    recorded = any(part.source == SOURCES["record"] for part in parts)
    rest = " - ".join(["budget", *(part.name for part in parts)])
    numbers = " - ".join([f"{planned.budget_bytes}", *(f"{part.value_bytes}" for part in parts)])
    budget, seen = (
        _as_planned(setup, _term("budget", counted.budget_bytes, 0), planned, row),
        setup.hardware.device.source,
    )
    if not cpu and not recorded:
        budget = replace(budget, low=planned.kv_cache_bytes_low + sum(part.high for part in parts))
    yield replace(budget, source=budget.source if cpu or not seen else f"{budget.source}; visible memory: {seen}")
    yield from parts
    as_computed = cpu and counted.kv_cache_bytes == planned.kv_cache_bytes
    yield Term(
        name="kv_cache",
        value_bytes=planned.kv_cache_bytes,
        low=planned.kv_cache_bytes_low,
        high=planned.kv_cache_bytes_high,
        formula=formula(counted.kv_cache_bytes) if as_computed else rest,
        in_numbers=in_numbers(counted.kv_cache_bytes) if as_computed else numbers,
        source=SOURCES["kv_cache_cpu" if cpu else "kv_cache"],
    )


def _alone(setup: Setup, rank: RankSize) -> Sizes:
    sizes = memory.measure(setup.arch, setup.hardware, setup.layout, setup.settings.kv_cache_dtype)
    return sizes._replace(ranks=(rank,))


def _computed(setup: Setup, rank: RankSize, counted: MemoryPerRank) -> Iterator[Term]:
    """What is taken from the budget, as computed; `counted` carries the formulas."""
    cpu = setup.hardware.device.platform is Platform.CPU
    scratch = counted.buffer_bytes + counted.activation_bytes
    scratch_error = min(terms.SCRATCH_ERROR_BYTES, scratch)
    of_buffers = scratch_error * counted.buffer_bytes // scratch if scratch else 0
    yield _weights(setup, rank, int(rank.weight_bytes * terms.WEIGHT_ERROR))
    yield _term("buffers", counted.buffer_bytes, of_buffers)
    yield _term("activation", counted.activation_bytes, scratch_error - of_buffers)
    if cpu:
        yield _measured("processes", counted.non_torch_bytes, terms.cpu_processes(setup.layout))
        return
    yield _measured("non_torch", counted.non_torch_bytes, terms.non_torch(setup.arch, setup.layout))
    yield _measured("cuda_graphs", counted.cudagraph_bytes, terms.cuda_graphs(setup.arch, setup.settings))


_PLANNED = {
    "budget": "budget_bytes",
    "weights": "weight_bytes",
    "buffers": "buffer_bytes",
    "activation": "activation_bytes",
    "processes": "non_torch_bytes",
    "non_torch": "non_torch_bytes",
    "cuda_graphs": "cudagraph_bytes",
}


def _as_planned(setup: Setup, term: Term, planned: MemoryPerRank, row: Calibration | None) -> Term:
    """The term, or what a calibration or a boot record put in its place."""
    value = getattr(planned, _PLANNED[term.name])
    special = None
    if row is not None and term.name in ("non_torch", "cuda_graphs"):
        special = row.non_torch if term.name == "non_torch" else calibration.graphs(setup, row)
    if row is not None and special is not None and special.likely == value:
        return replace(term, value_bytes=value, low=special.low, high=special.high, source=row.source)
    if value == term.value_bytes:
        return term
    known = {"value_bytes": value, "low": value, "high": value, "source": SOURCES["record"]}
    return replace(term, **known, formula=None, in_numbers=None, tensors=())


def _term(name: str, value: int, error: int) -> Term:
    return Term(
        name=name,
        value_bytes=int(value),
        low=int(value) - int(error),
        high=int(value) + int(error),
        formula=formula(value),
        in_numbers=in_numbers(value),
        source=SOURCES[name],
    )


def _measured(name: str, value: int, found: terms.Range) -> Term:
    return replace(_term(name, value, 0), formula=None, in_numbers=None, low=found.low, high=found.high)


def _weights(setup: Setup, rank: RankSize, error: int) -> Term:
    """The tensors of the rank, the largest first; they add up to the weights that were planned with."""
    weights = loaded_weights(setup, rank.pp_rank)
    groups = sorted(weights.groups, key=lambda group: -group.total_bytes)
    large = [group for group in groups if group.total_bytes >= _SMALLEST_SHARE * weights.bytes]
    tensors = [Tensors(group.name, group.count, group.bytes_each, group.shape) for group in large]
    small = groups[len(large) :]
    if small:
        tensors.append(Tensors("others", 1, sum(group.total_bytes for group in small), ()))
    if rounding := rank.weight_bytes - weights.bytes:
        tensors.append(Tensors("allocator rounding", 1, rounding, ()))
    return Term(
        name="weights",
        value_bytes=rank.weight_bytes,
        low=rank.weight_bytes - error,
        high=rank.weight_bytes + error,
        formula=" + ".join(tensor.name for tensor in tensors),
        in_numbers=" + ".join(f"{tensor.number} * {tensor.bytes_each}" for tensor in tensors),
        source=SOURCES["weights"],
        tensors=tuple(tensors),
    )


def _kv_cache(setup: Setup, rank: RankSize, estimate: Estimate) -> Iterator[Quantity]:
    """From bytes per token and layer to requests at once, as the engine counts.

    Each formula is computed beside the figure that was planned with, and left out where it does not give that.
    """
    kv, length = estimate.kv_cache, traced(setup.settings.max_model_len, "max_model_len")
    layers = traced(rank.kv.layers, "layers")
    per_layer = kv_bytes_per_layer(traced(setup.arch), traced(setup.layout), setup.settings)
    if per_layer is not None and per_layer * layers == kv.bytes_per_token:
        yield _quantity("bytes_per_token_and_layer", int(per_layer), per_layer, "page")
        per_token = traced(int(per_layer), "bytes_per_token_and_layer") * layers
    else:
        per_token = traced(kv.bytes_per_token, "bytes_per_token")
    yield _quantity("bytes_per_token", kv.bytes_per_token, per_token, "page")
    per_token, block_size = traced(kv.bytes_per_token, "bytes_per_token"), traced(kv.block_size, "block_size")
    yield _quantity("bytes_per_block", estimate.bytes_per_block, per_token * block_size, "page")
    left, per_block = (
        traced(estimate.memory.kv_cache_bytes, "kv_cache"),
        traced(estimate.bytes_per_block, "bytes_per_block"),
    )
    yield _quantity("blocks", estimate.blocks, left // per_block if left > 0 else 0, "blocks")
    yield Quantity("null_blocks", 1, None, None, SOURCES["null"])
    per_request = -(-length // block_size)
    if kv.bytes_per_request_fixed:
        per_request = per_request + -(-traced(kv.bytes_per_request_fixed, "bytes_per_request_fixed") // per_block)
    yield _quantity("blocks_per_request", estimate.blocks_per_request, per_request, "capacity")
    blocks, each = traced(estimate.blocks, "blocks"), traced(estimate.blocks_per_request, "blocks_per_request")
    yield _quantity("tokens", kv.tokens, math.floor(blocks / each * length), "capacity")
    yield _quantity("requests", kv.max_concurrency, blocks / each, "capacity")


def _quantity(name: str, value: float, computed: float, source: str) -> Quantity:
    """With its formula where that gives the figure; requests are rounded to two digits."""
    same = round(float(computed), 2) == round(float(value), 2)
    text, numbers = (formula(computed), in_numbers(computed)) if same else (None, None)
    return Quantity(name, value, text, numbers, SOURCES[source])


def _layouts(model: ModelToPlan, plan: Plan, request: PlanRequest, engine: EngineFacts) -> Iterator[Tried]:
    """The legal layouts in the order in which they are tried, each with what it comes to."""
    possible = layouts.candidates(model.arch, plan.hardware, request)
    shown = possible[:_MOST_LAYOUTS] + ([plan.layout] if plan.layout not in possible[:_MOST_LAYOUTS] else [])
    for layout in shown:
        setup, estimate, _ = evaluate(model, plan.hardware, request, layout, engine)
        yield Tried(
            layout=layout,
            verdict=estimate.verdict.value,
            weight_bytes=estimate.memory.weight_bytes,
            tokens_all_engines=estimate.kv_cache.tokens * layout.data_parallel_size,
            max_model_len=setup.settings.max_model_len,
            chosen=layout == plan.layout,
        )
