"""The parts a model is made of: linear layers and vectors, with how tensor parallelism cuts them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FLOAT32 = 4


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
    shared_expert: bool = False
    kept_plain_too: bool = False
    """Whether the engine keeps a de-quantized copy of it after loading, beside the quantized one."""
    parts: tuple[str, ...] = ()
    """Names in the checkpoint of what is merged here, when they differ from `name`."""

    @property
    def is_expert(self) -> bool:
        """Whether this is the matrices of the routed experts."""
        return self.copies > 1

    @property
    def module(self) -> str:
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


def mlp_parts(prefix: str, hidden_size: int, width: int, *, bias: bool = False, shared: bool = False) -> list[Part]:
    """A gated feed-forward network of `width`; `shared`: an expert that all tokens go through."""
    return [
        Linear(
            name=f"{prefix}.gate_up_proj",
            outputs=(width, width),
            inputs=hidden_size,
            cut=Cut.COLUMN,
            bias=bias,
            shared_expert=shared,
            parts=("gate_proj", "up_proj"),
        ),
        Linear(
            name=f"{prefix}.down_proj",
            outputs=(hidden_size,),
            inputs=width,
            cut=Cut.ROW,
            bias=bias,
            shared_expert=shared,
        ),
    ]
