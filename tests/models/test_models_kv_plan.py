"""From a model and a launch to the layout of the KV cache: worked numbers, and all public configs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.errors import NoError
from selfhost.hardware.types import Platform
from selfhost.models.cache import CacheKind
from selfhost.models.kv_plan import CacheLaunch, attention_needs, plan_caches
from selfhost.models.kv_pool import RequestTerms, capacity, growth, request_blocks
from selfhost.units import GIB
from tests.models.public_models import DEEPSEEK_V3, QWEN_72B, QWEN_HALF_B, SMOLLM, arch

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


def test_their_own_layers_of_a_model_need_not_be_named():
    launch = HOPPER._replace(num_speculative_tokens=1)
    drafting = replace(arch("zai-org/GLM-5.2-FP8"), drafting=True)
    plain, more = (
        plan_caches(model, launch).groups.bytes_per_block[0] for model in (arch("zai-org/GLM-5.2-FP8"), drafting)
    )
    assert more - plain == 64 * (1152 + 132)


def test_deepseek_v4_as_its_config_has_it():
    # A public log: 50.51 GiB, 8192 tokens a step, 98,304 tokens per request -> 752,889 tokens, 7.66x.
    plan = plan_caches(arch("deepseek-ai/DeepSeek-V4-Flash"), HOPPER._replace(tensor_parallel_size=2))
    assert (plan.backend.kv_cache_dtype, plan.block_size) == ("fp8_ds_mla", 256)
    found = capacity(plan.groups, [54_117 * 1_002_240], 98_304, TERMS)
    assert (found.tokens, round(found.max_concurrency, 2)) == (752_889, 7.66)


def test_kimi_k3_has_three_states_for_each_latent_cache():
    plan = plan_caches(arch("moonshotai/Kimi-K3"), HOPPER._replace(compute_capability=(10, 0), tensor_parallel_size=8))
    # A state of 814,080 bytes, in pages of 768 tokens of 1152 bytes.
    assert (plan.block_size, plan.groups.bytes_per_block) == (768, (24 * 768 * 1152,))
    kinds = [group.cache.kind for group in plan.groups.groups]
    assert kinds == [CacheKind.STATE, CacheKind.STATE, CacheKind.STATE, CacheKind.LATENT]
    assert growth(plan.groups, 0, 131_072, TERMS) == (27_648, 3 * 3 * 24 * 768 * 1152)


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


@pytest.mark.parametrize(
    ("model", "launch", "stage", "expected"),
    [
        (DEEPSEEK_V3, {"tensor_parallel_size": 8}, 0, 70_272),  # 61 * 576 * 2, the same on every rank
        (DEEPSEEK_V3, {}, 0, 70_272),
        (QWEN_72B, {"tensor_parallel_size": 4}, 0, 81_920),  # 80 * 2 * 2 * 128 * 2
        (QWEN_72B, {"tensor_parallel_size": 4, "kv_cache_dtype": "fp8"}, 0, 40_960),
        ("zai-org/GLM-4.5-Air", {"tensor_parallel_size": 2}, 0, 94_208),  # 46 * 2 * 4 * 128 * 2
        (QWEN_HALF_B, {}, 0, 12_288),
        # 2 KV heads: one on each of two ranks, and one on each of fourteen.
        (QWEN_HALF_B, {"tensor_parallel_size": 2}, 0, 24 * 64 * 2 * 2),
        (QWEN_HALF_B, {"tensor_parallel_size": 14}, 0, 24 * 64 * 2 * 2),
        (SMOLLM, {"pipeline_parallel_size": 2}, 1, 11_520),  # 15 * 2 * 3 * 64 * 2
        (SPARSE, {"tensor_parallel_size": 8}, 0, 61 * (1152 + 132)),
    ],
)
def test_bytes_per_token(model, launch, stage, expected):
    plan = plan_caches(arch(model), HOPPER._replace(**launch))
    assert growth(plan.groups, stage, 1000, TERMS) == (expected, 0)
    assert plan.groups.bytes_per_block[stage] == expected * plan.block_size
    assert request_blocks(plan.groups, 1000, TERMS) == -(-1000 // plan.block_size)


def test_only_glm_5_asks_for_fp8_on_blackwell():
    glm = replace(arch(SPARSE), architecture="GlmMoeDsaForCausalLM")
    assert attention_needs(glm).fp8_on_blackwell
    assert not attention_needs(arch(SPARSE)).fp8_on_blackwell
