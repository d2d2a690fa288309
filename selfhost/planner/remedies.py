"""What to change when the answer is no; each change was planned itself before it is offered."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.hardware import catalog
from selfhost.hardware.types import Hardware, Platform
from selfhost.planner import encoder, layouts
from selfhost.planner.choose import make_plan
from selfhost.planner.plan import Remedy, Verdict
from selfhost.planner.settings import GPU_MEMORY_UTILIZATION, MAX_GPU_MEMORY_UTILIZATION
from selfhost.planner.support import halves_with_fp8

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.planner.plan import EngineFacts, ModelToPlan, Plan, PlanRequest

LIMIT = 5
_SMALL_BATCH = {"max_num_seqs": 128, "max_num_batched_tokens": 2048}
_SMALL_BATCH_ASCEND = {"max_num_seqs": 16, "max_num_batched_tokens": 1024}
_WORTH_HAVING_TOKENS = 1024
"""A shorter context than this is not offered: hardly a chat fits."""
_NODES = (2, 4)
_INSTEAD_OF_CPU = {"RTX4090-24G": (1,), "A800-80G": (1, 2, 4, 8), "H200-141G": (8,)}
"""Common GPUs, the smallest first."""


def find_remedies(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, plan: Plan, *, engine: EngineFacts
) -> tuple[Remedy, ...]:
    """At most five changes that make it fit: another layout, a shorter context, other settings, more devices.

    A plan that is tight gets those that make it fit at the low bound too.
    """
    tight = plan.verdict is Verdict.TIGHT

    def attempt(change: str, asked: PlanRequest, on: Hardware = hardware, served: ModelToPlan = model) -> Remedy | None:
        tried = make_plan(served, on, asked, engine=engine, with_remedies=False)
        good = tried.verdict is Verdict.FITS if tight else tried.fits
        return Remedy(change=change, fits=True, max_model_len=tried.settings.max_model_len) if good else None

    found: list[Remedy] = []
    more = (attempt(f"--on {on.text}", request, on) for on in _more_devices(hardware))
    whole = (attempt(change, request, served=served) for change, served in encoder.whole_tower(model))
    if not plan.memory.budget_bytes:
        # Nothing legal was asked for: only another layout helps, or the devices it takes.
        found += [remedy for remedy in whole if remedy]
        found += _other_layout(model, hardware, request, engine)
        return (*found, *[remedy for remedy in more if remedy][:1]) if _too_few(plan) else tuple(found)
    if not tight and (shorter := _shorter(model, hardware, request, plan, engine)):
        found.append(shorter)
    found += _first_that_fits(attempt(*change) for change in _settings_changes(model, hardware, request, plan))
    less = (attempt(change, request, served=served) for change, served in encoder.less_to_see(model))
    found += [remedy for remedy in (*whole, *less) if remedy][:1]
    if not layouts.asked(request):
        found += [remedy for remedy in more if remedy][:1]
    return tuple(found[:LIMIT])


def _too_few(plan: Plan) -> bool:
    return plan.layout.world_size > plan.hardware.device_count


def _other_layout(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, engine: EngineFacts
) -> Iterator[Remedy]:
    free = replace(
        request,
        tensor_parallel_size=None,
        pipeline_parallel_size=None,
        data_parallel_size=None,
        enable_expert_parallel=None,
    )
    tried = make_plan(model, hardware, free, engine=engine, with_remedies=False)
    if tried.fits:
        layout = tried.layout
        change = f"--tensor-parallel-size {layout.tensor_parallel_size}"
        if layout.pipeline_parallel_size > 1:
            change += f" --pipeline-parallel-size {layout.pipeline_parallel_size}"
        if layout.data_parallel_size > 1:
            change += f" --data-parallel-size {layout.data_parallel_size}"
        if layout.enable_expert_parallel:
            change += " --enable-expert-parallel"
        # What was asked for and is not part of it has to be taken back.
        if request.enable_expert_parallel and not layout.enable_expert_parallel:
            change += " --no-enable-expert-parallel"
        if (request.data_parallel_size or 1) > 1 and layout.data_parallel_size == 1:
            change += " --data-parallel-size 1"
        if (request.pipeline_parallel_size or 1) > 1 and layout.pipeline_parallel_size == 1:
            change += " --pipeline-parallel-size 1"
        yield Remedy(change=change, fits=True, max_model_len=tried.settings.max_model_len)


def _shorter(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, plan: Plan, engine: EngineFacts
) -> Remedy | None:
    """The longest context that fits with everything else as it was asked for."""
    asked = replace(request, auto_max_model_len=True, max_model_len=None)
    limit = replace(model, max_model_len=min(model.max_model_len, plan.settings.max_model_len))
    tried = make_plan(limit, hardware, asked, engine=engine, with_remedies=False)
    length = tried.settings.max_model_len
    if not tried.fits or length < _WORTH_HAVING_TOKENS or length >= plan.settings.max_model_len:
        return None
    return Remedy(change=f"--max-model-len {length}", fits=True, max_model_len=length)


def _first_that_fits(attempts: Iterator[Remedy | None]) -> list[Remedy]:
    """The first two: the changes come with the least intrusive first, and combinations last."""
    found: list[Remedy] = []
    for remedy in attempts:
        if remedy:
            found.append(remedy)
        if len(found) == 2:  # noqa: PLR2004
            break
    return found


def _settings_changes(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, plan: Plan
) -> Iterator[tuple[str, PlanRequest, Hardware]]:
    """Settings that keep the context, single ones first; what was asked for explicitly is not touched."""
    single: list[tuple[str, dict[str, object]]] = []
    settings, ascend_npu = plan.settings, hardware.device.platform is Platform.ASCEND
    if hardware.device.platform is not Platform.CPU and request.gpu_memory_utilization is None:
        value = MAX_GPU_MEMORY_UTILIZATION
        if hardware.free_memory_bytes:
            # What other processes leave; a hundredth for the context and the communication of this one.
            free = min(hardware.free_memory_bytes[: plan.layout.world_size]) / hardware.visible_memory_bytes
            value = min(value, max(0.01, math.floor(free * 100 - 1) / 100))
        single.append((f"--gpu-memory-utilization {value}", {"gpu_memory_utilization": value}))
    if ascend_npu and (request.gpu_memory_utilization or 0) > GPU_MEMORY_UTILIZATION:
        # Asked for, and too high: graphs come on top of the budget.
        value = GPU_MEMORY_UTILIZATION
        single.append((f"--gpu-memory-utilization {value}", {"gpu_memory_utilization": value}))
    small = dict(_SMALL_BATCH_ASCEND if ascend_npu else _SMALL_BATCH)
    # A step has a token for each request: with many requests asked for, fewer tokens are no setting at all.
    small["max_num_batched_tokens"] = max(small["max_num_batched_tokens"], request.max_num_seqs or 0)
    smaller = {
        name: value
        for name, value in small.items()
        if getattr(request, name) is None and getattr(settings, name) > value
    }
    if smaller:
        flags = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in smaller.items())
        single.append((flags, dict(smaller)))
    if request.kv_cache_dtype is None and halves_with_fp8(model, hardware):
        single.append(("--kv-cache-dtype fp8", {"kv_cache_dtype": "fp8"}))
    for size in range(1, len(single) + 1):
        for start in range(len(single) - size + 1):
            part = single[start : start + size]
            values = {name: value for _, change in part for name, value in change.items()}
            yield " ".join(flag for flag, _ in part), replace(request, **values), hardware  # type: ignore[arg-type]


def _more_devices(hardware: Hardware) -> Iterator[Hardware]:
    """The same devices, twice as many each time: first in the node, then more nodes. For a CPU: GPUs."""
    if hardware.device.platform is Platform.CPU:
        for name, counts in _INSTEAD_OF_CPU.items():
            if device := catalog.lookup(name):
                visible = device.visible_memory_bytes or 0
                yield from (Hardware(device=device, devices_per_node=n, visible_memory_bytes=visible) for n in counts)
        return
    hardware = replace(hardware, free_memory_bytes=())
    count = hardware.devices_per_node * 2
    while count <= hardware.device.devices_per_node and hardware.nodes == 1:
        yield replace(hardware, devices_per_node=count, assumed=True)
        count *= 2
    for nodes in _NODES:
        if nodes > hardware.nodes:
            per_node = max(hardware.devices_per_node, hardware.device.devices_per_node)
            yield replace(hardware, nodes=nodes, devices_per_node=per_node, assumed=True)
