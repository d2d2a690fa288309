"""Kimi-K3: three of four layers mix tokens by Kimi delta attention, whose state does not grow with the context.

The others have latent attention without positions and with a gate. All layers are fed a mix of what earlier blocks of
layers made (`attn_res_block_size`), and experts work in a space of their own (`routed_expert_hidden_size`). Source:
vLLM 0.32 models/kimi_k3/nvidia/ (model.py, kda.py, mla.py).

State of a request in a delta layer, divided by TP: the last `short_conv_kernel_size` - 1 inputs of the convolution of
queries, keys and values, in the model's dtype, and a matrix of `head_dim` x `head_dim` in float32 for each head
(layers/mamba/mamba_utils.py `kda_state_shape`). Latent layers keep `kv_lora_rank` + `qk_rope_head_dim` values a token.

Not counted: a second copy of the convolution for fused decoding, with up to 8 ranks (5 MiB in all at TP8), and the
exchange buffers of GEMM-AR on compute capability 10 (`VLLM_KIMI_K3_GEMM_AR`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.models.latent import LatentAttention
from selfhost.models.parts import FLOAT32, Cut, Linear, Vector
from selfhost.models.reader import Reader
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.models.layers import Mixer
    from selfhost.models.parts import Part, RotaryTable

_ROWS_MULTIPLE = 16
"""What the fused input projection is filled up to on a rank (kda.py `in_proj_padding`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeltaAttention:
    """Kimi delta attention of a layer; names as in `linear_attn_config`."""

    num_heads: int
    head_dim: int
    short_conv_kernel_size: int

    @property
    def num_attention_heads(self) -> int:
        """Heads, which tensor parallelism divides."""
        return self.num_heads

    @property
    def num_key_value_heads(self) -> int:
        """Each head has keys and values of its own."""
        return self.num_heads

    @property
    def rotary(self) -> tuple[RotaryTable, ...]:
        """The state knows the order of the tokens."""
        return ()

    def width_per_token(self, tp: int) -> int:
        """Queries, keys, values, gate and the decay of each dimension of one token on a rank, in elements."""
        return 5 * self.num_heads // tp * self.head_dim

    def state_bytes(self, tp: int, itemsize: int) -> int:
        """What a request keeps in one layer on a rank; itemsize: of the model's dtype.

        Check: 96 heads of 128 at TP8 -> 3 * 4_608 * 2 + 12 * 128 * 128 * 4 = 814_080.
        """
        heads = self.num_heads // tp
        kept = (self.short_conv_kernel_size - 1) * 3 * heads * self.head_dim * itemsize
        return kept + heads * self.head_dim**2 * FLOAT32

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything it holds, uncut."""
        width = self.num_heads * self.head_dim
        return [
            Linear(
                name="self_attn.in_proj_qkvgfab",
                outputs=(width, width, width, width, self.num_heads, self.head_dim),
                inputs=hidden_size,
                cut=Cut.COLUMN,
                whole_outputs=1,
                rows_multiple=_ROWS_MULTIPLE,
                parts=("q_proj", "k_proj", "v_proj", "g_proj", "b_proj", "f_a_proj"),
            ),
            Linear(name="self_attn.f_b_proj", outputs=(width,), inputs=self.head_dim, cut=Cut.COLUMN),
            Linear(name="self_attn.o_proj", outputs=(hidden_size,), inputs=width, cut=Cut.ROW),
            Vector(
                name="self_attn.conv1d",
                size=3 * width * self.short_conv_kernel_size,
                cut=Cut.COLUMN,
                itemsize=FLOAT32,
            ),
            Vector(name="self_attn.dt_bias", size=width, cut=Cut.COLUMN, itemsize=FLOAT32, stored_itemsize=FLOAT32),
            Vector(
                name="self_attn.A_log", size=self.num_heads, cut=Cut.COLUMN, itemsize=FLOAT32, stored_itemsize=FLOAT32
            ),
            Vector(name="self_attn.o_norm", size=self.head_dim),
        ]


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedLatentAttention(LatentAttention):
    """Latent attention without positions, whose result is gated by a projection of the layer's input."""

    @property
    def rotary(self) -> tuple[RotaryTable, ...]:
        """None: the part of the vectors that would be rotated is there, but is not (`mla_use_nope`)."""
        return ()

    def width_per_token(self, tp: int) -> int:
        """As without the gate, and the gate."""
        return LatentAttention.width_per_token(self, tp) + self.num_attention_heads // tp * self.v_head_dim

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything it holds, uncut; the gate is merged into the a-projections, which are whole on every rank."""
        latent, *others = LatentAttention.parts(self, hidden_size)
        fused = Linear(
            name="self_attn.fused_qkv_a_g_proj",
            outputs=(
                self.num_attention_heads * self.v_head_dim,
                self.q_lora_rank,
                self.kv_lora_rank + self.qk_rope_head_dim,
            ),
            inputs=hidden_size,
            cut=Cut.COLUMN,
            whole_outputs=2,
            parts=("g_proj", *latent.parts) if isinstance(latent, Linear) else (),
        )
        scales = [
            Vector(name=f"self_attn.{name}", size=1, itemsize=FLOAT32, stored_itemsize=0, trained=False)
            for name in ("one_scale", "q_scale_inv", "k_scale_inv")
        ]
        return [fused, *others, *scales]


def read_kimi_linear(reader: Reader, count: int) -> list[Mixer]:
    """One for each of `count` layers: `kda_layers` counts from 1."""
    linear = Reader(reader.section("linear_attn_config"), reader.problems)
    delta = DeltaAttention(
        num_heads=linear.integer("num_heads"),
        head_dim=linear.integer("head_dim"),
        short_conv_kernel_size=linear.integer("short_conv_kernel_size"),
    )
    latent = GatedLatentAttention(
        num_attention_heads=reader.integer("num_attention_heads"),
        q_lora_rank=reader.integer("q_lora_rank"),
        kv_lora_rank=reader.integer("kv_lora_rank"),
        qk_nope_head_dim=reader.integer("qk_nope_head_dim"),
        qk_rope_head_dim=reader.integer("qk_rope_head_dim"),
        v_head_dim=reader.integer("v_head_dim"),
    )
    for section, key in ((linear, "use_full_rank_gate"), (reader, "mla_use_output_gate"), (reader, "mla_use_nope")):
        if not section.flag(key):
            section.bad(key, section.config.get(key), "true, as in Kimi-K3: no other kind is known")
    numbers = frozenset(linear.numbers("kda_layers"))
    return [delta if layer + 1 in numbers else latent for layer in range(count)]
