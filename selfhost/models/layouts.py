"""Which layouts a model allows: the rules of vLLM 0.32 that a start would otherwise fail on.

Sources: config/parallel.py and config/model.py (heads), layers/linear.py and layers/vocab_parallel_embedding.py
(widths), layers/quantization/utils/fp8_utils.py (blocks), marlin_utils.py (groups), fused_moe/ (experts),
layers/mamba/gdn/qwen_gdn_linear_attn.py (linear attention), models/qwen2_5_vl.py and models/glm4_1v.py (towers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.messages import Message
from selfhost.models.linear_attention import GatedDeltaNet
from selfhost.models.parts import Cut, Linear
from selfhost.models.tensors import Ranks, cut_linear, padded_vocab, pieces_of, refined_block, stage_layers
from selfhost.models.vision import TowerMode, VisionTower
from selfhost.quant.expert_kernels import ONLINE, finer_group, refusal
from selfhost.quant.formats import SCALE_GROUPS
from selfhost.quant.kernels import ADA, Matrix
from selfhost.quant.schemes import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.arch import ModelArch
    from selfhost.models.parts import Part
    from selfhost.quant.kernels import Capability
    from selfhost.quant.schemes import Quantization


def layout_problems(  # noqa: PLR0913  (the four parallel sizes of the engine and the tower)
    arch: ModelArch,
    *,
    tp: int = 1,
    pp: int = 1,
    dp: int = 1,
    ep: bool = False,
    tower: TowerMode = TowerMode.WEIGHTS,
    gpu: Capability | None = None,
) -> list[Message]:
    """Why the engine would refuse a layout; empty when it is legal.

    tower: how the vision tower is spread, if the model has one. gpu: whose kernels take the weights.
    Check: 64 heads at TP 3 -> "64 attention heads cannot be divided by tensor parallel size 3".
    """
    ranks = Ranks(tp=tp, pp=pp, dp=dp, ep=ep, gpu=gpu)
    found = [*_heads(arch, tp), *_stages(arch, pp), *_experts(arch, ranks)]
    if padded_vocab(arch) % tp:
        found.append(Message("arch.layout_vocab", {"rows": padded_vocab(arch), "tp": tp}))
    for part, quantization in _parts(arch, ranks, tower):
        if isinstance(part, Linear):
            found += [problem for problem in _width(arch, part, ranks, quantization) if problem not in found]
    if arch.quantization is not None and arch.quantization.method == "bitsandbytes" and tp > 1:
        found.append(Message("arch.layout_bitsandbytes", {"tp": tp}))
    if isinstance(arch.tower, VisionTower) and tower is TowerMode.WEIGHTS and arch.tower.num_heads % tp:
        found.append(Message("arch.layout_vision_heads", {"heads": arch.tower.num_heads, "tp": tp}))
    return found


def _parts(arch: ModelArch, ranks: Ranks, tower: TowerMode) -> Iterator[tuple[Part, Quantization | None]]:
    """Every distinct part of a model that is cut, and what it is stored in."""
    for kind in arch.kinds:
        for part in kind.parts(arch.hidden_size):
            yield part, kind.format_of(part, arch.quantization)
    if arch.tower and tower is TowerMode.WEIGHTS:
        for _, part in arch.tower.parts(ranks.tp):
            yield part, arch.tower.format_of(part, arch.quantization)


def _heads(arch: ModelArch, tp: int) -> list[Message]:
    found = []
    for mixer in arch.mixers:
        if mixer.num_attention_heads % tp:
            found.append(Message("arch.layout_heads", {"heads": mixer.num_attention_heads, "tp": tp}))
        if mixer.num_key_value_heads % tp and tp % mixer.num_key_value_heads:
            found.append(Message("arch.layout_kv_heads", {"heads": mixer.num_key_value_heads, "tp": tp}))
        if isinstance(mixer, GatedDeltaNet) and mixer.linear_num_key_heads % tp:
            # There is a multiple of value heads. The class is built all the same, and fails over heads when it runs.
            found.append(Message("arch.layout_linear_heads", {"heads": mixer.linear_num_key_heads, "tp": tp}))
    return found


def _stages(arch: ModelArch, pp: int) -> list[Message]:
    if pp > arch.num_hidden_layers:
        return [Message("arch.layout_stages", {"layers": arch.num_hidden_layers, "pp": pp})]
    levels = arch.tower.deepstack_levels if isinstance(arch.tower, VisionTower) else 0
    if pp > 1 and len(stage_layers(arch.num_hidden_layers, pp, 0)) < levels:
        # models/qwen3_vl.py: what the tower adds to the first layers is not handed on.
        return [Message("arch.layout_deepstack", {"levels": levels, "pp": pp})]
    return []


def _experts(arch: ModelArch, ranks: Ranks) -> list[Message]:
    if arch.experts is None:
        return [Message("arch.layout_expert_parallel")] if ranks.ep else []
    if ranks.tp > arch.experts.num_experts:
        return [Message("arch.layout_experts", {"tp": ranks.tp, "experts": arch.experts.num_experts})]
    return []


def _width(arch: ModelArch, part: Linear, ranks: Ranks, quantization: Quantization | None) -> list[Message]:
    """Whether a linear layer can be cut at all, and whether its quantization survives the cut."""
    divisor = pieces_of(part, ranks)
    width = part.inputs if part.cut is Cut.ROW else part.outputs[0]
    if width % divisor:
        # Heads that cannot be divided are told as heads.
        problem = Message("arch.layout_width", {"part": part.name, "width": width, "ranks": divisor})
        return [] if part.cut is Cut.QKV else [problem]
    if quantization is None:
        return []
    padded = part.is_expert and quantization.method == ONLINE
    if quantization.format is Format.FP8_BLOCK and quantization.block is not None and not padded:
        return _blocks(arch, part, ranks, quantization)
    group = SCALE_GROUPS.get(quantization.format, quantization.group_size)
    if part.is_expert and ranks.gpu and part.cut is Cut.ROW:
        refused = refusal(quantization, width // divisor, arch.hidden_size, ranks.gpu)
        if refused:
            return [Message(refused, {"width": width // divisor, "hidden": arch.hidden_size})]
    if part.is_expert and quantization.format is Format.INT_GROUP:
        rows, columns = cut_linear(part, ranks)
        group = finer_group(quantization, Matrix(rows, columns, len(part.outputs)))
    if group and part.cut is Cut.ROW and width // divisor % group:
        return [Message("arch.layout_group", {"part": part.name, "width": width // divisor, "group": group})]
    return []


def _blocks(arch: ModelArch, part: Linear, ranks: Ranks, quantization: Quantization) -> list[Message]:
    """Blocks that share a scale must not straddle ranks or merged matrices; those of experts may be refined.

    Source: layers/quantization/utils/fp8_utils.py `validate_fp8_block_shape`, which lets the last of several merged
    matrices that are not cut have any height.
    """
    divisor, block = pieces_of(part, ranks), quantization.block or (1, 1)
    if part.cut is Cut.ROW:
        widths, size = ([part.inputs // divisor] if divisor > 1 or part.is_expert else []), block[1]
    else:
        shared = min(divisor, part.kv_heads) if part.cut is Cut.QKV else divisor
        widths = [part.outputs[0] // divisor, *(out // shared for out in part.outputs[1:])]
        widths, size = (widths if divisor > 1 else widths[:-1]), block[0]
    if part.is_expert and widths:
        size = (refined_block(quantization, arch.hidden_size, widths[0]) or block)[0]
        if size != block[0] and ranks.gpu is not None and ranks.gpu < ADA:
            return [Message("arch.layout_refined", {"part": part.name, "width": widths[0]})]
    found = [width for width in widths if width % size][:1]
    return [Message("arch.layout_block", {"part": part.name, "width": width, "block": size}) for width in found]
