"""Grouped attention: queries share the keys and values of their group; most models' kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfhost.models.parts import FLOAT32, Cut, Linear, Part, RotaryTable, Vector

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

    @property
    def rotary(self) -> tuple[RotaryTable, ...]:
        """Tables of cosines and sines it needs."""
        return (RotaryTable("main", self.rotary_dim),)

    def width_per_token(self, tp: int) -> int:
        """Queries, keys and values of one token on a rank, in elements."""
        kv_heads = max(1, self.num_key_value_heads // tp)
        return (self.num_attention_heads // tp + 2 * kv_heads) * self.head_dim

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything it holds, uncut."""
        width, kv_width = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        parts: list[Part] = [
            Linear(
                name="self_attn.qkv_proj",
                outputs=(width, kv_width, kv_width),
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
    bias = reader.flag("attention_bias")
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
    )
