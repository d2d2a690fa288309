"""From an architecture and a layout to the bytes of one rank, as vLLM 0.32 builds its modules.

A model is a handful of kinds of layers, each a list of parts; a rank holds some layers of each kind. So the sum over
hundreds of thousands of tensors costs microseconds. Sources: vllm/model_executor/models/<model>.py for the parts,
layers/linear.py, layers/vocab_parallel_embedding.py and layers/fused_moe/ for how they are cut.

Not covered here: draft models of other kinds than multi-token prediction, LoRA, and what single kernels change:
padding of narrow layers and wider scales of FP8 under Marlin, the zero points of symmetric GPTQ that Machete keeps.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfhost.models.checkpoint import checkpoint_bytes, parameter_count
from selfhost.models.layers import residual_parts
from selfhost.models.parts import Cut, Linear, RotaryTable, TokenShards, Vector
from selfhost.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.arch import ModelArch
    from selfhost.models.draft import Draft
    from selfhost.models.layers import LayerKind, Mixer
    from selfhost.models.parts import Part
    from selfhost.quant.schemes import Quantization

__all__ = [
    "RankWeights",
    "TensorGroup",
    "checkpoint_bytes",
    "parameter_count",
    "rank_weights",
    "stage_kinds",
    "stage_layers",
]

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
    def token_shards(self) -> tuple[TokenShards, ...]:
        """Which parts are whole on every rank because the ranks divide the tokens."""
        if not (self.ep and self.tp > 1 and self.dp > 1 and self.sequence_parallel_experts):
            return ()
        return (TokenShards.ALWAYS, TokenShards.ONE_STAGE) if self.pp == 1 else (TokenShards.ALWAYS,)

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


def stage_kinds(arch: ModelArch, pp: int, pp_rank: int) -> list[LayerKind]:
    """The kind of each layer of a stage; the last has those of multi-token prediction, if they are loaded."""
    kinds = [arch.kinds[arch.layers[layer]] for layer in stage_layers(arch.num_hidden_layers, pp, pp_rank)]
    return [*kinds, *arch.loaded_draft.layers] if arch.loaded_draft and pp_rank == pp - 1 else kinds


def groups(arch: ModelArch, ranks: Ranks) -> Iterator[TensorGroup]:
    """Equal tensors of a rank, those without bytes included."""
    yield from _embeddings(arch, ranks)
    kinds = stage_kinds(arch, ranks.pp, ranks.pp_rank)
    for kind, count in Counter(kinds).items():
        for part in kind.parts(arch.hidden_size):
            yield from _cut(arch, part, ranks, count, kind.format_of(part, arch.quantization))
    yield from _rotary(arch, [kind.mixer for kind in dict.fromkeys(kinds)])
    for number, part in _beside(arch, ranks):
        yield from _cut(arch, part, ranks, number, None)
    if arch.loaded_draft and ranks.is_last:
        yield from _draft(arch, ranks, arch.loaded_draft)


def _draft(arch: ModelArch, ranks: Ranks, draft: Draft) -> Iterator[TensorGroup]:
    """What layers of multi-token prediction have beside their core; see `models.draft`."""
    for part in draft.parts(arch.hidden_size):
        plain = isinstance(part, Vector) or not part.quantizable
        yield from _cut(arch, part, ranks, len(draft.layers), None if plain else arch.quantization)
    if ranks.pp > 1:
        yield _embedding(arch, ranks, "draft.embed_tokens")


def _beside(arch: ModelArch, ranks: Ranks) -> Iterator[tuple[int, Part]]:
    """What is not part of a layer, and how many of each."""
    if arch.connections:
        yield from ((1, part) for part in arch.connections.head_parts(arch.hidden_size))
        if ranks.is_first:
            yield from ((1, part) for part in arch.connections.first_parts(arch.hidden_size))
    if arch.tower:
        yield from arch.tower.parts(ranks.tp)
    if arch.residual_block_layers and ranks.is_last:
        yield from ((1, part) for part in residual_parts(("output",), arch.hidden_size))


def _embeddings(arch: ModelArch, ranks: Ranks) -> Iterator[TensorGroup]:
    everywhere = arch.family.ends_on_all_stages
    tied = arch.tie_word_embeddings
    if ranks.is_first or everywhere or (tied and ranks.is_last):
        yield _embedding(arch, ranks, "embed_tokens")
    if (ranks.is_last or everywhere) and not tied:
        yield _embedding(arch, ranks, "lm_head")
    if ranks.is_last or everywhere:
        size = arch.hidden_size
        yield TensorGroup(name="norm", count=1, shape=(size,), bytes_each=size * arch.dtype_bytes)


def _embedding(arch: ModelArch, ranks: Ranks, name: str) -> TensorGroup:
    rows, columns = padded_vocab(arch) // ranks.tp, arch.hidden_size
    return TensorGroup(name=name, count=1, shape=(rows, columns), bytes_each=rows * columns * arch.dtype_bytes)


def _rotary(arch: ModelArch, mixers: list[Mixer]) -> Iterator[TensorGroup]:
    """The tables of cosines and sines, each shared by all layers; YaRN lays them out for the extended length.

    Check: DeepSeek-V3 -> 163840 * 64 * 2 = 20 MiB.
    """
    for table in dict.fromkeys(RotaryTable(*table) for mixer in mixers for table in mixer.rotary):
        name = "rotary_emb" if table.owner == "main" else f"{table.owner}.rotary_emb"
        if arch.family.transformers_backend:
            # Two vectors of frequencies in float32 instead of a table.
            yield TensorGroup(name=name, count=2, shape=(table.width // 2,), bytes_each=table.width * 2)
            continue
        rows = _rotary_rows(arch) if table.stretched else arch.max_position_embeddings
        size = rows * table.width * (table.itemsize or arch.dtype_bytes)
        yield TensorGroup(name=name, count=1, shape=(rows, table.width), bytes_each=size)


def _rotary_rows(arch: ModelArch) -> int:
    rows, rope = arch.max_position_embeddings, arch.rope
    if rope.rope_type in ("yarn", "deepseek_yarn") and rope.original_max_position_embeddings:
        return int(rope.original_max_position_embeddings * rope.factor)
    return int(rows * rope.factor) if rope.rope_type in ("linear", "dynamic") else rows


def _cut(
    arch: ModelArch, part: Part, ranks: Ranks, count: int, quantization: Quantization | None
) -> Iterator[TensorGroup]:
    """The tensors of a part on a rank; quantization: what a linear part is stored in, None for the model's dtype."""
    if isinstance(part, Vector):
        pieces = min(ranks.tp, part.at_most or ranks.tp) if part.cut is Cut.COLUMN else 1
        size = part.size // pieces
        yield TensorGroup(name=part.name, count=count, shape=(size,), bytes_each=size * _itemsize(arch, part))
        return
    rows, columns = cut_linear(part, ranks, quantization)
    copies = math.ceil(part.copies / ranks.expert_ranks) if part.is_expert and ranks.ep else part.copies
    shape = (copies, rows, columns) if part.is_expert else (rows, columns)
    for tensor, size in _linear_tensors(arch, part, rows, columns, quantization).items():
        yield TensorGroup(name=f"{part.name}.{tensor}", count=count, shape=shape, bytes_each=copies * size)
    if part.bias:
        # A row-parallel bias is whole on every rank; so are its rows.
        yield TensorGroup(name=f"{part.name}.bias", count=count, shape=(rows,), bytes_each=rows * arch.dtype_bytes)
    if part.kept_plain_too and quantization is not None:
        # After loading, W_UK and W_UV are kept once more, de-quantized (layers/attention/mla_attention.py).
        yield TensorGroup(name="self_attn.W_UK_W_UV", count=count, shape=(rows, columns), bytes_each=rows * columns * 2)
    if part.name == "mlp.experts.w13" and ranks.ep and ranks.expert_ranks > 1:
        # Which expert is where (layers/fused_moe/expert_map_manager.py).
        yield TensorGroup(name="mlp.experts.expert_map", count=count, shape=(part.copies,), bytes_each=4 * part.copies)


