"""ModelArch: what a model's `config.json` says, in one record; the only place that knows the Hub's key spellings."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfhost.errors import NoError, UsageError
from selfhost.messages import Message
from selfhost.models.families import FAMILIES
from selfhost.quant.schemes import quantization_from_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.models.families import Family
    from selfhost.quant.schemes import Quantization

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
_LARGEST = 1 << 32
_MOST_LAYERS = 10_000


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
        name = next((k for k in (key, *aliases) if self._config.get(k) is not None), key)
        value = self._config.get(name)
        if value is None:
            if default is None:
                self.problems.append(Message("arch.key_missing", {"key": key}))
            return minimum if default is None else default
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= _LARGEST:
            self.bad(name, value, f"a whole number from {minimum} to {_LARGEST}")
            return minimum
        return value

    def number(self, key: str, default: float, *sections: Mapping[str, Any]) -> float:
        """A positive number from the first section that has it, the config itself being the last."""
        value = next((part[key] for part in (*sections, self._config) if part.get(key) is not None), default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LARGEST:
            self.bad(key, value, "a positive number")
            return default
        return float(value)

    def flag(self, key: str) -> bool:
        """A boolean; absent means false."""
        value = self._config.get(key)
        if value is not None and not isinstance(value, bool):
            self.bad(key, value, "true or false")
        return value is True

    def section(self, key: str) -> Mapping[str, Any]:
        """A nested object; empty when absent."""
        value = self._config.get(key)
        if value is not None and not isinstance(value, dict):
            self.bad(key, value, "an object")
        return value if isinstance(value, dict) else {}

    def numbers(self, key: str) -> frozenset[int]:
        """A list of whole numbers; empty when absent."""
        value = self._config.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(x, int) for x in value)):
            self.bad(key, value, "a list of whole numbers")
            return frozenset()
        return frozenset(value or ())

    def bad(self, key: str, found: object, expected: str) -> None:
        """Note a value that cannot be."""
        self.problems.append(Message("arch.bad_value", {"key": key, "found": repr(found)[:80], "expected": expected}))

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
        raise UsageError("arch.no_architecture", found=repr(names)[:80])
    architecture = next((name for name in names if name in FAMILIES), None)
    if architecture is None:
        first = names[0][:80]
        nearest = difflib.get_close_matches(first, FAMILIES, 3) or sorted(FAMILIES)
        raise NoError("arch.unsupported", architecture=first, nearest=", ".join(nearest))
    text = _text_config(config)
    reader = _Reader(text)
    arch = _read(reader, text, architecture, tuple(names))
    if reader.problems:
        problems = "\n".join(problem.what for problem in reader.problems)
        raise UsageError("arch.bad_config", architecture=architecture, problems=problems)
    return arch


def _read(reader: _Reader, config: Mapping[str, Any], architecture: str, names: tuple[str, ...]) -> ModelArch:
    family = FAMILIES[architecture]
    hidden, layers = reader.integer("hidden_size"), reader.integer("num_hidden_layers")
    reader.check("num_hidden_layers", layers, f"at most {_MOST_LAYERS}", good=layers <= _MOST_LAYERS)
    attention = _latent(reader) if family.mla else _grouped(reader, family, hidden)
    moe = _moe(reader, config, family, min(layers, _MOST_LAYERS)) if family.moe else {}
    all_sparse = len(moe.get("moe_layers", ())) == layers
    dense_width = 0 if family.moe_only else reader.integer("intermediate_size", default=0 if all_sparse else None)
    # `rope_parameters` since transformers 5, `rope_scaling` before.
    rope = {**reader.section("rope_scaling"), **reader.section("rope_parameters")}
    if "rotary_dim" not in attention:
        attention["rotary_dim"] = _rotary_dim(reader, family, rope, attention["head_dim"])
    kind = rope.get("rope_type") or rope.get("type") or "default"
    return ModelArch(
        architecture=architecture,
        architectures=names,
        model_type=str(config.get("model_type", "")),
        hidden_size=hidden,
        num_hidden_layers=layers,
        intermediate_size=dense_width,
        vocab_size=reader.integer("vocab_size"),
        tie_word_embeddings=reader.flag("tie_word_embeddings"),
        max_position_embeddings=reader.integer("max_position_embeddings"),
        torch_dtype=_dtype(reader, config),
        mlp_bias=reader.flag("mlp_bias"),
        rope_type=str(kind),
        rope_factor=reader.number("factor", 1.0, rope),
        original_max_position_embeddings=int(reader.number("original_max_position_embeddings", 0.5, rope)) or None,
        **attention,
        **moe,
        num_nextn_predict_layers=reader.integer("num_nextn_predict_layers", default=0, minimum=0),
        quantization=quantization_from_config(config),
    )


def _dtype(reader: _Reader, config: Mapping[str, Any]) -> str:
    dtype = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        reader.bad("torch_dtype", dtype, " or ".join(DTYPE_BYTES))
        return "bfloat16"
    return dtype


def _rotary_dim(reader: _Reader, family: Family, rope: Mapping[str, Any], head_dim: int) -> int:
    share = reader.number("partial_rotary_factor", family.partial_rotary_factor, rope)
    return reader.integer("rotary_dim", default=int(head_dim * share))


def _grouped(reader: _Reader, family: Family, hidden: int) -> dict[str, Any]:
    heads = reader.integer("num_attention_heads")
    head_dim = reader.integer("head_dim", default=0)
    if not head_dim:
        reader.check("hidden_size", hidden, f"a multiple of the {heads} heads", good=hidden % heads == 0)
        head_dim = max(1, hidden // heads)
    kv_heads = reader.integer("num_key_value_heads", default=heads)
    reader.check("num_key_value_heads", kv_heads, f"a divisor of the {heads} heads", good=heads % kv_heads == 0)
    bias = reader.flag("attention_bias")
    qk_norm = family.qk_norm
    if qk_norm == "config":
        qk_norm = "head" if reader.flag("use_qk_norm") else None
    return {
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "qkv_bias": bias if family.qkv_bias is None else family.qkv_bias,
        "o_bias": bias and family.o_bias,
        "qk_norm": qk_norm,
    }


def _latent(reader: _Reader) -> dict[str, Any]:
    heads = reader.integer("num_attention_heads")
    nope, rope = reader.integer("qk_nope_head_dim"), reader.integer("qk_rope_head_dim")
    topk = reader.integer("index_topk", default=0, minimum=0)
    indexer = None if topk else 0
    return {
        "num_attention_heads": heads,
        "num_key_value_heads": reader.integer("num_key_value_heads", default=heads),
        "head_dim": nope + rope,
        "rotary_dim": rope,
        # Sparse attention indexes the compressed queries.
        "q_lora_rank": reader.integer("q_lora_rank", default=indexer),
        "kv_lora_rank": reader.integer("kv_lora_rank"),
        "qk_nope_head_dim": nope,
        "qk_rope_head_dim": rope,
        "v_head_dim": reader.integer("v_head_dim"),
        "index_topk": topk,
        "index_n_heads": reader.integer("index_n_heads", default=indexer),
        "index_head_dim": reader.integer("index_head_dim", default=indexer),
    }


def _moe(reader: _Reader, config: Mapping[str, Any], family: Family, layers: int) -> dict[str, Any]:
    experts = reader.integer("n_routed_experts", "num_experts", "num_local_experts")
    width = reader.integer("intermediate_size" if family.moe_only else "moe_intermediate_size")
    shared = reader.integer("n_shared_experts", default=0, minimum=0) * width
    chosen = reader.integer("num_experts_per_tok")
    reader.check("num_experts_per_tok", chosen, f"at most the {experts} experts", good=chosen <= experts)
    return {
        "num_experts": experts,
        "num_experts_per_tok": chosen,
        "moe_intermediate_size": width,
        "shared_expert_intermediate_size": shared,
        "moe_layers": _moe_layers(reader, layers),
        "expert_bias": family.expert_correction or config.get("topk_method") == "noaux_tc",
    }


def _moe_layers(reader: _Reader, layers: int) -> tuple[int, ...]:
    """Layers with experts, by `first_k_dense_replace` and `moe_layer_freq` or `decoder_sparse_step`."""
    first = reader.integer("first_k_dense_replace", default=0, minimum=0)
    every = reader.integer("moe_layer_freq", default=1)
    step = reader.integer("decoder_sparse_step", default=1)
    dense = reader.numbers("mlp_only_layers")
    return tuple(
        layer
        for layer in range(layers)
        if layer >= first and layer % every == 0 and (layer + 1) % step == 0 and layer not in dense
    )
