"""The pool of KV-cache blocks: how many, how many tokens and requests that is, and the longest request that fits.

The engine's own arithmetic: vLLM 0.32 v1/core/kv_cache_utils.py (`get_kv_cache_configs`, `get_kv_cache_capacity`,
`_check_enough_kv_cache_memory`, `_estimate_max_model_len_from_groups`) and `max_memory_usage_bytes` of the specs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from selfhost.errors import NoError
from selfhost.models.cache import GROWING, RECENT, CacheKind, ceil_div

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.models.cache import LayerCache
    from selfhost.models.kv_groups import CacheGroups


class RequestTerms(NamedTuple):
    """What decides how many blocks one request takes, but for its length."""

    max_in_flight_tokens: int
    """Tokens that are scheduled and not settled yet: see `max_in_flight_tokens`. Counts for windows and chunks."""
    decode_context_parallel_size: int = 1
    mamba_cache_mode: str = "align"
    """`align` with prefix caching, which is on by default for models that generate; `none` without it
    (model_executor/models/config.py)."""
    extra_retained_tokens: int = 0
    """Tokens kept below a window for several multi-token modules: modules - 1."""


class Shortage(StrEnum):
    """Why the engine does not start."""

    NOTHING = "nothing"
    """'No available memory for the cache blocks.'"""
    TOO_LONG = "too_long"
    """'To serve at least one request with the model's max seq len ...'"""


class Capacity(NamedTuple):
    """What the engine logs and checks after it was told how much memory there is."""

    blocks: int
    """Of the stage that has room for fewest."""
    blocks_per_request: int
    """Of one request of `max_model_len`, over all groups."""
    tokens: int
    """As logged: 'GPU KV cache size: ... tokens'."""
    max_concurrency: float
    """As logged, before rounding to two digits."""
    shortage: Shortage | None
    """None: the engine starts."""
    short_stage: int
    """The first stage that is short; 0 when none is."""
    needed_bytes: int
    """For one request of `max_model_len` on that stage, as in the engine's text."""
    available_bytes: int
    """Of that stage, less the block that is always kept back."""
    longest: int
    """The longest request that fits on that stage, as in the engine's text; `max_model_len` when nothing is short."""


def max_in_flight_tokens(
    max_num_batched_tokens: int, pipeline_parallel_size: int = 1, *, async_scheduling: bool = True, v2: bool = True
) -> int:
    """Tokens of all steps that may be under way at once (config/vllm.py `max_concurrent_batches`).

    On GPUs scheduling is asynchronous by default, on CPUs it never is; `v2`: whether the V2 model runner is used.
    Checks: 8192 tokens a step, one stage -> 16_384; two stages -> 24_576; two stages on a CPU -> 16_384.
    """
    batches = pipeline_parallel_size
    if async_scheduling:
        batches = batches + 1 if v2 else max(2, batches)
    return batches * max_num_batched_tokens


def request_blocks(groups: CacheGroups, max_model_len: int, terms: RequestTerms) -> int:
    """Blocks of one request of that length, over all groups.

    Raises NoError for a window under decode context parallelism, which the engine does not take.
    Check: Qwen3-Next-80B TP2, 262_144 tokens: blocks of 544 -> 482, and two states in each of 3 groups -> 488.
    """
    return sum(_blocks(group.cache, max_model_len, terms) for group in groups.groups)


def _blocks(cache: LayerCache, length: int, terms: RequestTerms) -> int:
    kind = cache.kind
    if kind in GROWING:
        shared = terms.decode_context_parallel_size if cache.dcp_sharded else 1
        return ceil_div(ceil_div(length, shared), cache.block_size)
    if kind in RECENT:
        if cache.dcp_sharded and terms.decode_context_parallel_size > 1:
            raise NoError("kv.window_over_ranks")
        kept = cache.window_tokens - 1 + terms.extra_retained_tokens + terms.max_in_flight_tokens
        # One more: a window need not begin where a block begins.
        return ceil_div(min(kept, length), cache.block_size) + 1
    if kind is CacheKind.CHUNKED:
        return ceil_div(min(cache.window_tokens + terms.max_in_flight_tokens, length), cache.block_size)
    if kind is CacheKind.STATE:
        aligned = terms.mamba_cache_mode == "align"
        return cache.speculative_blocks + (2 + cache.checkpoint_blocks if aligned else 1)
    return 1


