"""Every variant of every recipe on every device of the catalogue that an engine drives: what docs/models.md shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.app import overview
from selfhost.app.model import resolve
from selfhost.errors import SelfhostError
from selfhost.planner.layouts import describe
from selfhost.planner.matrix import is_default
from selfhost.planner.plan import PlanRequest
from selfhost.planner.tables import tokens_text
from selfhost.recipe.load import builtin_directory, read_recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfhost.planner.matrix import Cell
    from selfhost.recipe.schema import Recipe, Variant

NOTHING, REFUSED = "-", "x"


class Answer(NamedTuple):
    """Of one variant on one device: the fewest devices that do."""

    text: str
    """`+2`, `~4`, `<8 12K`, `+4 PP=2`; `-` where up to 16 do not, `x` where it does not run."""
    confidence: str | None = None

    @property
    def runs(self) -> bool:
        """Whether some number of devices does."""
        return self.text not in (NOTHING, REFUSED)


class Planned(NamedTuple):
    """A row."""

    recipe: Recipe
    variant: Variant
    context: int
    """That was planned, in tokens."""
    answers: dict[str, Answer]
    """By the id of the device, in the order of the catalogue."""
    reason: str | None
    """Why it runs on none of them for anything but memory; None where it does run."""


def recipes_by_family() -> dict[str, list[Recipe]]:
    """The built-in recipes by the folder they lie in, both in alphabetical order."""
    found: dict[str, list[Recipe]] = {}
    for path in sorted(builtin_directory().glob("*/*.toml")):
        found.setdefault(path.parent.name, []).append(read_recipe(path))
    return found


def device_ids() -> list[str]:
    """Those of the columns."""
    return list(dict.fromkeys(one.device.id for one in overview.every_hardware()))


def plan_variant(recipe: Recipe, variant: Variant, devices: Iterable[str] | None = None) -> Planned:
    """One row, in 1 to 16 of each device; devices: only on those."""
    wanted = None if devices is None else {*devices}
    hardware = [one for one in overview.every_hardware() if wanted is None or one.device.id in wanted]
    try:
        model = resolve(recipe.name, variant=variant.name).to_plan()
    except SelfhostError as error:
        # A recipe that says that no engine here serves it, and why.
        refused_all = {one.device.id: Answer(REFUSED) for one in hardware}
        return Planned(recipe, variant, recipe.context, refused_all, str(error).splitlines()[0])
    found = overview.matrix_of(model, hardware, PlanRequest())
    answers = {name: _answer([cell for cell in row if cell]) for name, row in found.rows}
    refused = {cell.reason for cell in found.cells if cell.mark == "x"}
    reason = min(filter(None, refused), default=None) if all(cell.mark == "x" for cell in found.cells) else None
    return Planned(recipe, variant, found.max_model_len, answers, reason)


def plan_all() -> list[Planned]:
    """All rows; some twenty milliseconds of a processor for each, so that 300 take a while."""
    return [
        plan_variant(recipe, variant)
        for recipes in recipes_by_family().values()
        for recipe in recipes
        for variant in recipe.variants
    ]


def _answer(cells: Sequence[Cell]) -> Answer:
    """cells: by the number of devices, fewest first. What fits with its whole context comes before what is shorter."""
    whole = next((cell for cell in cells if cell.plan.fits), None)
    cell = whole or next((cell for cell in cells if cell.shorter), None)
    if cell is None:
        return Answer(REFUSED if all(cell.mark == "x" for cell in cells) else NOTHING)
    best = cell.best
    words = [f"{cell.mark}{best.hardware.device_count}"]
    if not is_default(best.layout, best.hardware):
        words.append(describe(best.layout))
    if cell.shorter:
        words.append(tokens_text(best.settings.max_model_len))
    return Answer(" ".join(words), best.confidence.value)
