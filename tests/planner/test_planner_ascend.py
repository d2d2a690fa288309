"""Plans for Ascend: what runs, in which layout, and whether it fits beside what graphs take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from selfhost.engines import known
from selfhost.hardware.spec import parse
from selfhost.planner import ascend_terms, layouts
from selfhost.planner.choose import make_plan
from selfhost.planner.plan import Layout, ModelToPlan, PlanRequest, Verdict
from selfhost.units import GIB
from tests.models.public_models import arch

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch

ENGINE = known.load("vllm-ascend").for_planner
V3_W8A8 = {
    "quant_method": "ascend",
    "types": {"*.kv_b_proj": "FLOAT", "*.self_attn.*": "W8A8", "*.mlp.*": "W8A8_DYNAMIC"},
}
INT4_GROUP = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True}
INT8_CHANNEL = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
INPUTS = {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": True}


def compressed(weights: dict, inputs: dict | None, *ignored: str) -> dict:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, "ignore": ["lm_head", *ignored]}


def to_plan(model: ModelArch, name: str = "m") -> ModelToPlan:
    return ModelToPlan(
        name=name,
        variant="directory",
        arch=model,
        model_path="/models/m",
        served_model_name="m",
        max_model_len=model.max_position_embeddings,
    )


def planned(model: ModelArch, on: str, *, remedies: bool = False, **request):
    return make_plan(to_plan(model), parse(on), PlanRequest(**request), engine=ENGINE, with_remedies=remedies)


def v3(**changes) -> ModelArch:
    return arch("deepseek-ai/DeepSeek-V3", **{"quantization_config": V3_W8A8, **changes})


def sizes(layout: Layout) -> tuple[int, int, int, bool]:
    return (
        layout.tensor_parallel_size,
        layout.pipeline_parallel_size,
        layout.data_parallel_size,
        layout.enable_expert_parallel,
    )


# Formats and devices.


@pytest.mark.parametrize(
    ("name", "on", "words"),
    [
        ("deepseek-ai/DeepSeek-V3", "8x910B3", "fp8-block do not run on 910B3: it takes bf16, and W8A8 or W4A8"),
        ("deepseek-ai/DeepSeek-V3", "8x910C", "fp8-block do not run"),
        ("Qwen/Qwen2.5-72B-Instruct-AWQ", "8x910B3", "int-group do not run"),
        (
            "Qwen/Qwen2.5-72B-Instruct-AWQ",
            "16x910C",
            "int-group do not run on Ascend910: it takes bf16, and W8A8 or W4A8",
        ),
        ("Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4", "8x910C", "int-group do not run"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "310P3", "int-group do not run"),
        ("zai-org/GLM-4.5-Air-FP8", "8x910C", "fp8-channel do not run"),
        ("Qwen/Qwen3-32B-FP8", "8x950DT", "takes this kind of FP8 for DeepSeek-V4 only"),
        ("deepseek-ai/DeepSeek-V2-Lite-Chat", "310P3", "latent attention (MLA), for which vllm-ascend has no kernels"),
        ("deepseek-ai/DeepSeek-V4-Flash", "8x950DT", "DeepSeek-V4 is not planned on Ascend950DT: vllm-ascend"),
    ],
)
def test_what_a_chip_does_not_run(name, on, words):
    made = planned(arch(name), on)
    assert made.verdict is Verdict.UNSUPPORTED
    assert words in made.reasons[0]


@pytest.mark.parametrize(
    ("section", "on", "words"),
    [
        (compressed(INT8_CHANNEL, INPUTS), "910B3", ""),
        (compressed(INT4_GROUP, None), "910B3", "4-bit kernels for experts only"),
        (compressed(INT4_GROUP, None, "re:.*self_attn.*", "re:.*mlp.gate$"), "910B3", ""),
        (compressed(INT8_CHANNEL, INPUTS), "310P3", "w8a8-int8 do not run on 310P3"),
        ({"quant_method": "ascend", "types": {"*": "W8A8"}}, "310P3", ""),
        ({"quant_method": "ascend", "types": {"*.mlp.*": "W4A8_DYNAMIC"}}, "310P3", "of type W4A8_DYNAMIC do not run"),
        ({"quant_method": "ascend", "types": {"*.mlp.*": "W4A8_DYNAMIC"}}, "910B3", ""),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "910B3", "nf4 do not run"),
    ],
)
def test_integer_formats(section, on, words):
    made = planned(arch("Qwen/Qwen3-30B-A3B", quantization_config=section), on, max_model_len=4096)
    assert (made.verdict is Verdict.UNSUPPORTED) is bool(words)
    assert words in made.reasons[0]


def test_a_conversion_of_deepseek_v4_is_not_planned_either():
    section = {"quant_method": "ascend", "types": {"*.attn.*": "W8A8_DYNAMIC", "*.mlp.*": "W8A8_DYNAMIC"}}
    made = planned(arch("deepseek-ai/DeepSeek-V4-Flash", quantization_config=section), "16x910C", max_model_len=4096)
    assert made.verdict is Verdict.UNSUPPORTED
    assert [reason.partition(":")[0] for reason in made.reasons] == ["DeepSeek-V4 is not planned on Ascend910"]


def test_fp8_by_channel_runs_on_950():
    assert planned(arch("zai-org/GLM-4.5-Air-FP8"), "8x950DT").verdict is Verdict.FITS


def test_an_architecture_that_came_after_0_23_is_refused_by_name():
    made = planned(replace(arch("Qwen/Qwen3-14B"), architectures=("Qwen3_5ForCausalLM",)), "910B3")
    assert made.reasons[0] == ("architecture Qwen3_5ForCausalLM is not in the model registry of vllm-ascend 0.23.0")


# Layouts.


@pytest.mark.parametrize(
    ("model", "on", "first"),
    [
        # The tutorials of DeepSeek-R1 and V3.1: two A2 nodes and one A3 node, DP4 TP4.
        (v3(), "2x8x910B3", (4, 1, 4, True)),
        (v3(), "16x910C", (4, 1, 4, True)),
        (v3(), "2x16x910C", (4, 1, 8, True)),
        # DeepSeek-V3.2 and GLM-4.x: DP2 TP8.
        (arch("deepseek-ai/DeepSeek-V3.2-Exp", quantization_config=V3_W8A8), "2x8x910B3", (8, 1, 2, True)),
        (arch("zai-org/GLM-4.7"), "16x910C", (8, 1, 2, True)),
        # No wider than there are KV heads.
        (arch("Qwen/Qwen3-30B-A3B"), "8x910B3", (4, 1, 2, True)),
        # Kimi-K2 has 64 heads: 32 are left at TP=2.
        (arch("moonshotai/Kimi-K2-Instruct", quantization_config=V3_W8A8), "16x910C", (2, 1, 8, True)),
        (arch("deepseek-ai/DeepSeek-V2-Lite-Chat"), "910B3", (1, 1, 1, False)),
        (arch("Qwen/Qwen2.5-72B-Instruct"), "4x910B3", (4, 1, 1, False)),
        (arch("Qwen/Qwen2.5-72B-Instruct"), "2x8x910B3", (8, 2, 1, False)),
    ],
)
def test_the_layout_that_is_tried_first(model, on, first):
    assert sizes(layouts.candidates(model, parse(on), PlanRequest())[0]) == first


def test_of_devices_found_here_as_few_as_it_takes():
    here = replace(parse("8x910B3"), assumed=False)
    tried = layouts.candidates(arch("Qwen/Qwen3-30B-A3B"), here, PlanRequest())
    assert [layout.world_size for layout in tried[:3]] == [1, 2, 2]


def test_what_was_asked_for_stays():
    asked = PlanRequest(data_parallel_size=2, enable_expert_parallel=False)
    tried = layouts.candidates(v3(), parse("16x910C"), asked)
    assert {(layout.data_parallel_size, layout.enable_expert_parallel) for layout in tried} == {(2, False)}
    exact = PlanRequest(tensor_parallel_size=8, pipeline_parallel_size=1, data_parallel_size=2)
    assert [sizes(layout) for layout in layouts.candidates(v3(), parse("16x910C"), exact)] == [(8, 1, 2, False)]


def test_too_few_heads_for_graphs_are_refused_and_run_eagerly():
    made = planned(v3(), "16x910C", tensor_parallel_size=16)
    assert made.verdict is Verdict.UNSUPPORTED
    assert made.reasons[0].startswith("TP=16 leaves 8 query heads per NPU, too few for MLA in graph mode")
    eager = planned(v3(), "16x910C", tensor_parallel_size=16, enforce_eager=True)
    assert (eager.verdict, sizes(eager.layout)) == (Verdict.FITS, (16, 1, 1, True))
    assert planned(arch("deepseek-ai/DeepSeek-V3.2-Exp", quantization_config=V3_W8A8), "16x910C").fits


def test_sixteen_heads_run_with_a_warning():
    made = planned(v3(), "16x910C", tensor_parallel_size=8)
    assert sizes(made.layout) == (8, 1, 2, True)
    assert any("FAQ names 32, 64 and 128 query heads" in reason for reason in made.reasons)


@pytest.mark.parametrize(("name", "heads"), [("deepseek-ai/DeepSeek-V3", 128), ("moonshotai/Kimi-K2-Instruct", 64)])
@pytest.mark.parametrize("tp", [1, 2, 4, 8, 16])
def test_how_many_query_heads_graphs_of_latent_attention_take(name, heads, tp):
    """FAQ 13: 32, 64 or 128 for each NPU; 16 with a warning, fewer not at all."""
    made = planned(arch(name, quantization_config=V3_W8A8), "2x16x910C", tensor_parallel_size=tp, max_model_len=4096)
    left = heads // tp
    refused = made.verdict is Verdict.UNSUPPORTED and "query heads per NPU, too few" in made.reasons[0]
    warned = any("FAQ names 32, 64 and 128 query heads" in reason for reason in made.reasons)
    assert (refused, warned) == (left < 16, left == 16)


@pytest.mark.parametrize(
    ("tp", "dp", "words"),
    [
        (8, 2, ""),
        (4, 4, ""),
        (4, 3, "3 engines, which cannot be divided over 2 nodes"),
        (2, 8, ""),
    ],
)
def test_data_parallel_ranks_are_divided_over_nodes(tp, dp, words):
    layout = Layout(tensor_parallel_size=tp, data_parallel_size=dp, enable_expert_parallel=True)
    found = [message.what for message in layouts.problems(v3(), parse("2x8x910B3"), layout)]
    assert bool(found) is bool(words)
    assert words in " ".join(found)


def test_servers_of_910c_hold_sixteen_dies():
    made = planned(v3(), "8x910C", remedies=True)
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert [remedy.change for remedy in made.remedies] == ["--on 16x910C-64G"]


# Memory.


def test_deepseek_v3_in_bfloat16_needs_more_than_a_server_of_910b():
    """671 billion parameters of two bytes, the attention of 128 heads cut at TP=4 only, on eight NPUs of 61.0 GiB."""
    made = planned(v3(quantization_config=None), "8x910B3", max_model_len=8192, remedies=True)
    experts = 58 * 256 * 3 * 7168 * 2048 * 2 / 8
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert experts / GIB < made.memory.weight_bytes / GIB < experts / GIB + 12
    assert made.memory.weight_bytes / GIB == pytest.approx(162.4, abs=0.1)
    assert made.missing_bytes > made.memory.weight_bytes - made.memory.budget_bytes > 100 * GIB
    assert made.reasons[0].startswith("memory: ")
    assert "56.1 GiB usable" in made.reasons[0]


def test_deepseek_r1_in_w8a8_needs_two_servers_of_eight_910b2():
    """All experts are on eight NPUs instead of sixteen: 38 GiB more each than the 44.3 that fit."""
    made = planned(v3(), "8x910B2", max_model_len=16_384, remedies=True)
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert made.memory.weight_bytes / GIB == pytest.approx(82.46, abs=0.01)
    moved = 58 * 256 // 16 * 3 * 7168 * 2048
    assert (made.memory.weight_bytes - 44.347 * GIB) / moved == pytest.approx(1, rel=0.01)
    assert [remedy.change for remedy in made.remedies] == ["--on 2x8x910B2-64G"]


def test_deepseek_v3_in_w8a8_on_two_servers_of_eight_910b3():
    made = planned(v3(), "2x8x910B3", max_model_len=32768, remedies=True)
    memory = made.memory
    assert made.verdict is Verdict.FITS
    assert memory.budget_bytes == int(65_455_301_591 * 0.92)
    assert memory.weight_bytes / GIB == pytest.approx(44.347, abs=0.001)
    assert made.kv_cache.bytes_per_token == 70_272
    terms = memory.weight_bytes + memory.buffer_bytes + memory.activation_bytes + memory.non_torch_bytes
    assert terms + memory.kv_cache_bytes == memory.budget_bytes
    assert memory.cudagraph_bytes == pytest.approx(1.83 * GIB, rel=0.01)


@pytest.mark.parametrize(
    ("name", "on", "settings", "logged_gib", "tokens"),
    [
        # Quick start, 61.27 GiB: 54.98 GiB, 514,688 tokens.
        ("Qwen/Qwen3-0.6B", "910C@61.27", {"gpu_memory_utilization": 0.92, "max_num_seqs": 256}, 54.98, 514_688),
        # Qwen3-Embedding-0.6B, of the same shape, on a 910C with vllm-ascend 0.20.2rc1: a public deployment note.
        ("Qwen/Qwen3-0.6B", "910C@61.28", {"gpu_memory_utilization": 0.9, "max_model_len": 8192}, 53.79, 503_552),
        ("Qwen/Qwen3-0.6B", "910C@61.28", {"gpu_memory_utilization": 0.4, "max_model_len": 8192}, 23.15, 216_704),
    ],
)
def test_what_is_left_is_within_the_range(name, on, settings, logged_gib, tokens):
    made = planned(arch(name), on, max_num_batched_tokens=8192, **settings)
    assert made.memory.kv_cache_bytes_low / GIB <= logged_gib <= made.memory.kv_cache_bytes_high / GIB
    assert made.memory.kv_cache_bytes / GIB == pytest.approx(logged_gib, abs=0.12)
    assert made.kv_cache.tokens == pytest.approx(tokens, rel=0.005)


def test_a_310p_gives_half_to_the_kv_cache():
    made = planned(arch("Qwen/Qwen2.5-7B-Instruct"), "310P3")
    memory = made.memory
    rest = memory.budget_bytes - memory.weight_bytes - memory.activation_bytes - memory.non_torch_bytes
    assert memory.kv_cache_bytes == (rest - ascend_terms.cleared_310p().likely) // 2
    assert memory.buffer_bytes == rest - memory.kv_cache_bytes
    assert "dtype: float16, since 310P3 computes no bfloat16; weights are cast as they load" in made.reasons


def test_what_a_310p_lacks_is_not_halved():
    memory = planned(arch("Qwen/Qwen2.5-32B-Instruct"), "310P3").memory
    outside = memory.activation_bytes + memory.non_torch_bytes + ascend_terms.cleared_310p().likely
    assert memory.kv_cache_bytes == memory.budget_bytes - memory.weight_bytes - outside


def test_graphs_that_find_no_room_beside_the_budget_are_told_first():
    asked = {"tensor_parallel_size": 4, "gpu_memory_utilization": 0.99}
    made = planned(arch("Qwen/Qwen2.5-72B-Instruct"), "4x910B3", remedies=True, **asked)
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert made.missing_bytes < 0
    assert made.reasons[0].startswith("graphs: about 819.2 MiB per NPU come on top of the budget")
    assert made.remedies[0].change == "--gpu-memory-utilization 0.92"


def test_a_budget_beyond_what_is_free_at_the_start_is_refused():
    made = planned(arch("Qwen/Qwen3-14B"), "910B3", gpu_memory_utilization=1.0, enforce_eager=True)
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert made.reasons[0].startswith("memory: the budget is about 358.4 MiB more than what is free")


@pytest.mark.parametrize(
    ("name", "on", "utilization"),
    [
        ("Qwen/Qwen3-14B", "910B3", 0.92),
        ("deepseek-ai/DeepSeek-V3", "2x8x910B3", 0.92),
        ("Qwen/Qwen3-235B-A22B", "16x910B3", 0.91),
        ("Qwen/Qwen3-235B-A22B", "16x910B4", 0.81),
        ("Qwen/Qwen2.5-7B-Instruct", "310P3", 0.92),
    ],
)
def test_the_part_of_the_memory_leaves_room_for_graphs(name, on, utilization):
    made = planned(arch(name, quantization_config=V3_W8A8 if "DeepSeek" in name else None), on)
    assert made.settings.gpu_memory_utilization == utilization
    room = made.hardware.visible_memory_bytes * (1 - utilization)
    assert made.verdict is not Verdict.FITS or room > made.memory.cudagraph_bytes


def test_memory_that_others_hold_is_told_with_the_tool_that_shows_it():
    hardware = replace(parse("2x910B3"), free_memory_bytes=(60 * GIB, 20 * GIB), assumed=False)
    asked = PlanRequest(tensor_parallel_size=2)
    made = make_plan(to_plan(arch("Qwen/Qwen3-14B")), hardware, asked, engine=ENGINE, with_remedies=False)
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert made.reasons[0].startswith("in use: other processes hold 41.0 GiB of NPU 1;")
    assert "npu-smi info" in made.reasons[0]


def test_an_fp8_cache_is_refused():
    made = planned(arch("Qwen/Qwen3-14B"), "910B3", kv_cache_dtype="fp8")
    assert made.verdict is Verdict.UNSUPPORTED


def test_graphs_that_may_find_too_little_room_make_a_plan_tight():
    made = planned(arch("Qwen/Qwen3-30B-A3B"), "4x910B3", gpu_memory_utilization=0.95)
    assert made.verdict is Verdict.TIGHT
    told = [reason for reason in made.reasons if reason.startswith("graphs: ")]
    assert [reason.partition(", which")[0] for reason in told] == [
        "graphs: about 1.4 GiB per NPU, at most 2.7 GiB, come on top of the budget; beside it 2.7 GiB is left"
    ]
    assert any(reason.startswith("KV cache: ") and " per NPU holds " in reason for reason in made.reasons)


DYNAMIC = {"*.self_attn.*": "W8A8_DYNAMIC", "*.mlp.*": "W8A8_DYNAMIC"}
SPREAD = {"tensor_parallel_size": 4, "data_parallel_size": 4, "enable_expert_parallel": True}
R1 = {**SPREAD, "max_model_len": 16384, "max_num_seqs": 16, "max_num_batched_tokens": 4096}
V32 = {**R1, "tensor_parallel_size": 8, "data_parallel_size": 2, "max_model_len": 8192}
GLM = {**V32, "max_model_len": 133_000, "max_num_batched_tokens": 8192, "gpu_memory_utilization": 0.9}
THIRTY = {"tensor_parallel_size": 4, "enable_expert_parallel": True, "max_model_len": 40_960, "max_num_seqs": 100}
DENSE = {"tensor_parallel_size": 4, "max_model_len": 5500, "max_num_batched_tokens": 40_960}


@pytest.mark.parametrize(
    ("name", "types", "on", "settings"),
    [
        ("deepseek-ai/DeepSeek-V3", V3_W8A8["types"], "16x910C", R1),
        ("deepseek-ai/DeepSeek-V3", V3_W8A8["types"], "2x8x910B3", R1),
        ("deepseek-ai/DeepSeek-V3.2-Exp", {"*.indexer.*": "FLOAT", **V3_W8A8["types"]}, "16x910C", V32),
        ("zai-org/GLM-4.7", DYNAMIC, "16x910C", GLM),
        (
            "Qwen/Qwen3-30B-A3B",
            DYNAMIC,
            "4x910B3",
            {**THIRTY, "max_num_batched_tokens": 16_384, "gpu_memory_utilization": 0.95},
        ),
        ("Qwen/Qwen3-32B", DYNAMIC, "4x910B3", {**DENSE, "gpu_memory_utilization": 0.9}),
    ],
)
def test_what_the_tutorials_run_is_not_refused(name, types, on, settings):
    """docs/source/tutorials/models/ of vllm-ascend 0.23.0, without their drafts."""
    asked = {"gpu_memory_utilization": 0.92, **settings}
    made = planned(arch(name, quantization_config={"quant_method": "ascend", "types": types}), on, **asked)
    assert made.fits
    assert sizes(made.layout)[:3:2] == (settings["tensor_parallel_size"], settings.get("data_parallel_size", 1))
