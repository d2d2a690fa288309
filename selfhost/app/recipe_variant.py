"""`recipe new --variant-of`: a checkpoint that a repository holds, as one more variant of a recipe."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.errors import SelfhostError, UsageError
from selfhost.messages import text
from selfhost.models.arch import ModelArch
from selfhost.recipe import draft, load, write
from selfhost.recipe.draft_text import variant_document
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from selfhost.recipe.draft import Seen
    from selfhost.recipe.schema import Recipe

_SAME = ("architecture", "hidden_size", "num_hidden_layers")
"""What every checkpoint of a model has alike; widths may be padded by who quantized it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A recipe, and the file that a variant of it is to stand in."""

    recipe: Recipe
    path: Path
    alone: bool
    """Whether the file is to hold this variant only, whatever it held before."""


def place_of(recipe: Recipe, origin: Path, folder: Path, target: Path | None) -> Place:
    """Where a variant of the recipe in `origin` is to stand; `folder` holds the user's own recipes.

    Raises UsageError for a recipe that is neither built in nor the user's own, and for a file of its own beside a
    recipe that is not built in.
    """
    builtin = origin.is_relative_to(load.builtin_directory())
    if not builtin and not origin.is_relative_to(folder):
        raise UsageError("draft.recipe_elsewhere", recipe=recipe.name, path=origin, folder=folder)
    if target is None:
        return Place(recipe=recipe, path=folder / f"{recipe.name}.toml" if builtin else origin, alone=False)
    if target.name != f"{recipe.name}.toml":
        raise UsageError("draft.output_name", path=target, name=recipe.name)
    if load.builtin_of(target) is None:
        raise UsageError("draft.only_builtin", recipe=recipe.name, path=target, origin=origin)
    return Place(recipe=recipe, path=target, alone=True)


def variant_text(seen: Seen, place: Place, made_of: str, *, name: str | None, force: bool) -> tuple[str, str]:
    """The variant's name, and the whole file with it.

    Raises UsageError where the repository holds another model, or the name is taken and not to be replaced.
    """
    recipe, arch = place.recipe, _understood(seen, place.recipe, made_of)
    begun = draft.draft_variant(seen, arch)
    chosen = name or begun.name
    if not force and any(one.name == chosen for one in recipe.variants):
        names = ", ".join(one.name for one in recipe.variants)
        raise UsageError("draft.variant_taken", recipe=recipe.name, variant=chosen, names=names)
    doubts = tuple(text("draft.files_doubt", sentence=sentence) for sentence in seen.contradictions)
    document = variant_document(
        replace(begun, name=chosen, unverified=doubts), _differences(seen, recipe, arch, made_of)
    )
    of = seen.urls.get("") or made_of
    if place.alone or not place.path.is_file():
        head = (text("draft.variant_head"), text("draft.variant_of", of=of), text("draft.variant_rest"))
        return chosen, write.extension(recipe.name, [document], "".join(f"{write.comment(one)}\n" for one in head))
    added = "\n" + write.comment(text("draft.variant_of", of=of)) + write.variant(document)
    return chosen, _checked(_left(place, chosen).rstrip("\n") + "\n" + added, place)


def _checked(content: str, place: Place) -> str:
    """The file; raises UsageError where it would not be a recipe, as after `variant = [...]`."""
    try:
        load.parse_recipe(content.encode(), place.path)
    except UsageError as error:
        raise UsageError(
            "draft.cannot_add", recipe=place.recipe.name, path=place.path, detail=error.message.why
        ) from error
    return content


def _left(place: Place, name: str) -> str:
    """The file without a variant of that name."""
    before = place.path.read_text(encoding="utf-8")
    variants = tomllib.loads(before).get("variant", [])
    if all(one.get("name") != name for one in variants):
        return before
    left = write.without(before, {name})
    if left is None:
        raise UsageError("draft.variant_written", recipe=place.recipe.name, variant=name, path=place.path)
    return left


def _understood(seen: Seen, recipe: Recipe, made_of: str) -> ModelArch:
    """The architecture of the repository, which must be that of the recipe."""
    try:
        arch = ModelArch.from_config(seen.config)
    except SelfhostError as error:
        detail = f"{error.message.what}\n{error.message.why}".strip()
        raise UsageError("draft.not_understood", id=made_of, recipe=recipe.name, detail=detail) from error
    wanted = ModelArch.from_config(recipe.config)
    for key in _SAME:
        mine, its = getattr(wanted, key), getattr(arch, key)
        if mine != its:
            raise UsageError("draft.other_model", id=made_of, recipe=recipe.name, key=key, wanted=mine, found=its)
    return arch


def _differences(seen: Seen, recipe: Recipe, arch: ModelArch, made_of: str) -> dict[str, object]:
    """Keys of the recipe's config that the repository says otherwise: as few as lead to its architecture.

    First those that both have, then all of its own, then those that only the recipe has, emptied.
    """
    config = draft.kept_config(seen.config, arch)
    if "torch_dtype" in recipe.config and "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    both = {key: config[key] for key, value in recipe.config.items() if key in config and config[key] != value}
    own = both | {key: value for key, value in config.items() if key not in recipe.config}
    empty = {key: _EMPTY[type(value)] for key, value in recipe.config.items() if key not in config and _may(value)}
    section = draft.quantization_of(seen.config)
    quantization = {} if section is None else {"quantization_config": section}
    for changed in ({}, both, own, own | empty):
        if _same(draft.arch_of({**recipe.config, **changed, **quantization}), arch):
            return changed
    raise UsageError("draft.config_differs", id=made_of, recipe=recipe.name)


_EMPTY: Mapping[type, Any] = {int: 0, bool: False, dict: {}, list: []}


def _may(value: object) -> bool:
    return type(value) in _EMPTY


def _same(found: ModelArch | None, wanted: ModelArch) -> bool:
    return found is not None and replace(found, model_type="") == replace(wanted, model_type="")
