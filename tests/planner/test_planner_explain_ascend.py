"""What is told of a plan for Ascend: formulas that give the figures, and graphs beside the budget."""

from __future__ import annotations

import math

import pytest

from selfhost.engines import known
from selfhost.hardware.spec import parse
from selfhost.planner.choose import make_plan
from selfhost.planner.explain import explain
from selfhost.planner.plan import ModelToPlan, PlanRequest
from tests.models.public_models import arch

ENGINE = known.load("vllm-ascend").for_planner
V3 = {
    "quant_method": "ascend",
    "types": {"*.kv_b_proj": "FLOAT", "*.self_attn.*": "W8A8", "*.mlp.*": "W8A8_DYNAMIC"},
}
CASES = [
    ("deepseek-ai/DeepSeek-V3", V3, "2x8x910B3"),
    ("deepseek-ai/DeepSeek-V3.2-Exp", V3, "16x910C"),
    ("Qwen/Qwen2.5-72B-Instruct", None, "2x8x910B3"),
    ("Qwen/Qwen2.5-7B-Instruct", None, "310P3"),
]


def explained(name: str, quantization: dict | None, on: str):
    found = arch(name, quantization_config=quantization)
    model = ModelToPlan(
        name="m",
        variant="directory",
        arch=found,
        model_path="/models/m",
        served_model_name="m",
        max_model_len=32768,
    )
    request = PlanRequest()
    plan = make_plan(model, parse(on), request, engine=ENGINE, with_remedies=False)
    return plan, explain(model, plan, request, engine=ENGINE)


@pytest.mark.parametrize(("name", "quantization", "on"), CASES)
def test_every_formula_gives_its_figure_and_lies_within_its_range(name, quantization, on):
    plan, explanation = explained(name, quantization, on)
    names = [term.name for term in explanation.terms]
    assert names == ["budget", "weights", "buffers", "activation", "non_torch", "kv_cache", "npu_graphs"]
    for term in explanation.terms:
        assert term.low <= term.value_bytes <= term.high
        if term.in_numbers is not None:
            tools = {"floor": math.floor, "ceil": math.ceil, "__builtins__": {}}
            assert eval(term.in_numbers, tools) == term.value_bytes
    found = {term.name: term for term in explanation.terms}
    assert "cuda_graphs" not in found["kv_cache"].formula
    assert found["npu_graphs"].value_bytes == plan.memory.cudagraph_bytes
    assert found["budget"].formula == "floor(visible_memory_bytes * gpu_memory_utilization)"
    assert "v1/worker" not in " ".join(term.source for term in explanation.terms)


def test_the_tensors_are_those_that_vllm_ascend_keeps():
    plan, explanation = explained(*CASES[0])
    (weights,) = (term for term in explanation.terms if term.name == "weights")
    tensors = {tensor.name: tensor for tensor in weights.tensors}
    assert {"self_attn.W_UV", "self_attn.W_UK_T", "self_attn.kv_b_proj.weight"} <= set(tensors)
    assert sum(tensor.number * tensor.bytes_each for tensor in weights.tensors) == plan.memory.weight_bytes
    assert 0 < tensors["allocator rounding"].bytes_each < 10_000_000
