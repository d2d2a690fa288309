"""The built-in recipes against counts made apart from them, and against what the pinned engine knows."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest

from selfhost.app.detect import hardware_for
from selfhost.app.model import resolve
from selfhost.app.plan import plan_model
from selfhost.engines import known
from selfhost.home import find_home
from selfhost.models.arch import ModelArch
from selfhost.models.checkpoint import checkpoint_bytes, parameter_count
from selfhost.models.tensors import rank_weights
from selfhost.planner.plan import PlanRequest, Verdict
from selfhost.recipe.load import builtin_directory, read_recipe
from selfhost.recipe.unserved import unserved

RECIPES = [read_recipe(path) for path in sorted(builtin_directory().glob("*/*.toml"))]
SERVED = [recipe for recipe in RECIPES if not unserved(recipe)]
VARIANTS = [
    pytest.param(recipe, variant, id=f"{recipe.name}-{variant.name}")
    for recipe in SERVED
    for variant in recipe.variants
]
_DATA = Path(__file__).parent.parent / "data" / "models" / "published"
PUBLISHED = {model["id"]: model for file in sorted(_DATA.glob("*.json")) for model in json.loads(file.read_bytes())}
ENGINE = known.load("vllm")

# SmolLM2 comes in a wheel and is converted: its figures are checked where that is tested.
COUNTED = [case for case in VARIANTS if any(source.id in PUBLISHED for source in case.values[1].sources)]
PADDED = 80 * 3 * 8192 * (29696 - 29568)
"""What the quantized Qwen2.5-72B and Qwen2.5-VL-72B have more: three matrices in each of 80 layers are wider by 128."""
ONE_SERVER = 1_000_000_000_000
"""Bytes of weights that eight H200 hold beside the KV cache."""
TOLERANCE = 0.01
"""Copies of W_UK and W_UV come on top of a checkpoint, GPTQ's zero points and indices go."""
ROTARY = "rotary_emb"
"""Tables that no checkpoint has; of a small model with a long context they are more than the tolerance."""


def published(variant):
    (entry,) = (PUBLISHED[source.id] for source in variant.sources if source.kind.value == "huggingface")
    return entry


def test_every_counted_checkpoint_is_in_one_recipe_and_bytes_are_told_only_of_those():
    ids = [
        source.id
        for recipe in RECIPES
        for variant in recipe.variants
        for source in variant.sources
        if source.kind.value == "huggingface" and variant.bytes_on_disk is not None
    ]
    assert sorted(ids) == sorted(PUBLISHED)


@pytest.mark.parametrize(("recipe", "variant"), COUNTED)
def test_parameters_are_those_of_the_checkpoint(recipe, variant):
    count = parameter_count(ModelArch.from_config(recipe.config_of(variant)))
    assert count == published(variant)["total_params"]
    padded = recipe.name in ("qwen2.5-72b", "qwen2.5-vl-72b") and variant.name != "bf16"
    assert count - recipe.parameters == (PADDED if padded else 0)


@pytest.mark.parametrize(("recipe", "variant"), COUNTED)
def test_bytes_are_those_of_the_checkpoint(recipe, variant):
    entry = published(variant)
    assert (variant.bytes_on_disk, variant.bytes_loaded) == (entry["weights_bytes"], entry["bytes_loaded"])
    groups = rank_weights(ModelArch.from_config(recipe.config_of(variant))).groups
    computed = sum(group.count * group.bytes_each for group in groups if ROTARY not in group.name)
    assert computed == pytest.approx(variant.bytes_loaded, rel=TOLERANCE)


def test_what_is_on_disk_but_not_loaded():
    """Multi-token layers and copies of tied heads, and nothing else but the headers of files."""
    left = {
        f"{recipe.name} {variant.name}": round((variant.bytes_on_disk - variant.bytes_loaded) / 1e9, 1)
        for recipe, variant in (case.values for case in COUNTED)
        if variant.bytes_on_disk - variant.bytes_loaded > 1_000_000
    }
    assert left == {
        "deepseek-r1 fp8": 15.4,
        "deepseek-r1-0528 fp8": 15.4,
        "deepseek-v3 fp8": 15.4,
        "deepseek-v3-0324 fp8": 15.4,
        "deepseek-v3.1 fp8": 15.4,
        "deepseek-v3.2 fp8": 15.4,
        "deepseek-v3.2-exp fp8": 15.4,
        "deepseek-v4-flash fp8": 3.6,
        "deepseek-v4-pro fp8": 14.0,
        "glm-4.5 bf16": 11.1,
        "glm-4.5 fp8": 7.1,
        "glm-4.5-air bf16": 7.2,
        "glm-4.5-air fp8": 4.9,
        "glm-4.6 bf16": 8.0,
        "glm-4.6 fp8": 4.0,
        "glm-4.7 bf16": 11.1,
        "glm-4.7 fp8": 7.1,
        "glm-5 bf16": 19.9,
        "glm-5 fp8": 10.0,
        "glm-5.1 bf16": 19.9,
        "glm-5.1 fp8": 10.0,
        "glm-5.2 bf16": 19.9,
        "glm-5.2 fp8": 10.0,
        "qwen2.5-0.5b awq-int4": 0.3,
        "qwen2.5-1.5b awq-int4": 0.5,
        "qwen2.5-3b awq-int4": 0.6,
        "qwen3-0.6b bf16": 0.3,
        "qwen3-1.7b bf16": 0.6,
        "qwen3-next-80b-a3b-instruct bf16": 3.3,
        "qwen3-next-80b-a3b-thinking bf16": 3.3,
        "qwen3.5-0.8b bf16": 0.0,
        "qwen3.5-122b-a10b bf16": 5.0,
        "qwen3.5-27b bf16": 0.8,
        "qwen3.5-27b fp8": 0.5,
        "qwen3.5-27b gptq-int4": 0.8,
        "qwen3.5-2b bf16": 0.1,
        "qwen3.5-35b-a3b bf16": 1.7,
        "qwen3.5-35b-a3b fp8": 0.9,
        "qwen3.5-397b-a17b bf16": 13.2,
        "qwen3.5-4b bf16": 0.2,
        "qwen3.5-9b bf16": 0.5,
    }


