"""The parts a decoder layer is made of: linear layers and vectors, with how tensor parallelism cuts them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch


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


class LayerKind(StrEnum):
    """What follows the attention of a layer."""

    DENSE = "dense"
    MOE = "moe"


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
    parts: tuple[str, ...] = ()
    """Names in the checkpoint of what is merged here, when they differ from `name`."""

    @property
    def is_expert(self) -> bool:
        """Whether this is the matrices of the routed experts."""
        return self.copies > 1

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

_FLOAT32 = 4


def norm_parts(arch: ModelArch) -> list[Part]:
    """Norms of the hidden size around attention and feed-forward."""
    names = ("input_layernorm", "post_attention_layernorm", "post_self_attn_layernorm", "post_mlp_layernorm")
    return [Vector(name=name, size=arch.hidden_size) for name in names[: arch.family.norms_per_layer]]


def attention_parts(arch: ModelArch) -> list[Part]:
    """Attention of one layer."""
    parts = _latent_attention(arch) if arch.is_mla else _grouped_attention(arch)
    # Scales of queries, keys, values and probabilities, made by the engine whatever the KV dtype is.
    return [*parts, Vector(name="self_attn.attn.scales", size=4, itemsize=_FLOAT32, stored_itemsize=0, trained=False)]


def _grouped_attention(arch: ModelArch) -> list[Part]:
    width, kv_width = arch.num_attention_heads * arch.head_dim, arch.num_key_value_heads * arch.head_dim
    parts: list[Part] = [
        Linear(
            name="self_attn.qkv_proj",
            outputs=(width, kv_width, kv_width),
            inputs=arch.hidden_size,
            cut=Cut.QKV,
            bias=arch.qkv_bias,
            kv_heads=arch.num_key_value_heads,
            parts=("q_proj", "k_proj", "v_proj"),
        ),
        Linear(name="self_attn.o_proj", outputs=(arch.hidden_size,), inputs=width, cut=Cut.ROW, bias=arch.o_bias),
    ]
    if arch.qk_norm == "head":
        parts += [Vector(name=f"self_attn.{x}_norm", size=arch.head_dim) for x in "qk"]
    if arch.qk_norm == "full":
        parts += [
            Vector(name="self_attn.q_norm", size=width, cut=Cut.COLUMN),
            Vector(name="self_attn.k_norm", size=kv_width, cut=Cut.COLUMN, at_most=arch.num_key_value_heads),
        ]
    return parts


def _latent_attention(arch: ModelArch) -> list[Part]:
    """Multi-head latent attention; the a-projections are whole on every rank (models/deepseek_v2.py)."""
    heads, hidden = arch.num_attention_heads, arch.hidden_size
    query = arch.qk_nope_head_dim + arch.qk_rope_head_dim
    latent = arch.kv_lora_rank + arch.qk_rope_head_dim
    parts: list[Part] = []
    if arch.q_lora_rank:
        parts += [
            Linear(
                name="self_attn.fused_qkv_a_proj",
                outputs=(arch.q_lora_rank, latent),
                inputs=hidden,
                cut=Cut.WHOLE,
                parts=("q_a_proj", "kv_a_proj_with_mqa"),
            ),
            Vector(name="self_attn.q_a_layernorm", size=arch.q_lora_rank),
            Linear(name="self_attn.q_b_proj", outputs=(heads * query,), inputs=arch.q_lora_rank, cut=Cut.COLUMN),
        ]
    else:
        parts += [
            Linear(name="self_attn.kv_a_proj_with_mqa", outputs=(latent,), inputs=hidden, cut=Cut.WHOLE),
            Linear(name="self_attn.q_proj", outputs=(heads * query,), inputs=hidden, cut=Cut.COLUMN),
        ]
    return [
        *parts,
        Vector(name="self_attn.kv_a_layernorm", size=arch.kv_lora_rank),
        Linear(
            name="self_attn.kv_b_proj",
            outputs=(heads * (arch.qk_nope_head_dim + arch.v_head_dim),),
            inputs=arch.kv_lora_rank,
            cut=Cut.COLUMN,
        ),
        Linear(name="self_attn.o_proj", outputs=(hidden,), inputs=heads * arch.v_head_dim, cut=Cut.ROW),
        *(_indexer(arch) if arch.index_topk else ()),
    ]


def _indexer(arch: ModelArch) -> list[Part]:
    """The indexer of sparse attention, whole on every rank; its small projections stay in the model's dtype."""
    return [
        Linear(
            name="self_attn.indexer.wq_b",
            outputs=(arch.index_n_heads * arch.index_head_dim,),
            inputs=arch.q_lora_rank,
            cut=Cut.WHOLE,
        ),
        Linear(
            name="self_attn.indexer.wk_weights_proj",
            outputs=(arch.index_head_dim, arch.index_n_heads),
            inputs=arch.hidden_size,
            cut=Cut.WHOLE,
            quantizable=False,
            parts=("wk", "weights_proj"),
        ),
        Vector(name="self_attn.indexer.k_norm.weight", size=arch.index_head_dim, itemsize=_FLOAT32),
        Vector(name="self_attn.indexer.k_norm.bias", size=arch.index_head_dim, itemsize=_FLOAT32),
    ]


