"""What the store holds: models with their sizes, what each takes for itself, and downloads that are not complete.

Sizes and names only; no file of a model is read but its lock.
"""

from __future__ import annotations

from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.errors import IntegrityError
from selfhost.records import dataclass
from selfhost.weights import store
from selfhost.weights.lock import LOCK_NAME, MODEL_SIGNATURE_NAME

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from selfhost.weights.blobs import Blobs
    from selfhost.weights.lock import ModelLock

_BLOCK_BYTES = 512
_SHOWN_KEY = 12


class State(StrEnum):
    """As names and sizes tell; whether the bytes are right is for `verify`."""

    WHOLE = "whole"
    DAMAGED = "damaged"
    UNLOCKED = "unlocked"
    """Without a lock: somebody else put it there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredModel:
    """One model directory of the store."""

    directory: Path
    state: State
    problem: str
    """What is wrong with it; empty for a whole one."""
    lock: ModelLock | None
    size_bytes: int
    """All files together."""
    unique_bytes: int
    """Of these, what no other model of the store has too."""
    file_count: int

    @property
    def name(self) -> str:
        """The recipe, or the organisation of a hub id without a recipe."""
        return self.directory.parent.name

    @property
    def variant(self) -> str:
        """The variant, or the name of a hub id without a recipe."""
        return self.directory.name

    def as_dict(self) -> dict[str, Any]:
        """One of `models` of `ls --json`."""
        source = self.lock.source if self.lock else None
        return {
            "name": self.name,
            "variant": self.variant,
            "path": str(self.directory),
            "state": self.state.value,
            "problem": self.problem or None,
            "size_bytes": self.size_bytes,
            "unique_bytes": self.unique_bytes,
            "files": self.file_count,
            "source": {"kind": source.kind, "id": source.id, "revision": source.revision} if source else None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Partial:
    """A download that is not complete."""

    path: Path
    name: str
    """The file's name where the journal beside it tells, else the start of the key."""
    size_bytes: int
    """When it will be complete."""
    there_bytes: int
    modified_at: float
    """Seconds since 1970: when something was last written to it."""

    def as_dict(self) -> dict[str, Any]:
        """One of `partials` of `ls --json`."""
        return {
            "name": self.name,
            "path": str(self.path),
            "size_bytes": self.size_bytes,
            "there_bytes": self.there_bytes,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """Everything in the store."""

    models: tuple[StoredModel, ...]
    partials: tuple[Partial, ...]
    blob_count: int
    blob_bytes: int
    reclaimable_bytes: int
    """What `gc` would free: contents that no model has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """Which contents models have: by the name in their locks, and by the files themselves.

    The second counts where a lock cannot be read: a damaged one must not cost the contents that it names.
    """

    sha256: frozenset[str]
    inodes: frozenset[tuple[int, int]]

    def has(self, sha256: str, info: os.stat_result) -> bool:
        """Whether some model has this content."""
        return sha256 in self.sha256 or inode(info) in self.inodes


def inode(info: os.stat_result) -> tuple[int, int]:
    """What tells one file from another, whatever its names."""
    return info.st_dev, info.st_ino


def used_by(directories: Iterable[Path]) -> Used:
    """What these model directories have."""
    names: set[str] = set()
    inodes: set[tuple[int, int]] = set()
    for directory in directories:
        if lock := lock_of(directory):
            names |= {file.sha256 for file in lock.files}
        inodes |= {inode(info) for info in store.entries(directory).values()}
    return Used(sha256=frozenset(names), inodes=frozenset(inodes))


def lock_of(directory: Path) -> ModelLock | None:
    """The lock of a model; None when it has none that can be read."""
    try:
        return store.read_lock(directory)
    except IntegrityError:
        return None


def users(models: Path) -> list[Path]:
    """Every folder that may hold on to contents: models, and those that a killed process left while replacing them."""
    return sorted(
        path
        for path in models.glob("*/*")
        if path.is_dir() and not (path.name.startswith(".") and ".gone-" in path.name)
    )


def unused(models: Path, blobs: Blobs, wanted_after_s: float = 0.0, given_up: Collection[str] = ()) -> dict[str, int]:
    """Contents that no model has, and the bytes that each frees: none where something else has the file too.

    wanted_after_s: those of a download that is not done, begun after this time, are not among them; but for those
    given up, by name.
    """
    used, found = used_by(users(models)), {}
    wanted = blobs.wanted(wanted_after_s, given_up)
    for sha256, info in blobs.sizes().items():
        if sha256 not in wanted and not used.has(sha256, info):
            found[sha256] = info.st_size if info.st_nlink == 1 else 0
    return found


def take(models: Path, blobs: Blobs) -> Inventory:
    """Everything in the store, sorted."""
    directories = store.directories(models)
    entries = {directory: store.entries(directory) for directory in directories}
    owners: dict[tuple[int, int], set[Path]] = defaultdict(set)
    for directory, listed in entries.items():
        for info in listed.values():
            owners[inode(info)].add(directory)
    sizes = [info.st_size for info in blobs.sizes().values()]
    return Inventory(
        models=tuple(_model(directory, entries[directory], owners) for directory in directories),
        partials=tuple(partials(blobs)),
        blob_count=len(sizes),
        blob_bytes=sum(sizes),
        reclaimable_bytes=sum(unused(models, blobs).values()),
    )


def _model(directory: Path, listed: dict[str, os.stat_result], owners: dict[tuple[int, int], set[Path]]) -> StoredModel:
    problem, state, lock = "", State.WHOLE, lock_of(directory)
    try:
        store.look_up(directory)
    except IntegrityError as error:
        problem = error.message.why
        state = State.DAMAGED if LOCK_NAME in listed else State.UNLOCKED
    own = {path: info for path, info in listed.items() if path not in (LOCK_NAME, MODEL_SIGNATURE_NAME)}
    held = {inode(info): info.st_size for info in own.values()}
    return StoredModel(
        directory=directory,
        state=state,
        problem=problem,
        lock=lock,
        size_bytes=sum(info.st_size for info in own.values()),
        unique_bytes=sum(size for key, size in held.items() if owners[key] == {directory}),
        file_count=len(own),
    )


def partials(blobs: Blobs) -> list[Partial]:
    """Downloads that are not complete, by file name."""
    found = []
    for path in (blobs.root / "partial").glob("*.part"):
        try:
            info = path.stat()
        except OSError:  # complete by now
            continue
        journal = files.read_json(path.with_suffix(".json")) or {}
        name, size = journal.get("path"), journal.get("size")
        found.append(
            Partial(
                path=path,
                name=name if isinstance(name, str) else path.stem[:_SHOWN_KEY],
                size_bytes=size if isinstance(size, int) else info.st_size,
                # Ranges are written where they belong: what is missing are holes.
                there_bytes=min(info.st_blocks * _BLOCK_BYTES, info.st_size),
                modified_at=info.st_mtime,
            )
        )
    return sorted(found, key=lambda partial: (partial.name, partial.path))
