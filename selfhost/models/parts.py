"""The parts a model is made of: linear layers and vectors, with how tensor parallelism cuts them."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from selfhost.records import dataclass

FLOAT32 = 4
INT32 = 4
INT64 = 8


class RotaryTable(NamedTuple):
    """A table of cosines and sines that layers share when everything here is equal."""

    owner: str
    width: int
    """Dimensions that are rotated."""
    itemsize: int | None = None
    """None: the model's dtype."""
    stretched: bool = True
    """Whether the model's extension of its context applies."""


class Cut(StrEnum):
    """How a part is spread over tensor-parallel ranks."""

    WHOLE = "whole"
    """Replicated."""
    COLUMN = "column"
    """Outputs are divided."""
    ROW = "row"
    """Inputs are divided."""
    QKV = "qkv"
    """Query heads are divided; KV heads too, or replicated when there are fewer of them than ranks."""


class TokenShards(StrEnum):
    """When a part is whole on every rank because the ranks divide the tokens instead of the part.

    The engine does so with expert parallel, data parallel and tensor parallel together (config/parallel.py
    `use_sequence_parallel_moe`).
    """

    NEVER = "never"
    ALWAYS = "always"
    ONE_STAGE = "one-stage"
    """Not with pipeline parallel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear:
    """A matrix, or several of equal shape (`copies`: experts)."""

    name: str
    outputs: tuple[int, ...]
    """One for each matrix that the engine merges into this one."""
    inputs: int
    cut: Cut
    bias: bool = False
    quantizable: bool = True
    itemsize: int | None = None
    """Bytes of an element in the engine when it is not the model's dtype."""
    copies: int = 1
    kv_heads: int = 0
    token_shards: TokenShards = TokenShards.NEVER
    in_blocks: bool = False
    """Whether its width on a rank is rounded up to whole blocks of the quantization, when there are any."""
    whole_outputs: int = 0
    """How many of the last matrices merged here are whole on every rank though the others are cut."""
    rows_multiple: int = 1
    """What its outputs on a rank are rounded up to."""
    least_width: int = 0
    """Of an expert: where tensor parallelism would leave less on a rank, it is filled up to this first."""
    kept_plain_too: bool = False
    """Whether the engine keeps a de-quantized copy of it after loading, beside the quantized one."""
    parts: tuple[str, ...] = ()
    """Names in the checkpoint of what is merged here, when they differ from `name`."""
    stored_outputs: tuple[int, ...] = ()
    """One for each matrix of the checkpoint, when they are not `outputs`."""

    @property
    def is_expert(self) -> bool:
        """Whether this is the matrices of the routed experts."""
        return self.copies > 1

    @property
    def module(self) -> str:
        """Name of the module in the engine: the experts of a layer are one."""
        return self.name.rpartition(".")[0] if self.is_expert else self.name

    @property
    def pattern(self) -> str:
        """Name of its first module in the checkpoint, with `*` for the number of the layer."""
        return f"model.layers.*.{self.checkpoint_names[0]}"

    @property
    def checkpoint_names(self) -> tuple[str, ...]:
        """Names of the modules in the checkpoint, without `model.layers.N.`."""
        prefix = self.name.rpartition(".")[0]
        return tuple(f"{prefix}.{part}" for part in self.parts) or (self.name,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vector:
    """A one-dimensional parameter: a norm's weight, a correction per expert."""

    name: str
    size: int
    cut: Cut = Cut.WHOLE
    at_most: int | None = None
    """Pieces it can be cut into; with more ranks, some hold the same piece."""
    itemsize: int | None = None
    stored_itemsize: int | None = None
    trained: bool = True
    """False for what load balancing adjusts: published parameter counts leave it out."""


Part = Linear | Vector


def mlp_parts(  # noqa: PLR0913  (how it is cut, beside its sizes)
    prefix: str,
    hidden_size: int,
    width: int,
    *,
    bias: bool = False,
    token_shards: TokenShards = TokenShards.NEVER,
    in_blocks: bool = False,
) -> list[Part]:
    """A gated feed-forward network of `width`."""
    return [
        Linear(
            name=f"{prefix}.gate_up_proj",
            outputs=(width, width),
            inputs=hidden_size,
            cut=Cut.COLUMN,
            bias=bias,
            token_shards=token_shards,
            in_blocks=in_blocks,
            parts=("gate_proj", "up_proj"),
        ),
        Linear(
            name=f"{prefix}.down_proj",
            outputs=(hidden_size,),
            inputs=width,
            cut=Cut.ROW,
            bias=bias,
            token_shards=token_shards,
            in_blocks=in_blocks,
        ),
    ]
