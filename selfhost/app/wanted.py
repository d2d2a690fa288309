"""What MODEL means where weights are concerned: a variant of a recipe, or a repository of a hub, and its place here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.home import user_path
from selfhost.recipe import load
from selfhost.recipe.schema import HUBS, Source
from selfhost.records import dataclass
from selfhost.weights.store import directories, model_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.recipe.schema import Recipe, Variant

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One checkpoint, where it comes from and where it lies, or will lie."""

    name: str
    """The recipe's name, or the repository's id."""
    variant: str | None
    """None for a repository without a recipe."""
    directory: Path
    sources: tuple[Source, ...]
    """In the order in which they are tried."""
    recipe: Recipe | None = None

    @property
    def shown(self) -> str:
        """`qwen2.5-0.5b (bf16)`, `org/name`."""
        return f"{self.name} ({self.variant})" if self.variant else self.name

    @property
    def recipe_variant(self) -> Variant | None:
        """The recipe's variant."""
        return self.recipe.variant(self.variant) if self.recipe else None


def find(
    text: str,
    home: Home,
    *,
    variant: str | None = None,
    recipe_paths: Sequence[Path] = (),
    prefer: Callable[[Recipe, Path], str | None] = lambda _recipe, _path: None,
) -> Wanted:
    """The checkpoint that MODEL means: a recipe's name, the hub id of a recipe or of a variant, or any `org/name`.

    Without a variant that of the hub id, else the one that `prefer` says, else the recipe's first. Raises UsageError
    when there is no such model, and for a directory: its files are there already.
    """
    if not text.strip():
        # An unset variable in a script.
        raise UsageError("pull.no_hub_id", name=text)
    if text.startswith((".", "/", "~")) or ("/" in text and user_path(text).is_dir()):
        raise UsageError("pull.directory", path=text)
    found = load.find_recipes(home, recipe_paths)
    if path := found.get(text.lower()):
        recipe = load.read_recipe(path)
        return of_recipe(recipe, home, variant or prefer(recipe, path))
    if "/" not in text:
        load.load_recipe(text, home, recipe_paths)  # raises, with the nearest names
    if (known := of_slashed(text, variant, found)) is not None:
        recipe, path, named = known
        return of_recipe(recipe, home, named or prefer(recipe, path))
    if not is_hub_id(text):
        raise UsageError("pull.no_hub_id", name=text)
    if variant is not None:
        raise UsageError("pull.no_variants", name=text, variant=variant)
    return of_repository(text, home)


def is_hub_id(text: str) -> bool:
    """Whether it has the form `org/name`."""
    return _HUB_ID.fullmatch(text) is not None


def of_slashed(text: str, variant: str | None, found: dict[str, Path]) -> tuple[Recipe, Path, str | None] | None:
    """The recipe that a hub id or `recipe/variant` means, its file, and the variant that is named; None for neither.

    `recipe/variant`, as `ls` shows it, is never a repository: anybody may have an organisation of that name, and its
    files would lie where the recipe's do. Raises UsageError for `variant` beside the repository of another one.
    """
    name, _, named = text.partition("/")
    if (known := _of_hub_id(text, found)) is not None:
        recipe, named = known
    elif name.lower() in found:
        recipe = load.read_recipe(found[name.lower()])
    else:
        return None
    if named and variant not in (None, named):
        raise UsageError("pull.other_variant", name=text, variant=variant, named=named, recipe=recipe.name)
    return recipe, found[recipe.name], variant or named or None


def _of_hub_id(text: str, found: dict[str, Path]) -> tuple[Recipe, str] | None:
    """The recipe with that hub id, and the variant whose repository it is; empty for the recipe's own id."""
    of_variant = None
    for path in found.values():
        try:
            recipe = load.read_recipe(path)
        except UsageError:
            # Another recipe's mistake is no reason not to find this one; `selfhost recipe ls` tells it.
            continue
        if (recipe.hub_id or "").lower() == text.lower():
            return recipe, ""
        if of_variant is None and (name := _variant_of(recipe, text)):
            of_variant = recipe, name
    return of_variant


def _variant_of(recipe: Recipe, hub_id: str) -> str | None:
    for variant in recipe.variants:
        if any(source.kind in HUBS and source.id.lower() == hub_id.lower() for source in variant.sources):
            return variant.name
    return None


def of_recipe(recipe: Recipe, home: Home, variant: str | None = None) -> Wanted:
    """A variant of a recipe; the first one for None. Raises UsageError for one it does not have."""
    chosen = recipe.variant(variant)
    if chosen.files_of:  # it has none of its own
        chosen = recipe.variant(chosen.files_of)
    return Wanted(
        name=recipe.name,
        variant=chosen.name,
        directory=model_directory(home.models, recipe.name, chosen.name),
        sources=chosen.sources,
        recipe=recipe,
    )


def _as_stored(hub_id: str, home: Home) -> str:
    """The id as the store spells it: hubs do not tell upper from lower case, and would give the same model twice."""
    stored = [f"{path.parent.name}/{path.name}" for path in directories(home.models)]
    return hub_id if hub_id in stored else next((one for one in stored if one.lower() == hub_id.lower()), hub_id)


def of_repository(hub_id: str, home: Home) -> Wanted:
    """A repository that no recipe knows: on Hugging Face, or on ModelScope under the same id."""
    organisation, _, name = (hub_id := _as_stored(hub_id, home)).partition("/")
    return Wanted(
        name=hub_id,
        variant=None,
        directory=model_directory(home.models, organisation, name),
        sources=tuple(Source(kind=kind, id=hub_id) for kind in HUBS),
    )
