"""Which models a mirror has, under which ids and revisions: from the locks of the store."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.recipe.schema import HUBS, SourceKind
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from selfhost.weights.lock import LockedFile, ModelLock, Origin

OWN = "selfhost"
"""The organisation under which recipes are."""
BRANCH = "main"
_ID = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A model of the store."""

    directory: Path
    lock: ModelLock
    written_ns: int
    """When its lock was written."""
    hub_id: str | None = None
    """By which a hub has it, where the lock does not say so: it came from another mirror."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedFile:
    """A file, and the model of the store that it is in."""

    locked: LockedFile
    directory: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """One state of a model under one id."""

    id: str
    commit: str
    """40 hex digits, which clients take it by: the hub's own where it has one, else of the content."""
    lock: ModelLock
    """As it is given to others: it names no path of this machine."""
    files: Mapping[str, ServedFile]
    """By path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """All states of a model under one id."""

    id: str
    snapshots: tuple[Snapshot, ...]
    """The one that was stored last comes last."""

    def find(self, revision: str) -> Snapshot | None:
        """By commit, by `main`, or by the variant of a recipe; None when there is none, or `main` may mean several."""
        if revision == BRANCH:
            # Variants of a recipe are different models, not one that moved on.
            return None if self._is_recipe and len(self.snapshots) > 1 else self.snapshots[-1]
        return next((one for one in self.snapshots if revision in self._names(one)), None)

    def _names(self, snapshot: Snapshot) -> tuple[str, ...]:
        return (snapshot.lock.variant, snapshot.commit) if self._is_recipe else (snapshot.commit,)

    @property
    def _is_recipe(self) -> bool:
        return self.id.startswith(f"{OWN}/")

    @property
    def revisions(self) -> tuple[str, ...]:
        """What may be asked for, for people."""
        return tuple(self._names(one)[0] for one in self.snapshots)


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalogue:
    """Everything a mirror has."""

    repositories: Mapping[str, Repository]
    """By id in lower case: hubs do not tell it from upper case."""
    models: int
    """How many models of the store that is: each has several ids."""

    def get(self, model_id: str) -> Repository | None:
        """The model of an id."""
        return self.repositories.get(model_id.lower())


def catalogue(stored: Iterable[Stored]) -> Catalogue:
    """What the mirror says of these models, whatever order they come in.

    Two models of one hub id and commit (two files of one GGUF repository, say) are one repository with the files of
    both: what a commit has under a path is the same wherever it lies.
    """
    found: dict[str, dict[str, Snapshot]] = {}
    ids: dict[str, str] = {}
    ordered = sorted(stored, key=lambda one: (one.written_ns, str(one.directory)))
    for one in ordered:
        for model_id, commit in _names(one.lock, one.hub_id):
            ids.setdefault(model_id.lower(), model_id)
            snapshots = found.setdefault(model_id.lower(), {})
            new = _snapshot(ids[model_id.lower()], commit, one)
            # Taken out first, so that what was stored last comes last.
            snapshots[commit] = _merged(snapshots.pop(commit, None), new)
    repositories = {key: Repository(id=ids[key], snapshots=tuple(found[key].values())) for key in sorted(found)}
    return Catalogue(repositories=repositories, models=len(ordered))


def _names(lock: ModelLock, known_hub_id: str | None) -> list[tuple[str, str]]:
    """(id, commit): each way to ask for a model."""
    content, revision = _content_commit(lock), lock.source.revision or ""
    commit = revision if _COMMIT.fullmatch(revision) else content
    by_name = f"{lock.recipe}/{lock.variant}"
    found = [(by_name, commit)] if _ID.fullmatch(by_name) else []
    hub_id = lock.source.id if lock.source.kind in HUBS else known_hub_id
    if hub_id is not None and _ID.fullmatch(hub_id):
        if hub_id.lower() == by_name.lower():
            return [(hub_id, commit)]  # without a recipe it is stored under its hub id
        found.append((hub_id, commit))
    if _ID.fullmatch(lock.recipe):
        # Of the content: two variants may be of one commit of one repository.
        found.append((f"{OWN}/{lock.recipe}", content))
    return found


def _content_commit(lock: ModelLock) -> str:
    lines = sorted(f"{file.sha256} {file.size} {file.path}\n" for file in lock.files)
    text = "".join((f"{lock.recipe} {lock.variant}\n", *lines))
    return hashlib.sha1(text.encode(errors="surrogateescape"), usedforsecurity=False).hexdigest()


def _snapshot(model_id: str, commit: str, one: Stored) -> Snapshot:
    return Snapshot(
        id=model_id,
        commit=commit,
        lock=replace(one.lock, source=_told(one.lock)),
        files={file.path: ServedFile(locked=file, directory=one.directory) for file in one.lock.files},
    )


def _told(lock: ModelLock) -> Origin:
    """Where a model came from, as others may know it: a path or an address in this network is not theirs."""
    if lock.source.kind in (*HUBS, SourceKind.WHEEL):
        return lock.source
    return replace(lock.source, id=f"{lock.recipe}/{lock.variant}")


def _merged(older: Snapshot | None, newer: Snapshot) -> Snapshot:
    if older is None:
        return newer
    files = {**newer.files, **older.files}
    lock = replace(older.lock, files=tuple(files[path].locked for path in sorted(files)))
    return replace(newer, files=files, lock=lock)
