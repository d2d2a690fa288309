"""How a model is cut for the ranks of a layout: which layers a stage has, and which part of a matrix a rank."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from selfhost.models.parts import Cut, TokenShards
from selfhost.records import dataclass
from selfhost.units import round_up

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.models.parts import Linear
    from selfhost.quant.kernels import Capability
    from selfhost.quant.schemes import Quantization

_VOCAB_PADDING = 64
_FINEST_BLOCK = 32


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
    sequence_parallel_experts: bool = True
    """Whether shared experts are whole on every rank where tensor, data and expert parallel meet."""
    whole_shared_experts: bool = False
    """Whether they are so in any layout."""

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
    def of_any_stage(self) -> Ranks:
        """All that decides how a layer is cut: which stage it is in does not, only whether there are several."""
        if self.pp == 1:
            return self
        return Ranks(
            tp=self.tp,
            pp=2,
            dp=self.dp,
            ep=self.ep,
            gpu=self.gpu,
            sequence_parallel_experts=self.sequence_parallel_experts,
            whole_shared_experts=self.whole_shared_experts,
        )

    @property
    def is_first(self) -> bool:
        """Whether this is the first pipeline stage."""
        return self.pp_rank == 0

    @property
    def is_last(self) -> bool:
        """Whether this is the last pipeline stage."""
        return self.pp_rank == self.pp - 1


def stage_layers(layers: int, pp: int, pp_rank: int) -> range:
    """Indices of the layers of a pipeline stage; a remainder goes to the stages before the last.

    Source: vLLM 0.32 distributed/utils.py `get_pp_indices`. Check: 61 layers, 2 stages -> 31 and 30.
    """
    sizes = [layers // pp] * pp
    for back in range(2, layers % pp + 2):
        sizes[-back] += 1
    start = sum(sizes[:pp_rank])
    return range(start, start + sizes[pp_rank])


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
        return round_up((rows - whole) // pieces + whole, part.rows_multiple), columns
    wide, high = 1, 1
    if quantization is not None and part.is_expert:
        wide, high = quantization.expert_multiples
    elif quantization is not None and quantization.block and part.in_blocks and pieces > 1:
        wide = quantization.block[0]
    if part.cut is Cut.ROW:
        return round_up(rows, high), round_up(-(-_filled(part, columns, ranks) // pieces), wide)
    return sum(round_up(-(-_filled(part, out, ranks) // pieces), wide) for out in part.outputs), round_up(columns, high)


def _filled(part: Linear, width: int, ranks: Ranks) -> int:
    """Width of an expert once it is filled up so that each tensor-parallel rank has at least `least_width` of it."""
    alone = ranks.ep or ranks.tp == 1
    return width if alone or width // ranks.tp >= part.least_width else part.least_width * ranks.tp


def pieces_of(part: Linear, ranks: Ranks) -> int:
    """Ranks that a linear layer is divided over."""
    if part.is_expert:
        return 1 if ranks.ep else ranks.expert_ranks
    if part.cut is Cut.WHOLE or part.token_shards in ranks.token_shards:
        return 1
    if ranks.whole_shared_experts and "shared_expert" in part.name:
        return 1
    return ranks.tp


def refined_block(quantization: Quantization, hidden_size: int, width: int) -> tuple[int, int] | None:
    """Block of the scales of experts of `width` per rank when the checkpoint's block does not divide it.

    What is quantized while loading is padded instead. The checkpoint's own when there is none that is fine enough: at
    least 32 (layers/fused_moe/oracle/fp8.py).
    Check: blocks of 128, width 192 -> (64, 64).
    """
    block = quantization.block
    if block is None or quantization.is_online or not any(width % size for size in block):
        return block
    finer = math.gcd(*block, width, hidden_size)
    return (finer, finer) if finer >= _FINEST_BLOCK else block


def padded_vocab(arch: ModelArch) -> int:
    """Rows of the embedding: the vocabulary rounded up to 64 (layers/vocab_parallel_embedding.py)."""
    return round_up(arch.vocab_size, _VOCAB_PADDING)
