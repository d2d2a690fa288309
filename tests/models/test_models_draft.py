"""Layers of multi-token prediction: which are loaded, where, and what they add."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.errors import UsageError
from selfhost.hardware.types import Platform
from selfhost.models.arch import ModelArch
from selfhost.models.compressed import CompressedAttention
from selfhost.models.kv_plan import CacheLaunch, plan_caches
from selfhost.models.kv_pool import RequestTerms, capacity
from selfhost.models.latent import LatentAttention
from selfhost.models.tensors import rank_weights
from selfhost.units import GIB, MIB
from tests.models.public_models import DEEPSEEK_V3, QWEN_72B, arch


def drafting(name: str) -> ModelArch:
    return replace(arch(name), drafting=True)


def added(name: str, **layout: int) -> int:
    return rank_weights(drafting(name), **layout).bytes - rank_weights(arch(name), **layout).bytes


def test_the_projection_and_the_experts_of_the_layer_are_what_counts():
    groups = {group.name: group for group in rank_weights(drafting(DEEPSEEK_V3), tp=8).groups}
    assert groups["draft.eh_proj.weight"].total_bytes == 196 * MIB  # 2 * 7168 * 7168 * 2, whole on every rank
    assert sum(group.count for group in groups.values() if group.name == "mlp.experts.w13.weight") == 59
    assert added(DEEPSEEK_V3, tp=8) / GIB == pytest.approx(1.551, abs=0.001)


def test_only_the_last_stage_has_them_with_an_embedding_of_its_own():
    assert added(DEEPSEEK_V3, tp=8, pp=2, pp_rank=0) == 0
    embedding = 129_280 // 8 * 7168 * 2
    assert added(DEEPSEEK_V3, tp=8, pp=2, pp_rank=1) == added(DEEPSEEK_V3, tp=8) + embedding


def test_models_without_such_layers_load_none():
    assert arch(QWEN_72B).draft is None
    assert arch(DEEPSEEK_V3, num_nextn_predict_layers=0).draft is None
    assert added(QWEN_72B, tp=8) == 0


def test_a_layer_has_its_own_indexer_where_others_share():
    draft = arch("zai-org/GLM-5.2").draft
    assert draft is not None
    mixer = draft.layers[0].mixer
    assert isinstance(mixer, LatentAttention)
    assert mixer.indexer is not None


def test_with_compressed_attention_it_has_a_window_only_and_the_table_of_such_layers():
    # No other layer of V4-Pro has one: 1_048_576 * 64 * 4 bytes.
    model = arch("deepseek-ai/DeepSeek-V4-Pro")
    draft = model.draft
    assert draft is not None
    mixer = draft.layers[0].mixer
    assert isinstance(mixer, CompressedAttention)
    assert mixer.compress_ratio == 0
    both = (model, replace(model, drafting=True))
    tables = [{group.name for group in rank_weights(each).groups if "rotary" in group.name} for each in both]
    assert tables == [{"compressed.rotary_emb"}, {"compressed.rotary_emb", "rotary_emb"}]


def test_each_has_a_cache():
    # Measured on the CPU build of vLLM 0.32.0 with 1 GiB: 3 layers, then 3 + 1 with `method` mtp; blocks of 128.
    tiny = ModelArch.from_config(
        {
            "architectures": ["Glm4MoeForCausalLM"],
            "hidden_size": 256,
            "intermediate_size": 512,
            "moe_intermediate_size": 128,
            "num_hidden_layers": 3,
            "first_k_dense_replace": 1,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "num_nextn_predict_layers": 1,
            "vocab_size": 512,
            "max_position_embeddings": 1024,
        }
    )
    logged = []
    for model in (tiny, replace(tiny, drafting=True)):
        caches = plan_caches(model, CacheLaunch(Platform.CPU))
        logged.append(capacity(caches.groups, [GIB], 1024, RequestTerms(2048)).tokens)
    assert logged == [699_008, 524_288]


def test_absurdly_many_are_named():
    with pytest.raises(UsageError) as raised:
        arch(DEEPSEEK_V3, num_nextn_predict_layers=10**6)
    assert "`num_nextn_predict_layers` is 1000000" in raised.value.message.why
