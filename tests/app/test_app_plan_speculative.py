"""Speculative decoding in a plan: what it loads is counted, what is not known is said to be left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.app.model import resolve
from selfhost.app.overview import matrix_of
from selfhost.app.plan import left_out, plan_model
from selfhost.hardware.spec import parse
from selfhost.planner.plan import Plan, PlanRequest
from selfhost.units import GIB

MTP = ("--speculative-config", '{"method": "mtp", "num_speculative_tokens": 1}')


def plan(name: str, on: str, *words: str, variant: str | None = "fp8", recipe: tuple[str, ...] = ()) -> Plan:
    model = replace(resolve(name, variant=variant).to_plan(), engine_args=recipe)
    return plan_model(model, parse(on), PlanRequest(engine_args=words))


def test_layers_of_multi_token_prediction_are_weights_and_cache():
    plain, drafting = plan("deepseek-v3", "8xH200"), plan("deepseek-v3", "8xH200", *MTP)
    assert (drafting.memory.weight_bytes - plain.memory.weight_bytes) / GIB == pytest.approx(1.55, abs=0.01)
    assert drafting.kv_cache.bytes_per_token - plain.kv_cache.bytes_per_token == 1152
    assert drafting.memory.buffer_bytes > plain.memory.buffer_bytes
    assert drafting.kv_cache.tokens < plain.kv_cache.tokens
    assert drafting.settings.num_speculative_tokens == 1
    assert drafting.weight_bytes_total == plain.weight_bytes_total
    assert drafting.argv[-2:] == MTP
    said = "speculative decoding: layers of multi-token prediction (1) are loaded too and predict 1 ahead"
    assert said in drafting.reasons
    assert not any("not counted" in reason for reason in drafting.reasons)


def test_a_recipe_may_ask_for_it_and_the_user_may_ask_for_something_else():
    drafting = plan("deepseek-v3", "8xH200", *MTP)
    by_recipe = plan("deepseek-v3", "8xH200", recipe=MTP)
    assert by_recipe.memory == drafting.memory
    ngram = '{"method": "ngram", "num_speculative_tokens": 4}'
    changed = plan("deepseek-v3", "8xH200", "--speculative-config", ngram, recipe=MTP)
    assert changed.memory.weight_bytes == plan("deepseek-v3", "8xH200").memory.weight_bytes
    assert changed.settings.num_speculative_tokens == 4
    assert not any("not counted" in reason for reason in changed.reasons)


def test_other_methods_are_left_out_and_that_is_said():
    eagle = '{"method": "eagle3", "model": "x", "num_speculative_tokens": 3}'
    made = plan("deepseek-v3", "8xH200", "--speculative-config", eagle)
    assert made.memory == plan("deepseek-v3", "8xH200").memory
    assert made.reasons[-1] == f"handed to the engine, not counted in these figures: --speculative-config {eagle}"


def test_plans_on_many_devices_count_it_too():
    model = resolve("glm-4.5-air", variant="fp8").to_plan()
    for words in ((), MTP):
        cell = matrix_of(model, [parse("2xH100")], PlanRequest(engine_args=words)).cells[0]
        alone = plan("glm-4.5-air", "2xH100", *words)
        assert cell.plan.memory == alone.memory
        assert cell.plan.settings == alone.settings
    assert left_out(PlanRequest(engine_args=("--enable-lora", *MTP))) == ["--enable-lora"]


def test_an_explanation_counts_it_too():
    model = resolve("deepseek-v3", variant="fp8").to_plan()
    made = plan_model(model, parse("8xH200"), PlanRequest(engine_args=MTP), explained=True)
    assert made.explanation is not None
    weights = next(term for term in made.explanation.terms if term.name == "weights")
    assert weights.value_bytes == made.memory.weight_bytes
    assert sum(tensor.number * tensor.bytes_each for tensor in weights.tensors) == weights.value_bytes
    layers = next(one for one in made.explanation.kv_cache if one.name == "bytes_per_token")
    assert layers.value == 62 * 1152


@pytest.mark.parametrize(
    ("name", "config", "reason"),
    [
        (
            "qwen2.5-7b",
            '{"method": "mtp", "num_speculative_tokens": 1}',
            "speculative decoding by `mtp` asked for; qwen2.5-7b has no layers of multi-token prediction",
        ),
        (
            "glm-4.5-air",
            '{"method": "mtp"}',
            "speculative decoding needs a number: `num_speculative_tokens`, for example 1",
        ),
    ],
)
def test_what_the_engine_would_refuse(name, config, reason):
    made = plan(name, "2xH100", "--speculative-config", config, variant="bf16" if "qwen" in name else "fp8")
    assert made.verdict.value == "unsupported"
    assert made.reasons[1] == reason  # after the variant


def test_the_number_of_tokens_is_a_multiple_of_the_layers():
    model = resolve("glm-4.5-air", variant="fp8").to_plan()
    draft = model.arch.draft
    assert draft is not None
    two = replace(model, arch=replace(model.arch, draft=replace(draft, layers=draft.layers * 2)), variants=())
    words = ("--speculative-config", '{"method": "mtp", "num_speculative_tokens": 3}')
    made = plan_model(two, parse("2xH100"), PlanRequest(engine_args=words))
    assert "3 tokens are to be predicted with 2 layers of multi-token prediction: wanted is a multiple" in made.reasons
