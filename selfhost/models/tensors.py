"""From an architecture and a layout to the bytes of one rank, as vLLM 0.32 builds its modules.

A model is a handful of kinds of layers, each a list of parts; a rank holds some layers of each kind. So the sum over
hundreds of thousands of tensors costs microseconds. Sources: vllm/model_executor/models/<model>.py for the parts,
layers/linear.py, layers/vocab_parallel_embedding.py and layers/fused_moe/ for how they are cut.

Not covered here: draft models, LoRA. What kernels change after loading: `quant.kernels` and `quant.expert_kernels`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from selfhost.models.allocator import rounding_bytes
from selfhost.models.checkpoint import checkpoint_bytes, parameter_count
from selfhost.models.parts import Cut, Linear, TokenShards, Vector
from selfhost.models.vision import TowerMode
from selfhost.quant.expert_kernels import ONLINE, common_tensors, expert
from selfhost.quant.kernels import Matrix, linear

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from selfhost.models.arch import ModelArch
    from selfhost.models.layers import Mixer
    from selfhost.models.parts import Part
    from selfhost.quant.kernels import Capability
    from selfhost.quant.schemes import Quantization

__all__ = ["RankWeights", "TensorGroup", "checkpoint_bytes", "parameter_count", "rank_weights", "stage_layers"]

_VOCAB_PADDING = 64
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
        """What the CUDA allocator adds: `models.allocator`. Check: Qwen2.5-72B at TP4, 33.866 GiB -> 33.9835 GiB."""
        return rounding_bytes((group.bytes_each, group.count) for group in self.groups)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """How a model is cut: sizes of the groups, as in the engine's flags."""

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: bool = False
    pp_rank: int = 0
    gpu: Capability | None = None
    """Whose kernels prepare the weights; None: nobody's."""

    @property
    def expert_ranks(self) -> int:
        """Ranks that share the experts of a layer: data and tensor parallel flattened."""
        return self.tp * self.dp

    @property
    def token_shards(self) -> tuple[TokenShards, ...]:
        """Which parts are whole on every rank because the ranks divide the tokens."""
        if not (self.ep and self.tp > 1 and self.dp > 1):
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
    arch: ModelArch,
    *,
    tp: int = 1,
    pp: int = 1,
    dp: int = 1,
    ep: bool = False,
    pp_rank: int = 0,
    tower: TowerMode = TowerMode.WEIGHTS,
    gpu: Capability | None = None,
) -> RankWeights:
    """The tensors of a rank of one pipeline stage, after loading; with uneven experts, of the rank with most.

    tower: how the vision tower is spread, if the model has one. gpu: whose kernels pad and rearrange the matrices (see
    `quant.kernels`); None: as the checkpoint has them.
    Check: Qwen2.5-72B bf16 TP4 -> 33.866 GiB; DeepSeek-V3 FP8 TP8 -> 79.312 GiB + 0.238 GiB W_UK and W_UV.
    """
    ranks = Ranks(tp=tp, pp=pp, dp=dp, ep=ep, pp_rank=pp_rank, gpu=gpu)
    groups = [*_groups(arch, ranks), *_tower(arch, ranks, tower)]
    return RankWeights(groups=tuple(group for group in groups if group.count and group.bytes_each))


