"""Explanations: every formula, computed from its text, gives the figure of the plan."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from selfhost.engines import known
from selfhost.hardware.spec import parse
from selfhost.hardware.types import Platform
from selfhost.planner import calibration
from selfhost.planner.calibration import Calibration
from selfhost.planner.capacity import capacity
from selfhost.planner.choose import make_plan
from selfhost.planner.explain import explain
from selfhost.planner.explain_text import draw_explanation
from selfhost.planner.plan import Confidence, PlanRequest
from selfhost.planner.terms import Range
from tests.planner.conftest import CONFIGS, a_model
from tests.planner.test_planner_measured import record as boot_record

GIB = 1 << 30

FUNCTIONS = {"ceil": math.ceil, "floor": math.floor, "__builtins__": {}}
MEMORY = {
    "budget": "budget_bytes",
    "weights": "weight_bytes",
    "buffers": "buffer_bytes",
    "activation": "activation_bytes",
    "non_torch": "non_torch_bytes",
    "processes": "non_torch_bytes",
    "cuda_graphs": "cudagraph_bytes",
    "kv_cache": "kv_cache_bytes",
}


def explained(name: str, on: str, **request):
    asked = PlanRequest(**request)
    engine = known.load("vllm-cpu" if on.startswith("cpu") else "vllm").for_planner
    model = a_model(name)
    plan = make_plan(model, parse(on), asked, engine=engine, with_remedies=False)
    return plan, explain(model, plan, asked, engine=engine)


ON = ["8xH200", "2x8xA800-80G", "4xRTX4090", "cpu@2000"]
CASES = [(name, on) for name in CONFIGS for on in ON]


@pytest.mark.parametrize(("name", "on"), CASES)
def test_every_formula_gives_the_figure_that_was_planned_with(name, on):
    plan, found = explained(name, on)
    if not plan.memory.budget_bytes:
        assert found.terms == ()
        return
    for term in found.terms:
        assert term.value_bytes == getattr(plan.memory, MEMORY[term.name])
        assert term.low <= term.value_bytes <= term.high
        if term.in_numbers is not None:
            assert eval(term.in_numbers, FUNCTIONS) == term.value_bytes
        assert (term.in_numbers is None) is (term.name in ("non_torch", "processes", "cuda_graphs"))
        assert term.source
    for quantity in found.kv_cache:
        if quantity.in_numbers is not None:
            assert eval(quantity.in_numbers, FUNCTIONS) == pytest.approx(quantity.value, abs=0.005)
    values = {quantity.name: quantity.value for quantity in found.kv_cache}
    assert values["tokens"] == plan.kv_cache.tokens
    assert values["bytes_per_token"] == plan.kv_cache.bytes_per_token
    assert values["requests"] == plan.kv_cache.max_concurrency


@pytest.mark.parametrize(("name", "on"), [case for case in CASES if not case[1].startswith("cpu")])
def test_the_bounds_of_the_terms_are_those_of_the_kv_cache(name, on):
    plan, found = explained(name, on)
    if not found.terms:
        return
    budget, *parts, kv = found.terms
    assert budget.low == math.ceil(plan.hardware.device.visible_memory_low_bytes * 0.92)
    assert budget.low - sum(part.high for part in parts) == kv.low == plan.memory.kv_cache_bytes_low
    # Halves of a byte.
    assert budget.high - sum(part.low for part in parts) == pytest.approx(kv.high, abs=4)
    assert kv.high == plan.memory.kv_cache_bytes_high


def test_deepseek_v3_on_eight_h200_by_hand():
    _, found = explained("deepseek-v3", "8xH200")
    by_name = {term.name: term for term in found.terms}
    assert by_name["budget"].formula == "ceil(visible_memory_bytes * gpu_memory_utilization)"
    assert by_name["budget"].source.startswith("v1/worker/utils.py request_memory; visible memory: ")
    experts = by_name["weights"].tensors[0]
    assert (experts.name, experts.number, experts.shape) == ("mlp.experts.w13.weight", 58, (256, 512, 7168))
    assert experts.bytes_each == 256 * 512 * 7168
    assert by_name["weights"].tensors[-1].name == "allocator rounding"
    quantities = {quantity.name: quantity for quantity in found.kv_cache}
    assert quantities["bytes_per_token_and_layer"].formula == "(kv_lora_rank + qk_rope_head_dim) * 2"
    assert quantities["bytes_per_token_and_layer"].value == 1152
    assert quantities["bytes_per_token"].in_numbers == "1152 * 61"
    assert quantities["blocks"].formula == "kv_cache // bytes_per_block"
    assert quantities["null_blocks"].value == 1
    assert quantities["blocks_per_request"].in_numbers == "ceil(163840 / 16)"


def test_grouped_attention_is_told_in_heads():
    _, found = explained("qwen2.5-72b", "4xA800-80G")
    first = found.kv_cache[0]
    assert (first.formula, first.in_numbers, first.value) == (
        "num_key_value_heads // tensor_parallel_size * ((head_dim + head_dim) * 2)",
        "8 // 4 * ((128 + 128) * 2)",
        1024,
    )


def test_weights_of_a_gpu_without_fp8_are_those_with_wider_scales():
    plan, found = explained("deepseek-v3", "2x8xA800-80G")
    weights = found.terms[1]
    assert sum(tensor.number * tensor.bytes_each for tensor in weights.tensors) == plan.memory.weight_bytes


def test_the_layouts_are_in_the_order_in_which_they_are_tried_and_one_is_chosen():
    plan, found = explained("deepseek-v3", "8xH200")
    assert [tried.chosen for tried in found.layouts].count(True) == 1
    assert found.layouts[0].layout == plan.layout
    assert any(tried.verdict == "does_not_fit" for tried in found.layouts)


def test_json_has_what_was_promised():
    plan, found = explained("qwen2.5-7b", "H20")
    body = json.loads(json.dumps(found.as_dict()))
    assert {"term", "formula", "value_bytes", "low", "high", "source"} <= set(body["explain"][0])
    assert [term["term"] for term in body["explain"]] == [
        *("budget", "weights", "buffers", "activation", "non_torch", "cuda_graphs", "kv_cache")
    ]
    assert body["explain_layouts"][0]["layout"]["tensor_parallel_size"] == plan.layout.tensor_parallel_size


def test_planning_after_an_explanation_is_planning_with_plain_numbers():
    plan, _ = explained("glm-4.5-air-fp8", "2xH100-80G")
    again, _ = explained("glm-4.5-air-fp8", "2xH100-80G")
    assert again == plan
    assert type(again.memory.kv_cache_bytes) is int
    assert type(again.memory.buffer_bytes) is int


@pytest.mark.parametrize("width", [40, 80, 100])
@pytest.mark.parametrize("on", ["8xH200", "MLU370"])
def test_the_text_keeps_to_the_width(on, width):
    _, found = explained("deepseek-v3", on)
    lines = draw_explanation(found, width=width).splitlines()
    longest = max(len(word) for line in lines for word in line.split()) + 6
    assert max(map(len, lines)) <= max(width, longest)


def test_the_text_of_a_plan_without_figures():
    _, found = explained("qwen2.5-7b", "MLU370")
    assert draw_explanation(found, width=100) == "nothing to explain: a plan that cannot run has no figures"


# -- figures from elsewhere


def explained_with(name: str, on: str, boots=(), **request):
    asked = PlanRequest(**request)
    engine = replace(known.load("vllm").for_planner, boots=tuple(boots))
    model, hardware = a_model(name), replace(parse(on), assumed=False)
    plan = make_plan(model, hardware, asked, engine=engine, with_remedies=False)
    return plan, explain(model, plan, asked, engine=engine), capacity(model, plan, asked, engine=engine)


def test_a_calibration_is_told_as_the_source_of_its_terms(monkeypatch):
    row = Calibration(
        engine="vllm",
        since="0.32",
        before="0.33",
        platform=Platform.CUDA,
        source="a public log",
        non_torch=Range(GIB // 8, GIB // 4, GIB // 2),
        cudagraph=Range(GIB // 4, GIB // 2, GIB),
    )
    monkeypatch.setattr(calibration, "find", lambda *_: row)
    plan, found, _ = explained_with("qwen2.5-72b", "4xA800-80G")
    by_name = {term.name: term for term in found.terms}
    other, graphs = by_name["non_torch"], by_name["cuda_graphs"]
    assert (other.low, other.value_bytes, other.high, other.source) == (*row.non_torch, "a public log")
    # The row is of 256 requests, the plan of 1024.
    assert graphs.source == "a public log"
    assert row.cudagraph.likely < graphs.value_bytes < 2 * row.cudagraph.likely
    assert graphs.low * 2 == graphs.value_bytes == graphs.high // 2
    budget, *parts, kv = found.terms
    assert eval(kv.in_numbers, FUNCTIONS) == kv.value_bytes == plan.memory.kv_cache_bytes
    assert budget.low - sum(part.high for part in parts) == plan.memory.kv_cache_bytes_low
    assert by_name["weights"].formula is not None


def test_a_boot_record_is_told_as_the_source_of_what_it_changed():
    settings = {"max_num_seqs": 256, "max_num_batched_tokens": 2048}
    plan, found, held = explained_with("llama-3.1-8b", "A100-80G@79.25", [boot_record(**settings)], **settings)
    assert plan.confidence is Confidence.MEASURED
    by_name = {term.name: term for term in found.terms}
    changed = by_name["activation"]
    assert (changed.formula, changed.source) == (None, "boot records of this machine")
    assert changed.low == changed.value_bytes == changed.high == plan.memory.activation_bytes
    assert by_name["weights"].formula is not None, "rounds to what was logged"
    kv = found.terms[-1]
    assert eval(kv.in_numbers, FUNCTIONS) == plan.memory.kv_cache_bytes
    values = {quantity.name: quantity.value for quantity in found.kv_cache}
    assert (values["tokens"], values["requests"]) == (460_496, 3.51)
    assert held.loads[-1].requests_per_engine == 3
    assert draw_explanation(found, width=100)
