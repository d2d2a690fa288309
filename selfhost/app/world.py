"""What a supervisor needs of the world: how `app.supervise` meets processes, files, HTTP and the clock.

`app.machine` is the world as it is; tests have one in which hours pass in milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from selfhost.serve import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from selfhost.serve.health import Health
    from selfhost.serve.lifecycle import Identity, Question, Status
    from selfhost.serve.liveness import Figures
    from selfhost.serve.phases import Progress
    from selfhost.serve.records import Failure, Record


class Remains(NamedTuple):
    """What is left of a tree that was ended."""

    survivors: tuple[Identity, ...] = ()
    device_memory_held: Mapping[str, int] | None = None


class Counted(NamedTuple):
    """What `/metrics` said; None: nothing that tells."""

    figures: Figures | None


Finding = events.Event | Counted


class World(Protocol):
    """Everything outside of a supervisor. What is marked `(background)` may block and is called from a thread."""

    def now_s(self) -> float:
        """The clock: never set, never shifted."""

    def now_text(self) -> str:
        """The time of day, for records."""

    def signals(self) -> Sequence[int]:
        """Signals that arrived so far and ask for an end."""

    def background(self, work: Callable[[], object]) -> None:
        """Start work; `wait` hands its result over, or the exception it raised."""

    def wait(self, timeout_s: float) -> Sequence[object]:
        """Results since the last call; waits for the first one at most that long."""

    def tend(self) -> None:
        """Roll the log when it is long, and take away what only the first process of a container has to."""

    def save(self, record: Record) -> None:
        """Write the record. Raises MissingError, NoSpaceError."""

    def device_memory(self) -> Mapping[str, int] | None:
        """Bytes in use on the engine's devices; None where there are none."""

    def start(self) -> Identity | None:
        """Start the engine with a new log, the one before kept. Raises OSError, MissingError, NoSpaceError."""

    def exit_status(self) -> int | None:
        """Of the engine's main process; None while it runs."""

    def progress(self, *, final: bool) -> Iterable[Progress]:
        """What the engine's log says new about its start."""

    def tree(self) -> set[Identity]:
        """The engine's processes."""

    def gone(self, known: Iterable[Identity]) -> set[Identity]:
        """Those of them that are no more."""

    def health(self) -> Health:
        """(background) What `/health` says."""

    def figures(self) -> Figures | None:
        """(background) What `/metrics` says about progress."""

    def ask(self, question: Question) -> events.Answered | events.NotAnswered:
        """(background) Ask the engine."""

    def end_tree(self, known: Iterable[Identity], grace_s: float, hurry: Callable[[], bool]) -> Remains:
        """(background) End every process; what is left."""

    def keep_boot(self, record: Record, phase_times: Mapping[str, float]) -> Record:
        """Keep what a start measured; the record with where, and with what was learnt of the model."""

    def keep_failed_boot(self, record: Record, failure: Failure, phase_times: Mapping[str, float]) -> None:
        """The same of a start that failed."""

    def explain(self, record: Record, status: Status) -> Failure:
        """Why a server got into trouble."""
