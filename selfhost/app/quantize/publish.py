"""Give a result its name: in the store, with the recipe that knows it, or as a plain directory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.app.quantize import user_recipe
from selfhost.errors import IntegrityError
from selfhost.messages import text
from selfhost.recipe.schema import SourceKind
from selfhost.weights import store
from selfhost.weights.lock import LOCK_NAME, MODEL_SIGNATURE_NAME, ModelLock, Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.app.quantize.types import Plan, Talk
    from selfhost.home import Home
    from selfhost.quantize.job import Done


def publish(plan: Plan, done: Done, home: Home, talk: Talk) -> Path | None:
    """Give the result its name: in the store with the recipe that knows it, or as a plain directory."""
    target = Path(plan.job.target)
    if plan.request.output is not None or plan.variant is None:
        with files.explain_os_errors(plan.directory):
            if plan.directory.is_dir():
                plan.directory.rmdir()
            for name in (LOCK_NAME, MODEL_SIGNATURE_NAME):
                (target / name).unlink(missing_ok=True)
            target.rename(plan.directory)
            files.sync(plan.directory.parent)
        return None
    origin = Origin(
        kind=SourceKind.QUANTIZED.value, id=f"{plan.source.name}/{plan.source.variant}", revision=plan.source.digest
    )
    files.make_directory(plan.directory.parent)
    with store.hold(plan.directory, lambda: talk.note(text("model.waiting", name=plan.source.shown))):
        with store.prepare(plan.directory, origin) as (_, made):
            _link(target, made)
        lock = store.read_lock(plan.directory)
        _check_lock(lock, done, plan)
        return user_recipe.add(plan, lock, home)


def _link(target: Path, made: Path) -> None:
    """Every file under a second name: until the model is taken in, an interrupted run can go on with the first."""
    for path in sorted(target.rglob("*")):
        # Of the source: another lock, and a signature of other files.
        if path.is_file() and path.name not in (LOCK_NAME, MODEL_SIGNATURE_NAME):
            new = made / path.relative_to(target)
            new.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, new)
            except OSError:
                files.copy_file(path, new)


def _check_lock(lock: ModelLock, done: Done, plan: Plan) -> None:
    """What was read back while it was taken in is what the script wrote."""
    written = {file.path: file.sha256 for file in done.files}
    wrong: Sequence[str] = [file.path for file in lock.files if written.get(file.path, file.sha256) != file.sha256]
    if wrong:
        store.remove(plan.directory)
        detail = f"read back, these differ from what was written: {', '.join(wrong[:5])}"
        raise IntegrityError("quantize.bad_result", path=plan.job.target, detail=detail)
