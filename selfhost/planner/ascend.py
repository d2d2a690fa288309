"""Rules of vllm-ascend 0.23.0: which models, formats and layouts run on which chips, and in which order they are tried.

Sources: files of vllm-ascend 0.23.0, its tutorials (docs/source/tutorials/models/) and FAQ. Chip families: A2 (910B),
A3 (910C, two dies a card), 310P, 950.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.messages import Message, text
from selfhost.models.parts import Linear
from selfhost.planner import ascend_terms
from selfhost.planner.ascend_terms import SMALL_FAMILY
from selfhost.planner.plan import Layout
from selfhost.quant import ascend as modelslim
from selfhost.quant.schemes import Format
from selfhost.units import MIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfhost.hardware.types import Device, Hardware
    from selfhost.models.arch import ModelArch
    from selfhost.planner.layouts import Sizes
    from selfhost.planner.plan import ModelToPlan
    from selfhost.planner.terms import Setup

GRAPH_HEADS = (32, 64, 128)
"""Query heads per NPU with which MLA runs in graph mode, by the FAQ."""
LEAST_GRAPH_HEADS = 16
"""The tutorial of Kimi-K2.5 runs graphs with this many; with 8 the kernel refuses (FAQ 13)."""

_MOST_WIDE = 8
"""Tensor parallel beyond this divides experts' attention no further in the tutorials: they add data parallel."""
_TYPES_310P = ("W8A8", "W8A8_DYNAMIC", modelslim.FLOAT)
_DEEPSEEK_V4 = "DeepseekV4ForCausalLM"


def refusals(model: ModelToPlan, device: Device) -> list[str]:
    """What stands against a model on a chip, its architecture being known to the engine."""
    arch, small = model.arch, device.family == SMALL_FAMILY
    found = [] if (why := _format(arch, device)) is None else [why.what]
    if small and arch.is_mla:
        # platform.py `get_attn_backend_cls`: its one backend takes neither latent vectors nor an indexer.
        found.append(text("plan.ascend_mla", model=model.name, device=device.name))
    if arch.architecture == _DEEPSEEK_V4:
        # models/deepseek_v4.py with `DSV4_BLOCK_SIZES` of models/layer/attention/layer.py: not vLLM's pages.
        found.append(text("plan.ascend_v4", device=device.name))
    return found


def _format(arch: ModelArch, device: Device) -> Message | None:
    """Source: platform.py `supported_quantization`, quantization/ and _310p/quantization/."""
    quantization, small = arch.quantization, device.family == SMALL_FAMILY
    if quantization is None:
        return None
    values, kind = {"format": quantization.format.value, "device": device.name}, quantization.format
    if quantization.method == modelslim.METHOD:
        other = sorted({kind for _, kind in quantization.types} - set(_TYPES_310P))
        return Message("arch.format_310p", {**values, "types": ", ".join(other)}) if small and other else None
    if quantization.method == "compressed-tensors" and not small:
        if kind is Format.INT8_CHANNEL or (kind is Format.FP8_CHANNEL and device.native_fp8):
            return None
        if kind is Format.INT_GROUP and quantization.bits == 4:  # noqa: PLR2004
            return None if _only_experts(arch) else Message("arch.format_ascend_experts", values)
    if quantization.is_fp8 and device.native_fp8:
        # quantization/methods/fp8.py reads keys that only configs of DeepSeek-V4 have.
        return None if arch.architecture == _DEEPSEEK_V4 else Message("arch.format_ascend_v4", values)
    return Message("arch.format_ascend_small" if small else "arch.format_ascend", values)


def _only_experts(arch: ModelArch) -> bool:
    """Whether nothing but experts is quantized: there is no 4-bit kernel for other layers."""
    parts = ((kind, part) for kind in arch.kinds for part in kind.parts(arch.hidden_size) if isinstance(part, Linear))
    return all(part.is_expert or not kind.is_quantized(part, arch.quantization) for kind, part in parts)


def expert_layouts(arch: ModelArch, hardware: Hardware, sizes: Sizes, *, eager: bool) -> list[Layout]:
    """Layouts of a model with experts, in the order in which they are tried; the caller leaves out illegal ones.

    Experts over all ranks, attention tensor parallel within a node and data parallel beyond, as the tutorials run
    DeepSeek, Qwen3-MoE and GLM on one and on several nodes:

    1. Hardware that was named is used whole, of hardware found here as little as it takes.
    2. MLA keeps one latent vector whatever the tensor parallel size, and its graphs want 32 heads and more per NPU:
       the widest that leaves them (DeepSeek-V3: 4).
    3. Otherwise the widest up to eight, but not wider than there are KV heads to divide.

    Check: DeepSeek-V3 on two nodes of eight -> TP=4 DP=4 EP first.
    """
    found = dict.fromkeys(_expert_layouts(hardware, sizes))
    order = sorted(found, key=_expert_rank(arch, eager=eager))
    return sorted(order, key=lambda x: -x.world_size if hardware.assumed else x.world_size)


