"""Why the verdict is what it is, as sentences with their numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.planner import ascend, encoder, layouts
from selfhost.planner.settings import shares_experts
from selfhost.quant.schemes import is_weight_only
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from selfhost.hardware.types import Hardware
    from selfhost.planner.memory import Estimate
    from selfhost.planner.plan import Layout, ModelToPlan, Plan, PlanRequest
    from selfhost.planner.terms import Setup


def reasons(
    model: ModelToPlan, request: PlanRequest, setup: Setup, estimate: Estimate, *, why: str | None = None
) -> list[str]:
    """Layout, weights against what is usable, KV cache against what one request needs; `why`: of the layout."""
    found = [why or _layout(request, setup), _weights(setup, estimate)]
    if request.goal is not None and why is None:
        found.insert(1, text("plan.goal_no_choice", goal=request.goal.value))
    if shares_experts(setup.arch, setup.layout, request):
        found.append(text("plan.goal_batch", tokens=setup.settings.max_num_batched_tokens))
    found += _loaded(setup)
    if seen := encoder.told(setup):
        found.append(seen)
    if request.wants_longest:
        found.append(text("plan.auto_length", length=setup.settings.max_model_len, limit=model.max_model_len))
    found.append(_kv(setup, estimate))
    if setup.hardware.device.platform is Platform.ASCEND:
        found += ascend.reasons(setup)
        if beside := ascend.beside(setup, estimate.left_bytes, estimate.left_bytes_low):
            # Before all others when it stands against the plan: the cache may be large enough, and still no start.
            found.insert(0 if estimate.left_bytes < 0 else len(found), beside)
    if setup.hardware.device.platform is Platform.CPU:
        if not setup.hardware.assumed:
            found.insert(0, text("plan.no_accelerator"))
        found.append(text("plan.cpu_wheel"))
    return [*found, *_large_node(setup.hardware), *nodes(setup.hardware, setup.layout)]


def _large_node(hardware: Hardware) -> list[str]:
    """That servers of so many devices are not usual: `16xH20` may have been meant as two of eight."""
    usual, count = hardware.device.devices_per_node, hardware.devices_per_node
    if not hardware.assumed or count <= usual or count % usual or hardware.device.platform is Platform.CPU:
        return []
    several = replace(hardware, nodes=hardware.nodes * count // usual, devices_per_node=usual).text
    return [text("plan.large_node", count=count, device=hardware.device.name, usual=usual, several=several)]


def _loaded(setup: Setup) -> list[str]:
    """What is particular about the weights: FP8 without arithmetic for it, layers that draft."""
    found, draft = [], setup.arch.loaded_draft
    if is_weight_only(setup.arch.quantization, setup.hardware.device):
        found.append(text("plan.weight_only", device=setup.hardware.device.name))
    if draft:
        tokens = setup.settings.num_speculative_tokens
        found.append(text("plan.draft_layers", layers=len(draft.layers), tokens=tokens))
    return found


def _layout(request: PlanRequest, setup: Setup) -> str:
    hardware, layout = setup.hardware, setup.layout
    name, used, count = layouts.describe(layout), layout.world_size, hardware.device_count
    if hardware.device.platform is Platform.CPU:
        return text("plan.layout_cpu", layout=name)
    if layouts.asked(request):
        return text("plan.layout_asked", layout=name, used=used, count=count)
    if used == count:
        return text("plan.layout_all", layout=name, hardware=hardware.text)
    if not hardware.assumed and not hardware.named:
        return text("plan.layout_fewest", layout=name, used=used, count=count)
    return text("plan.layout_some", layout=name, used=used, count=count, why=_why_not_all(setup))


def _why_not_all(setup: Setup) -> str:
    """What stands against tensor parallel over all devices of a node."""
    hardware = setup.hardware
    whole = replace(setup.layout, tensor_parallel_size=hardware.devices_per_node, pipeline_parallel_size=hardware.nodes)
    found = layouts.problems(setup.arch, hardware, whole)
    return found[0].what if found else text("plan.more_do_not_help")


def _weights(setup: Setup, estimate: Estimate) -> str:
    hardware = setup.hardware
    return text(
        "plan.weights",
        need=format_bytes(estimate.memory.weight_bytes),
        per=unit(hardware),
        layout=layouts.describe(setup.layout),
        usable=format_bytes(estimate.usable_bytes),
        fraction=f"{setup.settings.gpu_memory_utilization:g}",
        visible=format_bytes(hardware.visible_memory_bytes),
    )


def _kv(setup: Setup, estimate: Estimate) -> str:
    memory, kv, length = estimate.memory, estimate.kv_cache, setup.settings.max_model_len
    needs, per = format_bytes(estimate.request_bytes), unit(setup.hardware)
    if memory.kv_cache_bytes <= 0:
        return text("plan.kv_nothing", per=per, over=format_bytes(-memory.kv_cache_bytes), needs=needs, length=length)
    left = format_bytes(memory.kv_cache_bytes)
    if not estimate.holds:
        return text("plan.kv_short", per=per, left=left, needs=needs, length=length)
    if not estimate.surely_holds:
        low = format_bytes(memory.kv_cache_bytes_low)
        return text("plan.kv_tight", per=per, left=left, low=low, needs=needs, length=length)
    return text(
        "plan.kv_fits",
        per=per,
        left=left,
        tokens=kv.tokens,
        requests=kv.max_concurrency,
        length=length,
    )


def short_of(plan: Plan) -> str:
    """What a rank needs, has and lacks, for a plan that does not fit."""
    usable = plan.memory.budget_bytes
    if plan.hardware.device.platform is Platform.CPU:
        # The budget of a CPU is what is needed, not what there is.
        usable = int(plan.hardware.visible_memory_bytes * plan.settings.gpu_memory_utilization)
        usable //= plan.layout.world_size
    need = plan.memory.budget_bytes + plan.missing_bytes
    return text(
        "plan.missing",
        need=format_bytes(need),
        length=plan.settings.max_model_len,
        per=unit(plan.hardware),
        usable=format_bytes(usable),
        lacks=format_bytes(need - usable),
    )


def in_use(hardware: Hardware, layout: Layout, budget_bytes: int) -> str | None:
    """Why a plan cannot start now: others leave less of a GPU than its budget; None when they do not.

    The engine refuses to start then (vLLM 0.32 v1/worker/utils.py `request_memory`), whatever the model needs.
    """
    free = hardware.free_memory_bytes[: layout.world_size]
    short = [number for number, left in enumerate(free) if left < budget_bytes]
    if not short:
        return None
    left, names = min(free), hardware.device_names or range(len(free))
    values = {
        "devices": ", ".join(str(names[number]) for number in short),
        "used": format_bytes(hardware.visible_memory_bytes - left),
        "left": format_bytes(left),
        "budget": format_bytes(budget_bytes),
    }
    if servers := list(dict.fromkeys(filter(None, (hardware.held_by[number] for number in short if hardware.held_by)))):
        return text("plan.in_use_servers", unit=unit(hardware), servers=", ".join(servers), **values)
    return text("plan.in_use_npu" if hardware.device.platform is Platform.ASCEND else "plan.in_use", **values)


def nodes(hardware: Hardware, layout: Layout) -> list[str]:
    """What the command of a plan for several nodes leaves open."""
    count = layouts.nodes_used(hardware, layout)
    if count == 1:
        return []
    ranks = "1" if count == 2 else f"1 to {count - 1}"  # noqa: PLR2004
    if (engines := layout.data_parallel_size) > 1:
        local, port = engines // count, layouts.DATA_PARALLEL_RPC_PORT
        starts = ", ".join(str(node * local) for node in range(1, count))
        found = [
            text("plan.first_node_engines", first=layouts.FIRST_NODE, port=port, local=local, engines=engines),
            text("plan.other_nodes_engines", ranks=ranks, count=count, starts=starts),
        ]
    else:
        found = [
            text("plan.first_node", first=layouts.FIRST_NODE, port=layouts.MASTER_PORT),
            text("plan.other_nodes", ranks=ranks, count=count),
        ]
    return [*found, text("plan.ascend_network")] if hardware.device.platform is Platform.ASCEND else found


def unit(hardware: Hardware) -> str:
    """What a rank runs on, for people."""
    return {Platform.CPU: "worker", Platform.ASCEND: "NPU"}.get(hardware.device.platform or Platform.CUDA, "GPU")
