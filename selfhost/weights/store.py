"""Models on this machine: `$SELFHOST_HOME/models/<recipe>/<variant>/`, whole or not there at all.

    models/<recipe>/<variant>/selfhost-model.json     the lock: source, revision, size and sha256 of every file
    models/<recipe>/<variant>/config.json ...         the files, as an engine opens them
    models/<recipe>/.<variant>.lock                   held by who prepares the variant
    models/<recipe>/.<variant>.part-*/                being prepared; left only by a killed process, removed by the next

A directory gets its final name by a rename, after everything in it was written and synced.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import IntegrityError
from selfhost.weights.lock import LOCK_NAME, SCHEMA_VERSION, LockedFile, ModelLock, Origin, lock_from_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def model_directory(models: Path, recipe: str, variant: str) -> Path:
    """Where a variant lies, or will lie."""
    return models / recipe / variant


def look_up(directory: Path) -> ModelLock | None:
    """The lock of a model that is there with every file in its size; None when it is not there.

    Sizes only: reading all bytes is for `verify`. Raises IntegrityError when something is missing or has another size.
    """
    if not directory.exists():
        return None
    name, path = f"{directory.parent.name} ({directory.name})", directory / LOCK_NAME
    body = files.read_json(path)
    if body is None:
        raise IntegrityError("model.damaged_store", name=name, path=directory, detail=f"`{path}` is missing or damaged")
    if (found := int(body.get("schema_version", 0))) > SCHEMA_VERSION:
        raise IntegrityError("model.newer_store", name=name, path=path, found=found, known=SCHEMA_VERSION)
    try:
        lock = lock_from_dict(body)
    except ValueError as error:
        raise IntegrityError("model.damaged_store", name=name, path=directory, detail=f"`{path}`: {error}") from error
    for file in lock.files:
        wrong = _wrong_size(directory / file.path, file.size)
        if wrong:
            raise IntegrityError("model.damaged_store", name=name, path=directory, detail=wrong)
    return lock


def _wrong_size(path: Path, wanted: int) -> str:
    try:
        found = path.stat().st_size
    except OSError as error:
        return f"`{path}`: {error.strerror}"
    return "" if found == wanted else f"`{path}` has {found:,} bytes, {wanted:,} were written"


@contextlib.contextmanager
def hold(directory: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the right to prepare a model; `waiting` is called once when another process has it.

    Then removes what a killed process left.
    """
    path = directory.parent / f".{directory.name}.lock"
    with contextlib.ExitStack() as stack:
        if not stack.enter_context(files.hold_lock(path, blocking=False)):
            waiting()
            stack.enter_context(files.hold_lock(path))
        for left in directory.parent.glob(f".{directory.name}.part-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


@contextlib.contextmanager
def prepare(directory: Path, origin: Origin) -> Iterator[tuple[Path, Path]]:
    """Yields (work, model): a scratch folder, and one that becomes `directory` when the block ends without an error.

    Both lie beside it, on the same file system; nothing of them stays when the block fails. The caller holds `hold`.
    """
    with files.explain_os_errors(directory):
        temporary = Path(tempfile.mkdtemp(prefix=f".{directory.name}.part-", dir=directory.parent))
    try:
        work, model = temporary / "work", temporary / "model"
        work.mkdir()
        model.mkdir()
        yield work, model
        with files.explain_os_errors(directory):
            _publish(model, directory, origin)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(model: Path, directory: Path, origin: Origin) -> None:
    """Lock, sync, rename."""
    paths = sorted(path for path in model.rglob("*") if path.is_file())
    locked = []
    for path in paths:
        # A container may run under another uid: it must be able to read them.
        path.chmod(0o644)
        digest = files.sha256_file(path)
        locked.append(LockedFile(path=str(path.relative_to(model)), size=path.stat().st_size, sha256=digest))
        _sync(path)
    lock = ModelLock(recipe=directory.parent.name, variant=directory.name, source=origin, files=tuple(locked))
    files.write_json(model / LOCK_NAME, lock.as_dict())
    for folder in (*(path for path in model.rglob("*") if path.is_dir()), model):
        folder.chmod(0o755)
        _sync(folder)
    model.rename(directory)
    _sync(directory.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