def _expert_layouts(hardware: Hardware, asked: Sizes) -> Iterator[Layout]:
    devices = hardware.device_count
    widths = [width for width in range(1, hardware.devices_per_node + 1) if hardware.devices_per_node % width == 0]
    for tp in [asked.tensor_parallel_size] if asked.tensor_parallel_size else widths:
        sizes = [size for size in range(1, devices // tp + 1) if devices % (tp * size) == 0]
        for dp in [asked.data_parallel_size] if asked.data_parallel_size else sizes:
            spread = tp * dp > 1
            for ep in [spread] if asked.enable_expert_parallel is None else [asked.enable_expert_parallel]:
                yield Layout(
                    tensor_parallel_size=tp,
                    pipeline_parallel_size=asked.pipeline_parallel_size or 1,
                    data_parallel_size=dp,
                    enable_expert_parallel=ep,
                )


def _expert_rank(arch: ModelArch, *, eager: bool) -> Callable[[Layout], tuple[int, int]]:
    heads = arch.num_attention_heads
    if arch.is_mla and arch.indexer is None:
        return lambda x: (_heads_rank(heads // x.tensor_parallel_size, eager=eager), -x.tensor_parallel_size)
    most = _MOST_WIDE if arch.is_mla else min(_MOST_WIDE, max(mixer.num_key_value_heads for mixer in arch.mixers))

    def by_width(layout: Layout) -> tuple[int, int]:
        tp = layout.tensor_parallel_size
        return (0, -tp) if tp <= most else (1, tp)

    return by_width


def _heads_rank(heads: int, *, eager: bool) -> int:
    if eager or heads in GRAPH_HEADS:
        return 0
    return 1 if heads >= LEAST_GRAPH_HEADS else 2


def layout_problems(arch: ModelArch, layout: Layout, *, eager: bool) -> list[Message]:
    """What vllm-ascend would refuse beyond what vLLM does."""
    tp = layout.tensor_parallel_size
    heads = arch.num_attention_heads // tp
    if heads < LEAST_GRAPH_HEADS and not eager and arch.is_mla and arch.indexer is None:
        return [Message("plan.ascend_graph_heads", {"heads": heads, "tp": tp})]
    return []


def reasons(setup: Setup) -> list[str]:
    """What is particular to Ascend in a plan: the layout that graphs ask for, buffers of HCCL, the halved cache."""
    return [*_layout_reasons(setup), *_memory_reasons(setup)]


def _layout_reasons(setup: Setup) -> list[str]:
    layout, arch = setup.layout, setup.arch
    if not arch.is_mla or arch.indexer is not None or setup.settings.enforce_eager:
        return []
    heads = arch.num_attention_heads // layout.tensor_parallel_size
    if heads not in GRAPH_HEADS:
        return [text("plan.ascend_few_heads", heads=heads)]
    if layout.data_parallel_size == 1:
        return []
    return [text("plan.ascend_latent", tp=layout.tensor_parallel_size, count=layout.world_size)]


def _memory_reasons(setup: Setup) -> list[str]:
    device, found = setup.hardware.device, []
    if names := ascend_terms.communicators(setup):
        sizes = ", ".join(f"{name} {format_bytes(size * MIB)}" for name, size in names.items())
        size = ascend_terms.buffer_mib(setup)
        kind = "plan.ascend_hccl_dispatch" if size else "plan.ascend_hccl"
        found.append(text(kind, sizes=sizes, total=format_bytes(sum(names.values()) * MIB), size=size or 0))
    arch = setup.arch
    if arch.whole_shared_experts and arch.experts and arch.experts.shared_expert_intermediate_size:
        found.append(text("plan.ascend_shared_whole"))
    if device.family == SMALL_FAMILY:
        found.append(text("plan.ascend_310p", device=device.name))
        if setup.arch.torch_dtype != "float16":
            found.append(text("plan.ascend_float16", device=device.name))
    return found


def beside(setup: Setup, left_bytes: int, left_bytes_low: int) -> str | None:
    """Whether graphs find room beside the budget; `left_bytes`: what is left then. None without graphs."""
    graphs = ascend_terms.graphs(setup.arch, setup.layout, eager=setup.settings.enforce_eager)
    left = left_bytes + graphs.likely
    if left < 0:
        return text("plan.ascend_start_short", missing=format_bytes(-left))
    values = {"size": format_bytes(graphs.likely), "left": format_bytes(left)}
    if left_bytes < 0:
        return text("plan.ascend_graphs_short", **values)
    if left_bytes_low < 0:
        return text("plan.ascend_graphs_tight", **values, most=format_bytes(graphs.high))
    return text("plan.ascend_graphs", **values) if graphs.likely else None
