"""Weights per rank: published figures, and what must hold for every model and layout."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfhost.models.layouts import layout_problems
from selfhost.models.tensors import rank_weights, stage_layers
from selfhost.models.vision import TowerMode
from selfhost.units import GIB, MIB
from tests.models.public_models import DEEPSEEK_V3, MODELS, QWEN_72B, arch


def test_deepseek_v3_fp8_has_the_published_size_per_rank():
    model = arch(DEEPSEEK_V3)
    weights = rank_weights(model, tp=8)
    latent = sum(group.total_bytes for group in weights.groups if group.name == "self_attn.W_UK_W_UV")
    assert latent == 61 * 16 * 256 * 512 * 2  # layers x heads per rank x (128 + 128) x 512 x bf16
    assert (weights.bytes - latent) / GIB == pytest.approx(79.312, abs=0.001)
    assert rank_weights(model, tp=8, ep=True).bytes / GIB == pytest.approx(79.551, abs=0.002)
    stages = [rank_weights(model, tp=8, pp=2, pp_rank=rank).bytes / GIB for rank in (0, 1)]
    assert stages == pytest.approx([38.431 + 31 / 256, 40.901 + 30 / 256], abs=0.002)


def test_rounding_of_large_tensors_is_the_allocators():
    # gate_up 231 MiB -> 232, down 115.5 MiB -> 116, 80 layers each; the rest is even, or scalars in 512 bytes each.
    assert rank_weights(arch(QWEN_72B), tp=4).rounding_bytes == 120 * MIB + 80 * 4 * 508


def test_layers_are_spread_over_stages_as_the_engine_does():
    assert [len(stage_layers(61, 2, rank)) for rank in (0, 1)] == [31, 30]
    assert [len(stage_layers(62, 4, rank)) for rank in range(4)] == [15, 16, 16, 15]
    assert [layer for rank in range(3) for layer in stage_layers(10, 3, rank)] == list(range(10))


ARCHS = {name: arch(name) for name in MODELS}
SIZES = st.sampled_from([1, 2, 4, 8])


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.sampled_from(sorted(ARCHS)), SIZES, st.sampled_from([1, 2, 4]), st.sampled_from([1, 2]), st.booleans())
def test_more_ranks_never_hold_more_each(name, tp, pp, dp, ep):
    model = ARCHS[name]
    narrow, wide = {"tp": 2 * tp, "pp": pp, "dp": dp, "ep": ep}, {"tp": tp, "pp": pp, "dp": dp, "ep": ep}
    if layout_problems(model, **narrow) or layout_problems(model, **wide):
        return
    if ep and tp == 1 and dp > 1:
        return  # shared experts are replicated from two tensor-parallel ranks on, see below
    for rank in range(pp):
        fewer = rank_weights(model, **wide, pp_rank=rank)
        more = rank_weights(model, **narrow, pp_rank=rank)
        # Finer blocks of FP8 have more scales, and expert parallel has a table of who holds which expert.
        small = fewer.bytes // 100 if model.quantization else sum(g.total_bytes for g in more.groups if "map" in g.name)
        assert more.bytes <= fewer.bytes + small


def test_shared_experts_are_whole_on_every_rank_with_data_and_tensor_parallel_experts():
    model = ARCHS[DEEPSEEK_V3]
    shared = {
        (tp, dp): sum(
            group.total_bytes
            for group in rank_weights(model, tp=tp, dp=dp, ep=True).groups
            if "shared_experts" in group.name
        )
        for tp, dp in ((1, 1), (8, 1), (4, 2))
    }
    assert shared[4, 2] == shared[1, 1]
    assert shared[8, 1] < shared[1, 1] // 7


@pytest.mark.parametrize("name", sorted(ARCHS))
def test_stages_hold_the_whole_model_and_what_is_known_to_be_doubled(name):
    model = ARCHS[name]
    groups = {group.name: group.total_bytes for group in rank_weights(model).groups}
    stages = [rank_weights(model, pp=2, pp_rank=rank) for rank in (0, 1)]
    names = [{group.name for group in stage.groups} for stage in stages]
    doubled = rank_weights(model).bytes - rank_weights(model, tower=TowerMode.ABSENT).bytes
    everywhere = ("rotary_emb", "hc_head")
    doubled += sum(groups[group] for group in names[0] & names[1] if any(name in group for name in everywhere))
    if model.tie_word_embeddings:
        doubled += groups["embed_tokens"]
    else:
        doubled += sum(groups[name] for name in model.family.on_all_stages)
    assert sum(stage.bytes for stage in stages) - rank_weights(model).bytes == doubled


def test_layouts_a_rank_can_be_told_apart():
    groups = {group.name: group for group in rank_weights(ARCHS[DEEPSEEK_V3], tp=8, ep=True).groups}
    assert groups["mlp.experts.w13.weight"].shape == (32, 4096, 7168)
    assert groups["mlp.experts.w13.weight"].count == 58
    assert groups["self_attn.o_proj.weight"].shape == (7168, 2048)
    assert groups["mlp.experts.expert_map"].total_bytes == 58 * 256 * 4
