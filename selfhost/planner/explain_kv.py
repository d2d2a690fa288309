"""From bytes of a token in a layer to tokens and requests at once, each step with its formula, as the engine counts.

Each formula is that of the function that planned, called with numbers that remember (`planner.trace`); it is shown
where it gives the figure that was planned with, and left out where it does not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from selfhost.models.cache import GROWING
from selfhost.models.kv_plan import cache_terms, layer_caches
from selfhost.models.tensors import stage_kinds
from selfhost.planner import memory
from selfhost.planner.quantity import Quantity
from selfhost.planner.trace import formula, in_numbers, traced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.models.cache import LayerCache
    from selfhost.models.kv_plan import CachePlan
    from selfhost.planner.held import RankSize
    from selfhost.planner.memory import Estimate
    from selfhost.planner.terms import Setup

_PAGE = "v1/kv_cache_interface.py"
_GROUPS = "v1/core/kv_cache_utils.py get_kv_cache_groups"
_BLOCKS = "v1/core/kv_cache_utils.py get_kv_cache_configs"
_NULL = "v1/core/block_pool.py: one block is kept back"
_CAPACITY = "v1/core/kv_cache_utils.py get_kv_cache_capacity"


def kv_cache(setup: Setup, rank: RankSize, estimate: Estimate) -> Iterator[Quantity]:
    """The steps for a rank; models whose layers keep different things have a page for each kind of cache."""
    kv, caches = estimate.kv_cache, memory.sizes_of(setup).caches
    yield from _of_layers(setup, rank, estimate, caches)
    block_size, length = traced(kv.block_size, "block_size"), traced(setup.settings.max_model_len, "max_model_len")
    per_token, per_block = traced(kv.bytes_per_token, "bytes_per_token"), traced(kv.bytes_per_block, "bytes_per_block")
    yield _quantity("bytes_per_block", kv.bytes_per_block, per_token * block_size, _GROUPS)
    left = traced(estimate.memory.kv_cache_bytes, "kv_cache")
    yield _quantity("blocks", estimate.blocks, left // per_block if left > 0 else 0, _BLOCKS)
    yield Quantity("null_blocks", 1, None, None, _NULL)
    per_request = -(-length // block_size)
    if kv.bytes_per_request_fixed:
        per_request = per_request + -(-traced(kv.bytes_per_request_fixed, "bytes_per_request_fixed") // per_block)
    yield _quantity("blocks_per_request", estimate.blocks_per_request, per_request, _CAPACITY)
    blocks, each = traced(estimate.blocks, "blocks"), traced(estimate.blocks_per_request, "blocks_per_request")
    yield _quantity("tokens", kv.tokens, math.floor(blocks / each * length), _CAPACITY)
    yield _quantity("requests", kv.max_concurrency, blocks / each, _CAPACITY)


def _of_layers(setup: Setup, rank: RankSize, estimate: Estimate, caches: CachePlan) -> Iterator[Quantity]:
    """What a layer keeps, and all layers of the rank together."""
    kinds = stage_kinds(setup.arch, setup.layout.pipeline_parallel_size, rank.pp_rank)
    kept = _kept(setup, rank, caches)
    per_token = traced(estimate.kv_cache.bytes_per_token, "bytes_per_token")
    if len({kind.mixer for kind in kinds}) == 1 and all(_is_plain(cache) for cache in kept):
        each = sum(cache.heads * cache.state_content_bytes for cache in kept)
        yield _quantity("bytes_per_token_and_layer", int(each), each, _PAGE)
        per_token = traced(int(each), "bytes_per_token_and_layer") * traced(len(kinds), "layers")
    else:
        for cache in kept:
            name = f"page_bytes_{cache.kind.value}_{cache.variant.replace(' ', '_')}"
            yield _quantity(name, int(cache.page_bytes), cache.page_bytes, _PAGE)
    yield _quantity("bytes_per_token", estimate.kv_cache.bytes_per_token, per_token, _GROUPS)
    if fixed := estimate.kv_cache.bytes_per_request_fixed:
        yield Quantity("bytes_per_request_fixed", fixed, None, None, _GROUPS)


def _is_plain(cache: LayerCache) -> bool:
    return cache.kind in GROWING and cache.tokens_per_state == 1


def _kept(setup: Setup, rank: RankSize, caches: CachePlan) -> list[LayerCache]:
    """The distinct caches of the rank's layers, with numbers that remember; blocks as they are after alignment."""
    launch = memory.launch_of(setup)
    terms = cache_terms(setup.arch, launch, caches.backend)._replace(block_size=caches.block_size)
    kinds = stage_kinds(setup.arch, setup.layout.pipeline_parallel_size, rank.pp_rank)
    mixers = dict.fromkeys(kind.mixer for kind in kinds)
    return [cache for mixer in mixers for cache in layer_caches(traced(mixer), traced(terms))]


def _quantity(name: str, value: float, computed: float, source: str) -> Quantity:
    """With its formula where that gives the figure; requests are rounded to two digits."""
    same = round(float(computed), 2) == round(float(value), 2)
    text, numbers = (formula(computed), in_numbers(computed)) if same else (None, None)
    return Quantity(name, value, text, numbers, source)
