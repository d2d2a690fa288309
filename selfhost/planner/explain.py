"""Where each figure of a plan comes from: formula, numbers, range and source, for someone who checks it by hand.

The formulas are those of the planner itself: `memory.estimate` is called once more with numbers that remember how they
were computed (`planner/trace.py`). What it takes as given (tensors of a rank, KV layout) is listed. A figure that the
plan has from elsewhere, a calibration or a boot record of this machine, has no formula and says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.planner import calibration, encoder, layouts, memory, terms
from selfhost.planner.choose import evaluate, known_of
from selfhost.planner.contract import layout_dict
from selfhost.planner.dimensions import loaded_weights
from selfhost.planner.explain_ascend import on_ascend
from selfhost.planner.explain_kv import kv_cache
from selfhost.planner.terms import Setup
from selfhost.planner.trace import formula, in_numbers, traced
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.planner.calibration import Calibration
    from selfhost.planner.held import RankSize
    from selfhost.planner.memory import Sizes
    from selfhost.planner.plan import EngineFacts, Layout, MemoryPerRank, ModelToPlan, Plan, PlanRequest
    from selfhost.planner.quantity import Quantity

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
    "record": "boot records of this machine",
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
    encoder: tuple[Quantity, ...] = ()
    """What is profiled of images; empty for a model that sees none."""

    def as_dict(self) -> dict[str, object]:
        """For `--json`: added to the plan's own object."""
        tried = [{**one._asdict(), "layout": layout_dict(one.layout)} for one in self.layouts]
        return {
            "explain": [term.as_dict() for term in self.terms],
            "explain_kv_cache": [quantity._asdict() for quantity in self.kv_cache],
            "explain_layouts": tried,
            "explain_encoder": [quantity._asdict() for quantity in self.encoder],
        }


def explain(model: ModelToPlan, plan: Plan, request: PlanRequest, *, engine: EngineFacts) -> Explanation:
    """What a plan's figures are made of; empty where it has none."""
    if not plan.memory.budget_bytes:
        return Explanation(terms=(), kv_cache=(), layouts=())
    setup = Setup(arch=model.arch, hardware=plan.hardware, layout=plan.layout, settings=plan.settings)
    sizes = memory.sizes_of(setup)
    rank = min(sizes.ranks, key=lambda rank: memory.estimate(setup, sizes._replace(ranks=(rank,))).blocks)
    found = list(_terms(setup, rank, plan.memory, calibration.find(setup, engine.ref)))
    if plan.hardware.device.platform is Platform.ASCEND:
        found = on_ascend(setup, rank, found, recorded=SOURCES["record"])
    return Explanation(
        terms=tuple(found),
        kv_cache=tuple(kv_cache(setup, rank, known_of(setup, sizes, engine).estimate)),
        layouts=tuple(_layouts(model, plan, request, engine)),
        encoder=tuple(encoder.quantities(setup)) if rank.pp_rank == 0 else (),
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
    sizes = memory.sizes_of(setup)
    return sizes._replace(ranks=(rank,))


def _computed(setup: Setup, rank: RankSize, counted: MemoryPerRank) -> Iterator[Term]:
    """What is taken from the budget, as computed; `counted` carries the formulas."""
    cpu = setup.hardware.device.platform is Platform.CPU
    scratch = counted.buffer_bytes + counted.activation_bytes
    scratch_error = min(terms.SCRATCH_ERROR_BYTES, scratch)
    of_buffers = scratch_error * counted.buffer_bytes // scratch if scratch else 0
    yield _weights(setup, rank, int(rank.weight_bytes * terms.WEIGHT_ERROR))
    yield _term("buffers", counted.buffer_bytes, of_buffers)
    yield _activation(setup, rank, counted.activation_bytes, scratch_error - of_buffers)
    if cpu:
        yield _measured("processes", counted.non_torch_bytes, terms.cpu_processes(setup.layout))
        return
    yield _measured("non_torch", counted.non_torch_bytes, terms.non_torch(setup))
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


def _activation(setup: Setup, rank: RankSize, value: int, error: int) -> Term:
    """With the range of what a vision tower holds, where that decides."""
    peak = memory.activation_peak(setup, rank.pp_rank, memory.sizes_of(setup).caches.block_size)
    term = _term("activation", value, error)
    seen = f"{term.source}, v1/worker/gpu/mm/encoder_runner.py" if setup.arch.tower_mode else term.source
    low, high = term.low - (peak.likely - peak.low), term.high + (peak.high - peak.likely)
    return replace(term, low=low, high=high, source=seen)


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
