"""Every recipe on every device of the catalogue with 1 to 16 of them: no exception, and plans that hold together."""

from __future__ import annotations

import pytest

from selfhost.hardware.types import Platform
from selfhost.models import kv_plan, tensors
from selfhost.planner import choose
from selfhost.planner.plan import Verdict
from tests.bench import bench_plan_matrix as matrix


def test_there_is_something_to_plan():
    assert len(matrix.hardware()) > 250
    assert {"qwen2.5-72b", "deepseek-v3", "glm-4.5-air"} <= set(matrix.recipes())


def test_the_bench_forgets_whatever_is_remembered_of_models_and_plans():
    recipe = matrix.recipes()[0]
    remembering = {choose.held.rank_sizes, choose.held.heaviest, kv_plan.plan_caches, tensors._cut_kinds}
    matrix.plan_for(recipe, on=matrix.ONE, request=matrix.PlanRequest())
    assert all(function.cache_info().currsize for function in remembering - {choose.held.heaviest})
    matrix.forget()
    assert not any(function.cache_info().currsize for function in remembering)


def check(plan) -> None:
    device, memory = plan.hardware.device, plan.memory
    assert plan.reasons
    if not device.supported:
        assert plan.verdict is Verdict.UNSUPPORTED
        assert device.name in plan.reasons[0]
    assert bool(plan.argv) is (plan.verdict is not Verdict.UNSUPPORTED and bool(memory.budget_bytes))
    if plan.verdict is Verdict.FITS:
        assert memory.kv_cache_bytes_low >= plan.request_bytes
        assert plan.kv_cache.tokens >= plan.settings.max_model_len
    elif plan.verdict is Verdict.DOES_NOT_FIT and memory.budget_bytes:
        assert plan.missing_bytes > 0
    terms = (memory.weight_bytes, memory.buffer_bytes, memory.activation_bytes, memory.non_torch_bytes)
    graphs = 0 if device.platform is Platform.ASCEND else memory.cudagraph_bytes
    assert sum(terms) + graphs + memory.kv_cache_bytes == memory.budget_bytes
    if plan.argv and device.platform is not Platform.CPU:
        assert plan.layout.world_size <= plan.hardware.device_count
        several = {"--nnodes", "--data-parallel-address"}.intersection(plan.argv)
        assert bool(several) is (plan.layout.world_size > plan.hardware.devices_per_node)


@pytest.mark.parametrize("recipe", ["smollm2-135m", "qwen2.5-72b", "deepseek-v3", "deepseek-v3.2", "glm-4.5-air"])
def test_more_devices_never_make_it_worse(recipe):
    """What fits on some devices fits on twice as many."""
    before: dict[str, bool] = {}
    for plan in matrix.plans(recipe):
        name = plan.hardware.device.id
        if name != "cpu":
            assert plan.fits or not before.get(name), f"{plan.hardware.text} after less"
            before[name] = plan.fits


def test_every_recipe_on_every_device():
    seen = set()
    for recipe in matrix.recipes():
        for plan in matrix.plans(recipe):
            check(plan)
            seen.add(plan.verdict)
    assert seen == set(Verdict)
