"""`recipe new`: begin a recipe, or a variant of one, from what a hub or a directory says of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files, offline
from selfhost.app import lint, recipe_seen, wanted
from selfhost.app.recipe_variant import place_of, variant_text
from selfhost.errors import IncompleteError, UsageError
from selfhost.home import find_home, user_path
from selfhost.messages import text
from selfhost.recipe import draft, load
from selfhost.recipe.draft_text import as_toml
from selfhost.recipe.schema import NAME
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.app.lint import LintedFile
    from selfhost.recipe.draft import Seen
    from selfhost.recipe.schema import Recipe

STDOUT = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRequest:
    """What was asked; None: derived."""

    what: str
    """A hub id or a directory."""
    name: str | None = None
    """Of the recipe; of the variant with `variant_of`."""
    family: str | None = None
    title: str | None = None
    variant_of: str | None = None
    output: str | None = None
    """A file, or `-`."""
    source: str | None = None
    revision: str | None = None
    force: bool = False
    recipe_paths: Sequence[Path] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """A recipe that was begun."""

    name: str
    variant: str
    path: Path | None
    """None: it was not written, only made."""
    content: str
    todos: tuple[str, ...]
    linted: LintedFile
    notes: tuple[str, ...]
    """What else the user should know, one sentence each."""
    next_steps: tuple[str, ...]
    """Commands, one line each."""

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        linted = self.linted.as_dict()
        return {
            "schema_version": 1,
            "name": self.name,
            "variant": self.variant,
            "path": None if self.path is None else str(self.path),
            "toml": self.content,
            "todo": list(self.todos),
            "notes": list(self.notes),
            "readable": linted["readable"],
            "error": linted["error"],
            "findings": linted["findings"],
        }


def begin(request: NewRequest) -> Begun:
    """Look at a model, write the recipe (but for `--output -`), and lint it.

    Raises UsageError for a name or file that is taken or cannot be, and what looking at the model raises.
    """
    _check_options(request)
    target = None if request.output in (None, STDOUT) else user_path(str(request.output)).absolute()
    if request.variant_of is None:
        _check_name(request, target)
    seen = _look(request)
    return _variant(request, seen, target) if request.variant_of is not None else _recipe(request, seen, target)


def _check_options(request: NewRequest) -> None:
    if request.name is not None and not NAME.fullmatch(request.name):
        raise UsageError("draft.bad_name", name=request.name)
    if request.variant_of is not None:
        for option, value in (("--family", request.family), ("--title", request.title)):
            if value is not None:
                raise UsageError("draft.variant_options", option=option)


def _check_name(request: NewRequest, target: Path | None) -> None:
    """Before anything is asked: what can be told from the command alone."""
    if target is not None:
        if target.suffix != ".toml" or not NAME.fullmatch(target.stem):
            name = request.name or draft.name_of(target.stem)
            raise UsageError("draft.output_name", path=target, name=name)
        if request.name not in (None, target.stem):
            raise UsageError("draft.output_name", path=target, name=request.name)


def _look(request: NewRequest) -> Seen:
    path = user_path(request.what)
    if request.what.strip() and (path.is_dir() or request.what.startswith((".", "/", "~"))):
        for option, value in (("--source", request.source), ("--revision", request.revision)):
            if value is not None:
                raise UsageError("draft.directory_source", option=option, path=path)
        return recipe_seen.in_folder(path)
    if not wanted.is_hub_id(request.what):
        raise UsageError("draft.not_a_model", what=request.what)
    _check_known(request)
    try:
        return recipe_seen.at_hub(request.what, request.source, request.revision)
    except IncompleteError as error:
        if not offline.is_offline():
            raise
        stored = wanted.of_repository(request.what, find_home()).directory
        reason = error.message.why or error.message.what
        directory = stored if stored.is_dir() else "DIRECTORY"
        raise IncompleteError("draft.offline", id=request.what, reason=reason, directory=directory) from error


def _check_known(request: NewRequest) -> None:
    """A recipe among the user's own must not have a hub id that another recipe has."""
    if request.output is not None:
        return
    found = load.find_recipes(find_home(), request.recipe_paths)
    if (known := wanted.of_slashed(request.what, None, found)) is None:
        return
    recipe, path, variant = known
    if path == find_home().recipes / path.name and request.force and request.variant_of is None:
        return  # the one that is written anew
    what = text("draft.a_variant", variant=variant) if variant else text("draft.the_model_itself")
    raise UsageError("draft.hub_id_known", id=request.what, recipe=recipe.name, what=what)


