"""ModelArch: what a model's `config.json` says, in one record; the only place that knows the Hub's key spellings."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfhost.errors import NoError, UsageError
from selfhost.messages import Message
from selfhost.quant.schemes import quantization_from_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.quant.schemes import Quantization

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """What an architecture class does beyond the common decoder; one row for each class."""

    qkv_bias: bool | None = None
    """None: the config's `attention_bias` decides."""
    qk_norm: str | None = None
    """`head`: a weight per head dimension for q and k; `full`: over all heads; `config`: `use_qk_norm` decides."""
    norms_per_layer: int = 2
    """Norms of the hidden size in a layer."""
    mla: bool = False
    moe: bool = False
    router_dtype_bytes: int | None = None
    """Of the router gate in the engine; None: the model's."""
    partial_rotary_factor: float = 1.0
    embeddings_on_all_stages: bool = False
    """Qwen3-MoE builds embedding and head on every pipeline stage (vLLM 0.32 models/qwen3_moe.py)."""
    transformers_backend: bool = False
    """Not among the engine's own models: runs through its Transformers backend (models/transformers/)."""


FAMILIES: dict[str, Family] = {
    "LlamaForCausalLM": Family(qkv_bias=None),
    "Qwen2ForCausalLM": Family(qkv_bias=True),
    "Qwen3ForCausalLM": Family(qk_norm="head"),
    "Qwen3MoeForCausalLM": Family(qk_norm="head", moe=True, embeddings_on_all_stages=True),
    "DeepseekV2ForCausalLM": Family(mla=True, moe=True),
    "DeepseekV3ForCausalLM": Family(mla=True, moe=True),
    "DeepseekV32ForCausalLM": Family(mla=True, moe=True),
    "GlmForCausalLM": Family(partial_rotary_factor=0.5, transformers_backend=True),
    "Glm4ForCausalLM": Family(norms_per_layer=4, partial_rotary_factor=0.5),
    "Glm4MoeForCausalLM": Family(qk_norm="config", moe=True, router_dtype_bytes=4, partial_rotary_factor=0.5),
    "MiniMaxM2ForCausalLM": Family(qk_norm="full", moe=True, router_dtype_bytes=4),
}
"""Architectures whose tensors selfhost knows. Source of each row: the class in vLLM 0.32 model_executor/models/."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelArch:
    """Dimensions of a decoder; names as in `config.json`. Absent parts are 0 or None."""

    architecture: str
    architectures: tuple[str, ...]
    model_type: str
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    tie_word_embeddings: bool
    max_position_embeddings: int
    torch_dtype: str
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: str | None = None
    """`head`, `full` or None."""
    rotary_dim: int = 0
    rope_type: str = "default"
    rope_factor: float = 1.0
    original_max_position_embeddings: int | None = None
    # Multi-head latent attention
    q_lora_rank: int = 0
    """0: queries are projected directly."""
    kv_lora_rank: int = 0
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0
    # Mixture of experts
    num_experts: int = 0
    num_experts_per_tok: int = 0
    moe_intermediate_size: int = 0
    shared_expert_intermediate_size: int = 0
    """Of all shared experts together."""
    moe_layers: tuple[int, ...] = ()
    """Indices of the layers that have experts."""
    expert_bias: bool = False
    """A float32 correction per expert (`e_score_correction_bias`)."""
    num_nextn_predict_layers: int = 0
    """Layers of multi-token prediction: in the checkpoint, loaded only for speculative decoding."""
    # Sparse attention (DSA)
    index_topk: int = 0
    index_n_heads: int = 0
    index_head_dim: int = 0
    quantization: Quantization | None = None

    @property
    def family(self) -> Family:
        """What its class does beyond the common decoder."""
        return FAMILIES[self.architecture]

    @property
    def is_mla(self) -> bool:
        """Whether the KV cache holds latent vectors instead of keys and values."""
        return self.kv_lora_rank > 0

    @property
    def is_moe(self) -> bool:
        """Whether some layers have experts."""
        return self.num_experts > 0

    @property
    def dtype_bytes(self) -> int:
        """Bytes of one element that is not quantized."""
        return DTYPE_BYTES[self.torch_dtype]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelArch:
        """The architecture that a config describes.

        Raises NoError for an architecture or quantization that is not known, UsageError for missing or absurd values:
        all of them at once.
        """
        return arch_from_config(config)


class _Reader:
    """Reads keys of a config and collects what is wrong with them."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.problems: list[Message] = []

    def integer(self, key: str, *aliases: str, default: int | None = None, minimum: int = 1) -> int:
        """A whole number of at least `minimum`; `default` when absent or null, a problem when there is none."""
        value = next((self._config[k] for k in (key, *aliases) if self._config.get(k) is not None), None)
        if value is None:
            if default is None:
                self.problems.append(Message("arch.key_missing", {"key": key}))
            return minimum if default is None else default
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value < 1 << 40:
            self.bad(key, value, f"a whole number from {minimum}")
            return minimum
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """A boolean."""
        value = self._config.get(key)
        if value is not None and not isinstance(value, bool):
            self.bad(key, value, "true or false")
        return default if value is None else bool(value)

    def section(self, key: str) -> Mapping[str, Any]:
        """A nested object; empty when absent."""
        value = self._config.get(key)
        if value is not None and not isinstance(value, dict):
            self.bad(key, value, "an object")
        return value if isinstance(value, dict) else {}

    def bad(self, key: str, found: object, expected: str) -> None:
        """Note a value that cannot be."""
        self.problems.append(Message("arch.bad_value", {"key": key, "found": repr(found), "expected": expected}))

    def check(self, key: str, value: int, expected: str, *, good: bool) -> None:
        """A relation between values that are well-formed by themselves."""
        if not good:
            self.bad(key, value, expected)


