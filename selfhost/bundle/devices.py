"""Work on media, side by side: one reader for a spinning disk, several for what has no arm to move."""

from __future__ import annotations

import contextlib
import os
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from selfhost.weights.counter import Counter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_MAX_READERS = 4
_POLL_S = 0.2
_TaskT = TypeVar("_TaskT")
_ResultT = TypeVar("_ResultT")


def run_by_device(
    todo: Sequence[tuple[Path, _TaskT]],
    work: Callable[[_TaskT, Callable[[int], None]], _ResultT],
    total: int,
    progress: Callable[[int, int], None],
    workers: int | None = None,
) -> Iterator[_ResultT]:
    """Run `work(task, tick)` for each (path on its device, task); results as they come.

    workers: tasks at a time on each device; None: by what kind of disk it is.

    The first task that raises ends it: the others stop, and what it raised is raised here. The same goes for whoever
    stops asking for results.
    """
    counter = Counter()
    pools: dict[int, ThreadPoolExecutor] = {}
    pending: set[Future[_ResultT]] = set()
    try:
        for path, task in todo:
            device = path.stat().st_dev
            if device not in pools:
                pools[device] = ThreadPoolExecutor(workers or readers(device), thread_name_prefix="medium")
            pending.add(pools[device].submit(work, task, counter.add))
        while pending:
            finished, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            progress(counter.done, total)
            for future in finished:
                yield future.result()
    finally:
        counter.stop.set()
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)


def readers(device: int) -> int:
    """How many files to read at a time from a device, by its number."""
    return 1 if _spins(device) else min(_MAX_READERS, len(os.sched_getaffinity(0)))


def _spins(device: int) -> bool:
    place = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    for folder in (place, place.resolve().parent):  # a partition has it in the disk that it is a part of
        with contextlib.suppress(OSError):
            return (folder / "queue" / "rotational").read_text().strip() == "1"
    return False
