"""What is quantized: a variant of a recipe that is in the store, or a directory."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from selfhost.app import unserved, wanted
from selfhost.errors import IncompleteError, IntegrityError, NoError, UsageError
from selfhost.home import user_path
from selfhost.models.arch import ModelArch
from selfhost.quant.read import quantization_from_config
from selfhost.quantize import layers, needs
from selfhost.recipe import load
from selfhost.records import dataclass
from selfhost.weights import check, store
from selfhost.weights.headers import in_directory, read_headers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.quantize.schemes import Scheme
    from selfhost.recipe.schema import Recipe, Variant
    from selfhost.weights.lock import ModelLock


_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceModel:
    """A model whose files are here and whole."""

    name: str
    """The recipe's name, or the directory's."""
    variant: str | None
    """None for a directory."""
    directory: Path
    config: dict[str, Any]
    arch: ModelArch
    weight_bytes: int
    largest_file_bytes: int
    digest: str
    """Tells whether it is the same: sha256 of the lock, or of where a directory's files are, their sizes and times."""
    recipe: Recipe | None = None
    recipe_path: Path | None = None

    @property
    def shown(self) -> str:
        """`qwen2.5-0.5b (bf16)`, or the directory."""
        return f"{self.name} ({self.variant})" if self.variant else str(self.directory)

    @property
    def for_needs(self) -> needs.Source:
        """What arithmetic takes."""
        return needs.Source(self.config, self.weight_bytes, self.largest_file_bytes)


def find(text: str, variant: str | None, scheme: Scheme, home: Home, recipe_paths: Sequence[Path] = ()) -> SourceModel:
    """The model that MODEL means, with the variant that a scheme is made of.

    Raises UsageError for what is no model, NoError where it cannot be made into that scheme, IncompleteError when its
    files are not here, and what `check_directory` raises for files that are damaged.
    """
    if _is_directory(text, home, recipe_paths):
        if variant is not None:
            raise UsageError("model.directory_has_one_variant", variant=variant, path=text)
        return _of_directory(user_path(text), scheme)
    found = wanted.find(
        text,
        home,
        variant=variant,
        recipe_paths=recipe_paths,
        prefer=lambda recipe, _path: variant_for(recipe, scheme),
    )
    if found.recipe is None:
        if not found.directory.is_dir():
            raise IncompleteError("quantize.not_stored", name=found.shown, command=f"selfhost pull {found.name}")
        return _of_directory(found.directory, scheme)
    unserved.check(found.recipe, found.variant)
    assert found.variant is not None
    check_source(found.recipe, found.recipe.variant(found.variant), scheme)
    lock = store.look_up(found.directory)
    if lock is None:
        command = f"selfhost pull {found.name} --variant {found.variant}"
        raise IncompleteError("quantize.not_stored", name=found.shown, command=command)
    path = load.find_recipes(home, recipe_paths)[found.recipe.name]
    return _whole(found.directory, digest_of(lock), found.name, found.variant, (found.recipe, path))


def _is_directory(text: str, home: Home, recipe_paths: Sequence[Path]) -> bool:
    """As `app.model.resolve` has it: a recipe's name comes before a directory of that name."""
    if text.startswith((".", "/", "~")):
        return True
    return user_path(text).is_dir() and ("/" in text or text.lower() not in load.find_recipes(home, recipe_paths))


def digest_of(lock: ModelLock) -> str:
    """Sha256 of a lock: of what the files are, wherever they came from."""
    body = [[file.path, file.size, file.sha256] for file in lock.files]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def variant_for(recipe: Recipe, scheme: Scheme) -> str | None:
    """The variant that a scheme is made of: FP8 for `bf16`, else one in 16 bits; None when there is none."""
    for variant in recipe.variants:
        found = quantization_from_config(recipe.config_of(variant))
        suits = found is None if scheme.format is not None else found is not None and found.is_fp8
        if suits and variant.files_of is None:
            return variant.name
    return None


def check_source(recipe: Recipe, variant: Variant, scheme: Scheme) -> None:
    """Raises NoError for a variant that the scheme cannot be made of, with the command that helps."""
    name = f"{recipe.name} ({variant.name})"
    other = variant_for(recipe, scheme)
    _check_format(recipe.config_of(variant), scheme, name, f"selfhost quantize {recipe.name}", other)


def _check_format(config: dict[str, Any], scheme: Scheme, name: str, command: str, other: str | None) -> None:
    quantization = quantization_from_config(config)
    if scheme.format is None:
        if quantization is None:
            raise NoError("quantize.plain_already", name=name)
        if not quantization.is_fp8:
            raise NoError(
                "quantize.fp8_wanted", name=name, method=quantization.method, format=quantization.format.value
            )
        return
    if quantization is None:
        return
    values = {"name": name, "method": quantization.method, "format": quantization.format.value}
    if not (quantization.is_fp8 or other):
        raise NoError("quantize.quantized_for_good", **values)
    hint = f"{command} --from {other} --scheme {scheme.name}" if other else f"{command} --scheme bf16"
    raise NoError("quantize.quantized_already", **values, command=hint)


def _of_directory(path: Path, scheme: Scheme) -> SourceModel:
    if not path.is_dir():
        raise UsageError("model.no_directory", path=path)
    directory = path.resolve()
    _check_format(check.read_config(directory), scheme, str(path), f"selfhost quantize {path} --output DIR", None)
    names = sorted(store.entries(directory).items())
    # Sizes say little: weights that were trained on have those of the ones before.
    listing = json.dumps([str(directory), *([name, info.st_size, info.st_mtime_ns] for name, info in names)])
    return _whole(directory, hashlib.sha256(listing.encode()).hexdigest(), path.resolve().name, None, None)


def _whole(directory: Path, digest: str, name: str, variant: str | None, of: tuple[Recipe, Path] | None) -> SourceModel:
    files = check.check_directory(directory)
    arch = ModelArch.from_config(files.config)
    # A script that goes from file to file does not notice, and the engine only when it loads the result.
    if wrong := layers.unlike(arch, read_headers(map(str, files.weights), in_directory(directory)).tensors):
        listed = "\n".join(wrong[:_SHOWN]) + (f"\nand {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else "")
        raise IntegrityError("quantize.unlike_config", path=directory, detail=listed)
    return SourceModel(
        name=name,
        variant=variant,
        directory=directory,
        config=files.config,
        arch=arch,
        weight_bytes=files.weight_bytes,
        largest_file_bytes=max((directory / one).stat().st_size for one in files.weights),
        digest=digest,
        recipe=of[0] if of else None,
        recipe_path=of[1] if of else None,
    )
