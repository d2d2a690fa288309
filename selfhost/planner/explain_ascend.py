"""Where figures of a plan for Ascend come from: other sources and ranges, and graphs beside the budget."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.planner import ascend_terms
from selfhost.planner.memory import visible_low

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.planner.explain import Term
    from selfhost.planner.held import RankSize
    from selfhost.planner.terms import Range, Setup

_GRAPHS = "npu_graphs"
_SOURCES = {
    "budget": "worker/worker.py _init_device",
    "weights": "ops/ and quantization/ over vLLM 0.23's model classes; memory as allocated: torch_npu",
    "buffers": "worker/model_runner_v1.py; on 310P also half of what is left: _310p/worker_310p.py",
    "activation": "worker/model_runner_v1.py profile_run, ops/fused_moe/",
    "non_torch": "distributed/parallel_state.py and HCCL_BUFFSIZE, and public logs: what runtime and kernels take",
    _GRAPHS: "public logs; beside the budget, the engine does not subtract them",
    "kv_cache": "worker/worker.py determine_available_memory",
}
"""Files of vllm-ascend 0.23 below `vllm_ascend/`, unless another origin is named."""


def on_ascend(setup: Setup, rank: RankSize, terms: Sequence[Term], *, recorded: str) -> list[Term]:
    """The terms of the common explanation as they are on Ascend; those of source `recorded` stay."""
    found = {term.name: term for term in terms}
    graphs = replace(found.pop("cuda_graphs"), name=_GRAPHS)
    ranges: dict[str, Range] = {
        "activation": ascend_terms.activation_peak(setup, rank.pp_rank),
        "non_torch": ascend_terms.non_torch(setup),
        _GRAPHS: ascend_terms.graphs(setup.arch, setup.layout, eager=setup.settings.enforce_eager),
    }
    budget = found["budget"]
    low = math.floor(visible_low(setup.hardware) * setup.settings.gpu_memory_utilization)
    *_, seen = budget.source.partition("; visible memory: ")
    parts = [part for name, part in found.items() if name not in ("budget", "kv_cache")]
    found["budget"] = replace(budget, low=low, high=budget.value_bytes)
    found["buffers"] = replace(found["buffers"], low=found["buffers"].value_bytes, high=found["buffers"].value_bytes)
    found["kv_cache"] = replace(
        found["kv_cache"],
        formula=" - ".join(["budget", *(part.name for part in parts)]),
        in_numbers=" - ".join(f"{part.value_bytes}" for part in (budget, *parts)),
    )
    told = []
    for term in (*found.values(), graphs):
        if term.source != recorded:
            limits = ranges.get(term.name)
            term = replace(term, source=_SOURCES[term.name])  # noqa: PLW2901
            told.append(replace(term, low=limits.low, high=limits.high) if limits else term)
        else:
            told.append(term)
    if seen:
        told[0] = replace(told[0], source=f"{told[0].source}; visible memory: {seen}")
    return told
