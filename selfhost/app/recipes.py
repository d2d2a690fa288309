"""`recipe ls|show`: what can be served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.home import find_home
from selfhost.messages import text
from selfhost.recipe import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from selfhost.recipe.schema import Recipe


def ls(recipe_paths: Sequence[Path]) -> tuple[list[Recipe], list[str]]:
    """All recipes by name, and a line for each that was left out: one mistake must not hide the others."""
    recipes, skipped = [], []
    for name, path in load.find_recipes(find_home(), recipe_paths).items():
        try:
            recipes.append(load.read_recipe(path))
        except UsageError as error:
            skipped.append(text("recipe.skipped", path=path, problem=error, name=name))
    return recipes, skipped


def find(name: str, recipe_paths: Sequence[Path]) -> tuple[Recipe, Path]:
    """One recipe and its file. Raises UsageError with the nearest names, or with every mistake in it."""
    home = find_home()
    recipe = load.load_recipe(name, home, recipe_paths)
    return recipe, load.find_recipes(home, recipe_paths)[recipe.name]
