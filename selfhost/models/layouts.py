"""Which layouts a model allows: the rules of vLLM 0.32 that a start would otherwise fail on.

Sources: config/parallel.py and config/model.py (heads), layers/linear.py and layers/vocab_parallel_embedding.py
(widths), layers/quantization/utils/fp8_utils.py (blocks), marlin_utils.py (groups), fused_moe/ (experts).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from selfhost.messages import Message
from selfhost.models.parts import Cut, Linear
from selfhost.models.tensors import LayerKind, Ranks, cut_linear, is_quantized, layer_parts, padded_vocab
from selfhost.quant.schemes import Format

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch

_SMALLEST_EXPERT_BLOCK = 32
"""Scales of experts are refined down to blocks of this size; below, no kernel serves them."""


def layout_problems(arch: ModelArch, *, tp: int = 1, pp: int = 1, dp: int = 1, ep: bool = False) -> list[Message]:
    """Why the engine would refuse a layout; empty when it is legal.

    Check: 64 heads at TP 3 -> "64 attention heads cannot be divided by tensor parallel size 3".
    """
    ranks = Ranks(tp=tp, pp=pp, dp=dp, ep=ep)
    found = [*_heads(arch, tp), *_stages(arch, pp), *_experts(arch, ranks)]
    if padded_vocab(arch) % tp:
        found.append(Message("arch.layout_vocab", {"rows": padded_vocab(arch), "tp": tp}))
    kinds = {LayerKind.DENSE} if len(arch.moe_layers) < arch.num_hidden_layers else set()
    kinds |= {LayerKind.MOE} if arch.moe_layers else set()
    for kind in sorted(kinds):
        for part in layer_parts(arch, kind):
            if isinstance(part, Linear):
                found += [problem for problem in _width(arch, part, ranks) if problem not in found]
    return found


def _heads(arch: ModelArch, tp: int) -> list[Message]:
    found = []
    if arch.num_attention_heads % tp:
        found.append(Message("arch.layout_heads", {"heads": arch.num_attention_heads, "tp": tp}))
    kv = arch.num_key_value_heads
    if not arch.is_mla and kv % tp and tp % kv:
        found.append(Message("arch.layout_kv_heads", {"heads": kv, "tp": tp}))
    return found


def _stages(arch: ModelArch, pp: int) -> list[Message]:
    if pp <= arch.num_hidden_layers:
        return []
    return [Message("arch.layout_stages", {"layers": arch.num_hidden_layers, "pp": pp})]


def _experts(arch: ModelArch, ranks: Ranks) -> list[Message]:
    if not arch.is_moe:
        return [Message("arch.layout_expert_parallel")] if ranks.ep else []
    if ranks.tp > arch.num_experts:
        return [Message("arch.layout_experts", {"tp": ranks.tp, "experts": arch.num_experts})]
    return []


def _width(arch: ModelArch, part: Linear, ranks: Ranks) -> list[Message]:
    """Whether a linear layer can be cut at all, and whether its quantization survives the cut."""
    if part.cut in (Cut.WHOLE, Cut.QKV):
        return []
    expert = part.copies > 1
    if expert and ranks.ep:
        return []
    divisor = ranks.expert_ranks if expert else ranks.tp
    width = part.inputs if part.cut is Cut.ROW else part.outputs[0]
    if width % divisor:
        return [Message("arch.layout_width", {"part": part.name, "width": width, "ranks": divisor})]
    if divisor == 1 or not is_quantized(arch, part):
        return []
    rows, columns = cut_linear(part, ranks)
    return _scales(arch, part, columns if part.cut is Cut.ROW else rows // len(part.outputs))


def _scales(arch: ModelArch, part: Linear, per_rank: int) -> list[Message]:
    """Whether blocks and groups that share a scale stay whole when a layer is cut to `per_rank`."""
    quantization = arch.quantization
    if quantization is None:
        return []
    if quantization.format is Format.FP8_BLOCK and quantization.block is not None:
        block = quantization.block[1 if part.cut is Cut.ROW else 0]
        refined = part.copies > 1 and math.gcd(block, per_rank, arch.hidden_size) >= _SMALLEST_EXPERT_BLOCK
        if per_rank % block and not refined:
            return [Message("arch.layout_block", {"part": part.name, "width": per_rank, "block": block})]
    group = quantization.group_size
    if group and part.cut is Cut.ROW and per_rank % group:
        return [Message("arch.layout_group", {"part": part.name, "width": per_rank, "group": group})]
    return []