def capacity(
    groups: CacheGroups,
    available_bytes: Sequence[int],
    max_model_len: int,
    terms: RequestTerms,
    num_gpu_blocks_override: int | None = None,
) -> Capacity:
    """What the engine makes of so many bytes for its KV cache on each stage.

    Check: 8192 blocks of 128 tokens with max_model_len 1000 -> 1_024_000 tokens, 1024.0 requests.
    """
    sizes = groups.bytes_per_block
    if num_gpu_blocks_override is None:
        blocks = min(room // size for room, size in zip(available_bytes, sizes, strict=True))
        usable = [room - size for room, size in zip(available_bytes, sizes, strict=True)]
    else:
        blocks = num_gpu_blocks_override
        usable = [(blocks - 1) * size for size in sizes]
    each = request_blocks(groups, max_model_len, terms)
    shortage, stage = None, 0
    for number, (room, size) in enumerate(zip(usable, sizes, strict=True)):
        if room <= 0 or each * size > room:
            shortage, stage = (Shortage.NOTHING if room <= 0 else Shortage.TOO_LONG), number
            break
    room, size = usable[stage], sizes[stage]
    concurrency = blocks / each
    return Capacity(
        blocks=blocks,
        blocks_per_request=each,
        tokens=int(concurrency * max_model_len),
        max_concurrency=concurrency,
        shortage=shortage,
        short_stage=stage,
        needed_bytes=each * size,
        available_bytes=room,
        longest=max_model_len if shortage is None else longest_request(groups, room // size, max_model_len, terms),
    )


def longest_request(groups: CacheGroups, blocks: int, at_most: int, terms: RequestTerms) -> int:
    """Tokens of the longest request that so many blocks hold, at most `at_most`; 0 when there is none.

    For `--max-model-len auto` and the engine's advice, `blocks` is without the one that is kept back.
    Check: 4 blocks of 128 tokens -> 512.
    """
    if request_blocks(groups, 1, terms) > blocks:
        return 0
    low, high = 1, at_most
    while low < high:
        middle = (low + high + 1) // 2
        if request_blocks(groups, middle, terms) <= blocks:
            low = middle
        else:
            high = middle - 1
    return low


def longest_that_fits(
    groups: CacheGroups,
    available_bytes: Sequence[int],
    at_most: int,
    terms: RequestTerms,
    num_gpu_blocks_override: int | None = None,
) -> int:
    """Tokens of the longest request that every stage holds: what `--max-model-len auto` becomes; 0 when there is none.

    Check: `--num-gpu-blocks-override 5` with blocks of 128 -> 512.
    """
    if num_gpu_blocks_override is None:
        blocks = min(room // size - 1 for room, size in zip(available_bytes, groups.bytes_per_block, strict=True))
    else:
        blocks = num_gpu_blocks_override - 1
    return longest_request(groups, blocks, at_most, terms)


def most_requests_with_graphs(groups: CacheGroups, blocks: int) -> int | None:
    """The largest `max_num_seqs` with which the engine captures full CUDA graphs of a model with states; else None.

    With more it does not start, unless graphs are off or piecewise: 'max_num_seqs (...) exceeds available Mamba cache
    blocks (...)' (config/compilation.py).
    Check: Qwen3.6-27B on one GPU with 20 GiB for its cache, 51_380_224 bytes a block -> 417.
    """
    return blocks if any(group.cache.kind is CacheKind.STATE for group in groups.groups) else None


class Growth(NamedTuple):
    """How the cache of one request grows on a stage."""

    bytes_per_token: int
    """Rounded up, where tokens are compressed."""
    bytes_per_request_fixed: int
    """States, windows and chunks of a request of full length."""


def growth(groups: CacheGroups, stage: int, max_model_len: int, terms: RequestTerms) -> Growth:
    """Bytes that each more token takes on a stage, and bytes that a request takes whatever its length.

    A block takes the same bytes for every group, padding included.
    Checks: Qwen2.5-72B TP4 -> 81_920 and 0; Qwen3-Next-80B TP2 -> 12_288 and 40_108_032 (6 states of 6_684_672).
    """
    size = groups.bytes_per_block[stage]
    per_token = fixed = 0
    for group in groups.groups:
        if group.cache.kind in GROWING:
            shared = terms.decode_context_parallel_size if group.cache.dcp_sharded else 1
            per_token += ceil_div(size, group.cache.block_size * shared)
        else:
            fixed += _blocks(group.cache, max_model_len, terms) * size
    return Growth(per_token, fixed)
