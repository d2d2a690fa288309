"""Several blobs at a time; whoever stops it, or the first that fails, stops all within a second."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import TYPE_CHECKING, TypeVar

from selfhost.weights.move.halt import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from selfhost.registry.types import Told
    from selfhost.weights.move.halt import Halt

_POLL_S = 0.2
_TaskT = TypeVar("_TaskT")
_ResultT = TypeVar("_ResultT")


class _Failure:
    """What a task raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Counting:
    """Bytes of all threads; notes wait for the thread that asked for the work."""

    def __init__(self, halt: Halt) -> None:
        self._halt, self._lock = halt, threading.Lock()
        self.done = 0
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def moved(self, n_bytes: int) -> None:
        self._halt.check()
        with self._lock:
            self.done += n_bytes

    def note(self, line: str) -> None:
        self.lines.put(line)


def run_all(
    halt: Halt,
    todo: Sequence[_TaskT],
    work: Callable[[_TaskT, Told], _ResultT],
    show: Callable[[int, list[str]], None],
    streams: int,
) -> Iterator[_ResultT]:
    """Do the work on each task, several at a time; results as they come.

    show: gets bytes done and new notes, now and then. When a task raises, or the caller is interrupted, `halt` goes up:
    threads that wait for the network are left to themselves, the others are waited for.
    """
    told = _Counting(halt)
    tasks: queue.SimpleQueue[_TaskT] = queue.SimpleQueue()
    for task in todo:
        tasks.put(task)
    ended: queue.SimpleQueue[_ResultT | _Failure] = queue.SimpleQueue()

    def loop() -> None:
        _work_through(tasks, ended, lambda task: work(task, told))

    threads = [threading.Thread(target=loop, name="registry", daemon=True) for _ in range(min(streams, len(todo)))]
    left = len(todo)
    try:
        for thread in threads:
            thread.start()
        while left:
            for one in _new(ended):
                if isinstance(one, _Failure):
                    raise one.error
                left -= 1
                yield one
            show(told.done, [told.lines.get() for _ in range(told.lines.qsize())])
    finally:
        if left:
            halt.set()
        halt.join([thread for thread in threads if thread.ident])


def _work_through(
    tasks: queue.SimpleQueue[_TaskT],
    ended: queue.SimpleQueue[_ResultT | _Failure],
    work: Callable[[_TaskT], _ResultT],
) -> None:
    try:
        while True:
            ended.put(work(tasks.get_nowait()))
    except (queue.Empty, StoppedError):
        return
    except BaseException as error:  # noqa: BLE001 - raised again by who asked for the work
        ended.put(_Failure(error))


def _new(ended: queue.SimpleQueue[_ResultT]) -> Iterator[_ResultT]:
    """What has ended, waiting a little for it."""
    with contextlib.suppress(queue.Empty):
        yield ended.get(timeout=_POLL_S)
