"""Layouts the engine would refuse, each with its rule."""

from __future__ import annotations

import pytest

from selfhost.models.arch import ModelArch
from selfhost.models.layouts import layout_problems
from tests.models.test_models_tensors import FP8_BLOCK, config_of

QWEN_72B = config_of("Qwen/Qwen2.5-72B-Instruct bf16 tp4")
QWEN_HALF_B = config_of("Qwen/Qwen2.5-0.5B-Instruct")
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}


def said(config: dict, **layout) -> list[str]:
    return [problem.what for problem in layout_problems(ModelArch.from_config(config), **layout)]


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_powers_of_two_are_fine_for_72b(tp):
    assert said(QWEN_72B, tp=tp) == []


def test_heads_must_be_divisible():
    assert said(QWEN_72B, tp=3)[0] == "64 attention heads cannot be divided by tensor parallel size 3"


def test_kv_heads_divide_or_are_divided():
    assert "2 KV heads and tensor parallel size 7: one must divide the other" in said(QWEN_HALF_B, tp=7)
    assert not any("KV heads" in problem for problem in said(QWEN_72B, tp=32))


def test_blocks_of_fp8_must_stay_whole():
    # Block-FP8 of Qwen2.5-72B fails at TP 2: 29568 / 2 = 14784 is not a multiple of 128.
    assert "mlp.gate_up_proj: 14784 per rank is not a multiple of the quantization block 128" in said(
        {**QWEN_72B, "quantization_config": FP8_BLOCK}, tp=2
    )


def test_groups_of_awq_must_not_straddle_ranks():
    # The published AWQ checkpoint is padded to 29696 for this reason; unpadded 29568 fails.
    assert "mlp.down_proj: 14784 inputs per rank are not whole quantization groups of 128" in said(
        {**QWEN_72B, "quantization_config": AWQ}, tp=2
    )
    padded = {**QWEN_72B, "intermediate_size": 29696, "quantization_config": AWQ}
    assert [said(padded, tp=tp) for tp in (2, 4, 8)] == [[], [], []]


def test_small_expert_blocks_are_refined_until_32():
    config = {**config_of("Qwen/Qwen3-30B-A3B"), "moe_intermediate_size": 1408, "quantization_config": FP8_BLOCK}
    assert said(config, tp=2) == []  # 704: blocks of 64
    assert said(config, tp=4) == []  # 352: blocks of 32
    assert "mlp.experts.w13: 176 per rank is not a multiple of the quantization block 128" in said(config, tp=8)
    assert said(config, tp=8, ep=True) == []


def test_expert_parallel_needs_experts():
    assert said(QWEN_72B, ep=True) == ["expert parallel needs a mixture-of-experts model; this one has no experts"]


def test_more_stages_than_layers():
    assert said(QWEN_HALF_B, pp=25) == ["24 layers cannot be spread over 25 pipeline stages"]
