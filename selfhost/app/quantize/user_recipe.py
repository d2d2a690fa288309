"""The user's recipe that knows what was made here: variants are added to it, and taken out when they are removed."""

from __future__ import annotations

import contextlib
import tomllib
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.errors import SelfhostError, UsageError
from selfhost.messages import text
from selfhost.quantize.job import PROVENANCE_NAME
from selfhost.recipe import load, write
from selfhost.recipe.schema import NAME, SourceKind
from selfhost.weights import check, store

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from selfhost.app.quantize.types import Plan
    from selfhost.home import Home
    from selfhost.recipe.schema import Recipe
    from selfhost.weights.lock import ModelLock

_CONFIG_OWN = ("quantization_config", "compression_config")


def is_free(recipe: Recipe, name: str) -> bool:
    """Whether a variant may have this name: the recipe has none of it, or one that was made here."""
    variant = next((one for one in recipe.variants if one.name == name), None)
    return variant is None or any(one.kind is SourceKind.QUANTIZED for one in variant.sources)


def check_name(recipe: Recipe, name: str) -> None:
    """Raises UsageError for what cannot be the name of a new variant, or is that of one that was not made here."""
    if not NAME.fullmatch(name):
        raise UsageError("quantize.bad_name", name=name, pattern=NAME.pattern)
    if not is_free(recipe, name):
        names = ", ".join(variant.name for variant in recipe.variants)
        raise UsageError("quantize.name_taken", name=name, recipe=recipe.name, names=names)


def check_place(name: str, path: Path, home: Home) -> None:
    """Raises UsageError for a recipe that is neither built in nor one of the user's own: it is not ours to write to."""
    if not (path.is_relative_to(load.builtin_directory()) or path.is_relative_to(home.recipes)):
        raise UsageError("quantize.recipe_elsewhere", path=path, folder=home.recipes, name=name)


def add(plan: Plan, lock: ModelLock, home: Home) -> Path:
    """Let the recipe know a new variant; its file."""
    assert plan.source.recipe_path is not None
    return put(plan.source.name, plan.source.recipe_path, _variant(plan, lock), home)


def put(name: str, path: Path, variant: Mapping[str, object], home: Home) -> Path:
    """Add a variant to the recipe in `path`, in the place of one of its name; the file it stands in."""
    if path.is_relative_to(load.builtin_directory()):
        path = home.recipes / f"{name}.toml"
    with files.hold_lock(home.recipes / ".quantize.lock"):
        _write(path, name, _replaced(path, name, variant))
    return path


def _replaced(path: Path, name: str, data: Mapping[str, object]) -> str:
    """The text of the file with a variant added, in the place of one of the same name."""
    if not path.is_file():
        return write.extension(name, [data])
    before = path.read_text(encoding="utf-8")
    variants = tomllib.loads(before).get("variant", [])
    if all(one.get("name") != data["name"] for one in variants):
        return before.rstrip("\n") + "\n" + write.variant(data)
    kept = [one for one in variants if one.get("name") != data["name"]]
    if tomllib.loads(before).get("extends") is True:
        return write.extension(name, [*kept, data])
    # A recipe that somebody wrote: it has the variant already, and its words stay as they are.
    return before


def _variant(plan: Plan, lock: ModelLock) -> dict[str, object]:
    source, scheme = plan.source, plan.request.scheme
    assert source.recipe is not None
    config = check.read_config(plan.directory)
    section = next((config[key] for key in _CONFIG_OWN if config.get(key)), None)
    return {
        "name": plan.variant,
        "scheme": scheme.recipe_scheme,
        "summary": text("quantize.variant_summary", scheme=scheme.name, source=source.variant),
        "bytes_on_disk": sum(file.size for file in lock.files if file.path.endswith(".safetensors")),
        "config": _differences(source.recipe, config) or None,
        "quantization_config": section,
        "notes": [text("quantize.variant_note", name=PROVENANCE_NAME)],
        "source": [{"kind": lock.source.kind, "id": lock.source.id, "revision": lock.source.revision}],
    }


