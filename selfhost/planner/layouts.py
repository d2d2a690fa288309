"""Legal layouts of a model on given hardware, in the order in which they are tried."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Device, Hardware, Platform
from selfhost.messages import Message
from selfhost.models.layouts import layout_problems
from selfhost.planner import ascend
from selfhost.planner.plan import Goal, Layout
from selfhost.quant.expert_kernels import stands_for
from selfhost.quant.schemes import gpu_of

FIRST_NODE = "NODE0"
"""Stands for the address of the first node in the command of a plan for several."""
MASTER_PORT = 29501
"""Where the ranks of several nodes meet, on the first one; the engine's default, written out."""
DATA_PARALLEL_RPC_PORT = 29550
"""Where the engines of several nodes find the first one; the engine's default, written out."""

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.arch import ModelArch
    from selfhost.planner.plan import PlanRequest
    from selfhost.quant.schemes import Capability


def candidates(arch: ModelArch, hardware: Hardware, request: PlanRequest) -> list[Layout]:
    """Legal layouts; the planner takes the first that fits, and the first of all when none does.

    A size that was asked for stands. Sizes that were not are chosen like this:

    1. Tensor parallel within a node, pipeline parallel over the nodes. Data parallel only when asked for.
    2. Hardware that was named (`--on 4xA800`, `--devices 0,1`) is meant to be used: most devices first. Of the
       hardware found on this machine as few devices are taken as the model needs: fewest first.
    3. For experts, sharding before expert parallel (same memory, no uneven load), unless only the latter is legal.
    4. At last pipeline parallel inside a node, for models whose heads do not divide by the number of devices: slower
       for one request, so only when nothing above fits.

    For throughput, data parallel layouts are among them; `goals.decide` then takes the best, not the first.

    Empty when nothing legal is possible with the sizes that were asked for.
    """
    if request.decode_context_parallel_size not in (None, 1):
        return _sharing_tokens(arch, hardware, request)
    if hardware.device.platform is Platform.CPU:
        return [layout for layout in [explicit(request)] if not problems(arch, hardware, layout)]
    if len(asked(request)) == 3:  # noqa: PLR2004
        return [x for x in [explicit(request)] if not problems(arch, hardware, x, eager=bool(request.enforce_eager))]
    # What decides nothing here is left out, so that devices of one number ask for the same.
    sizes = Sizes(
        request.tensor_parallel_size,
        request.pipeline_parallel_size,
        request.data_parallel_size,
        request.enable_expert_parallel,
        several_engines=request.goal is Goal.THROUGHPUT and request.data_parallel_size is None,
    )
    named = hardware.assumed or hardware.named
    if hardware.device.platform is not Platform.ASCEND:
        return _gpu_candidates(arch, hardware.nodes, hardware.devices_per_node, named, sizes)
    eager = bool(request.enforce_eager)
    return _npu_candidates(arch, hardware.nodes, hardware.devices_per_node, named, (sizes, eager))


def _sharing_tokens(arch: ModelArch, hardware: Hardware, request: PlanRequest) -> list[Layout]:
    """The same with decode context parallelism, where it is legal."""
    size, eager = request.decode_context_parallel_size or 1, bool(request.enforce_eager)
    plain = candidates(arch, hardware, replace(request, decode_context_parallel_size=None))
    found = [replace(layout, decode_context_parallel_size=size) for layout in plain]
    return [layout for layout in found if not problems(arch, hardware, layout, eager=eager)]


_ANY_GPU = Device(id="", name="", vendor="", platform=Platform.CUDA)
_ANY_NPU = Device(id="", name="", vendor="", platform=Platform.ASCEND)


class Sizes(NamedTuple):
    """The part of a request that decides which layouts are tried; names as there."""

    tensor_parallel_size: int | None
    pipeline_parallel_size: int | None
    data_parallel_size: int | None
    enable_expert_parallel: bool | None
    several_engines: bool
    """Whether data parallelism is looked at although it was not asked for."""


