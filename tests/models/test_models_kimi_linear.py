"""Kimi-K3: worked numbers, what a state takes, and what is refused."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from selfhost.errors import UsageError
from selfhost.hardware.spec import parse
from selfhost.hardware.types import Platform
from selfhost.models.kimi_linear import DeltaAttention, GatedLatentAttention
from selfhost.models.kv_plan import CacheLaunch, backend_of, cache_terms, layer_caches, plan_caches
from selfhost.models.kv_pool import RequestTerms, growth
from selfhost.models.tensors import rank_weights
from selfhost.planner import terms
from selfhost.planner.plan import Layout, Settings
from selfhost.planner.terms import Setup
from selfhost.quant.schemes import Format
from tests.models.public_models import DATA, MODELS, arch

KIMI = "moonshotai/Kimi-K3"
CONFIG = MODELS[KIMI]["config"]
TEXT = CONFIG["text_config"]
SETTINGS = Settings(gpu_memory_utilization=0.92, max_model_len=32_768, max_num_seqs=128, max_num_batched_tokens=8192)


def shapes(part: str, **layout: int | bool) -> set[tuple[int, ...]]:
    return {group.shape for group in rank_weights(arch(KIMI), **layout).groups if group.name.startswith(part)}


def test_three_of_four_layers_have_a_state_and_the_last_has_not():
    model = arch(KIMI)
    mixers = [model.kinds[place].mixer for place in model.layers]
    assert Counter(map(type, mixers)) == {DeltaAttention: 69, GatedLatentAttention: 24}
    assert [isinstance(mixer, GatedLatentAttention) for mixer in mixers[:4]] == [False, False, False, True]
    assert isinstance(mixers[-1], GatedLatentAttention)


_WEIGHTS = DATA / "oracle" / "weights"
_BUILT = json.loads((_WEIGHTS / "kimi.results.json").read_text())["results"]
CASES = [case for case in json.loads((_WEIGHTS / "kimi.cases.json").read_text()) if "states" in _BUILT[case["name"]]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_states_are_those_that_the_engine_makes_its_cache_of(case):
    launch = CacheLaunch(Platform.CUDA, (9, 0), tensor_parallel_size=case.get("tp", 1))
    model = arch(case["model"])
    terms_ = cache_terms(model, launch, backend_of(model, launch))
    (state,) = layer_caches(next(mixer for mixer in model.mixers if isinstance(mixer, DeltaAttention)), terms_)
    kept = _BUILT[case["name"]]["states"]
    assert state.state_content_bytes == sum(elements * itemsize for elements, itemsize in kept)


def test_a_request_keeps_states_and_latent_vectors():
    delta = next(mixer for mixer in arch(KIMI).mixers if isinstance(mixer, DeltaAttention))
    assert delta.state_bytes(8, 2) == 814_080
    plan = plan_caches(arch(KIMI), CacheLaunch(Platform.CUDA, (9, 0), tensor_parallel_size=8))
    # Latent vectors of 24 layers, 1152 bytes each, in blocks of 768: the smallest whose page holds a state.
    assert (plan.block_size, plan.groups.bytes_per_block) == (768, (24 * 1152 * 768,))
    # Three groups of 23 states, each with 3 blocks: the current state, the one before, and a checkpoint.
    assert growth(plan.groups, 0, 1000, RequestTerms(16_384)) == (27_648, 9 * 24 * 1152 * 768)


def test_projections_are_merged_whatever_their_cut_and_filled_up():
    # 4 * 1536 + 12 heads + 128 that are whole -> 6284, filled up to 16; 1536 of a gate + 1536 + 576.
    assert shapes("self_attn.in_proj_qkvgfab", tp=8) == {(6288, 7168)}
    assert shapes("self_attn.fused_qkv_a_g_proj", tp=8) == {(3648, 7168)}
    assert not shapes("rotary_emb", tp=8)


def test_an_expert_has_256_on_a_tensor_parallel_rank_or_more():
    widths = [next(iter(shapes("mlp.experts.w2", tp=tp))) for tp in (4, 8, 16, 32)]
    assert widths == [(896, 3584, 768), (896, 3584, 384), (896, 3584, 256), (896, 3584, 256)]
    assert shapes("mlp.experts.w2", tp=16, dp=2) == {(896, 3584, 128)}
    assert shapes("mlp.experts.w2", tp=16, ep=True) == {(56, 3584, 3072)}


def test_only_experts_are_quantized():
    model = arch(KIMI)
    assert model.quantization is not None
    assert (model.quantization.format, model.quantization.experts_only) == (Format.MXFP4, True)
    names = {group.name for group in rank_weights(model, tp=8).groups if "weight_scale" in group.name}
    assert names == {"mlp.experts.w13.weight_scale", "mlp.experts.w2.weight_scale"}


def test_the_tower_is_read_by_the_keys_of_the_hubs_file():
    def tower(**keys: object) -> int:
        model = arch(KIMI, vision_config={**CONFIG["vision_config"], **keys})
        return sum(group.total_bytes for group in rank_weights(model, tp=8).groups if "vision_tower" in group.name)

    assert tower(vt_hidden_size=512) < tower()
    assert tower(hidden_size=512) == tower()
    assert tower(linear_bias=True) - tower() == 27 * (4096 + 1024) * 2
    with pytest.raises(UsageError) as raised:
        tower(qkv_hidden_size=1000)
    assert "qkv_hidden_size" in raised.value.message.why


def test_every_token_carries_the_blocks_of_layers():
    setup = Setup(arch(KIMI), parse("8xB300"), Layout(tensor_parallel_size=8), SETTINGS)
    plain = Setup(arch(KIMI, text_config={**TEXT, "attn_res_block_size": None}), *setup[1:])
    assert setup.arch.residual_streams == 9
    more = [terms.activation(each, last_stage=False, block_size=32) for each in (setup, plain)]
    assert more[0] - more[1] == 8 * 8192 * 7168 * 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mla_use_nope": False}, "`mla_use_nope`"),
        ({"mla_use_output_gate": None}, "`mla_use_output_gate`"),
        ({"q_lora_rank": None}, "`q_lora_rank`"),
        ({"linear_attn_config": {**TEXT["linear_attn_config"], "use_full_rank_gate": False}}, "`use_full_rank_gate`"),
        ({"linear_attn_config": None}, "`num_heads`"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_another_kind_of_it_is_named(changes, named):
    with pytest.raises(UsageError) as raised:
        arch(KIMI, text_config={**TEXT, **changes})
    assert named in raised.value.message.why


def test_only_its_experts_are_in_its_format():
    quantization = arch("Qwen/Qwen3-8B", quantization_config=TEXT["quantization_config"]).quantization
    assert quantization is not None
    assert (quantization.format, quantization.experts_only) == (Format.MXFP4, False)
    own = arch("moonshotai/Kimi-K3").quantization
    assert own is not None
    assert (own.format, own.experts_only) == (Format.MXFP4, True)
