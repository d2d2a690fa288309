"""Grouped attention: queries share the keys and values of their group; most models' kind."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.errors import NoError
from selfhost.models.parts import FLOAT32, Cut, Linear, Part, RotaryTable, Vector
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.models.families import Family
    from selfhost.models.reader import Reader

CACHE_SCALES: tuple[Part, ...] = tuple(
    Vector(name=f"self_attn.attn.{x}_scale", size=1, itemsize=FLOAT32, stored_itemsize=0, trained=False)
    for x in ("q", "k", "v", "prob")
)
"""Made by the engine for each layer whatever the KV dtype is (layers/attention/attention.py)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupedAttention:
    """Attention of a layer; names as in `config.json`."""

    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rotary_dim: int
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: str | None = None
    """`head`: a weight per head dimension for q and k; `full`: over all heads; None: no norm."""
    output_gate: bool = False
    """Whether the projection of the queries makes a gate of the output too, as wide as they are."""
    sliding_window: int | None = None
    """Tokens that a token sees, itself included; None: all before it. Weights do not depend on it."""

    @property
    def rotary(self) -> tuple[RotaryTable, ...]:
        """Tables of cosines and sines it needs."""
        return (RotaryTable("main", self.rotary_dim),)

    def width_per_token(self, tp: int) -> int:
        """Queries with their gate, keys and values of one token on a rank, in elements."""
        kv_heads = max(1, self.num_key_value_heads // tp)
        return (self.num_attention_heads // tp * (1 + self.output_gate) + 2 * kv_heads) * self.head_dim

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything it holds, uncut."""
        width, kv_width = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        parts: list[Part] = [
            Linear(
                name="self_attn.qkv_proj",
                outputs=(width * (1 + self.output_gate), kv_width, kv_width),
                inputs=hidden_size,
                cut=Cut.QKV,
                bias=self.qkv_bias,
                kv_heads=self.num_key_value_heads,
                parts=("q_proj", "k_proj", "v_proj"),
            ),
            Linear(name="self_attn.o_proj", outputs=(hidden_size,), inputs=width, cut=Cut.ROW, bias=self.o_bias),
        ]
        if self.qk_norm == "head":
            parts += [Vector(name=f"self_attn.{x}_norm", size=self.head_dim) for x in "qk"]
        if self.qk_norm == "full":
            parts += [
                Vector(name="self_attn.q_norm", size=width, cut=Cut.COLUMN),
                Vector(name="self_attn.k_norm", size=kv_width, cut=Cut.COLUMN, at_most=self.num_key_value_heads),
            ]
        return [*parts, *CACHE_SCALES]


def read_grouped(reader: Reader, family: Family, hidden_size: int) -> GroupedAttention:
    """From the keys of a config."""
    heads = reader.integer("num_attention_heads")
    head_dim = reader.integer("head_dim", default=0)
    if not head_dim:
        reader.check("hidden_size", hidden_size, f"a multiple of the {heads} heads", good=hidden_size % heads == 0)
        head_dim = max(1, hidden_size // heads)
    kv_heads = reader.integer("num_key_value_heads", default=heads)
    reader.check("num_key_value_heads", kv_heads, f"a divisor of the {heads} heads", good=heads % kv_heads == 0)
    bias = reader.flag(family.bias_key)
    qk_norm = family.qk_norm
    if qk_norm == "config":
        qk_norm = "head" if reader.flag("use_qk_norm") else None
    rope = reader.section("rope_parameters") or reader.section("rope_scaling")
    share = reader.number("partial_rotary_factor", family.partial_rotary_factor, rope)
    return GroupedAttention(
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        rotary_dim=reader.integer("rotary_dim", default=int(head_dim * share)),
        qkv_bias=bias if family.qkv_bias is None else family.qkv_bias,
        o_bias=bias and family.o_bias,
        qk_norm=qk_norm,
        output_gate=family.output_gate and reader.flag("attn_output_gate", default=True),
    )


class Windows(StrEnum):
    """How a class finds the layers with a sliding window."""

    KEY = "key"
    """`sliding_window` says; in the layers that `layer_types` names, or in all."""
    FLAG = "flag"
    """Only where `use_sliding_window` is true, and then in all layers."""
    LAYERS = "layers"
    """As `flag`; layers before `max_window_layers` have none, and the engine refuses a mixture."""


_FIRST_WINDOW = 28
"""Default of `max_window_layers` (transformers models/qwen2/configuration_qwen2.py)."""


def read_windows(reader: Reader, rule: Windows, count: int) -> list[int | None]:
    """The window of each of `count` layers.

    Source: vLLM 0.32 engine/arg_utils.py `create_engine_config`, models/llama.py, models/qwen2.py.
    Check: Qwen2 with `use_sliding_window`, `max_window_layers` 0 and `sliding_window` 4096 -> 4096 in all layers.
    """
    size = reader.integer("sliding_window", default=0, minimum=0)
    if rule is not Windows.KEY and not reader.flag("use_sliding_window"):
        size = 0
    types = reader.words("layer_types")
    if not size:
        return [None] * count
    if types and len(types) < count:
        reader.bad("layer_types", f"{len(types)} entries", f"{count} entries")
    if rule is Windows.LAYERS and not types:
        first = reader.integer("max_window_layers", default=_FIRST_WINDOW, minimum=0)
        types = tuple(_SLIDING if layer >= first else "full_attention" for layer in range(count))
    if rule is Windows.LAYERS and len({kind == _SLIDING for kind in types}) > 1:
        raise NoError("arch.mixed_windows", layers=sum(kind == _SLIDING for kind in types), count=count)
    found: list[int | None] = [size if kind == _SLIDING else None for kind in types[:count]] if types else [size]
    return (found + found[-1:] * count)[:count]


_SLIDING = "sliding_attention"