@lru_cache(maxsize=512)
def _gpu_candidates(
    arch: ModelArch,
    nodes: int,
    per_node: int,
    assumed: bool,  # noqa: FBT001
    request: Sizes,
) -> list[Layout]:
    """Remembered; the list is not to be changed."""
    hardware = Hardware(
        device=_ANY_GPU, nodes=nodes, devices_per_node=per_node, visible_memory_bytes=0, assumed=assumed
    )
    found: list[Layout] = []
    for inside in (False, True):
        sized = [x for x in _sizes(arch, hardware, request, inside=inside) if not problems(arch, hardware, x)]
        sized.sort(key=lambda x: (-x.world_size if hardware.assumed else x.world_size, x.pipeline_parallel_size))
        found += [layout for layout in sized if layout not in found]
        if request.several_engines and not inside:
            found += [layout for layout in _engines(arch, hardware, request) if not problems(arch, hardware, layout)]
    return found


@lru_cache(maxsize=512)
def _npu_candidates(
    arch: ModelArch,
    nodes: int,
    per_node: int,
    assumed: bool,  # noqa: FBT001
    asked: tuple[Sizes, bool],
) -> list[Layout]:
    """Layouts for experts, then those of GPUs; remembered as they are. asked: sizes, and whether without graphs."""
    sizes, eager = asked
    hardware = Hardware(
        device=_ANY_NPU, nodes=nodes, devices_per_node=per_node, visible_memory_bytes=0, assumed=assumed
    )
    first = ascend.expert_layouts(arch, hardware, sizes, eager=eager) if arch.is_moe else []
    tried = dict.fromkeys([*first, *_gpu_candidates(arch, nodes, per_node, assumed, sizes)])
    return [layout for layout in tried if not problems(arch, hardware, layout, eager=eager)]


def _engines(arch: ModelArch, hardware: Hardware, request: Sizes) -> Iterator[Layout]:
    """Data parallel over all devices: as many engines as there is room for in a node, times the nodes.

    An engine is tensor parallel within a node. Experts are whole then (`EP`): each lies once in the deployment.
    """
    widths = [request.tensor_parallel_size] if request.tensor_parallel_size else range(1, hardware.devices_per_node + 1)
    for tp in widths:
        dp = hardware.devices_per_node // tp * hardware.nodes
        experts = arch.is_moe and request.enable_expert_parallel is not False
        if dp > 1 and request.pipeline_parallel_size in (None, 1):
            yield Layout(tensor_parallel_size=tp, data_parallel_size=dp, enable_expert_parallel=experts)


