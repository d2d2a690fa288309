"""From an architecture and a layout to the bytes of one rank, as vLLM 0.32 builds its modules.

A model is a handful of kinds of layers, each a list of parts; a rank holds some layers of each kind. So the sum over
hundreds of thousands of tensors costs microseconds. Sources: vllm/model_executor/models/<model>.py for the parts,
layers/linear.py, layers/vocab_parallel_embedding.py and layers/fused_moe/ for how they are cut.

Not covered here: drafts other than multi-token prediction, LoRA. What kernels change after loading: `quant.kernels` and
`quant.expert_kernels`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from selfhost.models.allocator import rounding_bytes
from selfhost.models.checkpoint import checkpoint_bytes, parameter_count
from selfhost.models.layers import residual_parts
from selfhost.models.media import AUDIO, heeded
from selfhost.models.parts import Cut, Linear, RotaryTable, Vector
from selfhost.models.ranks import Ranks, cut_linear, padded_vocab, refined_block, stage_layers
from selfhost.models.vision import TowerMode
from selfhost.quant.expert_kernels import common_tensors, expert
from selfhost.quant.kernels import Matrix, linear
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.arch import ModelArch
    from selfhost.models.draft import Draft
    from selfhost.models.layers import LayerKind, Mixer
    from selfhost.models.parts import Part
    from selfhost.quant.kernels import Capability
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


def rank_weights(  # noqa: PLR0913  (the four parallel sizes of the engine and a stage)
    arch: ModelArch,
    *,
    tp: int = 1,
    pp: int = 1,
    dp: int = 1,
    ep: bool = False,
    pp_rank: int = 0,
    tower: TowerMode | None = None,
    gpu: Capability | None = None,
) -> RankWeights:
    """The tensors of a rank of one pipeline stage, after loading; with uneven experts, of the rank with most.

    tower: where the vision tower is, if not where `arch.media` says. gpu: whose kernels pad and rearrange the matrices
    (see `quant.kernels`); None: as the checkpoint has them.
    Check: Qwen2.5-72B bf16 TP4 -> 33.866 GiB; DeepSeek-V3 FP8 TP8 -> 79.312 GiB + 0.238 GiB W_UK and W_UV.
    """
    ranks = Ranks(tp=tp, pp=pp, dp=dp, ep=ep, pp_rank=pp_rank, gpu=gpu)
    found = groups(arch, ranks, tower=tower)
    return RankWeights(groups=tuple(group for group in found if group.count and group.bytes_each))


def stage_kinds(arch: ModelArch, pp: int, pp_rank: int) -> list[LayerKind]:
    """The kind of each layer of a stage; the last has those of multi-token prediction, if they are loaded."""
    kinds = [arch.kinds[arch.layers[layer]] for layer in stage_layers(arch.num_hidden_layers, pp, pp_rank)]
    return [*kinds, *arch.loaded_draft.layers] if arch.loaded_draft and pp_rank == pp - 1 else kinds


def groups(arch: ModelArch, ranks: Ranks, *, tower: TowerMode | None = None) -> Iterator[TensorGroup]:
    """Equal tensors of a rank, those without bytes included."""
    yield from _embeddings(arch, ranks)
    layers = _layers(arch, ranks)
    for _, count, tensors in layers:
        for each in tensors:
            yield TensorGroup(name=each.name, count=each.count * count, shape=each.shape, bytes_each=each.bytes_each)
    yield from _rotary(arch, [kind.mixer for kind, *_ in layers])
    for part in _beside(arch, ranks):
        yield from _cut(arch, part, ranks, 1, None)
    yield from _tower(arch, ranks, tower or arch.tower_mode)
    if arch.audio is not None and tower is not TowerMode.ABSENT and arch.media.limit(AUDIO):
        for count, part in arch.audio.parts():
            yield from _cut(arch, part, ranks, count, None)
    if arch.loaded_draft and ranks.is_last:
        yield from _draft(arch, ranks, arch.loaded_draft)


def _layers(arch: ModelArch, ranks: Ranks) -> list[tuple[LayerKind, int, list[TensorGroup]]]:
    """The kinds of a stage in the order of their first layer: how many layers of each, and the tensors of one.

    Counted by their places: a kind is hashed with all its dimensions, and a model has a hundred layers.
    """
    numbers = stage_layers(arch.num_hidden_layers, ranks.pp, ranks.pp_rank)
    counts = Counter(arch.layers[numbers.start : numbers.stop])
    cut = _cut_kinds(arch, ranks.of_any_stage)
    found = [(arch.kinds[place], count, cut[place]) for place, count in counts.items()]
    if not (arch.loaded_draft and ranks.is_last):
        return found
    drafts = Counter(arch.loaded_draft.layers)
    found = [(kind, count + drafts.pop(kind, 0), tensors) for kind, count, tensors in found]
    return found + [(kind, count, _cut_kind(arch, kind, ranks)) for kind, count in drafts.items()]


@lru_cache(maxsize=512)
def _cut_kinds(arch: ModelArch, ranks: Ranks) -> list[list[TensorGroup]]:
    """The tensors of one layer of each kind. Remembered, and not to be changed: they are the same on all stages.

    ranks: `of_any_stage`.
    """
    return [_cut_kind(arch, kind, ranks) for kind in arch.kinds]


def _cut_kind(arch: ModelArch, kind: LayerKind, ranks: Ranks) -> list[TensorGroup]:
    return [
        group
        for part in kind.parts(arch.hidden_size)
        for group in _cut(arch, part, ranks, 1, kind.format_of(part, arch.quantization))
    ]


def _draft(arch: ModelArch, ranks: Ranks, draft: Draft) -> Iterator[TensorGroup]:
    """What layers of multi-token prediction have beside their core; see `models.draft`."""
    for count, part, form in draft.beside(arch.hidden_size, arch.quantization):
        yield from _cut(arch, part, ranks, count, form)
    if ranks.pp > 1:
        yield _embedding(arch, ranks, "draft.embed_tokens")


def _beside(arch: ModelArch, ranks: Ranks) -> Iterator[Part]:
    """What is not part of a layer, one of each."""
    if arch.connections:
        yield from arch.connections.head_parts(arch.hidden_size)
        if ranks.is_first:
            yield from arch.connections.first_parts(arch.hidden_size)
    if arch.residual_block_layers and ranks.is_last:
        yield from residual_parts(("output",), arch.hidden_size)


def _tower(arch: ModelArch, ranks: Ranks, mode: TowerMode | None) -> Iterator[TensorGroup]:
    """On every pipeline stage."""
    if arch.tower is None or mode is TowerMode.ABSENT:
        return
    if mode is not None and heeded(arch.tower, mode) is TowerMode.DATA:
        ranks = replace(ranks, tp=1)
    for count, part in arch.tower.parts(ranks.tp):
        yield from _cut(arch, part, ranks, count, arch.tower.format_of(part, arch.quantization))


def _embeddings(arch: ModelArch, ranks: Ranks) -> Iterator[TensorGroup]:
    everywhere, tied = arch.family.on_all_stages, arch.tie_word_embeddings
    if ranks.is_first or "embed_tokens" in everywhere or (tied and ranks.is_last):
        yield _embedding(arch, ranks, "embed_tokens")
    if (ranks.is_last or "lm_head" in everywhere) and not tied:
        if form := head_format(arch):
            head = Linear(name="lm_head", outputs=(padded_vocab(arch),), inputs=arch.hidden_size, cut=Cut.COLUMN)
            yield from _cut(arch, head, ranks, 1, form)
        else:
            yield _embedding(arch, ranks, "lm_head")
    if ranks.is_last or "norm" in everywhere:
        size = arch.hidden_size
        yield TensorGroup(name="norm", count=1, shape=(size,), bytes_each=size * arch.dtype_bytes)


def _embedding(arch: ModelArch, ranks: Ranks, name: str) -> TensorGroup:
    rows, columns = padded_vocab(arch) // ranks.tp, arch.hidden_size
    return TensorGroup(name=name, count=1, shape=(rows, columns), bytes_each=rows * columns * arch.dtype_bytes)


def head_format(arch: ModelArch) -> Quantization | None:
    """What the head is stored in; hardly any checkpoint quantizes it."""
    return None if arch.quantization is None else arch.quantization.of_head(arch.family.prefix.removesuffix("model."))


def _rotary(arch: ModelArch, mixers: list[Mixer]) -> Iterator[TensorGroup]:
    """The tables of cosines and sines, each shared by the layers of the rank that need it; YaRN lays them out for the
    extended length.

    Check: DeepSeek-V3 -> 163840 * 64 * 2 = 20 MiB.
    """
    for table in dict.fromkeys(RotaryTable(*table) for mixer in mixers for table in mixer.rotary):
        name = "rotary_emb" if table.owner == "main" else f"{table.owner}.rotary_emb"
        if arch.family.transformers_backend:
            # Two vectors of frequencies in float32 instead of a table.
            yield TensorGroup(name=name, count=2, shape=(table.width // 2,), bytes_each=table.width * 2)
            continue
        rows = (_rotary_rows(arch) if table.stretched else arch.max_position_embeddings) * arch.rope.times
        size = rows * table.width * (table.itemsize or arch.dtype_bytes)
        yield TensorGroup(name=name, count=1, shape=(rows, table.width), bytes_each=size)


def _rotary_rows(arch: ModelArch) -> int:
    rows, rope = arch.max_position_embeddings, arch.rope
    if rope.rope_type in ("yarn", "deepseek_yarn") and rope.original_max_position_embeddings:
        return int(rope.original_max_position_embeddings * rope.factor)
    # A dynamic base is taken for the config's own length, which the table ends at (dynamic_ntk_scaling_rope.py).
    return int(rows * rope.factor) if rope.rope_type == "linear" else rows


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


def _linear_tensors(
    arch: ModelArch, part: Linear, gpu: Capability | None, size: tuple[int, int], quantization: Quantization | None
) -> dict[str, int]:
    """Of a linear layer on a rank, or of one of its experts; `size`: rows and columns there."""
    rows, columns = size
    if quantization is not None and part.is_expert:
        width = columns if part.cut is Cut.ROW else rows // len(part.outputs)
        if (block := refined_block(quantization, arch.hidden_size, width)) != quantization.block:
            quantization = replace(quantization, block=block)
    matrix = Matrix(rows, columns, len(part.outputs), part.bias)
    if part.is_expert and gpu:
        return expert(quantization, matrix, gpu, _itemsize(arch, part))
    if quantization is None:
        return {"weight": rows * columns * _itemsize(arch, part)}
    if gpu:
        return linear(quantization, matrix, gpu)
    parts, is_expert = len(part.outputs), part.is_expert
    return quantization.linear_tensors(rows, columns, parts=parts, expert=is_expert, module=part.pattern)
