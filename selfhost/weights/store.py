"""Models on this machine: `$SELFHOST_HOME/models/<recipe>/<variant>/`, whole or not there at all.

    models/<recipe>/<variant>/selfhost-model.json     the lock: source, revision, size and sha256 of every file
    models/<recipe>/<variant>/config.json ...         the files, as an engine opens them: links to contents (`blobs`)
    models/<recipe>/.<variant>.lock                   held by who prepares, replaces or removes the variant
    models/<recipe>/.<variant>.part-*/                being prepared
    models/<recipe>/.<variant>.old-*/                 was replaced: comes back when nothing has taken its name
    models/<recipe>/.<variant>.gone-*/                was removed

The last three are left only by a killed process; the next one that holds the lock tidies up. A directory gets its final
name by a rename, after everything in it was written and synced. Models of an older selfhost have files of their own
instead of links; everything here takes them as they are.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import IntegrityError
from selfhost.weights.blobs import Blobs, Linked
from selfhost.weights.lock import LOCK_NAME, SCHEMA_VERSION, LockedFile, ModelLock, Origin, lock_from_dict, path_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEFT_BEHIND = ("part", "old", "gone")


def model_directory(models: Path, recipe: str, variant: str) -> Path:
    """Where a variant lies, or will lie."""
    return models / recipe / variant


def directories(models: Path) -> list[Path]:
    """Every model of the store, with a lock or without, sorted."""
    return sorted(path for path in models.glob("*/*") if not _hidden(path, models) and path.is_dir())


def _hidden(path: Path, models: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(models).parts)


def blobs_beside(directory: Path) -> Blobs:
    """The contents of the store that a model directory is in."""
    return Blobs(directory.parents[2] / "blobs")


def read_lock(directory: Path) -> ModelLock:
    """The lock of a model. Raises IntegrityError when it has none, a damaged one or that of a newer selfhost."""
    name, path = f"{directory.parent.name} ({directory.name})", directory / LOCK_NAME
    body = files.read_json(path)
    if body is None:
        raise IntegrityError("model.damaged_lock", name=name, path=directory, detail=f"`{path}` is missing or damaged")
    try:
        if (found := int(body.get("schema_version", 0))) > SCHEMA_VERSION:
            raise IntegrityError("model.newer_store", name=name, path=path, found=found, known=SCHEMA_VERSION)
        return lock_from_dict(body)
    except (TypeError, ValueError) as error:
        raise IntegrityError("model.damaged_lock", name=name, path=directory, detail=f"`{path}`: {error}") from error


def look_up(directory: Path) -> ModelLock | None:
    """The lock of a model that is there with every file in its size; None when it is not there.

    Sizes only: reading all bytes is for `verify`. Raises IntegrityError when something is missing or has another size.
    """
    if not directory.exists():
        return None
    lock = read_lock(directory)
    for file in lock.files:
        if wrong := _wrong_size(directory / file.path, file.size):
            name = f"{directory.parent.name} ({directory.name})"
            raise IntegrityError("model.damaged_store", name=name, path=directory, detail=wrong)
    return lock


def _wrong_size(path: Path, wanted: int) -> str:
    try:
        found = path.stat().st_size
    except OSError as error:
        return f"`{path}`: {error.strerror}"
    return "" if found == wanted else f"`{path}` has {found:,} bytes, {wanted:,} were written"


def entries(directory: Path) -> dict[str, os.stat_result]:
    """Every file below a directory, where links lead, by its path there; the lock too. A link into nowhere is none."""
    found: dict[str, os.stat_result] = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            with contextlib.suppress(OSError):
                if stat.S_ISREG((info := path.stat()).st_mode):
                    found[str(path.relative_to(directory))] = info
    return found


@contextlib.contextmanager
def hold(directory: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the right to prepare a model; `waiting` is called once when another process has it.

    Then tidies up what a killed process left.
    """
    with contextlib.ExitStack() as stack:
        if not stack.enter_context(try_hold(directory)):
            waiting()
            stack.enter_context(files.hold_lock(lock_path(directory)))
            _tidy(directory)
        yield


@contextlib.contextmanager
def try_hold(directory: Path) -> Iterator[bool]:
    """The same, without waiting; yields whether it was got."""
    with files.hold_lock(lock_path(directory), blocking=False) as got:
        if got:
            _tidy(directory)
        yield got


def lock_path(directory: Path) -> Path:
    """Held by who prepares, replaces or removes a model."""
    return directory.parent / f".{directory.name}.lock"


def left_behind(directory: Path, kind: str) -> list[Path]:
    """Folders that processes work in, or that a killed one left; `kind` is one of LEFT_BEHIND."""
    # Not by how it begins: the folders of a model `a.old-b` begin like those of a model `a`.
    name = re.compile(rf"\.{re.escape(directory.name)}\.{kind}-[^.]+")
    try:
        return sorted(path for path in directory.parent.iterdir() if name.fullmatch(path.name))
    except OSError:
        return []


