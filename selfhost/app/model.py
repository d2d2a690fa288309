"""Which model is meant: a recipe's name, a hub id or a directory -> what the planner takes."""

from __future__ import annotations

import json
import os
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost.app import unserved
from selfhost.app.model_files import arch_of_files, contradictions
from selfhost.errors import UsageError
from selfhost.home import find_home, user_path
from selfhost.models.arch import ModelArch
from selfhost.planner.plan import AnswerCheck, ModelToPlan
from selfhost.records import dataclass
from selfhost.weights import check, store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from selfhost.home import Home
    from selfhost.recipe.schema import Recipe, Variant

    Ask = Callable[[str, str | None], "ResolvedModel"]
    """(org/name, variant) -> what its hub says of it."""

DIRECTORY_VARIANT = "directory"


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
    in_flight: bool = False
    """Whether the engine quantizes the weights while it loads them."""
    check: AnswerCheck | None = None
    recipe: Recipe | None = None
    variants: tuple[ResolvedModel, ...] = ()
    """All variants of a recipe, the model's own format first."""
    variant_asked: bool = False
    notes: tuple[str, ...] = ()
    """Where the files of a directory contradict its config."""
    hub_id: str | None = None
    """Of a repository that no recipe has; its directory is None until it was pulled."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Its config.json; of a recipe as far as the recipe has it."""

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
            in_flight=self.in_flight,
            check=self.check,
            notes=self.notes,
        )


def resolve(
    text: str, *, variant: str | None = None, recipe_paths: Sequence[Path] = (), ask: Ask | None = None
) -> ResolvedModel:
    """The model that MODEL means; reads a recipe or a config.json, never weights.

    ask: finds a repository that no recipe has at its hub; None: such a one is unknown, unless the store has it.

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
    return _from_hub_id(text, variant, home, found, ask)


def _from_directory(path: Path, variant: str | None) -> ResolvedModel:
    if path.is_file():
        raise UsageError("model.not_a_directory", path=path, parent=path.parent)
    if not path.is_dir():
        raise UsageError("model.no_directory", path=path)
    if variant not in (None, DIRECTORY_VARIANT):
        raise UsageError("model.directory_has_one_variant", variant=variant, path=path)
    # Links stay as they are: the name the user gave is the name they know it by.
    directory = Path(os.path.abspath(path))  # noqa: PTH100
    config, weights = check.read_config(directory), check.weight_files(directory)
    arch = arch_of_files(config, weights.bytes)
    return ResolvedModel(
        name=directory_name(directory),
        variant=DIRECTORY_VARIANT,
        arch=arch,
        directory=directory,
        model_path=directory,
        max_model_len=arch.max_position_embeddings,
        weight_bytes_total=weights.bytes or None,
        notes=contradictions(arch, directory, weights),
        config=config,
    )


def directory_name(directory: Path) -> str:
    """What a directory's model is called: the last part, or the repository's name in the hub's own cache.

    >>> directory_name(Path("/srv/models/Qwen2.5-7B")), directory_name(Path("/c/models--Qwen--Qwen3-8B/snapshots/0a1b"))
    ('Qwen2.5-7B', 'Qwen3-8B')
    """
    if directory.parent.name == "snapshots" and directory.parent.parent.name.startswith("models--"):
        return directory.parent.parent.name.rpartition("--")[2]
    return directory.name


def _from_hub_id(text: str, variant: str | None, home: Home, found: dict[str, Path], ask: Ask | None) -> ResolvedModel:
    from selfhost.app import wanted
    from selfhost.recipe import load

    if (known := wanted.of_slashed(text, variant, found)) is not None:
        recipe, path, named = known
        return from_recipe(recipe, path, named, home)
    if wanted.is_hub_id(text):
        repository = wanted.of_repository(text, home)
        if repository.directory.is_dir():
            return replace(_from_directory(repository.directory, variant), hub_id=text)
        if ask is not None:
            return ask(text, variant)
    if near := load.nearest_names(text, found):
        raise UsageError(
            "model.unknown_hub_id_near", name=text, count=len(found), nearest=", ".join(near), suggestion=near[0]
        )
    raise UsageError("model.unknown_hub_id", name=text, count=len(found))


def from_recipe(recipe: Recipe, path: Path, variant_name: str | None, home: Home) -> ResolvedModel:
    """The model of a recipe, with all its variants; `path` is the recipe's file, for what lies beside it.

    Raises UsageError for a variant it does not have or a config that cannot be understood, NoError for an architecture
    or quantization that is not known, UnservedError where the recipe itself says that no engine serves it.
    """
    wanted = recipe.variant(variant_name).name
    unserved.check(recipe, wanted)
    variants = tuple(_of_recipe(recipe, path, variant, home) for variant in recipe.variants)
    (chosen,) = (variant for variant in variants if variant.variant == wanted)
    return replace(chosen, variants=variants, variant_asked=variant_name is not None)


def _of_recipe(recipe: Recipe, path: Path, variant: Variant, home: Home) -> ResolvedModel:
    asked, config = recipe.check, recipe.config_of(variant)
    return ResolvedModel(
        name=recipe.name,
        variant=variant.name,
        arch=ModelArch.from_config(config),
        directory=None,
        model_path=store.model_directory(home.models, recipe.name, variant.files_of or variant.name),
        max_model_len=recipe.serving.max_model_len or recipe.context,
        weight_bytes_total=variant.bytes_on_disk,
        engine_args=engine_args(recipe, path.parent),
        in_flight=variant.files_of is not None,
        check=AnswerCheck(prompt=asked.prompt, expect=asked.expect) if asked else None,
        recipe=recipe,
        config=config,
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