def stage_layers(layers: int, pp: int, pp_rank: int) -> range:
    """Indices of the layers of a pipeline stage; a remainder goes to the stages before the last.

    Source: vLLM 0.32 distributed/utils.py `get_pp_indices`. Check: 61 layers, 2 stages -> 31 and 30.
    """
    sizes = [layers // pp] * pp
    for back in range(2, layers % pp + 2):
        sizes[-back] += 1
    start = sum(sizes[:pp_rank])
    return range(start, start + sizes[pp_rank])


def _groups(arch: ModelArch, ranks: Ranks) -> Iterator[TensorGroup]:
    yield from _embeddings(arch, ranks)
    held = stage_layers(arch.num_hidden_layers, ranks.pp, ranks.pp_rank)
    kinds = [(arch.kinds[place], count) for place, count in sorted(Counter(arch.layers[x] for x in held).items())]
    for kind, count in kinds:
        for part in kind.parts(arch.hidden_size):
            yield from _cut(arch, part, ranks, count, kind.format_of(part, arch.quantization))
    yield from _rotary(arch, [kind.mixer for kind, _ in kinds])


def _tower(arch: ModelArch, ranks: Ranks, mode: TowerMode) -> Iterator[TensorGroup]:
    """On every pipeline stage."""
    if arch.tower is None or mode is TowerMode.ABSENT:
        return
    if mode is TowerMode.DATA:
        ranks = replace(ranks, tp=1)
    for count, part in arch.tower.parts(ranks.tp):
        yield from _cut(arch, part, ranks, count, arch.tower.format_of(part, arch.quantization))


def _embeddings(arch: ModelArch, ranks: Ranks) -> Iterator[TensorGroup]:
    rows, dtype = padded_vocab(arch) // ranks.tp, arch.dtype_bytes
    shape = (rows, arch.hidden_size)
    everywhere, tied = arch.family.on_all_stages, arch.tie_word_embeddings
    if ranks.is_first or "embed_tokens" in everywhere or (tied and ranks.is_last):
        yield TensorGroup(name="embed_tokens", count=1, shape=shape, bytes_each=rows * arch.hidden_size * dtype)
    if (ranks.is_last or "lm_head" in everywhere) and not tied:
        if form := head_format(arch):
            head = Linear(name="lm_head", outputs=(rows * ranks.tp,), inputs=arch.hidden_size, cut=Cut.COLUMN)
            yield from _cut(arch, head, ranks, 1, form)
        else:
            yield TensorGroup(name="lm_head", count=1, shape=shape, bytes_each=rows * arch.hidden_size * dtype)
    if ranks.is_last or "norm" in everywhere:
        yield TensorGroup(name="norm", count=1, shape=(arch.hidden_size,), bytes_each=arch.hidden_size * dtype)


def head_format(arch: ModelArch) -> Quantization | None:
    """What the head is stored in; hardly any checkpoint quantizes it."""
    return None if arch.quantization is None else arch.quantization.of_head(arch.family.prefix.removesuffix("model."))


def _rotary(arch: ModelArch, mixers: Iterable[Mixer]) -> Iterator[TensorGroup]:
    """The tables of cosines and sines, each shared by the layers of the rank that need it; YaRN lays them out for the
    extended length.

    Check: DeepSeek-V3 -> 163840 * 64 * 2 = 20 MiB.
    """
    rows, rope = arch.max_position_embeddings, arch.rope
    if rope.rope_type in ("yarn", "deepseek_yarn") and rope.original_max_position_embeddings:
        rows = int(rope.original_max_position_embeddings * rope.factor)
    elif rope.rope_type in ("linear", "dynamic"):
        rows = int(rows * rope.factor)
    rows *= rope.times
    for owner, width in dict.fromkeys(table for mixer in mixers for table in mixer.rotary):
        name = "rotary_emb" if owner == "main" else f"{owner}.rotary_emb"
        if arch.family.transformers_backend:
            # Two vectors of frequencies in float32 instead of a table.
            yield TensorGroup(name=name, count=2, shape=(width // 2,), bytes_each=width * 2)
        else:
            yield TensorGroup(name=name, count=1, shape=(rows, width), bytes_each=rows * width * arch.dtype_bytes)


def _cut(
    arch: ModelArch, part: Part, ranks: Ranks, count: int, quantization: Quantization | None
) -> Iterator[TensorGroup]:
    """The tensors of a part on a rank; quantization: what a linear part is stored in, None for the model's dtype."""
    if isinstance(part, Vector):
        pieces = min(ranks.tp, part.at_most or ranks.tp) if part.cut is Cut.COLUMN else 1
        size = part.size // pieces
        yield TensorGroup(name=part.name, count=count, shape=(size,), bytes_each=size * _itemsize(arch, part))
        return
    rows, columns = cut_linear(part, ranks)
    copies = math.ceil(part.copies / ranks.expert_ranks) if part.is_expert and ranks.ep else part.copies
    shape = (copies, rows, columns) if part.is_expert else (rows, columns)
    sizes = _linear_tensors(arch, part, ranks.gpu, (rows, columns), quantization)
    for tensor, size in sizes.items():
        yield TensorGroup(name=f"{part.name}.{tensor}", count=count, shape=shape, bytes_each=copies * size)
    if part.is_expert and ranks.gpu and len(part.outputs) > 1:
        for name, size, number in common_tensors(quantization, copies, ranks.gpu):
            yield TensorGroup(name=f"mlp.experts.{name}", count=number * count, shape=(size,), bytes_each=size)
    if part.bias and "bias" not in sizes:
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


def cut_linear(part: Linear, ranks: Ranks) -> tuple[int, int]:
    """Outputs and inputs of a linear layer on a rank."""
    rows, columns = sum(part.outputs), part.inputs
    if part.cut is Cut.QKV:
        q, k, v = part.outputs
        shared = max(1, min(ranks.tp, part.kv_heads))
        return q // ranks.tp + (k + v) // shared, columns
    pieces = pieces_of(part, ranks)
    return (rows, columns // pieces) if part.cut is Cut.ROW else (rows // pieces, columns)


def pieces_of(part: Linear, ranks: Ranks) -> int:
    """Ranks that a linear layer is divided over."""
    if part.is_expert:
        return 1 if ranks.ep else ranks.expert_ranks
    if part.cut is Cut.WHOLE or part.token_shards in ranks.token_shards:
        return 1
    return ranks.tp


def _linear_tensors(
    arch: ModelArch, part: Linear, gpu: Capability | None, size: tuple[int, int], quantization: Quantization | None
) -> dict[str, int]:
    """Of a linear layer on a rank, or of one of its experts; `size`: rows and columns there."""
    rows, columns = size
    if quantization is not None and part.is_expert:
        width = columns if part.cut is Cut.ROW else rows // len(part.outputs)
        quantization = replace(quantization, block=refined_block(quantization, arch.hidden_size, width))
    matrix = Matrix(rows, columns, len(part.outputs), part.bias)
    if part.is_expert and gpu:
        return expert(quantization, matrix, gpu, _itemsize(arch, part))
    if quantization is None:
        return {"weight": rows * columns * _itemsize(arch, part)}
    if gpu:
        return linear(quantization, matrix, gpu)
    return quantization.linear_tensors(rows, columns, parts=len(part.outputs), expert=part.is_expert)


def refined_block(quantization: Quantization, hidden_size: int, width: int) -> tuple[int, int] | None:
    """Block of the scales of experts of `width` per rank when the checkpoint's block does not divide it.

    What is quantized while loading is padded instead. The checkpoint's own when there is none that is fine enough: at
    least 32 (layers/fused_moe/oracle/fp8.py).
    Check: blocks of 128, width 192 -> (64, 64).
    """
    block = quantization.block
    if block is None or quantization.method == ONLINE or not any(width % size for size in block):
        return block
    finer = math.gcd(*block, width, hidden_size)
    return (finer, finer) if finer >= _FINEST_BLOCK else block


def padded_vocab(arch: ModelArch) -> int:
    """Rows of the embedding: the vocabulary rounded up to 64 (layers/vocab_parallel_embedding.py)."""
    return -(-arch.vocab_size // _VOCAB_PADDING) * _VOCAB_PADDING
