"""Worked examples: public models on GPUs, term by term.

Weights: sums over the engine's own module tree and numbers that it logged. KV: the engine's formula with the likely
values of what cannot be derived; the tolerance is the error budget of the terms beside the weights.
"""

from __future__ import annotations

import math

import pytest

GIB = 1 << 30


def gib(size: int) -> float:
    return size / GIB


@pytest.mark.parametrize(
    ("name", "on", "request_", "expected"),
    [
        ("qwen2.5-72b", "4xA800-80G", {}, (33.983, 35.1, 460_000)),
        ("qwen2.5-72b-awq", "2xL20-48G", {}, (19.378, 19.4, 126_800)),
        ("deepseek-v3", "8xH200", {}, (79.55, 43.3, 661_000)),
        ("glm-4.5-air-fp8", "2xH100-80G", {}, (50.551, 17.7, 201_000)),
        ("deepseek-v3", "8xH20-96G", {}, (79.55, 2.5, None)),
        (
            "deepseek-v3",
            "8xH20-96G",
            {
                "gpu_memory_utilization": 0.96,
                "max_num_batched_tokens": 2048,
                "max_num_seqs": 128,
                "max_model_len": 65536,
            },
            (79.55, 9.3, 143_000),
        ),
    ],
    ids=[
        "72B bf16 TP4 A800",
        "72B AWQ TP2 L20",
        "V3 FP8 TP8 H200",
        "GLM-4.5-Air FP8 TP2 H100",
        "V3 FP8 TP8 H20",
        "V3 H20, small batch",
    ],
)
def test_worked_examples(plan, name, on, request_, expected):
    weights, kv, tokens = expected
    made = plan(name, on, **request_)
    assert gib(made.memory.weight_bytes) == pytest.approx(weights, rel=0.003)
    assert gib(made.memory.kv_cache_bytes) == pytest.approx(kv, abs=0.3)
    assert gib(made.memory.kv_cache_bytes_low) < kv < gib(made.memory.kv_cache_bytes_high)
    if tokens:
        assert made.kv_cache.tokens == pytest.approx(tokens, rel=0.03)


def test_qwen_72b_on_four_a800_term_by_term(plan):
    """Logged weights: 33.9835 GiB; state of 1024 requests, 8192 tokens through the MLP, 80 layers of 2 KV heads."""
    made = plan("qwen2.5-72b", "4xA800-80G")
    memory, kv = made.memory, made.kv_cache
    assert made.layout.tensor_parallel_size == 4
    assert (made.settings.max_num_batched_tokens, made.settings.max_num_seqs) == (8192, 1024)
    assert memory.budget_bytes == math.ceil(made.hardware.visible_memory_bytes * 0.92)
    assert gib(memory.weight_bytes) == pytest.approx(33.983, abs=0.002)
    assert memory.buffer_bytes == 1024 * (152064 * 4 + 2 * 4752 * 4)
    assert memory.activation_bytes == 8192 * (14784 + 7392 + 3 * 8192) * 2
    assert memory.non_torch_bytes == int(0.5 * GIB)
    assert memory.cudagraph_bytes == int((0.25 + 0.036 * 51) * GIB)
    assert (kv.bytes_per_token, kv.block_size) == (81_920, 16)
    assert kv.max_concurrency == pytest.approx(14.04, rel=0.03)


@pytest.mark.parametrize(
    ("name", "on", "request_", "logged"),
    [
        # github.com/samilazrak/vllm-optimization-lab, vLLM 0.29.0: weights 27.52 GiB, defaults of this card.
        ("qwen3-14b", "L40S", {}, (11.06, 72_496)),
        # A course's log of vLLM 0.31 on an A100-80GB, defaults of that card (2048 tokens, 256 requests).
        ("llama-3.1-8b", "A100-80G@79.25", {"max_num_batched_tokens": 2048, "max_num_seqs": 256}, (56.21, 460_496)),
    ],
    ids=["Qwen3-14B L40S", "Llama-3.1-8B A100"],
)
def test_what_the_engine_logged_lies_in_the_range(plan, name, on, request_, logged):
    kv, tokens = logged
    made = plan(name, on, **request_)
    assert gib(made.memory.kv_cache_bytes_low) < kv < gib(made.memory.kv_cache_bytes_high)
    assert made.kv_cache.tokens == pytest.approx(tokens, rel=0.09)
    # The same memory gives the same number of tokens, but for whole blocks.
    assert kv * GIB / made.kv_cache.bytes_per_token == pytest.approx(tokens, abs=200)


def test_deepseek_v3_without_graphs_against_a_log(plan):
    """Public log of vLLM 0.11 to 0.12, 8 x H200 at 0.90, graphs not subtracted then: 635,648 tokens."""
    made = plan("deepseek-v3", "8xH200", gpu_memory_utilization=0.9, enforce_eager=True)
    assert made.kv_cache.tokens == pytest.approx(635_648, rel=0.03)


def test_mla_keeps_the_same_cache_on_every_rank(plan):
    made = plan("deepseek-v3", "8xH200")
    assert made.kv_cache.bytes_per_token == 61 * 576 * 2
    # Two workspaces of 8192 tokens * 8 experts * 7168 in bf16, beside the sampler's state.
    assert made.memory.buffer_bytes == 2 * 8192 * 8 * 7168 * 2 + 1024 * (129280 * 4 + 2 * 4040 * 4)


def test_deepseek_v3_does_not_fit_its_context_on_eight_h20(plan):
    """One request of 163840 tokens needs 10.72 GiB; the engine's own check fails the start."""
    made = plan("deepseek-v3", "8xH20-96G")
    assert made.verdict.value == "does_not_fit"
    assert "one request of 163,840 tokens needs 10.7 GiB" in made.reasons[-1]


@pytest.mark.parametrize("name", ["qwen2.5-72b", "deepseek-v3", "glm-4.5-air-fp8", "qwen2.5-7b"])
@pytest.mark.parametrize("on", ["8xH200", "2x8xH20-96G", "8xA800-80G", "RTX4090", "cpu@2000"])
def test_the_terms_add_up_to_the_budget(plan, name, on):
    memory = plan(name, on).memory
    terms = (memory.weight_bytes, memory.buffer_bytes, memory.activation_bytes, memory.non_torch_bytes)
    assert sum(terms) + memory.cudagraph_bytes + memory.kv_cache_bytes == memory.budget_bytes
    assert memory.kv_cache_bytes_low <= memory.kv_cache_bytes <= memory.kv_cache_bytes_high
