"""The answer to whoever wants a model that no engine here serves: exit code 3, why, and what can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.errors import NoError
from selfhost.recipe.unserved import instead, reasons, unserved

if TYPE_CHECKING:
    from selfhost.recipe.schema import Recipe


class UnservedError(NoError):
    """No engine here serves the model of a recipe; the recipe says so."""

    def __init__(self, recipe: Recipe, variant: str | None) -> None:
        records = unserved(recipe)
        super().__init__(
            "recipe.unserved",
            name=recipe.name,
            reasons="\n".join(reasons(records)),
            instead="\n".join(instead(records)) or f"`selfhost recipe show {recipe.name}` tells all that is known",
        )
        self.recipe = recipe
        self.variant = variant


def check(recipe: Recipe, variant: str | None = None) -> None:
    """Raises UnservedError for a model that cannot be planned, nor fetched or quantized for any engine here."""
    if unserved(recipe):
        raise UnservedError(recipe, variant)
