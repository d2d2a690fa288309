"""Which variant of a recipe suits this machine: the one that `serve` would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.errors import SelfhostError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from selfhost.app.wanted import Wanted
    from selfhost.home import Home
    from selfhost.planner.plan import Plan
    from selfhost.recipe.schema import Recipe

_NPU_TRACES = ("/dev/davinci_manager", "/dev/davinci0")


def variant_here(recipe: Recipe, path: Path, home: Home) -> str | None:
    """The variant of the plan for this machine, where that fits; None where none does or nothing can be told.

    On Ascend also the one that would fit several such machines: the format that many models are published in, FP8, runs
    on none of them. path: of the recipe's file. Weights may be fetched for another machine: that nothing fits here is
    no mistake.
    """
    if len(recipe.variants) == 1:
        return None
    from selfhost.hardware.types import Platform
    from selfhost.planner.plan import Verdict

    plan = _plan(recipe, path, None, home)
    if plan is None:
        return None
    shared = plan.hardware.device.platform is Platform.ASCEND and plan.verdict is not Verdict.UNSUPPORTED
    return plan.variant if plan.fits or shared else None


def why_not_here(wanted: Wanted, recipe_paths: Sequence[Path], home: Home) -> str | None:
    """Why a variant does not run on the NPUs of this machine, however many there are; None where it does, or nothing is
    known. Asks only a machine that has NPUs.
    """
    from selfhost.hardware.system import System
    from selfhost.hardware.types import Platform
    from selfhost.messages import text
    from selfhost.planner.plan import Verdict
    from selfhost.recipe import load

    system = System()
    if wanted.recipe is None or not (system.find("npu-smi") or any(system.at(path).exists() for path in _NPU_TRACES)):
        return None
    plan = _plan(wanted.recipe, load.find_recipes(home, recipe_paths)[wanted.recipe.name], wanted.variant, home)
    if plan is None or plan.verdict is not Verdict.UNSUPPORTED:
        return None
    device = plan.hardware.device
    return (
        text("compat.not_here", name=wanted.shown, device=device.name) if device.platform is Platform.ASCEND else None
    )


def _plan(recipe: Recipe, path: Path, variant: str | None, home: Home) -> Plan | None:
    from selfhost.app.detect import hardware_for
    from selfhost.app.model import from_recipe
    from selfhost.app.plan import plan_model
    from selfhost.planner.plan import PlanRequest

    try:
        model = from_recipe(recipe, path, variant, home).to_plan()
        return plan_model(model, hardware_for(None, home), PlanRequest(), with_remedies=False)
    except SelfhostError:
        return None
