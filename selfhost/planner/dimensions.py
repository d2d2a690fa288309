"""The dimensions of an architecture that speed and explanations need; no other module of theirs looks inside one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.models.parts import LayerKind, Linear, is_quantized, layer_parts
from selfhost.planner.settings import kv_dtype_bytes

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.planner.plan import Layout, Settings

_INDEXER_SCALE_BYTES = 4


class Work(NamedTuple):
    """Parameters that one token is multiplied with, all layers together, without embedding and head."""

    quantized: int
    """In the checkpoint's quantized format."""
    plain: int
    """In the model's own dtype."""

    @property
    def parameters(self) -> int:
        """Both."""
        return self.quantized + self.plain


class Attention(NamedTuple):
    """What a token costs beside the parameters, in one layer."""

    layers: int
    width: int
    """heads * (length of a query + length of a value): multiplications with each earlier token."""
    at_most: int | None
    """Earlier tokens that are looked at (sparse attention); None: all."""


def work(arch: ModelArch) -> Work:
    """Parameters that are active for one token: of the routed experts only those it is sent to.

    Check: DeepSeek-V3 -> 36.6 billion, of 671 (its paper counts 37 with embedding and head).
    """
    sparse = len(arch.moe_layers)
    quantized = plain = 0
    for kind, count in ((LayerKind.DENSE, arch.num_hidden_layers - sparse), (LayerKind.MOE, sparse)):
        for part in layer_parts(arch, kind) if count else ():
            if not isinstance(part, Linear):
                continue
            copies = arch.num_experts_per_tok if part.is_expert else 1
            size = count * copies * sum(part.outputs) * part.inputs
            if is_quantized(arch, part):
                quantized += size
            else:
                plain += size
    return Work(quantized, plain)


def attention(arch: ModelArch) -> Attention:
    """The dimensions of attention; all layers are taken to be alike.

    Check: DeepSeek-V3 -> 128 * (192 + 128) = 40_960 in 61 layers; Qwen2.5-72B -> 64 * 256 = 16_384 in 80.
    """
    value = arch.v_head_dim if arch.is_mla else arch.head_dim
    width = arch.num_attention_heads * (arch.head_dim + value)
    return Attention(layers=arch.num_hidden_layers, width=width, at_most=arch.index_topk or None)


def experts(arch: ModelArch) -> tuple[int, int] | None:
    """(routed experts of a layer, of these those a token is sent to); None where there are none."""
    return (arch.num_experts, arch.num_experts_per_tok) if arch.is_moe else None


def kv_bytes_per_layer(arch: ModelArch, layout: Layout, settings: Settings) -> int | None:
    """KV cache of one token in one layer on a rank, for the formula that is shown; None where layers differ.

    Check: DeepSeek-V3 in bf16 -> 1152 ((512 + 64) * 2); Qwen2.5-72B at TP4 -> 1024 (2 * 128 * 2 * 2).
    """
    itemsize = kv_dtype_bytes(settings.kv_cache_dtype, arch)
    if itemsize != int(itemsize):
        return None
    if arch.is_mla:
        latent = (arch.kv_lora_rank + arch.qk_rope_head_dim) * int(itemsize)
        return latent + arch.index_head_dim + _INDEXER_SCALE_BYTES if arch.index_topk else latent
    heads = max(1, arch.num_key_value_heads // layout.tensor_parallel_size)
    return heads * arch.head_dim * 2 * int(itemsize)