def _itemsize(arch: ModelArch, part: Part) -> int:
    return part.itemsize or arch.dtype_bytes


def cut_linear(part: Linear, ranks: Ranks, quantization: Quantization | None = None) -> tuple[int, int]:
    """Outputs and inputs of a linear layer on a rank, as the engine lays it out for what it is stored in."""
    rows, columns = sum(part.outputs), part.inputs
    if part.cut is Cut.QKV:
        q, k, v = part.outputs
        shared = max(1, min(ranks.tp, part.kv_heads))
        return q // ranks.tp + (k + v) // shared, columns
    pieces = pieces_of(part, ranks)
    if part.whole_outputs:
        whole = sum(part.outputs[-part.whole_outputs :])
        return _up((rows - whole) // pieces + whole, part.rows_multiple), columns
    wide, high = 1, 1
    if quantization is not None and part.is_expert:
        wide, high = quantization.expert_multiples
    elif quantization is not None and quantization.block and part.in_blocks and pieces > 1:
        wide = quantization.block[0]
    if part.cut is Cut.ROW:
        return _up(rows, high), _up(-(-_filled(part, columns, ranks) // pieces), wide)
    return sum(_up(-(-_filled(part, out, ranks) // pieces), wide) for out in part.outputs), _up(columns, high)


def _filled(part: Linear, width: int, ranks: Ranks) -> int:
    """Width of an expert once it is filled up so that each tensor-parallel rank has at least `least_width` of it."""
    alone = ranks.ep or ranks.tp == 1
    return width if alone or width // ranks.tp >= part.least_width else part.least_width * ranks.tp


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def pieces_of(part: Linear, ranks: Ranks) -> int:
    """Ranks that a linear layer is divided over."""
    if part.is_expert:
        return 1 if ranks.ep else ranks.expert_ranks
    if part.cut is Cut.WHOLE or part.token_shards in ranks.token_shards:
        return 1
    return ranks.tp


def _linear_tensors(
    arch: ModelArch, part: Linear, rows: int, columns: int, quantization: Quantization | None
) -> dict[str, int]:
    if quantization is None:
        return {"weight": rows * columns * _itemsize(arch, part)}
    block = None
    if part.is_expert:
        width = columns if part.cut is Cut.ROW else rows // len(part.outputs)
        block = refined_block(quantization, arch.hidden_size, width)
    return quantization.linear_tensors(
        rows, columns, parts=len(part.outputs), expert=part.is_expert, block=block, module=part.module
    )


def refined_block(quantization: Quantization, hidden_size: int, width: int) -> tuple[int, int] | None:
    """Block of the scales of experts of `width` per rank when the checkpoint's block does not divide it.

    The checkpoint's own when there is none that is fine enough: at least 32 (layers/fused_moe/oracle/fp8.py).
    Check: blocks of 128, width 192 -> (64, 64).
    """
    block = quantization.block
    if block is None or not any(width % size for size in block):
        return block
    finer = math.gcd(*block, width, hidden_size)
    return (finer, finer) if finer >= _FINEST_BLOCK else block


def padded_vocab(arch: ModelArch) -> int:
    """Rows of the embedding: the vocabulary rounded up to 64 (layers/vocab_parallel_embedding.py)."""
    return -(-arch.vocab_size // _VOCAB_PADDING) * _VOCAB_PADDING
