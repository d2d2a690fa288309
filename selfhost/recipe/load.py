"""Finds and reads recipe files. The file name is the recipe's name; look-up needs no index.

Places, first hit wins: `--recipe-path`, `$SELFHOST_HOME/recipes`, the built-in ones.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.messages import text
from selfhost.recipe.read import recipe_from_dict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selfhost.home import Home
    from selfhost.recipe.schema import Recipe

_PACKAGE = Path(__file__).resolve().parent.parent
_NEAREST = 3


def builtin_directory() -> Path:
    """Recipes that ship with selfhost: inside an installed wheel, or at the top of a checkout."""
    installed = _PACKAGE / "data" / "recipes"
    return installed if installed.is_dir() else _PACKAGE.parent / "recipes"


def find_recipes(home: Home, recipe_paths: Sequence[Path] = ()) -> dict[str, Path]:
    """Every recipe file by name, sorted by name. Raises UsageError for a `--recipe-path` that names nothing."""
    found: dict[str, Path] = {}
    for place in recipe_paths:
        if not place.is_dir() and not (place.is_file() and place.suffix == ".toml"):
            raise UsageError("recipe.no_path", path=place)
    for place in (*recipe_paths, home.recipes, builtin_directory()):
        for path in _recipe_files(place):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def _recipe_files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    yield from sorted(place.glob("*.toml"))
    yield from sorted(place.glob("*/*.toml"))


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file. Raises UsageError with every mistake in it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError("recipe.not_readable", path=path, detail=error.strerror) from error
    return parse_recipe(data, path)


def parse_recipe(data: bytes, path: Path) -> Recipe:
    """The recipe in the bytes of a file. Raises UsageError with every mistake in it."""
    try:
        document = tomllib.loads(data.decode())
    except ValueError as error:
        # Also UnicodeDecodeError, and integers of more digits than Python reads.
        raise UsageError("recipe.not_toml", path=path, detail=error) from error
    except RecursionError as error:
        raise UsageError("recipe.not_toml", path=path, detail=text("recipe.nested")) from error
    base = _builtin(path) if document.get("extends") is True else None
    return recipe_from_dict(document, path, base)


def builtin_of(path: Path) -> Path | None:
    """The file of the built-in recipe that has the name of a file; None when there is none."""
    return next((one for one in _recipe_files(builtin_directory()) if one.stem == path.stem), None)


def _builtin(path: Path) -> Recipe | None:
    """The built-in recipe that a file of the same name adds to; None when there is none, or when it is that file."""
    found = builtin_of(path)
    return None if found is None or found == path else read_recipe(found)


def load_recipe(name: str, home: Home, recipe_paths: Sequence[Path] = ()) -> Recipe:
    """The recipe of a name. Raises UsageError with the nearest names when there is none."""
    found = find_recipes(home, recipe_paths)
    if path := found.get(name.lower()):
        return read_recipe(path)
    near = nearest_names(name, found)
    if not near:
        raise UsageError("recipe.unknown", name=name, count=len(found))
    listed = ", ".join(near)
    raise UsageError("recipe.unknown_near", name=name, count=len(found), nearest=listed, suggestion=near[0])


def nearest_names(name: str, names: dict[str, Path]) -> list[str]:
    """Up to three names that look like it, the nearest first; of a hub id the last part counts."""
    return difflib.get_close_matches(name.lower().rpartition("/")[2], list(names), n=_NEAREST, cutoff=0.4)
