"""Models that keep states beside keys and values: one page size for both.

The engine enlarges the blocks of attention until a page holds a state, and pads states up to that page:
vLLM 0.32 platforms/interface.py (`_align_hybrid_block_size`), for GPUs and CPUs alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.models.cache import GROWING, CacheKind, ceil_div, round_up

if TYPE_CHECKING:
    from selfhost.models.cache import LayerCache
    from selfhost.models.kv_groups import Stages

_LATENT_BLOCK = 128
"""Blocks of latent attention beside states are multiples of it, for FlashInfer's decode kernels."""


class Aligned(NamedTuple):
    """Caches with pages of one size."""

    stages: Stages
    block_size: int


def align_states(stages: Stages, block_size: int, kernel_block_size: int) -> Aligned:
    """The caches of a model with states, as the engine lays them out; any other model's are returned as they are.

    `block_size` is what the caches were made with, `kernel_block_size` the smallest that the backend takes.
    The page is that of the layers of full attention; the engine takes them to be alike.
    Check: Qwen3-Next-80B TP2, states of 548_864 bytes and 1024 bytes a token -> blocks of 544, pages of 557_056.
    """
    caches = {cache for stage in stages for cache in stage}
    state = max((cache.page_bytes for cache in caches if cache.kind is CacheKind.STATE), default=0)
    growing = [cache for cache in caches if cache.kind in GROWING]
    if not state or not growing:
        return Aligned(stages, block_size)
    widest = max(growing, key=lambda cache: cache.page_bytes)
    per_token = widest._replace(block_size=1).page_bytes
    unit = max(kernel_block_size, block_size)
    if widest.kind is CacheKind.LATENT:
        unit = max(unit, _LATENT_BLOCK)
    block = max(block_size, round_up(unit * ceil_div(state, unit * per_token), kernel_block_size))
    made = {cache: _enlarged(cache, block, block * per_token) for cache in caches}
    return Aligned(tuple(tuple(made[cache] for cache in stage) for stage in stages), block)


def _enlarged(cache: LayerCache, block: int, page: int) -> LayerCache:
    if cache.kind is CacheKind.RING:
        return cache
    larger = cache._replace(block_size=block)
    if cache.kind is CacheKind.STATE and cache.page_bytes != page:
        larger = larger._replace(page_bytes_padded=page)
    return larger
