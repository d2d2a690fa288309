"""`recipe ls|show`: what can be served, by family, by engine, on given hardware."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.errors import SelfhostError, UsageError
from selfhost.home import find_home
from selfhost.messages import text, word
from selfhost.recipe import load
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from selfhost.hardware.types import Hardware
    from selfhost.planner.plan import ModelToPlan
    from selfhost.recipe.schema import Recipe

ENGINES = {"vllm": "vllm", "vllm-cpu": "vllm-cpu", "cuda": "vllm", "cpu": "vllm-cpu"}
"""What `--engine` takes: names as in `--json` and as in `engine install`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A recipe that the filters let through."""

    recipe: Recipe
    path: Path
    variants: tuple[str, ...]
    """Those the filters let through."""
    verdicts: dict[str, str] | None = None
    """Of each variant, the verdict of its plan; None when nothing was planned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Which recipes are wanted; None: all."""

    family: str | None = None
    engine: str | None = None
    hardware: Hardware | None = None
    """Only what fits there."""


def ls(recipe_paths: Sequence[Path], filters: Filters) -> tuple[list[Listed], list[str]]:
    """The recipes wanted, by name, and a line for each that was left out: one mistake must not hide the others.

    Raises UsageError for an engine that is not known or a family that no recipe has.
    """
    found, skipped = [], []
    for name, path in load.find_recipes(find_home(), recipe_paths).items():
        try:
            recipe = load.read_recipe(path)
            found.append(Listed(recipe=recipe, path=path, variants=tuple(v.name for v in recipe.variants)))
        except UsageError as error:
            skipped.append(text("recipe.skipped", path=path, problem=error, name=name))
    if filters.family is not None:
        found = _of_family(found, filters.family)
    if filters.engine is not None:
        found = [_served_by(listed, filters.engine) for listed in found]
    if filters.hardware is not None:
        found = [_fitting(listed, filters.hardware) for listed in found]
    return [listed for listed in found if listed.variants], skipped


def find(name: str, recipe_paths: Sequence[Path]) -> tuple[Recipe, Path]:
    """One recipe and its file. Raises UsageError with the nearest names, or with every mistake in it."""
    home = find_home()
    recipe = load.load_recipe(name, home, recipe_paths)
    return recipe, load.find_recipes(home, recipe_paths)[recipe.name]


def _of_family(found: list[Listed], family: str) -> list[Listed]:
    """Of a family (`Qwen2.5`) or of a folder of families (`qwen`)."""
    wanted = family.lower()
    kept = [one for one in found if wanted in (one.recipe.family.lower(), one.path.parent.name.lower())]
    if not kept:
        known = ", ".join(sorted({one.recipe.family for one in found})) or word("none")
        raise UsageError("recipe.no_family", family=family, known=known)
    return kept


def _served_by(listed: Listed, engine: str) -> Listed:
    """With the variants only that the engine has classes and kernels for, on some device that it drives."""
    from selfhost.engines import known
    from selfhost.hardware import catalog
    from selfhost.hardware.types import Device, Hardware, Platform
    from selfhost.planner.support import refusals

    if engine.lower() not in ENGINES:
        raise UsageError("recipe.no_engine", engine=engine, known=", ".join(ENGINES))
    facts = known.load(ENGINES[engine.lower()])
    # Of a device without a known compute capability nothing is refused.
    any_gpu = Device(id="any", name="any GPU", vendor="any", platform=Platform.CUDA)
    device = catalog.CPU if facts.ref.name == "vllm-cpu" else any_gpu
    hardware = Hardware(device=device, visible_memory_bytes=0)
    models = _models(listed)
    kept = tuple(
        name for name in listed.variants if name in models and not refusals(models[name], hardware, facts.for_planner)
    )
    return replace(listed, variants=kept)


def _fitting(listed: Listed, hardware: Hardware) -> Listed:
    """With the variants only that fit, and the verdict of each; `unknown` where no plan can be made otherwise."""
    from selfhost.app.plan import plan_model
    from selfhost.planner.plan import PlanRequest, Verdict
    from selfhost.recipe.unserved import unserved

    verdicts, kept, models = {}, [], _models(listed)
    for name in listed.variants:
        try:
            plan = plan_model(models[name], hardware, PlanRequest(), with_remedies=False)
        except (KeyError, SelfhostError):
            verdicts[name] = Verdict.UNSUPPORTED.value if unserved(listed.recipe) else "unknown"
            continue
        verdicts[name] = plan.verdict.value
        if plan.fits:
            kept.append(name)
    return replace(listed, variants=tuple(kept), verdicts=verdicts)


def _models(listed: Listed) -> dict[str, ModelToPlan]:
    """What the planner takes, by variant; nothing for a recipe whose config is not understood (`recipe lint` tells)."""
    from selfhost.app.model import from_recipe

    try:
        resolved = from_recipe(listed.recipe, listed.path, None, find_home())
    except SelfhostError:
        return {}
    return {variant.variant: variant.to_plan() for variant in resolved.variants}
