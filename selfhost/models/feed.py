"""What follows the attention of a layer: one feed-forward network, or experts with a router."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.models.parts import FLOAT32, INT32, INT64, Cut, Linear, TokenShards, Vector, mlp_parts
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.models.families import Family
    from selfhost.models.parts import Part
    from selfhost.models.reader import Reader


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseFeed:
    """A gated feed-forward network that every token goes through."""

    intermediate_size: int
    bias: bool = False
    token_shards: TokenShards = TokenShards.NEVER

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything it holds, uncut."""
        return mlp_parts("mlp", hidden_size, self.intermediate_size, bias=self.bias, token_shards=self.token_shards)


@dataclass(frozen=True, kw_only=True, slots=True)
class Experts:
    """Router, routed experts and shared experts; names as in `config.json`."""

    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    shared_expert_intermediate_size: int = 0
    """Of all shared experts together."""
    expert_bias: bool = False
    """A float32 correction per expert (`e_score_correction_bias`)."""
    router_dtype_bytes: int | None = None
    """Of the router in the engine; None: the model's."""
    router_quantizable: bool = False
    shared_expert_gate: bool = False
    """Whether a gate weighs what the shared expert says."""
    router: str = "mlp.gate"
    shared_experts: str = "mlp.shared_experts"
    routed_expert_hidden_size: int = 0
    """Above 0: routed experts work in a space of this size; projections into it and back are whole on every rank."""
    latent_moe_use_norm: bool = False
    """Whether there is a norm before the projection back."""
    least_width: int = 0
    """Of an expert on a tensor-parallel rank, which the engine fills up to."""
    hashed_vocab_size: int = 0
    """Above 0: experts are looked up by the token, in a table of so many rows."""
    shared_token_shards: TokenShards = TokenShards.ALWAYS
    """When the shared experts are whole on every rank."""
    shared_in_blocks: bool = False
    """Whether the shared experts are filled up so that every rank has whole blocks of the quantization."""

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything it holds, uncut."""
        width, inside = self.moe_intermediate_size, self.routed_expert_hidden_size or hidden_size
        parts: list[Part] = [
            Linear(
                name=self.router,
                outputs=(self.num_experts,),
                inputs=hidden_size,
                cut=Cut.WHOLE,
                quantizable=self.router_quantizable,
                itemsize=self.router_dtype_bytes,
            ),
            Linear(
                name="mlp.experts.w13",
                outputs=(width, width),
                inputs=inside,
                cut=Cut.COLUMN,
                copies=self.num_experts,
                least_width=self.least_width,
                parts=("0.gate_proj", "0.up_proj"),
            ),
            Linear(
                name="mlp.experts.w2",
                outputs=(inside,),
                inputs=width,
                cut=Cut.ROW,
                copies=self.num_experts,
                least_width=self.least_width,
                parts=("0.down_proj",),
            ),
        ]
        if self.routed_expert_hidden_size:
            parts += self._latent(hidden_size)
        if self.expert_bias:
            name = f"{self.router}.e_score_correction_bias"
            parts.append(
                Vector(name=name, size=self.num_experts, itemsize=FLOAT32, stored_itemsize=FLOAT32, trained=False)
            )
        if self.shared_expert_gate:
            gate = "mlp.shared_expert_gate"
            parts.append(Linear(name=gate, outputs=(1,), inputs=hidden_size, cut=Cut.WHOLE, quantizable=False))
        if self.hashed_vocab_size:
            size = self.hashed_vocab_size * self.num_experts_per_tok
            parts.append(
                Vector(name="mlp.gate.tid2eid", size=size, itemsize=INT32, stored_itemsize=INT64, trained=False)
            )
        if self.shared_expert_intermediate_size:
            parts += mlp_parts(
                "mlp.shared_expert" if self.shared_expert_gate else self.shared_experts,
                hidden_size,
                self.shared_expert_intermediate_size,
                token_shards=self.shared_token_shards,
                in_blocks=self.shared_in_blocks,
            )
        return parts

    def _latent(self, hidden_size: int) -> list[Part]:
        """The way into the space of the routed experts and back."""
        inside = self.routed_expert_hidden_size
        norm = [Vector(name="mlp.routed_expert_norm", size=inside)] if self.latent_moe_use_norm else []
        return [
            Linear(name="mlp.routed_expert_down_proj", outputs=(inside,), inputs=hidden_size, cut=Cut.WHOLE),
            *norm,
            Linear(name="mlp.routed_expert_up_proj", outputs=(hidden_size,), inputs=inside, cut=Cut.WHOLE),
        ]


Feed = DenseFeed | Experts

_LEAST_WIDTH = 256
"""Of an expert of Kimi-K3 on a rank (models/kimi_k3/nvidia/model.py `min_moe_intermediate_per_partition`)."""


def read_feeds(reader: Reader, config: Mapping[str, Any], family: Family, layers: int) -> list[Feed]:
    """One for each layer, from the keys of a config."""
    experts = _read_experts(reader, config, family) if family.moe else None
    sparse = _moe_layers(reader, layers) if experts else frozenset()
    default = 0 if len(sparse) == layers else None
    width = 0 if family.moe_only else reader.integer("intermediate_size", default=default)
    shards = TokenShards.ONE_STAGE if family.dense_on_token_shards else TokenShards.NEVER
    dense = DenseFeed(intermediate_size=width, bias=reader.flag(family.mlp_bias_key), token_shards=shards)
    feeds: list[Feed] = [experts if experts and layer in sparse else dense for layer in range(layers)]
    if experts and family.compressed:
        hashed = reader.integer("num_hash_layers", default=0, minimum=0)
        by_token = replace(experts, hashed_vocab_size=reader.integer("vocab_size"), expert_bias=False)
        feeds[:hashed] = [by_token] * min(hashed, layers)
    return feeds


def _read_experts(reader: Reader, config: Mapping[str, Any], family: Family) -> Experts:
    experts = reader.integer("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
    widths = ("moe_intermediate_size", "intermediate_size") if family.shared_width else ("moe_intermediate_size",)
    width = reader.integer("intermediate_size") if family.moe_only else reader.alike(*widths)
    chosen = reader.alike("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k")
    reader.check("num_experts_per_tok", chosen, f"at most the {experts} experts", good=chosen <= experts)
    return Experts(
        num_experts=experts,
        num_experts_per_tok=chosen,
        moe_intermediate_size=width,
        shared_expert_intermediate_size=_shared_width(reader, family, width),
        expert_bias=family.expert_correction or config.get("topk_method") == "noaux_tc",
        router_dtype_bytes=family.router_dtype_bytes,
        router_quantizable=family.router_quantizable,
        shared_expert_gate=family.shared_expert_gate,
        router=family.router,
        shared_experts=family.shared_experts,
        routed_expert_hidden_size=reader.integer("routed_expert_hidden_size", default=0) if family.delta else 0,
        latent_moe_use_norm=family.delta and reader.flag("latent_moe_use_norm"),
        least_width=_LEAST_WIDTH if family.delta else 0,
        shared_token_shards=_shared_shards(family),
        shared_in_blocks=family.compressed,
    )


def _shared_shards(family: Family) -> TokenShards:
    if not family.shared_on_token_shards:
        return TokenShards.NEVER
    return TokenShards.ONE_STAGE if family.compressed or family.delta else TokenShards.ALWAYS


def _shared_width(reader: Reader, family: Family, width: int) -> int:
    if family.shared_width:
        return reader.integer(family.shared_width)
    if family.shared_expert_gate:
        return reader.integer("shared_expert_intermediate_size", default=0, minimum=0)
    count = reader.integer("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", default=0, minimum=0)
    return count * width


def _moe_layers(reader: Reader, layers: int) -> frozenset[int]:
    """Layers with experts: by `first_k_dense_replace`, `moe_layer_freq` and `decoder_sparse_step`, or ERNIE's keys."""
    first = reader.integer("first_k_dense_replace", "moe_layer_start_index", default=0, minimum=0)
    last = reader.integer("moe_layer_end_index", default=-1, minimum=-1)
    last = layers - 1 if last < 0 else last
    every = reader.integer("moe_layer_freq", default=1)
    step = reader.integer("decoder_sparse_step", "moe_layer_interval", default=1)
    dense = reader.numbers("mlp_only_layers")
    return frozenset(
        layer
        for layer in range(layers)
        if first <= layer <= last and layer % every == 0 and (layer + 1) % step == 0 and layer not in dense
    )
