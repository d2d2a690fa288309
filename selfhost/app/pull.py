"""`pull`: the files of a model into the store, verified and locked; and what the store has compared with its source."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from selfhost import files
from selfhost.app import licence, sources, storage
from selfhost.errors import IncompleteError, IntegrityError, NoError, SelfhostError, TrustError, UsageError
from selfhost.messages import text
from selfhost.offline import is_offline
from selfhost.recipe.schema import HUBS
from selfhost.records import dataclass
from selfhost.units import format_bytes
from selfhost.weights import check, store, touched
from selfhost.weights.blobs import Blobs, Linked
from selfhost.weights.checkpoint import shown
from selfhost.weights.lock import ModelLock, Origin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from selfhost.app.gather import Needed
    from selfhost.app.wanted import Wanted
    from selfhost.home import Home
    from selfhost.weights.move.types import MoveOptions, Progress

_SHORT = 12
_REFUSED_OFFLINE = ("places.offline", "places.none_reachable")
"""What is raised for places on other machines while no connection to them may be opened."""


class Talk(licence.Asking, Protocol):
    """The other side of a long piece of work: who is told, and asked."""

    def warn(self, line: str) -> None:
        """Tell something that may have been overlooked."""

    def moving(self, sizes: Mapping[str, int | None], have_bytes: int) -> AbstractContextManager[Progress]:
        """Show how far files are that are moved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PullRequest:
    """What the user may decide."""

    revision: str | None = None
    """A commit, branch or tag; None: what the recipe names, else the main branch."""
    source: str | None = None
    """`huggingface`, `modelscope`, `wheel`, an address of a mirror, or a directory; None: the first that answers."""
    update: bool = False
    """Take what the source has in place of what the store has."""
    accept_licence: tuple[str, ...] = ()
    engine_python: Path | None = None
    """Of the engine that converts what comes in a wheel; None: the CPU engine that is installed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """A model that is in the store, whole."""

    wanted: Wanted
    lock: ModelLock
    downloaded_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "schema_version": 1,
            "model": self.wanted.name,
            "variant": self.wanted.variant,
            "path": str(self.wanted.directory),
            "source": {"kind": self.lock.source.kind, "id": self.lock.source.id},
            "revision": self.lock.source.revision,
            "files": [asdict(file) for file in self.lock.files],
            "bytes_total": self.lock.total_bytes,
            "bytes_downloaded": self.downloaded_bytes,
        }


def pull(  # noqa: PLR0913 - what, how, where, and whom to tell
    wanted: Wanted, request: PullRequest, home: Home, options: MoveOptions, talk: Talk, *, serving: bool = False
) -> Pulled:
    """Make sure that the model is in the store. What is there is not replaced unless `request.update`.

    serving: what is there is opened next: it is not compared with its source, no connection is opened for it.

    Raises UsageError for what goes with no model of that kind, TrustError for terms that are not accepted, NoError when
    the store has another revision than the one asked for, another model, or one to replace that a server runs with,
    IncompleteError when no source can be had, IntegrityError for wrong content, NoSpaceError before bytes move.
    """
    if request.revision is not None and not request.revision.strip():
        # An unset variable in a script: not a wish for the main branch.
        raise UsageError("pull.empty_revision", name=wanted.shown)
    if wanted.recipe is not None:
        licence.check(wanted.name, wanted.recipe.licence, home, request.accept_licence, talk)
    elif request.accept_licence:
        raise UsageError("pull.no_terms", name=wanted.shown, given=request.accept_licence[0])
    # What is there is looked up without the right to change it: the store may be one that this user may only read.
    lock = None if request.update else _known(wanted.directory)
    if lock is None:
        pulled = _make(wanted, request, home, options, talk)
        if pulled is not None:
            return pulled
        lock = store.read_lock(wanted.directory)
    if not sources.is_of(wanted, lock):
        raise NoError("pull.other_model", name=wanted.shown, path=wanted.directory, id=lock.source.id)
    if not serving:
        _compare(wanted, request, lock, talk)
    return Pulled(wanted=wanted, lock=lock)


def _make(wanted: Wanted, request: PullRequest, home: Home, options: MoveOptions, talk: Talk) -> Pulled | None:
    """Fetch it, under the lock; None when another process has made it meanwhile."""
    with (
        files.explain_os_errors(wanted.directory),
        store.hold(wanted.directory, lambda: talk.note(text("model.waiting", name=wanted.shown))),
    ):
        # Looked up again, under the lock; raises for what is there and damaged.
        if not request.update and store.look_up(wanted.directory) is not None:
            return None
        try:
            return _fetch(wanted, request, home, options, talk)
        except IncompleteError as error:
            if is_offline() and error.message.id in _REFUSED_OFFLINE:
                raise IncompleteError("pull.offline", name=wanted.shown, path=wanted.directory) from error
            raise


def _fetch(wanted: Wanted, request: PullRequest, home: Home, options: MoveOptions, talk: Talk) -> Pulled:
    chosen = sources.choose(wanted, request.source or sources.of_update(wanted), request.revision)
    talk.note(chosen.said)
    if isinstance(chosen, sources.FromWheel):
        from selfhost.app import wheel

        storage.check_unused(home, [wanted.directory])
        lock = wheel.prepare(wanted, chosen, home, request.engine_python, talk.note)
        downloaded = 0 if chosen.wheelhouse else chosen.source.size_bytes or 0
        return Pulled(wanted=wanted, lock=lock, downloaded_bytes=downloaded)
    from selfhost.app.gather import Gatherer

    blobs = Blobs(home.blobs)
    files.make_directory(wanted.directory.parent)
    with blobs.in_use():
        gatherer = Gatherer(chosen.place, blobs, options, talk.moving)
        needed = gatherer.need(sources.listing(chosen.place, request.revision), chosen.promised)
        to_come = gatherer.check_space(needed, wanted.shown, files.make_directory(home.blobs))
        talk.note(_announcement(wanted, needed, to_come, files.free_bytes(home.blobs)))
        _tell_code(wanted, needed, talk)
        # What has come is kept when the rest does not come today.
        blobs.want(str(wanted.directory), (file.sha256 for file in needed.files if file.sha256))
        gathered = gatherer.bring(needed)
        lock = ModelLock(
            recipe=wanted.directory.parent.name,
            variant=wanted.directory.name,
            source=needed.origin,
            files=gathered.files,
        )
        _publish(wanted, lock, home, blobs, talk)
        blobs.unwant(str(wanted.directory))
    return Pulled(wanted=wanted, lock=lock, downloaded_bytes=gathered.downloaded_bytes)


def _publish(wanted: Wanted, lock: ModelLock, home: Home, blobs: Blobs, talk: Talk) -> None:
    if lock == _known(wanted.directory) and not touched.written_since(wanted.directory, lock):
        talk.note(text("pull.unchanged", name=wanted.shown))
        return
    storage.check_unused(home, [wanted.directory])
    linked = store.publish(wanted.directory, lock, blobs, lambda made: _check(made, wanted, talk))
    if linked[Linked.COPY]:
        talk.note(text("pull.copied", path=wanted.directory))


def _tell_code(wanted: Wanted, needed: Needed, talk: Talk) -> None:
    """Say what would be run with the model: nobody reads a configuration before serving it."""
    code = needed.code
    if code.files:
        talk.warn(text("pull.code", name=wanted.shown, files=shown(file.path for file in code.files)))
    if others := (*code.absent, *code.elsewhere):
        talk.warn(text("pull.code_elsewhere", name=wanted.shown, others=shown(others)))


def _known(directory: Path) -> ModelLock | None:
    """The lock of what is there, when it is whole by names and sizes."""
    try:
        return store.look_up(directory)
    except IntegrityError:
        return None


def _check(made: Path, wanted: Wanted, talk: Talk) -> None:
    """Refuse what is damaged or unsafe at its source; what else an engine may miss is told."""
    for error in check.structure_problems(made):
        params = {name: wanted.shown if value == made else value for name, value in error.message.params.items()}
        named = type(error)(error.message.id, **params)
        if isinstance(error, (IntegrityError, TrustError)):
            raise named
        talk.warn(f"{named.message.what}: {named.message.why}")


def _announcement(wanted: Wanted, needed: Needed, to_come: int, free: int) -> str:
    return text(
        "pull.announced",
        name=wanted.shown,
        count=len(needed.files),
        total=format_bytes(needed.total_bytes),
        to_come=format_bytes(to_come),
        free=format_bytes(free),
        revision=short(needed.origin.revision),
        path=wanted.directory,
    )


def short(revision: str | None) -> str:
    """A commit as people quote it; other revisions as they are."""
    if revision is None:
        return "-"
    return revision[:_SHORT] if len(revision) > _SHORT and revision.isalnum() else revision


def _compare(wanted: Wanted, request: PullRequest, lock: ModelLock, talk: Talk) -> None:
    """Say where the source has moved on; the store keeps what it has. Raises NoError when another was asked for."""
    asked = request.revision
    if asked and lock.source.revision and sources.is_same(lock.source.revision, asked) and request.source is None:
        return
    if asked is None and request.source is None and (pinned := _pinned(wanted, lock)) is not None:
        if pinned != lock.source.revision:
            have = short(lock.source.revision)
            talk.warn(text("pull.recipe_moved", name=wanted.shown, have=have, now=short(pinned)))
        return
    if is_offline() and asked is None:
        return
    try:
        differs = _difference(wanted, request, lock)
    except SelfhostError as error:
        if asked or request.source:
            raise
        talk.note(text("pull.not_compared", name=wanted.shown, reason=error.message.what))
        return
    if differs is None:
        return
    now, detail = differs
    if asked:
        raise NoError(
            "pull.other_revision",
            name=wanted.shown,
            have=short(lock.source.revision),
            now=short(now.revision),
            detail=detail,
        )
    have = short(lock.source.revision)
    talk.warn(text("pull.moved", name=wanted.shown, have=have, now=short(now.revision), detail=detail))


def _pinned(wanted: Wanted, lock: ModelLock) -> str | None:
    """The revision that the recipe names for the source that the store's copy came from."""
    source = lock.source
    return next((s.revision for s in wanted.sources if (s.kind.value, s.id) == (source.kind, source.id)), None)


def _difference(wanted: Wanted, request: PullRequest, lock: ModelLock) -> tuple[Origin, str] | None:
    """What the source has now, where that is not what the store has."""
    source = request.source or (lock.source.kind if lock.source.kind in HUBS else None)
    chosen = sources.choose(wanted, source, request.revision)
    if isinstance(chosen, sources.FromWheel):
        return None
    listing = sources.listing(chosen.place, request.revision)
    same = (listing.origin.kind, listing.origin.id) == (lock.source.kind, lock.source.id)
    if same and listing.origin.revision == lock.source.revision:
        return None
    locked = {file.path: file for file in lock.files}
    there = {file.path: file for file in listing.files}
    changed = [
        path
        for path, file in locked.items()
        if path not in there
        or (there[path].sha256 or file.sha256) != file.sha256
        or (there[path].size or file.size) != file.size
    ]
    if not changed and not same:
        # The same content at another place: nothing to report.
        return None
    return listing.origin, text("pull.changed", files=shown(changed)) if changed else text("pull.same_files")
