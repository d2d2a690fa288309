"""Which models of the store MODEL means: a recipe's name or hub id, `org/name`, or a directory inside the store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.errors import SelfhostError, UsageError
from selfhost.home import user_path
from selfhost.messages import word
from selfhost.weights import store

if TYPE_CHECKING:
    from selfhost.home import Home


def find(text: str, variant: str | None, home: Home) -> list[Path]:
    """The directories, sorted; empty when the store has nothing of that name. Raises UsageError for a bad path."""
    directories = store.directories(home.models)
    if text.startswith((".", "/", "~")):
        found = _inside(user_path(text), directories)
    else:
        found = _named(text, directories) or _of_hub_id(text, directories, home)
        if not found and "/" in text and Path(text).is_dir():
            found = _inside(Path(text), directories)
    return [path for path in found if variant is None or path.name == variant]


def names(home: Home) -> str:
    """What the store has, for messages: `a (b), c (d)`."""
    return ", ".join(f"{d.parent.name} ({d.name})" for d in store.directories(home.models)) or word("none")


def _inside(path: Path, directories: list[Path]) -> list[Path]:
    """The model at a path, or every variant in a folder of variants."""
    wanted = _real(path)
    return [d for d in directories if _real(d) == wanted or _real(d.parent) == wanted]


def _real(path: Path) -> str:
    return os.path.realpath(path)


def _named(text: str, directories: list[Path]) -> list[Path]:
    """By a recipe's name, or by `org/name`; hub ids do not tell upper from lower case."""
    wanted = text.lower()
    return [d for d in directories if wanted in (d.parent.name.lower(), f"{d.parent.name}/{d.name}".lower())]


def _of_hub_id(text: str, directories: list[Path], home: Home) -> list[Path]:
    if "/" not in text:
        return []
    from selfhost.recipe import load

    stored = {d.parent.name for d in directories}
    for name, path in load.find_recipes(home).items():
        if name not in stored:
            continue
        try:
            recipe = load.read_recipe(path)
        except UsageError:
            continue
        if (recipe.hub_id or "").lower() == text.lower():
            return [d for d in directories if d.parent.name == name]
    return []


def completions(home: Home) -> list[str]:
    """What a shell offers: names of recipes, and `name/variant` for every model."""
    try:
        directories = store.directories(home.models)
    except (OSError, SelfhostError):
        return []
    found = [(d.parent.name, f"{d.parent.name}/{d.name}") for d in directories]
    return sorted({word for words in found for word in words})