def _recipe(request: NewRequest, seen: Seen, target: Path | None) -> Begun:
    home = find_home()
    name = request.name or (target.stem if target else draft.name_of(seen.repository))
    builtin = load.builtin_of(Path(f"{name}.toml"))
    if request.output is None and builtin is not None:
        raise UsageError("draft.name_taken", name=name, path=home.recipes / f"{name}.toml")
    asked = draft.Asked(name=name, family=request.family, title=request.title)
    begun = draft.draft(seen, asked, builtin_recipes(), lint.pinned_engine().architectures)
    written = as_toml(begun, request.what)
    path = target or home.recipes / f"{name}.toml"
    shown = None if request.output == STDOUT else path
    if shown is not None:
        _write(shown, written.text, force=request.force)
    plan = "draft.next_plan" if path.is_relative_to(home.recipes) else "draft.next_plan_elsewhere"
    return Begun(
        name=name,
        variant=begun.variant.name,
        path=shown,
        content=written.text,
        todos=written.todos,
        linted=lint.lint_text(written.text, path),
        notes=_made_of(seen, request),
        next_steps=(text("draft.next_lint", path=path), text(plan, path=path, name=name)),
    )


def builtin_recipes() -> list[Recipe]:
    """Those that ship with selfhost, by name."""
    folder = load.builtin_directory()
    return [load.read_recipe(path) for path in sorted(folder.glob("*/*.toml"))]


def _made_of(seen: Seen, request: NewRequest) -> tuple[str, ...]:
    """Recipes of what it was made of: a quantized copy is a variant there."""
    if draft.quantization_of(seen.config) is None:
        return ()
    found = load.find_recipes(find_home(), request.recipe_paths)
    known = ((base, wanted.of_slashed(base, None, found)) for base in seen.base_models)
    return tuple(text("draft.made_of", base=base, recipe=one[0].name) for base, one in known if one is not None)


def _write(path: Path, content: str, *, force: bool) -> None:
    with files.explain_os_errors(path):
        there = path.exists()
    if there and not force:
        raise UsageError("draft.exists", path=path)
    files.make_directory(path.parent)
    with files.atomic_write(path) as stream:
        stream.write(content.encode())


def _variant(request: NewRequest, seen: Seen, target: Path | None) -> Begun:
    home = find_home()
    found = load.find_recipes(home, request.recipe_paths)
    recipe = load.load_recipe(str(request.variant_of), home, request.recipe_paths)
    place = place_of(recipe, found[recipe.name], home.recipes, target)
    if request.output == STDOUT:
        variant, content = variant_text(seen, place, request.what, name=request.name, force=request.force)
    else:
        # What `quantize` holds while it writes there.
        with files.hold_lock(home.recipes / ".quantize.lock"):
            variant, content = variant_text(seen, place, request.what, name=request.name, force=request.force)
            _write(place.path, content, force=request.force or not place.alone)
    plan = text("draft.next_plan_variant", name=recipe.name, variant=variant)
    return Begun(
        name=recipe.name,
        variant=variant,
        path=None if request.output == STDOUT else place.path,
        content=content,
        todos=(),
        linted=lint.lint_text(content, place.path),
        notes=(),
        next_steps=(text("draft.next_lint", path=place.path), plan),
    )
