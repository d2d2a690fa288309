"""Claims: what others published of running a variant is held against our own planner, in the built-in recipes too."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from selfhost.app.lint import pinned_engine, plan_claim
from selfhost.planner.plan import Verdict
from selfhost.recipe.lint import lint
from selfhost.recipe.load import builtin_directory, read_recipe
from selfhost.recipe.present import as_lines
from selfhost.recipe.read import recipe_from_dict
from tests.recipe.test_recipe_lint import good

RECIPES = [read_recipe(path) for path in sorted(builtin_directory().glob("*/*.toml"))]
CLAIMS = [
    pytest.param(recipe, claim, id=f"{recipe.name}-{claim.variant}-{claim.hardware}-{number}")
    for recipe in RECIPES
    for number, claim in enumerate(recipe.claims)
]
CLAIM = {
    "variant": "bf16",
    "by": "somebody",
    "engine": "vllm-ascend",
    "versions": "0.23.0",
    "hardware": "910B4",
    "where": "one NPU",
    "url": "https://example.org/how-to",
    "options": ["--max-model-len", "16384", "--max-num-seqs", "16"],
}


def found(**changes: object) -> list:
    claim = {key: value for key, value in {**CLAIM, **changes}.items() if value is not None}
    recipe = recipe_from_dict({**good(), "claim": [claim]}, PurePath("tiny.toml"))
    return lint(recipe, pinned_engine())


def test_a_claim_that_is_borne_out_has_no_findings():
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "message_id", "where"),
    [
        ({"variant": "fp8"}, "lint.claim_variant", "claim[0].variant"),
        ({"hardware": "910Z"}, "hardware.device_unknown", "claim[0]"),
        ({"hardware": "0x910B4"}, "hardware.spec_malformed", "claim[0]"),
        ({"options": ["--tensor-paralell-size", "2"]}, "owned.unknown", "claim[0]"),
        ({"options": ["--api-key", "x"]}, "owned.keys", "claim[0]"),
        ({"hardware": "910B4@12"}, "lint.claim_lacks", "claim[0]"),
        ({"hardware": "910B4@12", "lacks_gib": 90.0}, "lint.claim_figure", "claim[0]"),
        ({"lacks_gib": 1.0}, "lint.claim_fits", "claim[0]"),
        ({"refused": True}, "lint.claim_fits", "claim[0]"),
        ({"hardware": "3x910B4", "options": ["--tensor-parallel-size", "3"]}, "lint.claim_refused", "claim[0]"),
        ({"engine": "sglang"}, "lint.engine_unknown", "claim[0].engine"),
        ({"engine": "vllm"}, "lint.claim_engine", "claim[0].engine"),
        ({"hardware": "H20"}, "lint.claim_engine", "claim[0].engine"),
        ({"url": "the tutorial"}, "lint.fact_source", "claim[0].url"),
    ],
)
def test_a_claim_that_is_not(changes, message_id, where):
    assert [(finding.message.id, finding.where) for finding in found(**changes)] == [(message_id, where)]


def test_what_is_said_of_a_claim_that_does_not_fit_is_what_is_computed():
    (finding,) = found(hardware="910B4@12")
    figure = finding.message.params["missing"]
    assert finding.message.hint == f"correct the claim, or say it: `lacks_gib = {figure}`"
    assert found(hardware="910B4@12", lacks_gib=figure) == []
    (other,) = found(hardware="910B4@12", lacks_gib=figure + 0.2)
    assert other.message.why == f"found {figure + 0.2}, computed {figure}"


def test_a_variant_for_ascend_without_a_claim_is_told():
    document = good()
    section = {"quant_method": "ascend", "types": {"*.mlp.*": "W8A8_DYNAMIC"}}
    document["variant"].append({"name": "w8a8", "scheme": "w8a8", "quantization_config": section})
    (finding,) = lint(recipe_from_dict(document, PurePath("tiny.toml")), pinned_engine())
    assert (finding.message.id, finding.where) == ("lint.no_claim", "variant[1]")


@pytest.mark.parametrize(("recipe", "claim"), [case for case in CLAIMS if case.values[1].environment])
def test_the_buffer_of_hccl_that_is_planned_is_not_larger_than_the_published_one(recipe, claim):
    planned = plan_claim(recipe, claim).env.get("HCCL_BUFFSIZE")
    assert planned is None or int(planned) <= int(claim.environment["HCCL_BUFFSIZE"])


def test_what_a_claim_does_not_say_is_the_engines_default():
    """The planner would spread experts; the engine does so only when it is told."""
    recipe = next(recipe for recipe in RECIPES if recipe.name == "glm-4.5")
    claim = next(claim for claim in recipe.claims if claim.variant == "w8a8")
    assert "--enable-expert-parallel" not in claim.options
    assert not plan_claim(recipe, claim).layout.enable_expert_parallel


def test_a_claim_is_shown():
    recipe = recipe_from_dict(
        {**good(), "claim": [{**CLAIM, "environment": {"A": "1"}, "lacks_gib": 2.5}]}, PurePath("tiny.toml")
    )
    lines = "\n".join(as_lines(recipe, "tiny.toml"))
    assert "published   bf16 on 910B4 (one NPU)" in lines
    assert "by somebody: https://example.org/how-to" in lines
    assert "vllm-ascend 0.23.0: A=1 --max-model-len 16384 --max-num-seqs 16" in lines
    assert "does not fit by selfhost's arithmetic: 2.5 GiB missing per device" in lines


@pytest.mark.parametrize(("recipe", "claim"), CLAIMS)
def test_a_built_in_claim_is_planned_as_it_says(recipe, claim):
    plan = plan_claim(recipe, claim)
    if claim.refused:
        assert plan.verdict is Verdict.UNSUPPORTED
        assert claim.note.startswith(plan.reasons[0].partition(",")[0])
    elif claim.lacks_gib is not None:
        assert plan.verdict is Verdict.DOES_NOT_FIT
        assert claim.note
    else:
        assert plan.verdict in (Verdict.FITS, Verdict.TIGHT)
        assert plan.layout.world_size == plan.hardware.device_count
        asked = dict(zip(claim.options, claim.options[1:], strict=False))
        for option in ("--tensor-parallel-size", "--data-parallel-size", "--max-model-len", "--max-num-seqs"):
            if option in asked:
                assert plan.argv[plan.argv.index(option) + 1] == asked[option]
    assert Path(claim.url).suffix in (".md", ".py", ".yaml")
