"""The life of one server as a pure state machine: (Status, Event) -> (Status, [Action]).

    starting: loading -> warming -> checking -> ready -> stopping -> stopped
        any of these, when something goes wrong ------> stopping -> failed

Each arrow is one function below, found by the type of the event. The driver (`app.supervise`) turns what it sees into
events and carries out the actions; time comes in as events only. A restart would be a new state behind `Ended` and
one more action: nothing else knows what follows an end.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable


class State(StrEnum):
    """What `ps` shows. The last two are never written: they are what is left when nobody supervises."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    ORPHANED = "orphaned"
    """The engine runs, its supervisor does not: `stop` ends it."""
    DEAD = "dead"
    """The record says it runs, but neither supervisor nor engine does: killed, or the machine restarted."""

    @property
    def running(self) -> bool:
        """Whether there are processes to end."""
        return self in (State.STARTING, State.READY, State.STOPPING, State.ORPHANED)


class Phase(StrEnum):
    """Parts of starting, in order."""

    LOADING = "loading"
    """Imports, weights from disk."""
    WARMING = "warming"
    """Memory profiling, KV cache, compilation, graph capture."""
    CHECKING = "checking"
    """Healthy; the question whose answer is known was asked."""
    SERVING = "serving"
    """After starting: where a ready server was when it failed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """One process, told apart from any later one with the same number, also after a restart of the machine."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks since boot. Source: proc(5). Unlike wall time it never shifts."""
    boot_id: str
    """/proc/sys/kernel/random/boot_id."""


class Trouble(StrEnum):
    """Why a server is being ended although nobody asked."""

    EXITED = "exited"
    """The engine's main process ended by itself or was killed."""
    UNHEALTHY = "unhealthy"
    """`/health` says 503, or nothing any more."""
    WRONG_ANSWER = "wrong_answer"
    """The checked answer is not what is expected."""
    NO_ANSWER = "no_answer"
    """Healthy, but the question was refused or not answered in time."""
    DEADLINE = "deadline"
    """Not ready in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """Where a server is."""

    state: State = State.STARTING
    phase: Phase = Phase.LOADING
    trouble: Trouble | None = None
    detail: str = ""
    """What the trouble said: the wrong answer, the refusal."""
    strikes: int = 0
    """Health checks failed in a row while ready."""
    asking: bool = False
    """A checked answer is under way."""


# Events: what the driver saw.


@dataclass(frozen=True, slots=True)
class PhaseSeen:
    """The engine's log shows a phase."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Healthy:
    """`/health` answered 200."""


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """`/health` answered 503 (`dead`: the engine says so itself) or not at all."""

    dead: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """The question was answered; `right` tells whether as expected."""

    right: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """The question was refused, cut off or timed out."""

    detail: str


@dataclass(frozen=True, slots=True)
class ProcessLost:
    """A process of the engine's tree that was there when it became ready is gone, and the main process is not."""


@dataclass(frozen=True, slots=True)
class EngineExited:
    """The engine's main process is gone."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The time allowed for starting is over."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """A signal arrived. The second one means at once."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Every process of the tree is gone and the port is closed."""


Event = (
    PhaseSeen
    | Healthy
    | Unhealthy
    | Answered
    | NotAnswered
    | ProcessLost
    | EngineExited
    | DeadlinePassed
    | StopRequested
    | Ended
)


class Action(StrEnum):
    """What the driver has to do; each may be asked for again and then does nothing new."""

    SHOW = "show"
    """State or phase changed: write the record, tell the user."""
    ASK = "ask"
    """Ask the question whose answer is known."""
    END_TREE = "end_tree"
    """TERM, grace, KILL; `Ended` follows."""
    KILL_TREE = "kill_tree"
    """No more grace."""
    FINISH = "finish"
    """Write the last record and return."""


DEAD_STRIKES = 2
"""503 means that the engine process is gone (vLLM: EngineDeadError); the API server then normally ends by itself."""
SILENT_STRIKES = 12
"""Health checks without an answer: a busy API server may be late, so a minute at one check in five seconds."""

_GRACE_S = 30
_AFTER_DRAIN_S = 10
"""For the engine itself, once nothing is running any more."""
_ORDER = tuple(Phase)
_Step = tuple[Status, list[Action]]


def _fail(status: Status, trouble: Trouble, detail: str = "") -> _Step:
    failed = replace(status, state=State.STOPPING, trouble=trouble, detail=detail, asking=False)
    return failed, [Action.SHOW, Action.END_TREE]


