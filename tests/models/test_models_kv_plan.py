"""From a model and a launch to the layout of the KV cache: worked numbers, and all public configs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.errors import NoError
from selfhost.hardware.types import Platform
from selfhost.models.kv import kv_cache
from selfhost.models.kv_plan import CacheLaunch, attention_needs, plan_caches
from selfhost.models.kv_pool import RequestTerms, capacity, growth, request_blocks
from selfhost.units import GIB
from tests.models.public_models import DEEPSEEK_V3, MODELS, QWEN_72B, arch

TERMS = RequestTerms(max_in_flight_tokens=16384)
HOPPER = CacheLaunch(Platform.CUDA, (9, 0))
SPARSE = "deepseek-ai/DeepSeek-V3.2-Exp"


@pytest.mark.parametrize(
    ("model", "launch", "block_size", "bytes_per_block"),
    [
        (QWEN_72B, HOPPER._replace(tensor_parallel_size=4), 16, (1_310_720,)),
        (QWEN_72B, HOPPER._replace(tensor_parallel_size=4, kv_cache_dtype="fp8"), 16, (655_360,)),
        (QWEN_72B, HOPPER._replace(tensor_parallel_size=4, block_size=64), 64, (4 * 1_310_720,)),
        (DEEPSEEK_V3, HOPPER._replace(tensor_parallel_size=8), 16, (61 * 16 * 1152,)),
        (DEEPSEEK_V3, HOPPER._replace(tensor_parallel_size=8, kv_cache_dtype="fp8"), 64, (61 * 64 * 576,)),
        (DEEPSEEK_V3, HOPPER._replace(pipeline_parallel_size=2), 16, (31 * 16 * 1152, 30 * 16 * 1152)),
        (DEEPSEEK_V3, HOPPER._replace(compute_capability=(10, 0)), 32, (61 * 32 * 1152,)),
        (SPARSE, HOPPER._replace(tensor_parallel_size=8), 64, (61 * 64 * (1152 + 132),)),
        (SPARSE, HOPPER._replace(tensor_parallel_size=8, kv_cache_dtype="fp8"), 64, (3_076_352,)),
        (SPARSE, HOPPER._replace(compute_capability=(12, 0)), 64, (3_076_352,)),
        (SPARSE, HOPPER._replace(compute_capability=(10, 0), kv_cache_dtype="fp8"), 64, (61 * 64 * (576 + 132),)),
        (DEEPSEEK_V3, CacheLaunch(Platform.CPU, block_size=64), 16, (61 * 16 * 1152,)),
        (QWEN_72B, CacheLaunch(Platform.CPU), 128, (80 * 128 * 8 * 2 * 128 * 2,)),
    ],
)
def test_blocks_of_public_models(model, launch, block_size, bytes_per_block):
    plan = plan_caches(arch(model), launch)
    assert (plan.block_size, plan.groups.bytes_per_block) == (block_size, bytes_per_block)


def test_layers_that_guess_ahead_are_on_the_last_stage():
    model = arch(DEEPSEEK_V3)
    launch = HOPPER._replace(pipeline_parallel_size=2, num_speculative_tokens=1)
    plan = plan_caches(model, launch, draft=(model.kinds[-1].mixer,))
    assert plan.groups.bytes_per_block == (31 * 16 * 1152, 31 * 16 * 1152)


def test_sparse_attention_has_a_backend_where_it_runs():
    with pytest.raises(NoError):
        plan_caches(arch(SPARSE), CacheLaunch(Platform.CPU))
    with pytest.raises(NoError):
        plan_caches(arch(SPARSE), CacheLaunch(Platform.CUDA, (8, 0)))


def test_qwen_72b_on_four_gpus():
    # 37.0 GiB for the cache of each of 4 GPUs, 32,768 tokens per request.
    plan = plan_caches(arch(QWEN_72B), HOPPER._replace(tensor_parallel_size=4))
    found = capacity(plan.groups, [37 * GIB], 32768, TERMS)
    assert (found.blocks, found.blocks_per_request, found.tokens) == (30_310, 2048, 484_960)
    assert growth(plan.groups, 0, 32768, TERMS) == (81_920, 0)


@pytest.mark.parametrize("model", sorted(MODELS))
def test_bytes_per_token_are_those_of_the_layers(model):
    read = arch(model)
    for tp, pp in ((1, 1), (2, 1), (4, 2), (8, 3)):
        plan = plan_caches(read, HOPPER._replace(tensor_parallel_size=tp, pipeline_parallel_size=pp))
        for rank in range(pp):
            sizes = {"tp": tp, "pp": pp, "pp_rank": rank, "kv_dtype_bytes": 2, "block_size": plan.block_size}
            alone = kv_cache(read, **sizes)
            assert plan.groups.bytes_per_block[rank] == alone.bytes_per_block
            assert growth(plan.groups, rank, 1000, TERMS) == (alone.bytes_per_token, 0)
        assert request_blocks(plan.groups, 1000, TERMS) == -(-1000 // plan.block_size)


def test_only_glm_5_asks_for_fp8_on_blackwell():
    glm = replace(arch(SPARSE), architecture="GlmMoeDsaForCausalLM")
    assert attention_needs(glm).fp8_on_blackwell
    assert not attention_needs(arch(SPARSE)).fp8_on_blackwell
