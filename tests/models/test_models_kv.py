"""KV cache bytes, block sizes and the engine's rounding; worked numbers."""

from __future__ import annotations

import pytest

from selfhost.hardware.types import Platform
from selfhost.models.kv import default_block_size, kv_cache, max_concurrency, tokens
from tests.models.public_models import DEEPSEEK_V3, QWEN_72B, QWEN_HALF_B, SMOLLM, arch


@pytest.mark.parametrize(
    ("model", "sizes", "expected"),
    [
        (DEEPSEEK_V3, {"tp": 8}, 70_272),  # 61 * 576 * 2, the same on every rank
        (DEEPSEEK_V3, {"tp": 1}, 70_272),
        (QWEN_72B, {"tp": 4}, 81_920),  # 80 * 2 * 2 * 128 * 2
        (QWEN_72B, {"tp": 4, "kv_dtype_bytes": 1}, 40_960),
        ("zai-org/GLM-4.5-Air", {"tp": 2}, 94_208),  # 46 * 2 * 4 * 128 * 2
        (QWEN_HALF_B, {"tp": 1}, 12_288),
        (SMOLLM, {"pp": 2, "pp_rank": 1}, 11_520),  # 15 * 2 * 3 * 64 * 2
    ],
)
def test_bytes_per_token(model, sizes, expected):
    kv = kv_cache(arch(model), block_size=16, **sizes)
    assert kv.bytes_per_token == expected
    assert kv.bytes_per_block == 16 * expected


def test_kv_heads_are_replicated_when_there_are_fewer_than_ranks():
    small = arch(QWEN_HALF_B)
    assert kv_cache(small, tp=2, block_size=16).bytes_per_token == 24 * 1 * 64 * 2 * 2
    assert kv_cache(small, tp=14, block_size=16).bytes_per_token == 24 * 1 * 64 * 2 * 2


def test_sparse_attention_adds_its_indexer():
    sparse = arch("deepseek-ai/DeepSeek-V3.2-Exp")
    assert kv_cache(sparse, tp=8, block_size=64).bytes_per_token == 61 * (1152 + 132)
    assert default_block_size(sparse, Platform.CUDA, (9, 0)) == 64


def test_capacity_is_rounded_as_the_engine_logs_it():
    # Measured on the CPU build of vLLM 0.32.0: 1 GiB, blocks of 128, max_model_len 1000.
    assert tokens(8192, 128, 1000) == 1_024_000
    assert max_concurrency(5, 128, 512) == 1.25
    assert tokens(5, 128, 512) == 640


def test_block_sizes_of_the_backends():
    dense = arch(QWEN_HALF_B)
    latent = arch(DEEPSEEK_V3)
    assert default_block_size(dense, Platform.CPU) == 128
    assert default_block_size(latent, Platform.CPU) == 16
    assert default_block_size(dense, Platform.CUDA, (9, 0)) == 16
    assert default_block_size(latent, Platform.CUDA, (10, 0)) == 32