def mlp_parts(arch: ModelArch, prefix: str, width: int, *, shared_expert: bool = False) -> list[Part]:
    """A gated feed-forward network of `width`."""
    return [
        Linear(
            name=f"{prefix}.gate_up_proj",
            outputs=(width, width),
            inputs=arch.hidden_size,
            cut=Cut.COLUMN,
            bias=arch.mlp_bias,
            shared_expert=shared_expert,
            parts=("gate_proj", "up_proj"),
        ),
        Linear(
            name=f"{prefix}.down_proj",
            outputs=(arch.hidden_size,),
            inputs=width,
            cut=Cut.ROW,
            bias=arch.mlp_bias,
            shared_expert=shared_expert,
        ),
    ]


def _leaves_out_routers(arch: ModelArch) -> bool:
    """GPTQ and AWQ leave the router out without saying so; the engine sees it from the files (auto_gptq.py)."""
    return arch.quantization is not None and arch.quantization.method in ("gptq", "awq")


def expert_parts(arch: ModelArch) -> list[Part]:
    """Router, routed experts and shared experts of one layer."""
    hidden, width = arch.hidden_size, arch.moe_intermediate_size
    parts: list[Part] = [
        Linear(
            name="mlp.gate",
            outputs=(arch.num_experts,),
            inputs=hidden,
            cut=Cut.WHOLE,
            quantizable=arch.family.router_quantizable and not _leaves_out_routers(arch),
            itemsize=arch.family.router_dtype_bytes,
        ),
        Linear(
            name="mlp.experts.w13",
            outputs=(width, width),
            inputs=hidden,
            cut=Cut.COLUMN,
            copies=arch.num_experts,
            parts=("0.gate_proj", "0.up_proj"),
        ),
        Linear(
            name="mlp.experts.w2",
            outputs=(hidden,),
            inputs=width,
            cut=Cut.ROW,
            copies=arch.num_experts,
            parts=("0.down_proj",),
        ),
    ]
    if arch.expert_bias:
        name = "mlp.gate.e_score_correction_bias"
        parts.append(
            Vector(name=name, size=arch.num_experts, itemsize=_FLOAT32, stored_itemsize=_FLOAT32, trained=False)
        )
    if arch.shared_expert_intermediate_size:
        parts += mlp_parts(arch, "mlp.shared_experts", arch.shared_expert_intermediate_size, shared_expert=True)
    return parts


def layer_parts(arch: ModelArch, kind: LayerKind) -> list[Part]:
    """Everything a decoder layer holds, uncut."""
    parts = [*norm_parts(arch), *attention_parts(arch)]
    return parts + (expert_parts(arch) if kind is LayerKind.MOE else mlp_parts(arch, "mlp", arch.intermediate_size))


def is_quantized(arch: ModelArch, part: Linear) -> bool:
    """Whether a linear layer is stored in the checkpoint's quantized format."""
    if arch.quantization is None or not part.quantizable:
        return False
    return all(arch.quantization.applies_to(f"model.layers.0.{name}") for name in part.checkpoint_names)