def _tidy(directory: Path) -> None:
    """What a killed process left: a model that was to be replaced, and was not, comes back."""
    for old in left_behind(directory, "old"):
        if not directory.exists() and any(old.iterdir()):
            old.rename(directory)
            files.sync(directory.parent)
    for kind in LEFT_BEHIND:
        for left in left_behind(directory, kind):
            shutil.rmtree(left, ignore_errors=True)


def _beside(directory: Path, kind: str) -> Path:
    """A new folder next to a model, of one of LEFT_BEHIND; as deep as the model, so that relative links hold."""
    return Path(tempfile.mkdtemp(prefix=f".{directory.name}.{kind}-", dir=directory.parent))


@contextlib.contextmanager
def prepare(directory: Path, origin: Origin) -> Iterator[tuple[Path, Path]]:
    """Yields (work, model): a scratch folder, and one that becomes `directory` when the block ends without an error.

    Both lie beside it, on the same file system; nothing of them stays when the block fails. The caller holds `hold`.
    """
    with files.explain_os_errors(directory):
        temporary = _beside(directory, "part")
    try:
        work, model = temporary / "work", temporary / "model"
        work.mkdir()
        model.mkdir()
        yield work, model
        blobs = blobs_beside(directory)
        with files.explain_os_errors(directory), blobs.in_use():
            locked = _take_in(model, blobs)
            lock = ModelLock(recipe=directory.parent.name, variant=directory.name, source=origin, files=locked)
            publish(directory, lock, blobs)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_in(model: Path, blobs: Blobs) -> tuple[LockedFile, ...]:
    """Make contents of the files of a folder."""
    locked = []
    for path in sorted(path for path in model.rglob("*") if path.is_file()):
        # A hard link: the folder is a scratch one, nobody writes to it any more.
        sha256, size = blobs.copy_in(path, link=True)
        locked.append(LockedFile(path=str(path.relative_to(model)), size=size, sha256=sha256))
    return tuple(locked)


def publish(
    directory: Path,
    lock: ModelLock,
    blobs: Blobs,
    check: Callable[[Path], object] = lambda _made: None,
    *,
    symbolic: bool = True,
) -> Counter[Linked]:
    """Make the directory of a model from contents that are there, in the place of an older one; how files were linked.

    check: gets the directory before it has its name; what it raises keeps it from getting it. symbolic: as `Blobs.link`
    has it, for directories that `gc` knows.

    The caller holds `hold` and `blobs.in_use`. Who has files of the older one open keeps them. Raises IntegrityError
    for a lock whose paths do not make a directory.
    """
    if problem := path_problem(file.path for file in lock.files):
        raise IntegrityError("storage.bad_paths", name=f"{lock.recipe} ({lock.variant})", detail=problem)
    files.make_directory(directory.parent)
    with files.explain_os_errors(directory):
        made = _beside(directory, "part")
        try:
            linked: Counter[Linked] = Counter()
            for file in lock.files:
                target = made / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                linked[blobs.link(file.sha256, target, symbolic=symbolic)] += 1
            files.write_json(made / LOCK_NAME, lock.as_dict())
            for folder in (made, *(path for path in made.rglob("*") if path.is_dir())):
                folder.chmod(0o755)
                files.sync(folder)
            check(made)
            _swap(made, directory)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return linked


def _swap(made: Path, directory: Path) -> None:
    old = None
    if directory.is_symlink():
        directory.unlink()
    elif directory.exists():
        old = _beside(directory, "old")
        directory.rename(old)  # onto the empty folder
    made.rename(directory)
    files.sync(directory.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def remove(directory: Path) -> None:
    """Remove a model: at once for who looks for it, then its files. The caller holds `hold`."""
    with files.explain_os_errors(directory):
        if directory.is_symlink():
            # What it leads to is somebody else's.
            directory.unlink()
        if not directory.exists():
            return
        gone = _beside(directory, "gone")
        directory.rename(gone)
        files.sync(directory.parent)
        # A file that is open may stay for a while (NFS): the next one that holds the lock tidies up.
        shutil.rmtree(gone, ignore_errors=True)


def relink(directory: Path, file: LockedFile, blobs: Blobs, *, symbolic: bool) -> None:
    """Give one file of a model the content that is in `blobs` now; `symbolic` is for models of the store.

    The caller holds `hold` and `blobs.in_use`.
    """
    with files.explain_os_errors(directory):
        made = _beside(directory, "part")
        try:
            new, target = made / file.path, directory / file.path
            new.parent.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            blobs.link(file.sha256, new, symbolic=symbolic)
            if target.is_dir() and not target.is_symlink():
                target.rename(made / ".in-the-way")
            # The same content already: a rename between two names of one file does nothing.
            new.replace(target)
            files.sync(target.parent)
        finally:
            shutil.rmtree(made, ignore_errors=True)
