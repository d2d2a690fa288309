"""Linear attention whose state has a fixed size: gated delta nets of Qwen3-Next and Qwen3.5."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.models.parts import FLOAT32, Cut, Linear, Vector
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.models.families import Family
    from selfhost.models.parts import Part, RotaryTable
    from selfhost.models.reader import Reader
    from selfhost.quant.schemes import Quantization

KINDS = ("linear_attention", "full_attention")
"""What `layer_types` may say of a layer."""
_STATE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "auto": None}
_FULL_EVERY = 4


class State(NamedTuple):
    """A tensor that a request keeps in a layer, however long it is."""

    elements: int
    itemsize: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedDeltaNet:
    """A layer without KV cache; names as in `config.json`.

    Source: vLLM 0.32 layers/mamba/gdn/qwen_gdn_linear_attn.py.
    """

    linear_num_key_heads: int
    linear_num_value_heads: int
    linear_key_head_dim: int
    linear_value_head_dim: int
    linear_conv_kernel_dim: int
    fused: bool = False
    """Whether the checkpoint has q, k, v and the output gate z as one matrix, and the gates b and a as another
    (Qwen3-Next); else they are four: q, k and v, z, b, a (Qwen3.5)."""
    whole_gates: bool = False
    """Whether every rank holds all of b and a: on CUDA with AWQ and GPTQ, whose kernel needs 64 outputs."""
    ssm_itemsize: int | None = None
    """Of the recurrent state, `mamba_ssm_dtype`; None: the model's, as of the state of the convolution."""

    @property
    def num_attention_heads(self) -> int:
        """None of attention's kind."""
        return 0

    @property
    def num_key_value_heads(self) -> int:
        """None of attention's kind."""
        return 0

    @property
    def rotary(self) -> tuple[RotaryTable, ...]:
        """Positions are not encoded."""
        return ()

    @property
    def key_width(self) -> int:
        """Outputs of q, and of k."""
        return self.linear_num_key_heads * self.linear_key_head_dim

    @property
    def value_width(self) -> int:
        """Outputs of v, and of z."""
        return self.linear_num_value_heads * self.linear_value_head_dim

    def width_per_token(self, tp: int) -> int:
        """Queries, keys, values and gates of one token on a rank, in elements."""
        return 2 * (self.key_width + self.value_width + self.linear_num_value_heads) // tp

    def parts(self, hidden_size: int) -> list[Part]:
        """Everything it holds, uncut; A_log and the norm are float32 on disk, A_log in the engine too."""
        keys, values, heads = self.key_width, self.value_width, self.linear_num_value_heads
        return [
            Linear(
                name="linear_attn.in_proj_qkvz",
                outputs=(2 * keys + 2 * values,) if self.fused else (keys, keys, values, values),
                inputs=hidden_size,
                cut=Cut.COLUMN,
                parts=("in_proj_qkvz",) if self.fused else ("in_proj_qkv", "in_proj_z"),
                stored_outputs=(2 * keys + 2 * values,) if self.fused else (2 * keys + values, values),
            ),
            Linear(
                name="linear_attn.in_proj_ba",
                outputs=(2 * heads,) if self.fused else (heads, heads),
                inputs=hidden_size,
                cut=Cut.WHOLE if self.whole_gates else Cut.COLUMN,
                parts=("in_proj_ba",) if self.fused else ("in_proj_b", "in_proj_a"),
            ),
            Linear(
                name="linear_attn.conv1d",
                outputs=(2 * keys + values,),
                inputs=self.linear_conv_kernel_dim,
                cut=Cut.COLUMN,
                quantizable=False,
            ),
            Vector(name="linear_attn.dt_bias", size=heads, cut=Cut.COLUMN),
            Vector(
                name="linear_attn.A_log", size=heads, cut=Cut.COLUMN, itemsize=FLOAT32, stored_itemsize=self._on_disk
            ),
            Vector(name="linear_attn.norm", size=self.linear_value_head_dim, stored_itemsize=self._on_disk),
            Linear(name="linear_attn.out_proj", outputs=(hidden_size,), inputs=values, cut=Cut.ROW),
        ]

    @property
    def _on_disk(self) -> int | None:
        """Qwen3.5 stores them in float32: its published sizes say so, to the byte."""
        return None if self.fused else FLOAT32

    def state_shapes(self, tp: int, dtype_bytes: int, speculative_tokens: int = 0) -> tuple[State, State]:
        """What a request keeps in this layer on a rank: the state of the convolution and the recurrent state.

        The convolution remembers `kernel - 1 + speculative_tokens` inputs of its channels, 2 * key_width + value_width
        of them over all ranks, in `dtype_bytes` (of the model, unless `--mamba-cache-dtype` says otherwise). The
        recurrent state is value heads / tp * value_head_dim * key_head_dim elements, of `mamba_ssm_dtype` where the
        config of Qwen3.5 has one and `--mamba-ssm-cache-dtype` is `auto`, else of the convolution's dtype.
        Source: vLLM 0.32 layers/mamba/mamba_utils.py `gated_delta_net_state_shape` and `gated_delta_net_state_dtype`,
        models/config.py `Qwen3_5ForConditionalGenerationConfig`.
        Check: Qwen3.5-27B at TP1 -> 30_720 elements of 2 bytes and 786_432 of 4, in each of 48 layers.
        """
        channels = (2 * self.key_width + self.value_width) // tp
        convolution = channels * (self.linear_conv_kernel_dim - 1 + speculative_tokens)
        recurrent = self.linear_num_value_heads // tp * self.linear_value_head_dim * self.linear_key_head_dim
        return State(convolution, dtype_bytes), State(recurrent, self.ssm_itemsize or dtype_bytes)


def read_delta(reader: Reader, family: Family, quantization: Quantization | None) -> GatedDeltaNet:
    """From the keys of a config."""
    keys, values = reader.integer("linear_num_key_heads"), reader.integer("linear_num_value_heads")
    reader.check("linear_num_value_heads", values, f"a multiple of the {keys} key heads", good=values % keys == 0)
    fused = family.linear_attention == "fused"
    return GatedDeltaNet(
        linear_num_key_heads=keys,
        linear_num_value_heads=values,
        linear_key_head_dim=reader.integer("linear_key_head_dim"),
        linear_value_head_dim=reader.integer("linear_value_head_dim"),
        linear_conv_kernel_dim=reader.integer("linear_conv_kernel_dim"),
        fused=fused,
        whole_gates=not fused and quantization is not None and quantization.method in ("awq", "gptq"),
        ssm_itemsize=None if fused else _state_itemsize(reader),
    )


def _state_itemsize(reader: Reader) -> int | None:
    found = reader.config.get("mamba_ssm_dtype") or "auto"
    if not isinstance(found, str) or found not in _STATE_BYTES:
        reader.bad("mamba_ssm_dtype", found, " or ".join(_STATE_BYTES))
        return None
    return _STATE_BYTES[found]


def read_layer_types(reader: Reader, count: int) -> list[bool]:
    """Whether each of `count` layers is linear attention: by `layer_types`, else all but every
    `full_attention_interval`th.
    """
    types = reader.words("layer_types")
    if not types:
        every = reader.integer("full_attention_interval", default=_FULL_EVERY)
        return [(layer + 1) % every != 0 for layer in range(count)]
    if len(types) != count or not set(types) <= set(KINDS):
        reader.bad("layer_types", f"{len(types)} entries", f"{count} entries, each {' or '.join(KINDS)}")
    return [kind == "linear_attention" for kind in (*types, *["full_attention"] * count)[:count]]
