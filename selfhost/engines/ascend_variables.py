"""Variables that vllm-ascend 0.23.0 is started with, by chip family, layout and nodes; of addresses see `render`.

Sources: the source of vllm-ascend 0.23.0, named where a variable is set, and its tutorials
(docs/source/tutorials/models/). None of it has run on a device here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines import patience, vllm
from selfhost.planner import ascend_terms
from selfhost.planner.layouts import nodes_used
from selfhost.planner.terms import Setup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.planner.plan import ModelToPlan, Plan

VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"
"""Counts as the process does (logical ids): in a container from 0, whatever the host calls its devices."""
_ALLOCATOR = "PYTORCH_NPU_ALLOC_CONF"
_DEEPSEEK_V4 = "DeepseekV4ForCausalLM"


def variables(plan: Plan, model: ModelToPlan, argv: Sequence[str] = ()) -> dict[str, str]:
    """The variables of a plan. argv: its command, as some options of the engine exclude a variable."""
    values = {name: value for name, value in vllm.environment(plan).items() if not name.startswith("CUDA_")}
    if "--enable-sleep-mode" not in argv:
        # Sleeping gives memory back by an allocator that cannot have it (platform.py `check_and_update_config`).
        values[_ALLOCATOR] = "expandable_segments:True"
    values |= _host(model)
    if ids := plan.hardware.logical_ids[: plan.layout.world_size]:
        values[VISIBLE] = ",".join(map(str, ids))
    if plan.layout.world_size > 1:
        values |= _between_ranks(plan, model)
    return values


def _host(model: ModelToPlan) -> dict[str, str]:
    """Threads of the host: operators are queued by one, and libraries take no more than the image of the plugin says.

    DeepSeek-V4 has ten in its tutorial. Source: Dockerfile of vllm-ascend 0.23.0, its tutorials.
    """
    threads = "10" if model.arch.architecture == _DEEPSEEK_V4 else "1"
    return {"TASK_QUEUE_ENABLE": "1", "OMP_PROC_BIND": "false", "OMP_NUM_THREADS": threads}


def _between_ranks(plan: Plan, model: ModelToPlan) -> dict[str, str]:
    family, layout = plan.hardware.device.family, plan.layout
    values = patience.hccl(patience.ready_s(plan.weight_bytes_total))
    setup = Setup(arch=model.arch, hardware=plan.hardware, layout=layout, settings=plan.settings)
    if size := ascend_terms.buffer_mib(setup):
        values["HCCL_BUFFSIZE"] = str(size)
    if family == "A3":
        # Collectives by the vector cores: in every tutorial for A3; on A2 they say that it is not needed.
        values["HCCL_OP_EXPANSION_MODE"] = "AIV"
    several = nodes_used(plan.hardware, layout) > 1
    if family == "A2" and several and ascend_terms.dispatch(family, model.arch, layout).decode_by_kernel:
        # Dispatch in two steps, within the node and then between nodes (ops/fused_moe/token_dispatcher.py).
        values |= {"HCCL_INTRA_PCIE_ENABLE": "1", "HCCL_INTRA_ROCE_ENABLE": "0"}
    return values
