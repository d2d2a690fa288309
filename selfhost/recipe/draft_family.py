"""Who is related to a model that has no recipe yet: its family by name, and the parsers that all of it have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from selfhost.models.arch import ModelArch
    from selfhost.recipe.schema import Recipe

_SIZE = re.compile(r"a?\d+(\.\d+)?[bm]|instruct|chat|base|it|fp8|awq|gptq|int[48]", re.IGNORECASE)


def _tokens(name: str) -> list[str]:
    return [part for part in re.split(r"[-_\s]+", name.lower()) if part]


def _begins(name: str, beginning: str) -> bool:
    tokens = _tokens(beginning)
    return _tokens(name)[: len(tokens)] == tokens


def family_of(title: str, config: Mapping[str, Any], recipes: Sequence[Recipe]) -> tuple[str, list[Recipe]]:
    """The family by name, and its recipes.

    The longest family or recipe whose name the repository's begins with; else that of recipes of the same architecture
    and maker; else what stands before the size.
    """
    by_name = [
        (len(_tokens(name)), recipe.family)
        for recipe in recipes
        for name in (recipe.family, recipe.name)
        if _begins(title, name)
    ]
    family = max(by_name)[1] if by_name else None
    if family is None:
        classes = config.get("architectures")
        alike = {one.family for one in recipes if one.config.get("architectures") == classes}
        alike = {one for one in alike if _tokens(one)[:1] == _tokens(title)[:1]}
        family = alike.pop() if len(alike) == 1 else None
    if family is None:
        parts = re.split(r"(?<=[^\s_-])[-_\s]", title)
        end = next((place for place, part in enumerate(parts) if place and _SIZE.fullmatch(part)), len(parts))
        return "-".join(parts[:end]), []
    return family, [recipe for recipe in recipes if recipe.family == family]


def parsers_of(related: Iterable[Recipe], arch: ModelArch | None) -> tuple[dict[str, str], tuple[str, ...]]:
    """Parsers that all relatives of the same architecture have, and who they are; none where they differ."""
    alike = [one for one in related if arch and (one.config.get("architectures") == list(arch.architectures))]
    found: dict[str, str] = {}
    for key in ("tool_call_parser", "reasoning_parser"):
        values = {getattr(recipe.serving, key) for recipe in alike}
        if len(values) == 1 and (value := values.pop()):
            found[key] = value
    return found, tuple(recipe.name for recipe in alike) if found else ()
