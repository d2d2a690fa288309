"""What a plan holds: the longest context, requests of several lengths at once, the stages, and how fast at most."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from selfhost.planner import memory
from selfhost.planner.choose import by_length, known_of, longest
from selfhost.planner.contract import memory_dict
from selfhost.planner.plan import Verdict
from selfhost.planner.speed import speed
from selfhost.planner.terms import Setup
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.planner.plan import EngineFacts, MemoryPerRank, ModelToPlan, Plan, PlanRequest
    from selfhost.planner.speed import Speed

LENGTHS = (4096, 8192, 32768)
"""Of requests, beside the planned context: a question, a conversation, a document."""


class Load(NamedTuple):
    """Requests of one length that run at once."""

    tokens_each: int
    requests_per_engine: int
    """At most `max_num_seqs`: more would wait."""
    requests_all_engines: int


class Stage(NamedTuple):
    """One rank of a pipeline stage."""

    pipeline_rank: int
    memory: MemoryPerRank
    blocks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """The answer beyond yes or no."""

    longest_max_model_len: int | None
    """With these settings in this layout, at most what the model was made for; None when not even one block fits."""
    engines: int
    tokens_all_engines: int
    loads: tuple[Load, ...]
    stages: tuple[Stage, ...]
    speed: Speed | None
    """None where the plan does not fit."""

    def as_dict(self) -> dict[str, object]:
        """For `--json`: added to the plan's own object."""
        return {
            "capacity": {
                "longest_max_model_len": self.longest_max_model_len,
                "engines": self.engines,
                "tokens_all_engines": self.tokens_all_engines,
                "requests": [load._asdict() for load in self.loads],
            },
            "stages": [_stage_dict(stage) for stage in self.stages],
            "speed": None if self.speed is None else self.speed.as_dict(),
        }


def _stage_dict(stage: Stage) -> dict[str, int]:
    return {
        "pipeline_rank": stage.pipeline_rank,
        **memory_dict(stage.memory),
        "blocks": stage.blocks,
    }


def capacity(model: ModelToPlan, plan: Plan, request: PlanRequest, *, engine: EngineFacts) -> Capacity | None:
    """What a plan holds; None where it has no figures. What this machine measured counts, as in the plan itself.

    The stages are as computed: a boot record is of one rank.
    """
    if not plan.memory.budget_bytes:
        return None
    setup = Setup(arch=model.arch, hardware=plan.hardware, layout=plan.layout, settings=plan.settings)
    sizes = memory.sizes_of(setup)
    alone = replace(engine, boots=())
    stages = [(rank, known_of(setup, sizes._replace(ranks=(rank,)), alone).estimate) for rank in sizes.ranks]
    fewest = known_of(setup, sizes, engine).estimate
    engines, most = plan.layout.data_parallel_size, plan.settings.max_num_seqs
    loads = []
    for length in (
        *(length for length in LENGTHS if length < plan.settings.max_model_len),
        plan.settings.max_model_len,
    ):
        # The same arithmetic as for the whole context; only the blocks of a request are taken from it.
        shorter = setup._replace(settings=replace(plan.settings, max_model_len=length))
        needed = memory.estimate(shorter, sizes).blocks_per_request
        at_once = min(most, max(0, fewest.blocks - 1) // needed)
        loads.append(Load(length, at_once, at_once * engines))
    return Capacity(
        longest_max_model_len=_longest(model, plan, request, engine),
        engines=engines,
        tokens_all_engines=plan.tokens_all_engines,
        loads=tuple(loads),
        stages=tuple(Stage(rank.pp_rank, estimate.memory, estimate.blocks) for rank, estimate in stages),
        speed=speed(setup, max(1, loads[-1].requests_per_engine)) if plan.fits else None,
    )


def _longest(model: ModelToPlan, plan: Plan, request: PlanRequest, engine: EngineFacts) -> int | None:
    at, step = by_length(model, plan.hardware, request, plan.layout, engine)
    # Longer than the model was made for only where the engine was told to stretch it, and would take it.
    asked = 0 if plan.verdict is Verdict.UNSUPPORTED else plan.settings.max_model_len
    limit = max(model.arch.max_position_embeddings, asked)
    return longest(at, limit, step)
