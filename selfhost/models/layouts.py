"""Which layouts a model allows: the rules of vLLM 0.32 that a start would otherwise fail on.

Sources: config/parallel.py and config/model.py (heads), layers/linear.py and layers/vocab_parallel_embedding.py
(widths), layers/quantization/utils/fp8_utils.py (blocks), marlin_utils.py (groups), fused_moe/ (experts),
layers/mamba/gdn/qwen_gdn_linear_attn.py (linear attention), models/qwen2_5_vl.py and models/glm4_1v.py (towers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.messages import Message
from selfhost.models.attention import GroupedAttention
from selfhost.models.compressed import CompressedAttention
from selfhost.models.linear_attention import GatedDeltaNet
from selfhost.models.parts import Cut, Linear
from selfhost.models.ranks import Ranks, cut_linear, padded_vocab, pieces_of, refined_block, stage_layers
from selfhost.models.vision import TowerMode, VisionTower
from selfhost.quant.expert_kernels import finer_group, refusal
from selfhost.quant.formats import SCALE_GROUPS
from selfhost.quant.kernels import ADA, Matrix
from selfhost.quant.schemes import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.arch import ModelArch
    from selfhost.models.parts import Part
    from selfhost.quant.kernels import Capability
    from selfhost.quant.schemes import Quantization


def layout_problems(  # noqa: PLR0913  (sizes of the engine, one by one)
    arch: ModelArch,
    *,
    tp: int = 1,
    pp: int = 1,
    dp: int = 1,
    ep: bool = False,
    dcp: int = 1,
    tower: TowerMode | None = None,
    gpu: Capability | None = None,
) -> list[Message]:
    """Why the engine would refuse a layout; empty when it is legal.

    tower: where the vision tower is, if not where `arch.media` says. gpu: whose kernels take the weights.
    Check: 64 heads at TP 3 -> "64 attention heads cannot be divided by tensor parallel size 3".
    """
    ranks, tower = Ranks(tp=tp, pp=pp, dp=dp, ep=ep, gpu=gpu), tower or arch.tower_mode
    found = [*_heads(arch, tp), *_groups(arch, tp), *_stages(arch, pp), *_experts(arch, ranks)]
    found += _decode_context(arch, tp, dcp) if dcp > 1 else []
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


def _parts(arch: ModelArch, ranks: Ranks, tower: TowerMode | None) -> Iterator[tuple[Part, Quantization | None]]:
    """Every distinct part of a model that is cut, and what it is stored in."""
    for kind in (*arch.kinds, *(arch.loaded_draft.layers if arch.loaded_draft else ())):
        for part in kind.parts(arch.hidden_size):
            yield part, kind.format_of(part, arch.quantization)
    if arch.loaded_draft:
        yield from (found[1:] for found in arch.loaded_draft.beside(arch.hidden_size, arch.quantization))
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


def _groups(arch: ModelArch, tp: int) -> list[Message]:
    """The output projection of compressed attention is a product for each group, made of whole ones after loading."""
    groups = {mixer.o_groups for mixer in arch.mixers if isinstance(mixer, CompressedAttention)}
    return [Message("arch.layout_groups", {"groups": group, "tp": tp}) for group in sorted(groups) if group % tp]


def _decode_context(arch: ModelArch, tp: int, dcp: int) -> list[Message]:
    """Ranks that hold the same KV heads share the tokens (config/parallel.py, config/model.py); windows cannot."""
    values = {"dcp": dcp, "tp": tp}
    if tp % dcp:
        return [Message("arch.layout_dcp_divides", values)]
    if any(isinstance(mixer, CompressedAttention) for mixer in arch.mixers):
        return [Message("arch.layout_dcp_windows", values)]
    for mixer in arch.mixers:
        if not isinstance(mixer, GroupedAttention):
            continue
        kv, queries = mixer.num_key_value_heads, mixer.num_attention_heads // mixer.num_key_value_heads
        if tp <= kv or dcp > tp // kv or queries % dcp:
            return [Message("arch.layout_dcp_heads", {**values, "heads": kv, "queries": queries})]
    return []


def _stages(arch: ModelArch, pp: int) -> list[Message]:
    if pp > arch.num_hidden_layers:
        return [Message("arch.layout_stages", {"layers": arch.num_hidden_layers, "pp": pp})]
    if pp > 1 and arch.loaded_draft and not arch.family.drafts_in_stages:
        # models/qwen3_next_mtp.py: it is built on the last stage, where it waits for what an earlier one never sends.
        return [Message("arch.layout_draft_stages", {"pp": pp})]
    if pp > 1 and arch.tie_word_embeddings and not arch.family.ties_in_stages:
        # models/ernie45_moe.py: every stage takes the embedding's weight for its head, also where it has neither.
        return [Message("arch.layout_tied_stages", {"pp": pp})]
    levels = arch.tower.deepstack_levels if isinstance(arch.tower, VisionTower) else 0
    if pp > 1 and len(stage_layers(arch.num_hidden_layers, pp, 0)) < levels:
        # models/qwen3_vl.py: what the tower adds to the first layers is not handed on; it looks at the config, so also
        # without a tower.
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
    if part.in_blocks and quantization is not None:
        return []
    if width % divisor:
        # Heads that cannot be divided are told as heads.
        problem = Message("arch.layout_width", {"part": part.name, "width": width, "ranks": divisor})
        return [] if part.cut is Cut.QKV else [problem]
    return [] if quantization is None else _format(arch, part, ranks, quantization, width // divisor)


def _format(arch: ModelArch, part: Linear, ranks: Ranks, quantization: Quantization, width: int) -> list[Message]:
    """Whether what a linear layer is stored in survives a cut into pieces of `width`."""
    padded = part.is_expert and quantization.is_online
    if quantization.format is Format.FP8_BLOCK and quantization.block is not None and not padded:
        return _blocks(arch, part, ranks, quantization)
    if part.cut is not Cut.ROW:
        return []
    if part.is_expert and ranks.gpu and (refused := refusal(quantization, width, arch.hidden_size, ranks.gpu)):
        return [Message(refused, {"width": width, "hidden": arch.hidden_size})]
    group = SCALE_GROUPS.get(quantization.format, quantization.group_size)
    if part.is_expert and quantization.format is Format.INT_GROUP:
        rows, columns = cut_linear(part, ranks)
        group = finer_group(quantization, Matrix(rows, columns))
    if group and width % group:
        return [Message("arch.layout_group", {"part": part.name, "width": width, "group": group})]
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