def _differences(recipe: Recipe, config: Mapping[str, Any]) -> dict[str, object]:
    """Keys of the recipe's config that the result says otherwise; the dtype under either of its names."""
    found = {key: config[key] for key, value in recipe.config.items() if key in config and config[key] != value}
    dtype = config.get("dtype") or config.get("torch_dtype")
    if dtype and dtype != recipe.config.get("torch_dtype", dtype):
        found["torch_dtype"] = dtype
    return found


def for_others(path: Path, variant: str) -> tuple[Path, bytes]:
    """A recipe as another machine gets it with the files of one variant: where it is, and what it says.

    Of variants that were made here only that one is in it, and those that use its files: nobody could get the files of
    the others. Where none is left in a file that adds variants to a built-in recipe, the built-in recipe goes.
    """
    data = path.read_bytes()
    if path.is_relative_to(load.builtin_directory()):
        return path, data
    document = _read(path) or {}
    made = [one for one in _variants(document) if _made_here(one)]
    kept = {variant, *(one.get("files_of") for one in made if one.get("name") == variant)} - {None}
    names = {one["name"] for one in made if not {one["name"], one.get("files_of")} & kept}
    builtin = load.builtin_of(path)
    if names and builtin and document.get("extends") is True and len(names) == len(_variants(document)):
        return builtin, builtin.read_bytes()
    left = write.without(data.decode(), names) if names else None
    return path, data if left is None else left.encode()


def forget(directories: Sequence[Path], home: Home) -> None:
    """Take variants out of the user's recipe that were made here, and whose files were removed."""
    for directory in directories:
        if not store.model_directory(home.models, directory.parent.name, directory.name).exists():
            _take_out(directory.parent.name, directory.name, home)


def forget_in_flight(name: str, variant: str, home: Home, *, dry_run: bool) -> Path | None:
    """Take a variant without files out of the user's recipe; the recipe, None where it has none of that name.

    Of a recipe that somebody wrote only what was added to it here, in the words of `put`.
    """
    path = _path(name, home)
    document = None if path is None else _read(path)
    if path is None or document is None:
        return None
    found = next((one for one in _variants(document) if one.get("name") == variant and "files_of" in one), None)
    if found is None:
        return None
    if document.get("extends") is not True and write.variant(found) not in path.read_text(encoding="utf-8"):
        return None
    if not dry_run:
        with files.hold_lock(home.recipes / ".quantize.lock"):
            _cut(path, {variant})
    return path


def _take_out(name: str, variant: str, home: Home) -> None:
    if (path := _path(name, home)) is None:
        return
    with files.hold_lock(home.recipes / ".quantize.lock"):
        document = _read(path) or {}
        if any(one.get("name") == variant and _made_here(one) for one in _variants(document)):
            _cut(path, {variant, *_users(document, {variant})})


def _cut(path: Path, names: Collection[str]) -> None:
    """Remove variants from a recipe; its file with the last one of those that a built-in recipe has not.

    A file out of which they cannot be cut, or that would not be valid without them, stays as it is.
    """
    content = path.read_text(encoding="utf-8")
    document = tomllib.loads(content)
    if document.get("extends") is True and all(one.get("name") in names for one in _variants(document)):
        path.unlink(missing_ok=True)
    elif (left := write.without(content, names)) is not None:
        with contextlib.suppress(UsageError):
            _write(path, path.stem, left)


def _path(name: str, home: Home) -> Path | None:
    path = load.find_recipes(home).get(name.lower())
    return path if path is not None and path.is_relative_to(home.recipes) else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _variants(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    variants = document.get("variant")
    return [one for one in variants if isinstance(one, dict)] if isinstance(variants, list) else []


def _users(document: Mapping[str, Any], names: Collection[str]) -> set[str]:
    """Variants that use the files of one of these."""
    return {one["name"] for one in _variants(document) if one.get("files_of") in names and "name" in one}


def _made_here(variant: Mapping[str, Any]) -> bool:
    sources = variant.get("source")
    return isinstance(sources, list) and any(
        isinstance(one, dict) and one.get("kind") == SourceKind.QUANTIZED for one in sources
    )


def _write(path: Path, name: str, content: str) -> None:
    data = content.encode()
    try:
        load.parse_recipe(data, path)
    except SelfhostError as error:
        raise UsageError("quantize.recipe_broken", path=path, name=name, detail=error.message.why) from error
    files.make_directory(path.parent)
    with files.atomic_write(path) as stream:
        stream.write(data)
