"""Give space back: models that are not wanted any more, contents that no model has, what killed processes left."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import MissingError, NoError
from selfhost.records import dataclass
from selfhost.weights import inventory, store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from selfhost.weights.blobs import Blobs


@dataclass(frozen=True, kw_only=True, slots=True)
class Reclaimed:
    """What was removed, or would be."""

    models: tuple[Path, ...] = ()
    blobs: tuple[str, ...] = ()
    partials: tuple[Path, ...] = ()
    leftovers: tuple[Path, ...] = ()
    """Folders and files of killed processes."""
    freed_bytes: int = 0
    blobs_kept: bool = False
    """A download runs: contents stay, `gc` removes them later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GcOptions:
    """What `gc` may remove."""

    partials_before: float
    """Partial downloads that were last written to before this time, in seconds since 1970."""
    dry_run: bool = False
    given_up: tuple[str, ...] = ()
    """Downloads and imports that will not be gone on with, by name."""
    beside: tuple[Path, ...] = ()
    """Folders of wheelhouses and images: what killed processes left there goes, too."""


# Models


def removal(directories: Sequence[Path], models: Path, blobs: Blobs) -> tuple[set[str], int]:
    """What goes with these models: contents that only they have, and bytes that are freed altogether."""
    staying = inventory.used_by(path for path in inventory.users(models) if path not in directories)
    going = {file.sha256 for d in directories if (lock := inventory.lock_of(d)) for file in lock.files}
    contents: set[str] = set()
    names: dict[tuple[int, int], set[Path]] = {}
    sizes: dict[tuple[int, int], tuple[int, int]] = {}

    def count(path: Path) -> None:
        info = path.lstat()
        key = inventory.inode(info)
        names.setdefault(key, set()).add(path)
        sizes[key] = (info.st_size, info.st_nlink)

    for sha256 in going:
        path = blobs.path(sha256)
        if path.exists() and not staying.has(sha256, path.stat()):
            contents.add(sha256)
            count(path)
    for directory in directories:
        # What a link leads to stays.
        for name in () if directory.is_symlink() else store.entries(directory):
            count(directory / name)
    # A file is gone when its last name is.
    return contents, sum(size for key, (size, links) in sizes.items() if len(names[key]) >= links)


def remove_models(
    directories: Sequence[Path], models: Path, blobs: Blobs, waiting: Callable[[], None], *, dry_run: bool
) -> Reclaimed:
    """Remove models, and the contents that nobody else has; those stay while a download runs."""
    with contextlib.ExitStack() as stack:
        sole = True
        if not dry_run:
            for directory in sorted(directories):
                stack.enter_context(store.hold(directory, waiting))
            sole = stack.enter_context(blobs.sole_use())
        _check_seen(models, blobs)
        contents, freed = removal(directories, models, blobs)
        if not dry_run:
            for directory in directories:
                store.remove(directory)
            for sha256 in contents if sole else ():
                blobs.remove(sha256)
    return Reclaimed(
        models=tuple(directories),
        blobs=tuple(sorted(contents)) if sole else (),
        freed_bytes=freed if sole else 0,
        blobs_kept=not sole and bool(contents),
    )


# Everything else


def collect(models: Path, blobs: Blobs, options: GcOptions) -> Reclaimed:
    """Remove contents that no model has, partial downloads that are old, and what killed processes left.

    Raises NoError while a download or a repair runs: it may count on contents that no model has yet; MissingError where
    models may be that cannot be seen.
    """
    with blobs.sole_use() as got:
        if not got:
            raise NoError("storage.pull_runs")
        _check_seen(models, blobs)
        leftovers, left_bytes = _leftovers(_being_changed(models, options.beside), blobs, dry_run=options.dry_run)
        contents = inventory.unused(models, blobs, options.partials_before, options.given_up)
        partials, partial_bytes = _partials(blobs, options)
        if not options.dry_run:
            for sha256 in contents:
                blobs.remove(sha256)
            blobs.forget_wanted(options.partials_before)
            for name in options.given_up:
                blobs.unwant(name)
    return Reclaimed(
        blobs=tuple(contents),
        partials=tuple(partials),
        leftovers=tuple(leftovers),
        freed_bytes=sum(contents.values()) + partial_bytes + left_bytes,
    )


def _partials(blobs: Blobs, options: GcOptions) -> tuple[list[Path], int]:
    removed, freed = [], 0
    for partial in inventory.partials(blobs):
        if partial.modified_at >= options.partials_before:
            continue
        with files.hold_lock(partial.path, blocking=False) as got:
            if not got:
                continue
            removed.append(partial.path)
            freed += partial.there_bytes
            if not options.dry_run:
                partial.path.with_suffix(".json").unlink(missing_ok=True)
                partial.path.unlink(missing_ok=True)
    folder = blobs.root / "partial"
    if not options.dry_run:
        # Journals and locks of parts that are gone; nobody downloads meanwhile.
        for path in (*folder.glob("*.json"), *folder.glob("*.lock")):
            if not path.with_suffix(".part").exists():
                path.unlink(missing_ok=True)
    return removed, freed


def _check_seen(models: Path, blobs: Blobs) -> None:
    """Raises MissingError when models may be where nothing can be seen: what they have would look unused."""
    if next(blobs.digests(), None) is None:
        return
    path = models
    try:
        folders = [path for path in models.iterdir() if path.is_dir()]
        for path in folders:
            next(path.iterdir(), None)
    except OSError as error:
        raise MissingError("storage.unseen", path=path, detail=error.strerror, blobs=blobs.root) from error
    if not folders:
        # Downloads make a folder there before the first content: a share that is not mounted looks like this.
        raise MissingError("storage.unseen", path=models, detail="it is empty", blobs=blobs.root)


def _leftovers(changing: Sequence[Path], blobs: Blobs, *, dry_run: bool) -> tuple[list[Path], int]:
    found, freed = [], 0
    for directory in changing:
        before = [path for kind in store.LEFT_BEHIND for path in store.left_behind(directory, kind)]
        if dry_run:
            # Whether a process still works there shows only when its lock is tried.
            with files.hold_lock(store.lock_path(directory), blocking=False) as got:
                found += before if got else []
            continue
        sizes = {path: _own_bytes(path) for path in before}
        with store.try_hold(directory) as got:
            gone = [path for path in before if not path.exists()] if got else []
        found += gone
        # One that came back under its name was not removed.
        freed += sum(sizes[path] for path in gone if not directory.exists() or _own_bytes(directory) != sizes[path])
    for path in blobs.strays():
        found.append(path)
        if not dry_run:
            path.unlink(missing_ok=True)
    return found, freed


def _being_changed(models: Path, beside: Sequence[Path]) -> list[Path]:
    """Names that a process works beside, or did."""
    found = set()
    for path in (*models.glob("*/.*"), *(one for folder in beside for one in folder.glob(".*"))):
        for kind in store.LEFT_BEHIND:
            name, separator, _ = path.name[1:].rpartition(f".{kind}-")
            if separator and path.is_dir():
                found.add(path.parent / name)
    return sorted(found)


def _own_bytes(folder: Path) -> int:
    """What goes with a folder: files that have no other name."""
    return sum(info.st_size for info in store.entries(folder).values() if info.st_nlink == 1)
