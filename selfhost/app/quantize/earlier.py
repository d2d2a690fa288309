"""What an earlier run of the same job left, and what of it is gone on with."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.app.quantize import run
from selfhost.errors import IntegrityError
from selfhost.messages import text
from selfhost.quantize.job import Done, read_event
from selfhost.records import dataclass
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.app.quantize.types import Plan

_DONE = "done.json"
"""What the script said last, once its files were found right."""
_HALVES, _STATE = ".selfhost-quantize", "state.json"
"""Where the script writes, and what it remembers there (inside/selfhost_quantize_state.py)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Earlier:
    """What is there before a run."""

    have_bytes: int = 0
    """That are gone on with."""
    cut_off: bool = False
    """Whether a run was begun of which nothing can be gone on with."""
    done: Done | None = None
    """All files are there: they have not been compared yet, or lost more than was allowed."""
    seconds: float = 0.0
    """That making them took."""


def open_work(plan: Plan, key: str) -> Earlier:
    """Get the folder ready, and look what an interrupted run of the same job left there.

    Calibration measures each layer on what the layers before it give, and llm-compressor keeps none of that: what a
    run that was cut off has written is removed.
    """
    with files.explain_os_errors(plan.work):
        mark = files.read_json(plan.work / "key.json") or {}
        if plan.work.exists() and mark.get("key") != key:
            shutil.rmtree(plan.work)
        target = files.make_directory(plan.work / "model")
        files.write_json(plan.work / "key.json", {"key": key})
        run.write_job(plan.work / "job.json", plan.job.as_dict())
        _drop_halves(target)
        have = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        if (finished := _finished(plan)) is not None:
            return Earlier(have_bytes=have, done=finished[0], seconds=finished[1])
        (plan.work / _DONE).unlink(missing_ok=True)
        if not plan.request.scheme.calibrated:
            return Earlier(have_bytes=have)
        shutil.rmtree(target)
        target.mkdir()
        return Earlier(cut_off=(plan.work / "log.txt").is_file())


def _drop_halves(target: Path) -> None:
    """Files that were not finished are begun anew: of their whole size from the beginning, they count for nothing."""
    folder = target / _HALVES
    for path in folder.glob("*"):
        if path.name != _STATE and path.is_file():
            path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _finished(plan: Plan) -> tuple[Done, float] | None:
    kept = files.read_json(plan.work / _DONE) or {}
    done = read_event(json.dumps(kept.get("said")))
    if not isinstance(done, Done):
        return None
    paths = {Path(plan.job.target) / file.path: file.size for file in done.files}
    whole = all(path.is_file() and path.stat().st_size == size for path, size in paths.items())
    return (done, float(kept.get("seconds") or 0.0)) if whole else None


def keep(plan: Plan, done: Done, seconds: float) -> None:
    """Note that all files are made: the same command does not make them again."""
    listed = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in done.files]
    said = {"event": "done", "files": listed, "peak_rss_bytes": done.peak_rss_bytes, **done.used}
    files.write_json(plan.work / _DONE, {"said": said, "seconds": round(seconds, 1)})


@contextlib.contextmanager
def dropped_when_bad(plan: Plan) -> Iterator[None]:
    """Files that turn out to be wrong are made again by the same command."""
    try:
        yield
    except IntegrityError:
        (plan.work / _DONE).unlink(missing_ok=True)
        raise


def announcement(plan: Plan, earlier: Earlier) -> str:
    """What begins now."""
    values = {
        "name": plan.source.shown,
        "scheme": plan.request.scheme.name,
        "size": format_bytes(plan.source.weight_bytes),
        "output": format_bytes(plan.needs.output_bytes),
        "memory": format_bytes(plan.needs.memory_bytes),
        "path": plan.directory,
    }
    if earlier.done is not None:
        return text("quantize.finished_before", **values)
    if earlier.cut_off:
        return text("quantize.anew", **values)
    if earlier.have_bytes:
        return text("quantize.resuming", have=format_bytes(earlier.have_bytes), **values)
    return text("quantize.announced", **values)