@pytest.mark.parametrize(("recipe", "variant"), VARIANTS)
def test_the_engine_has_the_architecture_and_the_parsers(recipe, variant):
    arch = ModelArch.from_config(recipe.config_of(variant))
    assert arch.family.transformers_backend or arch.architecture in ENGINE.architectures
    assert recipe.serving.tool_call_parser in {None, *ENGINE.tool_call_parsers}
    assert recipe.serving.reasoning_parser in {None, *ENGINE.reasoning_parsers}


@pytest.mark.parametrize(("recipe", "variant"), VARIANTS)
def test_every_variant_is_planned_on_a_large_server(recipe, variant):
    model = resolve(recipe.name, variant=variant.name).to_plan()
    on = "2x16x910C" if model.arch.quantization and model.arch.quantization.method == "ascend" else "8xH200"
    if on == "8xH200" and (variant.bytes_on_disk or checkpoint_bytes(model.arch)) > ONE_SERVER:
        on = "2x8xH200"
    plan = plan_model(model, hardware_for(on, find_home()), PlanRequest())
    assert plan.verdict in (Verdict.FITS, Verdict.TIGHT)
    assert model.model_path in plan.argv


def test_the_recipes_that_no_engine_here_serves_say_what_can():
    told = {recipe.name: unserved(recipe) for recipe in RECIPES if recipe not in SERVED}
    assert set(told) == {
        "baichuan2-7b-chat",
        "baichuan2-13b-chat",
        "hunyuan-large",
        "minimax-m1-80k",
        "minimax-text-01",
    }
    names = {recipe.name for recipe in SERVED}
    for name, records in told.items():
        ways = " ".join(way for record in records for way in record.instead)
        others = re.findall(r"`([a-z][a-z0-9.-]+)`", ways)
        assert all(record.note for record in records), name
        assert names.issuperset(others), name
        assert others, name


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_context_and_sources(recipe):
    served = recipe.config.get("thinker_config", recipe.config)
    reached = served.get("text_config", served)["max_position_embeddings"]
    assert recipe.context <= reached
    if longer := recipe.long_context:
        scaling = longer.rope_scaling
        assert longer.context == scaling["factor"] * scaling["original_max_position_embeddings"] > recipe.context
    urls = [recipe.licence.url, *(fact.url for fact in recipe.facts)]
    assert recipe.facts
    assert all(url.startswith("https://") for url in urls)
    facts = [fact.fact for fact in recipe.facts]
    assert all(one != other for one, other in pairwise(sorted(facts)))


def test_a_revision_is_pinned_or_the_config_is_called_unverified():
    for recipe, variant in (case.values for case in COUNTED):
        (hub,) = (source for source in variant.sources if source.kind.value == "huggingface")
        assert hub.revision or any(doubt.startswith("config: ") for doubt in variant.unverified), recipe.name


def test_the_licences_that_limit_use_say_so():
    limited = {recipe.name for recipe in RECIPES if recipe.licence.conditions}
    assert limited == {
        "baichuan2-13b-chat",
        "baichuan2-7b-chat",
        "deepseek-r1-distill-llama-70b",
        "deepseek-v2-lite",
        "deepseek-v3",
        "glm-4-9b",
        "hunyuan-7b-instruct",
        "hunyuan-a13b-instruct",
        "hunyuan-large",
        "kimi-k2-instruct",
        "kimi-k2-instruct-0905",
        "kimi-k2-thinking",
        "kimi-k2.5",
        "kimi-k3",
        "minimax-m2.5",
        "minimax-m2.7",
        "minimax-text-01",
        "qwen2.5-3b",
        "qwen2.5-72b",
        "qwen2.5-omni-3b",
        "qwen2.5-vl-72b",
    }
    plain = {recipe.licence.id for recipe in RECIPES if recipe.name not in limited}
    assert plain == {"Apache-2.0", "MIT"}
