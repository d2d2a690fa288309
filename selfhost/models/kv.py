"""The KV cache of one rank: bytes per token and block, and the engine's own arithmetic of blocks.

Source: vLLM 0.32 v1/kv_cache_interface.py (page sizes) and v1/core/kv_cache_utils.py (capacity).
Not covered: sliding windows, how the engine pads states and attention to pages of one size, decode context parallelism.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.models.attention import GroupedAttention
from selfhost.models.compressed import CompressedAttention
from selfhost.models.kimi_linear import DeltaAttention
from selfhost.models.latent import LatentAttention
from selfhost.models.tensors import stage_kinds

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.models.layers import Mixer

_INDEXER_SCALE_BYTES = 4
_SUMMARY_BYTES = 584
"""A row of compressed attention, whatever the dtype; its window and states are not counted here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KVRank:
    """What the KV cache of one rank is made of."""

    bytes_per_token: int
    """All layers of the rank together."""
    bytes_per_block: int
    bytes_per_request_fixed: int
    """State that does not grow with the length: that of Kimi delta attention."""
    layers: int


def kv_cache(  # noqa: PLR0913  (sizes of the engine, one by one)
    arch: ModelArch, *, tp: int = 1, pp: int = 1, pp_rank: int = 0, kv_dtype_bytes: float = 2, block_size: int
) -> KVRank:
    """KV cache of one rank of a pipeline stage.

    Grouped attention: layers * max(1, KV heads / tp) * head_dim * 2 (keys and values) * itemsize.
    MLA: layers * (kv_lora_rank + qk_rope_head_dim) * itemsize, the same on every tensor-parallel rank; sparse attention
    adds index_head_dim bytes and one float32 scale per token and layer.
    Checks: DeepSeek-V3 bf16 -> 70_272 (61 * 576 * 2); Qwen2.5-72B TP4 -> 81_920; DeepSeek-V3.2 -> 78_324 (61 * 1284).
    """
    layers = stage_kinds(arch, pp, pp_rank)
    counts = Counter(kind.mixer for kind in layers)
    per_token = math.ceil(sum(n * _bytes_per_token(mixer, tp, kv_dtype_bytes) for mixer, n in counts.items()))
    return KVRank(
        bytes_per_token=per_token,
        bytes_per_block=per_token * block_size,
        bytes_per_request_fixed=sum(
            n * mixer.state_bytes(tp, arch.dtype_bytes)
            for mixer, n in counts.items()
            if isinstance(mixer, DeltaAttention)
        ),
        layers=len(layers),
    )


def _bytes_per_token(mixer: Mixer, tp: int, kv_dtype_bytes: float) -> float:
    if isinstance(mixer, CompressedAttention):
        row = _SUMMARY_BYTES + (mixer.indexer.index_head_dim + _INDEXER_SCALE_BYTES if mixer.indexer else 0)
        return row / mixer.compress_ratio if mixer.compress_ratio else 0
    if isinstance(mixer, LatentAttention):
        latent = int((mixer.kv_lora_rank + mixer.qk_rope_head_dim) * kv_dtype_bytes)
        return latent + (mixer.indexer.index_head_dim + _INDEXER_SCALE_BYTES if mixer.indexer else 0)
    if isinstance(mixer, DeltaAttention):
        return 0
    if isinstance(mixer, GroupedAttention):
        return int(max(1, mixer.num_key_value_heads // tp) * mixer.head_dim * 2 * kv_dtype_bytes)
    raise TypeError(mixer)


def default_block_size(
    arch: ModelArch, platform: Platform | None, compute_capability: tuple[int, int] | None = None
) -> int:
    """Tokens in a block when `--block-size` is not given: 16 unless the attention backend needs more.

    CPU attention takes 128, CPU MLA 16; sparse attention and its indexer 64; MLA on compute capability 10 takes
    FlashInfer's 32. Sources: vLLM 0.32 platforms/cpu.py, v1/attention/backends/.
    """
    if platform is Platform.CPU:
        return 16 if arch.is_mla else 128
    if platform is Platform.ASCEND:
        return 128
    if arch.connections:
        return 256
    if arch.indexer:
        return 64
    if arch.is_mla and compute_capability is not None and compute_capability[0] == 10:  # noqa: PLR2004
        return 32
    return 16


def tokens(blocks: int, block_size: int, max_model_len: int) -> int:
    """Tokens the engine logs as its capacity: whole requests of `max_model_len`, scaled back.

    Check: 8192 blocks of 128 with max_model_len 1000 -> 1_024_000.
    """
    return int(blocks / -(-max_model_len // block_size) * max_model_len)


def max_concurrency(blocks: int, block_size: int, max_model_len: int) -> float:
    """Requests of `max_model_len` that the blocks hold at once, as the engine logs it."""
    return blocks / -(-max_model_len // block_size)
