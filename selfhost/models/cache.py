"""LayerCache: what the engine keeps of a request in one layer of one rank, and how large a page of it is.

A layer may keep several (the latent vectors of sparse attention and the keys of its indexer). Sizes are those of the
specs of vLLM 0.32 v1/kv_cache_interface.py, which each layer gives in its `get_kv_cache_spec`; the name of the spec
stands at each kind. How pages become blocks of a pool: `kv_groups`, `kv_pool`. Constructors: `cache_specs`.
"""

from __future__ import annotations

from enum import StrEnum
from math import gcd
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from selfhost.hardware.types import Platform


class CacheKind(StrEnum):
    """How the cache of a layer grows with a request."""

    FULL = "full"
    """Keys and values of every token: FullAttentionSpec."""
    LATENT = "latent"
    """One vector for every token, or for several tokens: MLAAttentionSpec; an indexer's keys too."""
    SLIDING = "sliding"
    """Keys and values of the last tokens: SlidingWindowSpec."""
    SLIDING_LATENT = "sliding_latent"
    """One vector for each of the last tokens: SlidingWindowMLASpec."""
    CHUNKED = "chunked"
    """Keys and values of the tokens of the same chunk: ChunkedLocalAttentionSpec."""
    STATE = "state"
    """A state of fixed size, one for each request: MambaSpec (Mamba, gated DeltaNet, Kimi delta attention)."""
    RING = "ring"
    """One block for each request: CircularBufferSpec."""


GROWING = frozenset({CacheKind.FULL, CacheKind.LATENT})
"""Kinds that keep every token. To the engine they are one type (kv_cache_spec_registry.py)."""
RECENT = frozenset({CacheKind.SLIDING, CacheKind.SLIDING_LATENT})


class LayerCache(NamedTuple):
    """The cache of one layer on one rank; fields as in the engine's spec."""

    kind: CacheKind
    block_size: int
    """Tokens in a block."""
    heads: int
    """Slots for each stored state: KV heads of the rank; 1 for latent vectors and states."""
    state_content_bytes: int
    """Bytes of a slot: key and value of a head, a latent vector, or the state of a layer."""
    tokens_per_state: int = 1
    """More than 1 when tokens are compressed before they are stored."""
    window_tokens: int = 0
    """Sliding window, or chunk."""
    alignment_bytes: int = 0
    """A page is rounded up to a multiple of it; 0: not."""
    page_bytes_padded: int = 0
    """The page is this large although less is needed; 0: it is as large as needed."""
    stride_bytes: int = 0
    """Blocks lie a multiple of it apart (`block_stride_alignment` as a number)."""
    stride_tokens: int = 0
    """Blocks lie whole kernel blocks apart, of at most so many tokens (`block_stride_alignment` as `MultipleOf`)."""
    dcp_sharded: bool = True
    """Whether decode context parallelism divides its tokens over ranks."""
    speculative_blocks: int = 0
    """States beside the current one, for tokens that were guessed."""
    checkpoint_blocks: int = 0
    """States kept for prefix caching beside the two that every request has (Kimi K3)."""
    variant: str = ""
    """What else tells the engine's specs apart: dtype, head size, role."""

    @property
    def page_bytes(self) -> int:
        """Bytes of one block of this layer.

        Check: 16 tokens of 2 KV heads of 128 in bfloat16 -> 16_384.
        """
        states = self.block_size if self.tokens_per_state == 1 else self.block_size // self.tokens_per_state
        states = 1 if self.kind is CacheKind.STATE else states
        needed = self.heads * states * self.state_content_bytes
        if self.alignment_bytes and needed % self.alignment_bytes:
            return round_up(needed, self.alignment_bytes)
        return self.page_bytes_padded or needed

    @property
    def stride_alignment(self) -> int:
        """Bytes that the distance of two blocks must be a multiple of (`get_block_stride_alignment`)."""
        if not self.stride_tokens:
            return self.stride_bytes or 1
        kernel_block = gcd(self.stride_tokens, self.block_size)
        return 1 if kernel_block == self.block_size else self._replace(block_size=kernel_block).page_bytes

    @property
    def block_stride(self) -> int:
        """Bytes from one block of this layer to the next where each layer has a region of its own."""
        return round_up(self.page_bytes, self.stride_alignment)


class CacheTerms(NamedTuple):
    """What a launch decides about the caches of all layers."""

    block_size: int
    kv_cache_dtype: str = "bfloat16"
    """As stored, never `auto`: `kv_backends.attention_backend` says what becomes of what was asked for."""
    dtype: str = "bfloat16"
    """Of the model: what convolution states are kept in."""
    tensor_parallel_size: int = 1
    num_speculative_tokens: int = 0
    state_dtype: str = ""
    """Of recurrent states when it is not the model's own choice: `float32` on a CPU with AVX512-BF16."""
    platform: Platform | None = None


def ceil_div(a: int, b: int) -> int:
    """The quotient, rounded up."""
    return -(-a // b)


def round_up(size: int, unit: int) -> int:
    """The next multiple of a unit."""
    return -(-size // unit) * unit
