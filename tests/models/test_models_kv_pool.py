"""Worked numbers and properties of caches, groups and the pool; equality with the engine: test_models_kv_oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.errors import NoError, UsageError
from selfhost.models import cache_specs
from selfhost.models.cache import CacheKind, CacheTerms, LayerCache
from selfhost.models.kv_groups import group_caches
from selfhost.models.kv_hybrid import align_states
from selfhost.models.kv_pool import (
    RequestTerms,
    Shortage,
    capacity,
    growth,
    longest_request,
    longest_that_fits,
    max_in_flight_tokens,
    most_requests_with_graphs,
    request_blocks,
)
from selfhost.units import GIB

TERMS = RequestTerms(max_in_flight_tokens=16384)
QWEN_72B = (cache_specs.full_cache(CacheTerms(16, tensor_parallel_size=4), kv_heads=8, head_dim=128),) * 80


def qwen3_next(tp: int = 2, **terms):
    """One stage of Qwen3-Next-80B: three gated DeltaNets to one full attention."""
    launch = CacheTerms(16, tensor_parallel_size=tp, **terms)
    state = cache_specs.gated_delta_cache(
        launch, key_heads=16, value_heads=32, key_head_dim=128, value_head_dim=128, conv_kernel=4
    )
    full = cache_specs.full_cache(launch, kv_heads=2, head_dim=256)
    return align_states(((state, state, state, full) * 12,), 16, 16)


# Pages.


@pytest.mark.parametrize(
    ("cache", "page"),
    [
        (QWEN_72B[0], 16_384),  # 16 * 2 heads * 2 * 128 * 2
        (cache_specs.full_cache(CacheTerms(16, "fp8"), kv_heads=8, head_dim=128), 32_768),
        (cache_specs.full_cache(CacheTerms(16, tensor_parallel_size=8), kv_heads=2, head_dim=64), 4_096),  # one head
        (cache_specs.full_cache(CacheTerms(16, "nvfp4"), kv_heads=8, head_dim=128), 18_432),  # 16 * 16 * (64 + 8)
        (cache_specs.full_cache(CacheTerms(16, "int8_per_token_head"), kv_heads=1, head_dim=128), 4_224),
        (cache_specs.full_cache(CacheTerms(16), kv_heads=1, head_dim=192, head_dim_v=128), 10_240),
        (cache_specs.latent_cache(CacheTerms(1), width=576), 1_152),
        (cache_specs.latent_cache(CacheTerms(1, "fp8_ds_mla"), width=576), 656),
        (cache_specs.latent_cache(CacheTerms(1, "nvfp4_ds_mla"), width=576), 352),
        (cache_specs.indexer_cache(CacheTerms(1, "fp8_ds_mla"), index_head_dim=128), 132),
        (cache_specs.ring_cache(tokens=8, width_bytes=1024), 8_192),
    ],
)
def test_bytes_of_a_page(cache, page):
    assert cache.page_bytes == page


def test_deepseek_v4_pages_are_multiples_of_576():
    launch = CacheTerms(256, "fp8_ds_mla")
    caches = cache_specs.compressed_caches(launch, ratio=4, head_dim=512, window=128, index_head_dim=128)
    assert [cache.page_bytes for cache in caches] == [8_640, 8_640, 37_440, 37_440, 32_832]
    (only,) = cache_specs.compressed_caches(launch, ratio=0, head_dim=512, window=128, index_head_dim=128)
    assert only.kind is CacheKind.SLIDING_LATENT


def test_states_follow_the_configs_dtype_and_the_launchs():
    sizes = {"key_heads": 16, "value_heads": 32, "key_head_dim": 128, "value_head_dim": 128, "conv_kernel": 4}
    own = cache_specs.gated_delta_cache(CacheTerms(16, tensor_parallel_size=2), **sizes)
    assert own.page_bytes == 4096 * 3 * 2 + 16 * 128 * 128 * 2 == 548_864
    float32 = cache_specs.gated_delta_cache(CacheTerms(16, tensor_parallel_size=2), **sizes, state_itemsize=4)
    forced = cache_specs.gated_delta_cache(CacheTerms(16, tensor_parallel_size=2, state_dtype="float32"), **sizes)
    assert float32.page_bytes == forced.page_bytes == 4096 * 3 * 2 + 16 * 128 * 128 * 4
    guessed = cache_specs.gated_delta_cache(CacheTerms(16, num_speculative_tokens=2), **sizes)
    assert guessed.page_bytes == 8192 * 5 * 2 + 32 * 128 * 128 * 2
    assert guessed.speculative_blocks == 2
    kda = cache_specs.delta_attention_cache(CacheTerms(16), heads=32, head_dim=128, conv_kernel=4)
    assert kda.page_bytes == 2_170_880


def test_dtypes_without_a_known_size_are_named():
    for make in (
        lambda dtype: cache_specs.full_cache(CacheTerms(16, dtype), kv_heads=8, head_dim=128),
        lambda dtype: cache_specs.latent_cache(CacheTerms(16, dtype), width=576),
        lambda dtype: cache_specs.compressed_caches(
            CacheTerms(256, dtype), ratio=4, head_dim=512, window=128, index_head_dim=128
        ),
    ):
        with pytest.raises(UsageError, match="`turboquant_k8v4` is not known"):
            make("turboquant_k8v4")


# Groups and pool.


def test_qwen_72b_is_one_group():
    groups = group_caches((QWEN_72B,))
    assert groups.bytes_per_block == (1_310_720,)
    assert growth(groups, 0, 32768, TERMS) == (81_920, 0)
    assert request_blocks(groups, 32768, TERMS) == 2048


def test_qwen3_next_as_a_public_log_has_it():
    # vllm serve, 2x H200, 2025-10: 44.59 GiB -> 7162 blocks; 262,144 tokens per request: 14.77x. One state per request
    # then, as without prefix caching today.
    aligned = qwen3_next()
    assert aligned.block_size == 544
    groups = group_caches(aligned.stages)
    assert groups.bytes_per_block == (6_684_672,)
    assert [group.stage_layers for group in groups.groups] == [(12,)] * 4
    then = capacity(groups, [int(44.59 * GIB)], 262_144, TERMS._replace(mamba_cache_mode="none"))
    assert (then.blocks, round(then.max_concurrency, 2)) == (7162, 14.77)
    now = capacity(groups, [int(44.59 * GIB)], 262_144, TERMS)
    assert (now.blocks_per_request, round(now.max_concurrency, 2)) == (488, 14.68)
    assert growth(groups, 0, 262_144, TERMS) == (12_288, 6 * 6_684_672)


@pytest.mark.parametrize(
    ("gib", "tokens", "requests"),
    [(11.05, 623_873, 2.38), (None, 622_408, 2.37), (None, 620_944, 2.37), (None, 619_479, 2.36)],
)
def test_qwen36_with_multi_token_prediction_as_public_logs_have_it(gib, tokens, requests):
    # github.com/noonghunna/club-3090, issues 642, 294, 295 and 91: 2x RTX 3090, TP2, fp8_e5m2, float16, three tokens
    # guessed ahead, 262,144 tokens per request. Only the first says how much memory it was.
    launch = CacheTerms(16, "fp8_e5m2", "float16", 2, 3)
    state = cache_specs.gated_delta_cache(
        launch,
        key_heads=16,
        value_heads=48,
        key_head_dim=128,
        value_head_dim=128,
        conv_kernel=4,
        state_itemsize=4,
    )
    full = cache_specs.full_cache(launch, kv_heads=4, head_dim=256)
    aligned = align_states(((state, state, state, full) * 16 + (full,),), 16, 16)
    assert aligned.block_size == 1600
    groups = group_caches(aligned.stages)
    each = request_blocks(groups, 262_144, TERMS)
    assert each == 164 + 3 * 5
    blocks = round(tokens * each / 262_144)
    found = capacity(groups, [blocks * groups.bytes_per_block[0]], 262_144, TERMS)
    assert (found.tokens, round(found.max_concurrency, 2)) == (tokens, requests)
    if gib:
        assert round(blocks * groups.bytes_per_block[0] / GIB, 2) == gib


def test_deepseek_v4_flash_as_a_public_log_has_it():
    # 50.51 GiB, --max-num-batched-tokens 8192: 752,889 tokens, 7.66x for 98,304 tokens per request.
    launch = CacheTerms(256, "fp8_ds_mla")
    caches = tuple(
        cache
        for ratio in [0, 0, *[4, 128] * 20, 4]
        for cache in cache_specs.compressed_caches(launch, ratio=ratio, head_dim=512, window=128, index_head_dim=128)
    )
    groups = group_caches((caches,), block_outermost=True)
    assert groups.bytes_per_block == (1_002_240,)
    found = capacity(groups, [54_117 * 1_002_240], 98_304, TERMS)
    assert round(54_117 * 1_002_240 / GIB, 2) == 50.51
    assert (found.tokens, round(found.max_concurrency, 2)) == (752_889, 7.66)


def test_models_without_states_are_left_alone_by_alignment():
    stages = (QWEN_72B,)
    assert align_states(stages, 16, 16) == (stages, 16)


def test_capacity_is_rounded_as_the_engine_logs_it():
    # Measured on the CPU build of vLLM 0.32.0: 1 GiB, blocks of 128, max_model_len 1000.
    cache = cache_specs.full_cache(CacheTerms(128), kv_heads=2, head_dim=32)
    groups = group_caches(((cache,) * 4,))
    found = capacity(groups, [GIB], 1000, TERMS)
    assert (found.blocks, found.tokens, found.max_concurrency) == (8192, 1_024_000, 1024.0)
    assert found.shortage is None


def test_five_blocks_hold_512_tokens():
    # Measured on the CPU build of vLLM 0.32.0: `--num-gpu-blocks-override 5`.
    cache = cache_specs.full_cache(CacheTerms(128), kv_heads=2, head_dim=32)
    groups = group_caches(((cache,) * 4,))
    assert longest_that_fits(groups, [GIB], 2048, TERMS, 5) == longest_request(groups, 4, 2048, TERMS) == 512
    found = capacity(groups, [GIB], 2048, TERMS, 5)
    assert (found.shortage, found.longest) == (Shortage.TOO_LONG, 512)
    assert found.needed_bytes == 16 * groups.bytes_per_block[0]
    fits = capacity(groups, [GIB], 512, TERMS, 5)
    assert (fits.tokens, fits.max_concurrency) == (640, 1.25)


def test_the_stage_with_more_layers_decides():
    cache = cache_specs.latent_cache(CacheTerms(16), width=576)
    groups = group_caches(((cache,) * 2, (cache,)))
    found = capacity(groups, [GIB, GIB], 1024, TERMS)
    assert found.blocks == GIB // (2 * 16 * 1152)
    # Logged: 466,032 tokens.
    assert found.tokens == 466_032


def test_no_memory_is_another_shortage_than_too_little():
    groups = group_caches((QWEN_72B,))
    assert capacity(groups, [1_310_720], 16, TERMS).shortage is Shortage.NOTHING
    assert capacity(groups, [2 * 1_310_720], 16, TERMS).shortage is None
    assert longest_that_fits(groups, [1_310_720], 16, TERMS) == 0


def test_a_stage_without_caches_is_refused():
    with pytest.raises(NoError, match="no layer that keeps anything"):
        group_caches((QWEN_72B, ()))
    with pytest.raises(NoError, match="no layer that keeps anything"):
        group_caches(())


def test_models_with_states_limit_the_requests_of_cuda_graphs():
    launch = CacheTerms(16)
    state = cache_specs.gated_delta_cache(
        launch,
        key_heads=16,
        value_heads=48,
        key_head_dim=128,
        value_head_dim=128,
        conv_kernel=4,
        state_itemsize=4,
    )
    full = cache_specs.full_cache(launch, kv_heads=4, head_dim=256)
    groups = group_caches(align_states(((state, state, state, full) * 16,), 16, 16).stages)
    assert groups.bytes_per_block == (51_380_224,)
    blocks = capacity(groups, [20 * GIB], 4096, TERMS).blocks
    assert most_requests_with_graphs(groups, blocks) == 417
    assert most_requests_with_graphs(group_caches((QWEN_72B,)), 417) is None


def test_windows_do_not_go_with_decode_context_parallelism():
    window = cache_specs.sliding_cache(CacheTerms(16), kv_heads=8, head_dim=128, window=128)
    with pytest.raises(NoError, match="sliding windows"):
        request_blocks(group_caches(((window,),)), 1000, TERMS._replace(decode_context_parallel_size=2))


@pytest.mark.parametrize(
    ("pipeline", "options", "expected"),
    [
        (1, {}, 16_384),
        (2, {}, 24_576),
        (1, {"async_scheduling": False}, 8_192),
        (2, {"async_scheduling": False}, 16_384),
        (1, {"v2": False}, 16_384),
        (2, {"v2": False}, 16_384),
    ],
)
def test_tokens_in_flight(pipeline, options, expected):
    assert max_in_flight_tokens(8192, pipeline, **options) == expected


# Properties.

BLOCKS = st.sampled_from([16, 32, 64, 128])
GROWING = st.builds(
    lambda block, heads, latent: LayerCache(
        CacheKind.LATENT if latent else CacheKind.FULL, block, heads=heads, state_content_bytes=512
    ),
    BLOCKS,
    st.integers(1, 8),
    st.booleans(),
)
FIXED = st.builds(
    lambda block, size, window: LayerCache(
        CacheKind.SLIDING if window else CacheKind.STATE,
        block,
        heads=1,
        state_content_bytes=size if window else 512 * size,
        window_tokens=window,
    ),
    BLOCKS,
    st.integers(64, 4096),
    st.sampled_from([0, 0, 128, 4096]),
)


@st.composite
def layered(draw):
    kinds = draw(st.lists(st.one_of(GROWING, FIXED), min_size=1, max_size=3))
    stages = draw(st.lists(st.lists(st.sampled_from(kinds), min_size=1, max_size=12), min_size=1, max_size=3))
    try:
        groups = group_caches(tuple(map(tuple, stages)), block_outermost=draw(st.booleans()))
    except NoError:
        groups = None
    return groups


@given(groups=layered(), length=st.integers(1, 1 << 20), more=st.integers(0, 1 << 18), room=st.integers(1, 1 << 38))
def test_longer_requests_never_take_fewer_blocks(groups, length, more, room):
    if groups is None:
        return
    assert request_blocks(groups, length, TERMS) <= request_blocks(groups, length + more, TERMS)
    memory = [room] * len(groups.bytes_per_block)
    short, long = (capacity(groups, memory, n, TERMS) for n in (length, length + more))
    assert short.max_concurrency >= long.max_concurrency
    assert not (short.shortage and not long.shortage)


@given(groups=layered(), length=st.integers(1, 1 << 20), room=st.integers(1, 1 << 38))
def test_the_longest_request_fits_and_one_token_more_does_not(groups, length, room):
    if groups is None:
        return
    memory = [room] * len(groups.bytes_per_block)
    longest = longest_that_fits(groups, memory, length, TERMS)
    assert 0 <= longest <= length
    if longest:
        assert capacity(groups, memory, longest, TERMS).shortage is None
    if longest < length:
        assert capacity(groups, memory, longest + 1, TERMS).shortage is not None


@given(groups=layered(), length=st.integers(1, 1 << 20), room=st.integers(1, 1 << 37), more=st.integers(0, 1 << 36))
def test_more_memory_never_holds_less(groups, length, room, more):
    if groups is None:
        return
    stages = len(groups.bytes_per_block)
    little, much = (capacity(groups, [size] * stages, length, TERMS) for size in (room, room + more))
    assert little.blocks <= much.blocks
    assert little.tokens <= much.tokens
