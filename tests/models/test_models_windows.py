"""Sliding windows: which layers have one, by the rule of their class; weights do not depend on them."""

from __future__ import annotations

import pytest

from selfhost.errors import NoError, UsageError
from selfhost.hardware.types import Platform
from selfhost.models.attention import GroupedAttention
from selfhost.models.cache import CacheKind, CacheTerms
from selfhost.models.kv_plan import CacheLaunch, layer_caches, plan_caches
from selfhost.models.kv_pool import RequestTerms, request_blocks
from selfhost.models.tensors import rank_weights
from tests.models.public_models import QWEN_72B, arch

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
QWEN_MOE = "Qwen/Qwen3-30B-A3B"


def windows(name: str, **changes: object) -> list[int | None]:
    model = arch(name, **changes)
    mixers = [model.kinds[place].mixer for place in model.layers]
    return [mixer.sliding_window for mixer in mixers if isinstance(mixer, GroupedAttention)]


def test_a_window_that_is_not_used_is_none():
    assert set(windows(QWEN_72B, sliding_window=131072, max_window_layers=70)) == {None}
    assert set(windows(QWEN_MOE, use_sliding_window=False, sliding_window=4096)) == {None}
    assert set(windows(LLAMA, sliding_window=0)) == {None}


def test_layers_from_the_first_window_layer_on_have_it():
    used = {"use_sliding_window": True, "sliding_window": 4096}
    assert windows(QWEN_72B, **used, max_window_layers=0) == [4096] * 80
    assert windows(QWEN_72B, **used, max_window_layers=80) == [None] * 80
    assert windows(QWEN_MOE, **used, max_window_layers=28) == [4096] * 48


def test_the_engine_refuses_qwen2_with_windows_in_some_layers():
    with pytest.raises(NoError) as caught:
        arch(QWEN_72B, use_sliding_window=True, sliding_window=4096, max_window_layers=70)
    assert caught.value.message.id == "arch.mixed_windows"


def test_llama_goes_by_the_types_of_its_layers():
    types = ["full_attention", "sliding_attention"] * 16
    assert windows(LLAMA, sliding_window=4096) == [4096] * 32
    assert windows(LLAMA, sliding_window=4096, layer_types=types) == [None, 4096] * 16


def test_too_few_types_of_layers_name_the_key():
    with pytest.raises(UsageError) as caught:
        arch(LLAMA, sliding_window=4096, layer_types=["sliding_attention"])
    assert "`layer_types`" in caught.value.message.why


def test_windows_do_not_change_weights():
    assert rank_weights(arch(LLAMA, sliding_window=4096), tp=2).bytes == rank_weights(arch(LLAMA), tp=2).bytes


def test_a_window_bounds_what_a_request_keeps():
    launch = CacheLaunch(Platform.CUDA, (9, 0))
    (cache,) = layer_caches(arch(LLAMA, sliding_window=4096).kinds[0].mixer, CacheTerms(block_size=16))
    assert (cache.kind, cache.window_tokens) == (CacheKind.SLIDING, 4096)
    whole, windowed = (plan_caches(arch(LLAMA, sliding_window=size), launch).groups for size in (None, 4096))
    terms = RequestTerms(max_in_flight_tokens=8192)
    assert (request_blocks(whole, 100_000, terms), request_blocks(windowed, 100_000, terms)) == (6250, 769)
