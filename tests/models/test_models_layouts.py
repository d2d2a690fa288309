"""Layouts the engine would refuse, each with its rule; and none that it builds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from selfhost.errors import NoError
from selfhost.models.layouts import layout_problems
from tests.models.public_models import DATA, DEEPSEEK_V3, FP8_BLOCK, QWEN_72B, QWEN_HALF_B, arch, tower_mode

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
NEXT = "Qwen/Qwen3-Next-80B-A3B-Instruct"
QWEN_MOE = "Qwen/Qwen3-30B-A3B"
CASES = [
    case for file in sorted((DATA / "oracle" / "weights").glob("*.cases.json")) for case in json.loads(file.read_text())
]


def said(name: str, layout: dict, **changes: object) -> list[str]:
    return problems_of(arch(name, **changes), layout)


def problems_of(model: ModelArch, layout: dict) -> list[str]:
    return [problem.what for problem in layout_problems(model, **layout)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_the_engine_builds_is_legal_and_what_it_refuses_is_not(case):
    changes = dict(case.get("changes", {}))
    if "quantization_config" in case:
        changes["quantization_config"] = case["quantization_config"]
    layout = {name: case[name] for name in ("tp", "pp", "dp", "ep") if name in case}
    try:
        model = replace(arch(case["model"], **changes), drafting=case.get("mtp", False))
        problems = problems_of(model, {**layout, "tower": tower_mode(case)})
    except NoError as error:
        problems = [error.message.what]
    refused = case.get("refused", False)
    # Built on the last stage, it fails as soon as it runs.
    assert bool(problems) is (refused or (NEXT in case["name"] and {"mtp", "pp"} <= case.keys()))


def test_qwen3_next_drafts_in_one_stage_only():
    drafting = replace(arch(NEXT), drafting=True)
    assert problems_of(drafting, {"tp": 4}) == problems_of(arch(NEXT), {"tp": 4, "pp": 2}) == []
    (problem,) = problems_of(drafting, {"tp": 4, "pp": 2})
    assert problem.startswith("the layers of multi-token prediction of this model do not run with 2 pipeline stages")
    assert problems_of(replace(arch("Qwen/Qwen3.5-27B"), drafting=True), {"tp": 4, "pp": 2}) == []


def test_a_projection_that_drafts_is_cut_in_whole_blocks():
    # 1024 outputs over 16 ranks are 64 rows: half a block. The layers themselves are not quantized.
    layers = [
        f"mtp.layers.0.{name}"
        for name in ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")
    ]
    fp8 = {**FP8_BLOCK, "modules_to_not_convert": layers}
    model = arch("Qwen/Qwen3.5-27B text only", hidden_size=1024, quantization_config=fp8)
    there = problems_of(replace(model, drafting=True), {"tp": 16})
    assert set(there) - set(problems_of(model, {"tp": 16})) == {
        "draft.fc: 64 per rank is not a multiple of the quantization block 128"
    }


@pytest.mark.parametrize("tp", [1, 2, 4, 8, 16, 32, 64])
def test_powers_of_two_are_fine_for_72b(tp):
    assert said(QWEN_72B, {"tp": tp}) == []


def test_heads_must_be_divisible():
    assert said(QWEN_72B, {"tp": 3})[0] == "64 attention heads cannot be divided by tensor parallel size 3"


def test_kv_heads_divide_or_are_divided():
    assert "2 KV heads and tensor parallel size 7: one must divide the other" in said(QWEN_HALF_B, {"tp": 7})
    assert said("zai-org/GLM-4-9B-0414", {"tp": 16}) == []  # 2 KV heads, each on eight ranks


def test_the_vocabulary_and_widths_must_be_divisible():
    problems = said(QWEN_HALF_B, {"tp": 14}, vocab_size=151_873, intermediate_size=4865)
    assert "the vocabulary padded to 151936 rows cannot be divided by tensor parallel size 14" in problems
    assert "mlp.gate_up_proj 4865 cannot be divided by 14 ranks" in problems


def test_blocks_of_fp8_must_stay_whole():
    # Block-FP8 of Qwen2.5-72B fails at TP 2: 29568 / 2 = 14784 is not a multiple of 128.
    problems = said(QWEN_72B, {"tp": 2}, quantization_config=FP8_BLOCK)
    assert "mlp.gate_up_proj: 14784 per rank is not a multiple of the quantization block 128" in problems
    assert said(QWEN_72B, {}, quantization_config=FP8_BLOCK) == []


def test_heads_of_an_fp8_block_model_are_widths_too():
    # 14 heads of 64 at TP 2: 448 outputs of q, one KV head of 64.
    problems = said(QWEN_HALF_B, {"tp": 2}, quantization_config=FP8_BLOCK)
    assert problems[0] == "self_attn.qkv_proj: 448 per rank is not a multiple of the quantization block 128"


def test_the_last_of_merged_matrices_may_end_within_a_block():
    # 1536 of queries and 576 latent: 576 is 4.5 blocks.
    assert said(DEEPSEEK_V3, {"tp": 8}) == []
    problems = said(DEEPSEEK_V3, {"tp": 8}, q_lora_rank=1500)
    assert problems[0] == "self_attn.fused_qkv_a_proj: 1500 per rank is not a multiple of the quantization block 128"


def test_groups_of_awq_must_not_straddle_ranks():
    # The published AWQ checkpoint is padded to 29696 for this reason; unpadded 29568 fails.
    problems = said(QWEN_72B, {"tp": 2}, quantization_config=AWQ)
    assert problems == ["mlp.down_proj: 14784 inputs per rank are not whole quantization groups of 128"]
    assert [said("Qwen/Qwen2.5-72B-Instruct-AWQ", {"tp": tp}) for tp in (2, 4, 8)] == [[], [], []]


def test_small_expert_blocks_are_refined_until_32():
    changes = {"moe_intermediate_size": 1408, "quantization_config": FP8_BLOCK}
    assert said(QWEN_MOE, {"tp": 2}, **changes) == []  # 704: blocks of 64
    assert said(QWEN_MOE, {"tp": 4}, **changes) == []  # 352: blocks of 32
    problems = said(QWEN_MOE, {"tp": 8}, **changes)
    assert problems[0] == "mlp.experts.w13: 176 per rank is not a multiple of the quantization block 128"
    assert said(QWEN_MOE, {"tp": 8, "ep": True}, **changes) == []


def test_experts_are_cut_over_data_parallel_ranks_too():
    assert said(QWEN_MOE, {"tp": 4, "dp": 3}, moe_intermediate_size=760) == [
        "mlp.experts.w13 760 cannot be divided by 12 ranks",
        "mlp.experts.w2 760 cannot be divided by 12 ranks",
    ]
    assert said(QWEN_MOE, {"tp": 4, "dp": 3, "ep": True}, moe_intermediate_size=760) == []


def test_no_more_tensor_parallel_ranks_than_experts():
    assert said(QWEN_MOE, {"tp": 32}, num_experts=16) == [
        "tensor parallel size 32 is larger than the number of experts 16"
    ]


def test_expert_parallel_needs_experts():
    assert said(QWEN_72B, {"ep": True}) == ["expert parallel needs a mixture-of-experts model; this one has no experts"]


def test_more_stages_than_layers():
    assert said(QWEN_HALF_B, {"pp": 25}) == ["24 layers cannot be spread over 25 pipeline stages"]


def test_ranks_that_share_the_tokens_of_a_request():
    assert said(DEEPSEEK_V3, {"tp": 8, "dcp": 8}) == []
    assert said(DEEPSEEK_V3, {"tp": 8, "dcp": 3}) == [
        "decode context parallel size 3 does not divide tensor parallel size 8"
    ]
    # 8 KV heads: only from 16 ranks on do two hold the same.
    assert said(QWEN_72B, {"tp": 16, "dcp": 2}) == []
    assert said(QWEN_72B, {"tp": 8, "dcp": 2})[0].startswith("decode context parallel size 2 at tensor parallel size 8")
    assert "windows" in said("deepseek-ai/DeepSeek-V4-Flash", {"tp": 8, "dcp": 2})[0]
