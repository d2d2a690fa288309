"""Rounding by the allocator: its rules, and what engines logged as loaded."""

from __future__ import annotations

from bisect import bisect_left, insort

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfhost.models.allocator import rounding_bytes
from selfhost.models.tensors import rank_weights
from selfhost.units import GIB, MIB
from tests.models.public_models import QWEN_72B, arch

LLAMA_FP8_DYNAMIC = "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic"


@pytest.mark.parametrize(
    ("tensors", "added"),
    [
        ([(231 * MIB, 80), (115 * MIB + MIB // 2, 80)], 120 * MIB),
        ([(4, 3)], 3 * 508),
        ([(MIB, 5), (512, 1)], 0),
        ([(9 * MIB + 3 * MIB // 4, 2)], MIB // 2),  # both in one segment; the second takes the rest along
        ([(9 * MIB + 3 * MIB // 4, 1)], 0),  # the rest of the segment is cut off
        ([(8 * MIB, 5)], 0),
        ([(11 * MIB + MIB // 2, 4)], 4 * (MIB // 2)),  # segments of 12 MiB
        ([(10 * MIB + MIB // 2, 4)], 0),  # 1.5 MiB are cut off
        ([(20 * MIB + 1, 1)], 2 * MIB - 1),
        ([(0, 4)], 0),
        ([], 0),
    ],
)
def test_rules_of_the_allocator(tensors, added):
    assert rounding_bytes(tensors) == added


def test_rests_are_used_by_what_comes_after():
    # 13 MiB leave 1 MiB of 14, which goes along; 12.5 MiB leave 1.5 MiB of 14, in which a later 1.25 MiB lies, and
    # takes the last quarter along.
    assert rounding_bytes([(13 * MIB, 1)]) == MIB
    assert rounding_bytes([(12 * MIB + MIB // 2, 1), (MIB + MIB // 4, 1)]) == MIB // 4


@pytest.mark.parametrize(
    ("name", "tp", "logged"),
    [
        # "Model loading took ... GiB": llm-d-planner docs/empirical-vllm-memory-results.md, the README of
        # vllm-optimization-lab, and logs in public repositories.
        (QWEN_72B, 4, "33.9835"),
        ("Qwen/Qwen3-32B", 1, "61.03"),
        ("Qwen/Qwen3-32B", 2, "30.59"),
        ("Qwen/Qwen3-14B", 1, "27.52"),
        ("Qwen/Qwen3-0.6B", 1, "1.12"),
        ("Qwen/Qwen2.5-0.5B-Instruct", 1, "0.93"),
        ("Qwen/Qwen3-30B-A3B", 1, "56.88"),
        (LLAMA_FP8_DYNAMIC, 1, "67.72"),
        (LLAMA_FP8_DYNAMIC, 2, "33.88"),
    ],
)
def test_sums_are_what_engines_logged_to_the_last_digit(name, tp, logged):
    weights = rank_weights(arch(name), tp=tp)
    assert f"{(weights.bytes + weights.rounding_bytes) / GIB:.{len(logged.partition('.')[2])}f}" == logged


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 64 * MIB), st.integers(1, 40)), max_size=12))
def test_a_block_is_never_smaller_than_its_tensor_and_hardly_larger(tensors):
    added, count = rounding_bytes(tensors), sum(number for _, number in tensors)
    assert 0 <= added <= count * 2 * MIB


def layer_by_layer(tensors):
    """The rules once more, without a short cut: each block of each layer takes what is free, or a segment."""
    free, total = [], 0
    for layer in range(max((count for _, count in tensors), default=0)):
        for size, count in tensors:
            if layer < count:
                place = bisect_left(free, size)
                segment = 20 * MIB if size < 10 * MIB else -(-size // (2 * MIB)) * 2 * MIB
                rest = (free.pop(place) if place < len(free) else segment) - size
                if rest > MIB:
                    insort(free, rest)
                else:
                    total += rest
    return total


MIDDLE = st.integers(2049, 40 * 1024 - 1).map(lambda blocks: 512 * blocks)
FEW_SIZES = st.sampled_from([step * MIB // 4 for step in range(5, 80)])


@settings(max_examples=500, derandomize=True, deadline=None)
@given(st.lists(st.tuples(MIDDLE | FEW_SIZES, st.integers(1, 90)), max_size=9))
def test_layers_that_repeat_come_to_what_going_through_each_comes_to(tensors):
    assert rounding_bytes(tensors) == layer_by_layer(tensors)
