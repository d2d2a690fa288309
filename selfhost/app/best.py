"""Which variant of a recipe suits this machine: the one that `serve` would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.errors import SelfhostError

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.recipe.schema import Recipe


def variant_here(recipe: Recipe, path: Path, home: Home) -> str | None:
    """The variant of the plan for this machine, where that fits; None where none does or nothing can be told.

    path: of the recipe's file. Weights may be fetched for another machine: that nothing fits here is no mistake.
    """
    if len(recipe.variants) == 1:
        return None
    from selfhost.app.detect import hardware_for
    from selfhost.app.model import from_recipe
    from selfhost.app.plan import plan_model
    from selfhost.planner.plan import PlanRequest

    try:
        model = from_recipe(recipe, path, None, home).to_plan()
        plan = plan_model(model, hardware_for(None, home), PlanRequest(), with_remedies=False)
    except SelfhostError:
        return None
    return plan.variant if plan.fits else None