def _text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = config.get("text_config")
    return {**config, **nested, "architectures": config.get("architectures")} if isinstance(nested, dict) else config


def arch_from_config(config: Mapping[str, Any]) -> ModelArch:
    """As `ModelArch.from_config`."""
    names = config.get("architectures")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise UsageError("arch.no_architecture", found=repr(names))
    architecture = next((name for name in names if name in FAMILIES), None)
    if architecture is None:
        nearest = difflib.get_close_matches(names[0], FAMILIES, 3) or sorted(FAMILIES)
        raise NoError("arch.unsupported", architecture=names[0], nearest=", ".join(nearest))
    text = _text_config(config)
    reader = _Reader(text)
    arch = _read(reader, text, architecture, tuple(names))
    if reader.problems:
        problems = "\n".join(problem.what for problem in reader.problems)
        raise UsageError("arch.bad_config", architecture=architecture, problems=problems)
    return arch


def _read(reader: _Reader, config: Mapping[str, Any], architecture: str, names: tuple[str, ...]) -> ModelArch:
    family = FAMILIES[architecture]
    hidden, heads = reader.integer("hidden_size"), reader.integer("num_attention_heads")
    layers = reader.integer("num_hidden_layers")
    mla = _mla(reader) if family.mla else {}
    head_dim = reader.integer("head_dim", default=0 if mla else max(1, hidden // heads), minimum=0 if mla else 1)
    if not mla and config.get("head_dim") is None:
        reader.check("hidden_size", hidden, f"a multiple of the {heads} heads", good=hidden % heads == 0)
    kv_heads = reader.integer("num_key_value_heads", default=heads)
    reader.check("num_key_value_heads", kv_heads, f"a divisor of the {heads} heads", good=heads % kv_heads == 0)
    # `rope_parameters` since transformers 5, `rope_scaling` before.
    rope = {**reader.section("rope_scaling"), **reader.section("rope_parameters")}
    max_position = reader.integer("max_position_embeddings")
    bias = reader.flag("attention_bias", default=False)
    qkv_bias = bias if family.qkv_bias is None else family.qkv_bias
    return ModelArch(
        architecture=architecture,
        architectures=names,
        model_type=str(config.get("model_type", "")),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=mla["qk_nope_head_dim"] + mla["qk_rope_head_dim"] if mla else head_dim,
        intermediate_size=_dense_width(reader, family),
        vocab_size=reader.integer("vocab_size"),
        tie_word_embeddings=reader.flag("tie_word_embeddings", default=False),
        max_position_embeddings=max_position,
        torch_dtype=_dtype(reader, config),
        qkv_bias=qkv_bias,
        o_bias=bias and architecture == "LlamaForCausalLM",
        mlp_bias=reader.flag("mlp_bias", default=False),
        qk_norm=_qk_norm(reader, family),
        rotary_dim=mla["qk_rope_head_dim"] if mla else _rotary_dim(config, family, rope, head_dim),
        rope_type=str(rope.get("rope_type") or rope.get("type") or "default"),
        rope_factor=float(rope.get("factor") or 1.0),
        original_max_position_embeddings=rope.get("original_max_position_embeddings"),
        **mla,
        **(_moe(reader, config, architecture, layers) if family.moe else {}),
        num_nextn_predict_layers=reader.integer("num_nextn_predict_layers", default=0, minimum=0),
        quantization=quantization_from_config(config),
    )


def _dense_width(reader: _Reader, family: Family) -> int:
    return reader.integer("intermediate_size", default=0 if family.moe else None, minimum=0 if family.moe else 1)


def _dtype(reader: _Reader, config: Mapping[str, Any]) -> str:
    dtype = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    if dtype not in DTYPE_BYTES:
        reader.bad("torch_dtype", dtype, " or ".join(DTYPE_BYTES))
        return "bfloat16"
    return str(dtype)


def _qk_norm(reader: _Reader, family: Family) -> str | None:
    if family.qk_norm != "config":
        return family.qk_norm
    return "head" if reader.flag("use_qk_norm", default=False) else None


def _rotary_dim(config: Mapping[str, Any], family: Family, rope: Mapping[str, Any], head_dim: int) -> int:
    if config.get("rotary_dim") is not None:
        return int(config["rotary_dim"])
    factor = rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or family.partial_rotary_factor
    return int(head_dim * float(factor))


def _mla(reader: _Reader) -> dict[str, Any]:
    return {
        "q_lora_rank": reader.integer("q_lora_rank", default=0, minimum=0),
        "kv_lora_rank": reader.integer("kv_lora_rank"),
        "qk_nope_head_dim": reader.integer("qk_nope_head_dim"),
        "qk_rope_head_dim": reader.integer("qk_rope_head_dim"),
        "v_head_dim": reader.integer("v_head_dim"),
        "index_topk": reader.integer("index_topk", default=0, minimum=0),
        "index_n_heads": reader.integer("index_n_heads", default=0, minimum=0),
        "index_head_dim": reader.integer("index_head_dim", default=0, minimum=0),
    }


def _moe(reader: _Reader, config: Mapping[str, Any], architecture: str, layers: int) -> dict[str, Any]:
    experts = reader.integer("n_routed_experts", "num_experts", "num_local_experts")
    width = reader.integer(
        "moe_intermediate_size", *(("intermediate_size",) if architecture == "MiniMaxM2ForCausalLM" else ())
    )
    shared = reader.integer("n_shared_experts", default=0, minimum=0)
    correction = architecture in ("Glm4MoeForCausalLM", "MiniMaxM2ForCausalLM") or (
        config.get("topk_method") == "noaux_tc"
    )
    return {
        "num_experts": experts,
        "num_experts_per_tok": reader.integer("num_experts_per_tok"),
        "moe_intermediate_size": width,
        "shared_expert_intermediate_size": shared * width,
        "moe_layers": _moe_layers(reader, config, layers),
        "expert_bias": correction,
    }


def _moe_layers(reader: _Reader, config: Mapping[str, Any], layers: int) -> tuple[int, ...]:
    """Layers with experts, by `first_k_dense_replace` and `moe_layer_freq` or `decoder_sparse_step`."""
    first = reader.integer("first_k_dense_replace", default=0, minimum=0)
    every = config.get("moe_layer_freq")
    every = every if isinstance(every, int) and every > 0 else 1
    step = reader.integer("decoder_sparse_step", default=1)
    dense = config.get("mlp_only_layers") or ()
    return tuple(
        layer
        for layer in range(min(layers, 100_000))
        if layer >= first and layer % every == 0 and (layer + 1) % step == 0 and layer not in dense
    )
