"""From an architecture and a layout to the bytes of one rank, as vLLM 0.32 builds its modules.

A model is a handful of kinds of layers, each a list of parts; a rank holds some layers of each kind. So the sum over
hundreds of thousands of tensors costs microseconds. Sources: vllm/model_executor/models/<model>.py for the parts,
layers/linear.py, layers/vocab_parallel_embedding.py and layers/fused_moe/ for how they are cut.

Not covered here: speculative decoding (MTP layers stay on disk), LoRA, vision towers, and what single kernels change:
padding of narrow layers and wider scales of FP8 under Marlin, the zero points of symmetric GPTQ that Machete keeps.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfhost.models.checkpoint import checkpoint_bytes, parameter_count
from selfhost.models.parts import Cut, Linear, Vector
from selfhost.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.arch import ModelArch
    from selfhost.models.layers import LayerKind
    from selfhost.models.parts import Part

__all__ = ["RankWeights", "TensorGroup", "checkpoint_bytes", "parameter_count", "rank_weights", "stage_layers"]

_VOCAB_PADDING = 64
_LARGE_BYTES = 20 * MIB
_SEGMENT_BYTES = 2 * MIB
_FINEST_BLOCK = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorGroup:
    """Equal tensors of a rank."""

    name: str
    count: int
    shape: tuple[int, ...]
    """Of the weight itself, in elements; scales are counted in the bytes."""
    bytes_each: int

    @property
    def total_bytes(self) -> int:
        """Bytes of all of them."""
        return self.count * self.bytes_each


@dataclass(frozen=True, kw_only=True, slots=True)
class RankWeights:
    """What one rank loads."""

    groups: tuple[TensorGroup, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all tensors, without the allocator's rounding."""
        return sum(group.total_bytes for group in self.groups)

    @property
    def rounding_bytes(self) -> int:
        """What the CUDA allocator adds: tensors from 20 MiB take whole segments of 2 MiB.

        Source: vLLM 0.32 v1/worker/gpu_worker.py `_scoped_allocator_max_split`.
        Check: Qwen2.5-72B at TP4: 80 * (1 MiB for gate_up 231 MiB + 0.5 MiB for down 115.5 MiB) = 120 MiB.
        """
        return sum(
            group.count * (-group.bytes_each % _SEGMENT_BYTES)
            for group in self.groups
            if group.bytes_each >= _LARGE_BYTES
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """How a model is cut: sizes of the groups, as in the engine's flags."""

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: bool = False
    pp_rank: int = 0
    sequence_parallel_experts: bool = True
    """Whether shared experts are whole on every rank where tensor, data and expert parallel meet."""

    @property
    def expert_ranks(self) -> int:
        """Ranks that share the experts of a layer: data and tensor parallel flattened."""
        return self.tp * self.dp

    @property
    def is_first(self) -> bool:
        """Whether this is the first pipeline stage."""
        return self.pp_rank == 0

    @property
    def is_last(self) -> bool:
        """Whether this is the last pipeline stage."""
        return self.pp_rank == self.pp - 1


def rank_weights(  # noqa: PLR0913  (the four parallel sizes of the engine and a stage)
    arch: ModelArch, *, tp: int = 1, pp: int = 1, dp: int = 1, ep: bool = False, pp_rank: int = 0
) -> RankWeights:
    """The tensors of a rank of one pipeline stage, after loading; with uneven experts, of the rank with most.

    Check: Qwen2.5-72B bf16 TP4 -> 33.866 GiB; DeepSeek-V3 FP8 TP8 -> 79.312 GiB + 0.238 GiB W_UK and W_UV.
    """
    ranks = Ranks(tp=tp, pp=pp, dp=dp, ep=ep, pp_rank=pp_rank)
    return RankWeights(groups=tuple(group for group in groups(arch, ranks) if group.count and group.bytes_each))


def stage_layers(layers: int, pp: int, pp_rank: int) -> range:
    """Indices of the layers of a pipeline stage; a remainder goes to the stages before the last.

    Source: vLLM 0.32 distributed/utils.py `get_pp_indices`. Check: 61 layers, 2 stages -> 31 and 30.
    """
    sizes = [layers // pp] * pp
    for back in range(2, layers % pp + 2):
        sizes[-back] += 1
    start = sum(sizes[:pp_rank])
    return range(start, start + sizes[pp_rank])


def groups(arch: ModelArch, ranks: Ranks) -> Iterator[TensorGroup]:
    """Equal tensors of a rank, those without bytes included."""
    yield from _embeddings(arch, ranks)
    held = stage_layers(arch.num_hidden_layers, ranks.pp, ranks.pp_rank)
    for place, count in sorted(Counter(arch.layers[layer] for layer in held).items()):
        kind = arch.kinds[place]
        for part in kind.parts(arch.hidden_size):
            yield from _cut(arch, kind, part, ranks, count)
    yield from _rotary(arch)


def _embeddings(arch: ModelArch, ranks: Ranks) -> Iterator[TensorGroup]:
    rows, dtype = padded_vocab(arch) // ranks.tp, arch.dtype_bytes
    shape = (rows, arch.hidden_size)
    everywhere = arch.family.ends_on_all_stages
    tied = arch.tie_word_embeddings
    if ranks.is_first or everywhere or (tied and ranks.is_last):
        yield TensorGroup(name="embed_tokens", count=1, shape=shape, bytes_each=rows * arch.hidden_size * dtype)
    if (ranks.is_last or everywhere) and not tied:
        yield TensorGroup(name="lm_head", count=1, shape=shape, bytes_each=rows * arch.hidden_size * dtype)
    if ranks.is_last or everywhere:
        yield TensorGroup(name="norm", count=1, shape=(arch.hidden_size,), bytes_each=arch.hidden_size * dtype)


def _rotary(arch: ModelArch) -> Iterator[TensorGroup]:
    """The tables of cosines and sines, each shared by all layers; YaRN lays them out for the extended length.

    Check: DeepSeek-V3 -> 163840 * 64 * 2 = 20 MiB.
    """
    rows, rope = arch.max_position_embeddings, arch.rope
    if rope.rope_type in ("yarn", "deepseek_yarn") and rope.original_max_position_embeddings:
        rows = int(rope.original_max_position_embeddings * rope.factor)
    elif rope.rope_type in ("linear", "dynamic"):
        rows = int(rows * rope.factor)
    for owner, width in dict.fromkeys(table for mixer in arch.mixers for table in mixer.rotary):
        name = "rotary_emb" if owner == "main" else f"{owner}.rotary_emb"
        if arch.family.transformers_backend:
            # Two vectors of frequencies in float32 instead of a table.
            yield TensorGroup(name=name, count=2, shape=(width // 2,), bytes_each=width * 2)
        else:
            yield TensorGroup(name=name, count=1, shape=(rows, width), bytes_each=rows * width * arch.dtype_bytes)


def _cut(arch: ModelArch, kind: LayerKind, part: Part, ranks: Ranks, count: int) -> Iterator[TensorGroup]:
    if isinstance(part, Vector):
        pieces = min(ranks.tp, part.at_most or ranks.tp) if part.cut is Cut.COLUMN else 1
        size = part.size // pieces
        yield TensorGroup(name=part.name, count=count, shape=(size,), bytes_each=size * _itemsize(arch, part))
        return
    rows, columns = cut_linear(part, ranks)
    copies = math.ceil(part.copies / ranks.expert_ranks) if part.is_expert and ranks.ep else part.copies
    shape = (copies, rows, columns) if part.is_expert else (rows, columns)
    for tensor, size in _linear_tensors(arch, kind, part, rows, columns).items():
        yield TensorGroup(name=f"{part.name}.{tensor}", count=count, shape=shape, bytes_each=copies * size)
    if part.bias:
        # A row-parallel bias is whole on every rank; so are its rows.
        yield TensorGroup(name=f"{part.name}.bias", count=count, shape=(rows,), bytes_each=rows * arch.dtype_bytes)
    if part.kept_plain_too and kind.is_quantized(part, arch.quantization):
        # After loading, W_UK and W_UV are kept once more, de-quantized (layers/attention/mla_attention.py).
        yield TensorGroup(name="self_attn.W_UK_W_UV", count=count, shape=(rows, columns), bytes_each=rows * columns * 2)
    if part.name == "mlp.experts.w13" and ranks.ep and ranks.expert_ranks > 1:
        # Which expert is where (layers/fused_moe/expert_map_manager.py).
        yield TensorGroup(name="mlp.experts.expert_map", count=count, shape=(part.copies,), bytes_each=4 * part.copies)


def _itemsize(arch: ModelArch, part: Part) -> int:
    return part.itemsize or arch.dtype_bytes


def cut_linear(part: Linear, ranks: Ranks) -> tuple[int, int]:
    """Outputs and inputs of a linear layer on a rank."""
    rows, columns = sum(part.outputs), part.inputs
    if part.cut is Cut.QKV:
        q, k, v = part.outputs
        shared = max(1, min(ranks.tp, part.kv_heads))
        return q // ranks.tp + (k + v) // shared, columns
    tp = ranks.tp
    if part.is_expert:
        tp = 1 if ranks.ep else ranks.expert_ranks
    elif part.shared_expert and ranks.ep and ranks.tp > 1 and ranks.dp > 1 and ranks.sequence_parallel_experts:
        tp = 1  # sequence-parallel experts replicate the shared one (config/parallel.py use_sequence_parallel_moe)
    if part.cut is Cut.COLUMN:
        return rows // tp, columns
    if part.cut is Cut.ROW:
        return rows, columns // tp
    return rows, columns


def _linear_tensors(arch: ModelArch, kind: LayerKind, part: Linear, rows: int, columns: int) -> dict[str, int]:
    if arch.quantization is None or not kind.is_quantized(part, arch.quantization):
        return {"weight": rows * columns * _itemsize(arch, part)}
    block = None
    if part.is_expert:
        block = refined_block(arch, columns if part.cut is Cut.ROW else rows // len(part.outputs))
    return arch.quantization.linear_tensors(
        rows, columns, parts=len(part.outputs), expert=part.is_expert, block=block, module=part.module
    )


def refined_block(arch: ModelArch, width: int) -> tuple[int, int] | None:
    """Block of the scales of experts of `width` per rank when the checkpoint's block does not divide it.

    The checkpoint's own when there is none that is fine enough: at least 32 (layers/fused_moe/oracle/fp8.py).
    Check: blocks of 128, width 192 -> (64, 64).
    """
    block = arch.quantization.block if arch.quantization else None
    if block is None or not any(width % size for size in block):
        return block
    finer = math.gcd(*block, width, arch.hidden_size)
    return (finer, finer) if finer >= _FINEST_BLOCK else block


def padded_vocab(arch: ModelArch) -> int:
    """Rows of the embedding: the vocabulary rounded up to 64 (layers/vocab_parallel_embedding.py)."""
    return -(-arch.vocab_size // _VOCAB_PADDING) * _VOCAB_PADDING