def _phase_seen(status: Status, event: PhaseSeen) -> _Step:
    # Log lines of several ranks arrive out of order: phases only go forward.
    if status.state is not State.STARTING or _ORDER.index(event.phase) <= _ORDER.index(status.phase):
        return status, []
    return replace(status, phase=event.phase), [Action.SHOW]


def _healthy(status: Status, _event: Healthy) -> _Step:
    if status.state is State.READY:
        return replace(status, strikes=0), []
    if status.state is State.STARTING and status.phase is not Phase.CHECKING:
        return replace(status, phase=Phase.CHECKING, asking=True), [Action.SHOW, Action.ASK]
    return status, []


def _unhealthy(status: Status, event: Unhealthy) -> _Step:
    if status.state is not State.READY:
        return status, []  # before ready, exit and deadline decide
    struck = replace(status, strikes=status.strikes + 1)
    if struck.strikes >= (DEAD_STRIKES if event.dead else SILENT_STRIKES):
        return _fail(struck, Trouble.UNHEALTHY, "503" if event.dead else "")
    return struck, []


def _answered(status: Status, event: Answered) -> _Step:
    answered = replace(status, asking=False)
    if not status.asking:
        return status, []
    if not event.right:
        return _fail(answered, Trouble.WRONG_ANSWER, event.text)
    if status.state is State.STARTING:
        return replace(answered, state=State.READY, phase=Phase.SERVING), [Action.SHOW]
    return answered, []


def _not_answered(status: Status, event: NotAnswered) -> _Step:
    if not status.asking:
        return status, []
    return _fail(status, Trouble.NO_ANSWER, event.detail)


def _process_lost(status: Status, _event: ProcessLost) -> _Step:
    # Helpers come and go (compile workers do); whether the engine still works is what an answer shows.
    if status.state is State.READY and not status.asking:
        return replace(status, asking=True), [Action.ASK]
    return status, []


def _engine_exited(status: Status, _event: EngineExited) -> _Step:
    if status.state in (State.STARTING, State.READY):
        return _fail(status, Trouble.EXITED)
    return status, []


def _deadline_passed(status: Status, _event: DeadlinePassed) -> _Step:
    if status.state is State.STARTING:
        return _fail(status, Trouble.DEADLINE)
    return status, []


def _stop_requested(status: Status, _event: StopRequested) -> _Step:
    if status.state in (State.STARTING, State.READY):
        return replace(status, state=State.STOPPING, asking=False), [Action.SHOW, Action.END_TREE]
    if status.state is State.STOPPING:
        return status, [Action.KILL_TREE]
    return status, []


def _ended(status: Status, _event: Ended) -> _Step:
    if status.state is not State.STOPPING:
        return status, []
    return replace(status, state=State.FAILED if status.trouble else State.STOPPED), [Action.SHOW, Action.FINISH]


_STEPS: dict[type, Callable[..., _Step]] = {
    PhaseSeen: _phase_seen,
    Healthy: _healthy,
    Unhealthy: _unhealthy,
    Answered: _answered,
    NotAnswered: _not_answered,
    ProcessLost: _process_lost,
    EngineExited: _engine_exited,
    DeadlinePassed: _deadline_passed,
    StopRequested: _stop_requested,
    Ended: _ended,
}


def step(status: Status, event: Event) -> tuple[Status, list[Action]]:
    """The status after an event, and what has to be done. Events that mean nothing in a state change nothing."""
    return _STEPS[type(event)](status, event)


def observe(recorded: State, *, supervised: bool, processes: bool) -> State:
    """What a server is now: its record is believed only as far as living processes bear it out.

    supervised: the supervisor of the record is alive. processes: at least one process of its engine is.
    """
    if supervised:
        return recorded
    if processes:
        return State.ORPHANED
    return State.DEAD if recorded.running else recorded


def stop_grace_s(drain_s: int) -> int:
    """Seconds between TERM and KILL of an engine that lets running requests finish for `drain_s`.

    Check: the 10 s of a plan -> 30; `--shutdown-timeout 60` -> 70.
    """
    return max(_GRACE_S, drain_s + _AFTER_DRAIN_S)


def start_deadline_s(weight_bytes: int) -> float:
    """Seconds a start may take: 45 minutes for compiling and warming, and the weights from a slow disk.

    50 MB/s is a busy network file system; torch.compile alone was seen to take 2219 s (vllm-project/vllm#34399), and
    a terabyte to outlive a fixed 75 minutes (aws-samples/aws-do-eks#40). Check: 100 GB -> 2700 + 2000 = 4700 s.
    """
    return 45 * 60 + weight_bytes / 50_000_000