def _sizes(arch: ModelArch, hardware: Hardware, request: Sizes, *, inside: bool) -> Iterator[Layout]:
    """All combinations of sizes; `inside`: with more pipeline stages than nodes."""
    dp = request.data_parallel_size or 1
    devices = hardware.device_count
    stages = [request.pipeline_parallel_size] if request.pipeline_parallel_size else _stages(hardware, inside=inside)
    for pp in stages:
        largest = min(hardware.devices_per_node, devices // (pp * dp))
        widths = [request.tensor_parallel_size] if request.tensor_parallel_size else range(1, largest + 1)
        for tp in widths:
            for ep in _expert_parallel(arch, request, ranks=tp * dp):
                yield Layout(
                    tensor_parallel_size=tp,
                    pipeline_parallel_size=pp,
                    data_parallel_size=dp,
                    enable_expert_parallel=ep,
                )


def _stages(hardware: Hardware, *, inside: bool) -> list[int]:
    if not inside:
        # One stage as well: data or tensor parallel may have been asked for over the nodes.
        return sorted({hardware.nodes, 1})
    return [hardware.nodes * factor for factor in (2, 4, 8) if factor <= hardware.devices_per_node]


def _expert_parallel(arch: ModelArch, request: Sizes, *, ranks: int) -> list[bool]:
    if request.enable_expert_parallel is not None:
        return [request.enable_expert_parallel]
    return [False, True] if arch.is_moe and ranks > 1 else [False]


def asked(request: PlanRequest) -> tuple[str, ...]:
    """Names of the parallel sizes that were asked for."""
    names = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
    return tuple(name for name in names if getattr(request, name) is not None)


def explicit(request: PlanRequest) -> Layout:
    """The layout that was asked for; sizes that were not named are 1, as in the engine."""
    return Layout(
        tensor_parallel_size=request.tensor_parallel_size or 1,
        pipeline_parallel_size=request.pipeline_parallel_size or 1,
        data_parallel_size=request.data_parallel_size or 1,
        enable_expert_parallel=bool(request.enable_expert_parallel),
        decode_context_parallel_size=request.decode_context_parallel_size or 1,
    )


def problems(arch: ModelArch, hardware: Hardware, layout: Layout, *, eager: bool = False) -> list[Message]:
    """Why the engine would refuse a layout, or the hardware cannot hold it; empty when it is legal.

    eager: without graphs, some of which ask for more. On a CPU the ranks are processes that share the host, so there is
    no number of devices to run out of.
    """
    if hardware.device.platform is not Platform.CPU and layout.world_size > hardware.device_count:
        return [
            Message(
                "plan.too_few_devices",
                {"layout": describe(layout), "needs": layout.world_size, "has": hardware.device_count},
            )
        ]
    if nodes_used(hardware, layout) > 1 and (problem := _over_nodes(hardware, layout)):
        return [problem]
    found = [*_engine_problems(arch, layout, stands_for(arch.quantization, gpu_of(hardware.device)))]
    if hardware.device.platform is Platform.ASCEND:
        found += ascend.layout_problems(arch, layout, eager=eager)
    if hardware.device.platform is Platform.CPU and arch.loaded_draft and layout.pipeline_parallel_size > 1:
        # Tried on the CPU build of 0.32.0: 'CPUModelRunner' object has no attribute 'drafter', on the first stage.
        found = [*found, Message("plan.cpu_draft_stages")]
    if hardware.device.platform is Platform.CPU and arch.is_moe:
        # Tried on the CPU build of 0.32.0: the worker dies, and `all_gatherv` is not there.
        if layout.enable_expert_parallel:
            found = [*found, Message("plan.cpu_expert_parallel")]
        if layout.data_parallel_size > 1:
            found = [*found, Message("plan.cpu_data_parallel_experts")]
    return found


@lru_cache(maxsize=512)
def _engine_problems(arch: ModelArch, layout: Layout, gpu: Capability | None) -> tuple[Message, ...]:
    """Remembered: a search over layouts and devices asks for the same ones again and again."""
    return tuple(
        layout_problems(
            arch,
            tp=layout.tensor_parallel_size,
            pp=layout.pipeline_parallel_size,
            dp=layout.data_parallel_size,
            ep=layout.enable_expert_parallel,
            gpu=gpu,
            dcp=layout.decode_context_parallel_size,
        )
    )


def nodes_used(hardware: Hardware, layout: Layout) -> int:
    """Nodes a layout takes: one when its devices are all in a node, else all of them."""
    if hardware.device.platform is Platform.CPU or layout.world_size <= hardware.devices_per_node:
        return 1
    return hardware.nodes


def _over_nodes(hardware: Hardware, layout: Layout) -> Message | None:
    """Why the engine would not start a layout over the nodes.

    It gives every node the same number of ranks, in order (vLLM 0.32 engine/arg_utils.py, `--nnodes`). Data parallel
    over nodes gives every node the same number of engines, each of which lies within a node.
    """
    values = {"layout": describe(layout), "needs": layout.world_size, "nodes": hardware.nodes}
    if layout.data_parallel_size > 1:
        values["engines"] = layout.data_parallel_size
        uneven = layout.data_parallel_size % hardware.nodes
        return Message("plan.data_parallel_over_nodes", values) if uneven else None
    if layout.world_size % hardware.nodes:
        return Message("plan.uneven_over_nodes", values)
    return None


def describe(layout: Layout) -> str:
    """`TP=8 PP=2`, `DP=8 EP`; `TP=1` when nothing is split.

    >>> describe(Layout(tensor_parallel_size=8, pipeline_parallel_size=2))
    'TP=8 PP=2'
    """
    sizes = (
        ("TP", layout.tensor_parallel_size),
        ("PP", layout.pipeline_parallel_size),
        ("DP", layout.data_parallel_size),
        ("DCP", layout.decode_context_parallel_size),
    )
    words = [f"{name}={size}" for name, size in sizes if size > 1]
    words += ["EP"] if layout.enable_expert_parallel else []
    return " ".join(words) or "TP=1"
