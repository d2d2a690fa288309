"""The life of one server as a pure state machine: (Status, Event) -> (Status, [Action]).

    starting: loading -> warming -> checking -> ready -> stopping -> stopped
        any of these, when something goes wrong ------> stopping -> failed
                                                                 -> restarting -> starting   (`serve.restart`)

Each arrow is one function below, found by the type of the event. The driver (`app.supervise`) turns what it sees into
events and carries out the actions; time comes in with events only. Stopping asks for the end of the tree once and
`Ended` follows: nothing but `_ended` knows what follows an end.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from selfhost.records import dataclass
from selfhost.serve.events import (
    Action,
    Answered,
    BackoffOver,
    DeadlinePassed,
    Ended,
    EngineExited,
    Event,
    Healthy,
    Moved,
    NotAnswered,
    NotStarted,
    PhaseSeen,
    ProcessLost,
    Stalled,
    StopRequested,
    Unhealthy,
)
from selfhost.serve.restart import RestartPolicy, backoff_s, failures_in_a_row

if TYPE_CHECKING:
    from collections.abc import Callable


class State(StrEnum):
    """What `ps` shows. The last two are never written: they are what is left when nobody supervises."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    """It failed and is over; the next start waits for its time."""
    STOPPED = "stopped"
    FAILED = "failed"
    ORPHANED = "orphaned"
    """The engine runs, its supervisor does not: `stop` ends it."""
    DEAD = "dead"
    """The record says it runs, but neither supervisor nor engine does: killed, or the machine restarted."""

    @property
    def running(self) -> bool:
        """Whether there is something to end: processes, or a supervisor that would start some."""
        return self in (State.STARTING, State.READY, State.STOPPING, State.RESTARTING, State.ORPHANED)


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
    WEDGED = "wedged"
    """`/health` is fine, but nothing is computed."""
    NOT_STARTED = "not_started"
    """The program could not be run, or its log not be written."""


class Question(StrEnum):
    """What is being asked of the engine."""

    ANSWER = "answer"
    """Whose answer is known."""
    TOKEN = "token"  # noqa: S105 - a token of text
    """Anything: whether it computes."""


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
    asking: Question | None = None
    moved: bool = False
    """The engine computed something since it was asked: if the answer is late, it is busy."""
    policy: RestartPolicy = RestartPolicy()
    served: bool = False
    """In any run."""
    unwanted: bool = False
    """Its end was asked for: it is not started again."""
    ready_since_s: float | None = None
    """In this run."""
    failures: int = 0
    """In a row: none of the runs between them served for long."""
    restarts: int = 0
    resume_at_s: float | None = None
    """When a restarting server is started."""


DEAD_STRIKES = 2
"""503 means that the engine process is gone (vLLM: EngineDeadError); the API server then normally ends by itself."""
SILENT_STRIKES = 12
"""Health checks without an answer: a busy API server may be late, so a minute at one check in five seconds."""

_ORDER = tuple(Phase)
_Step = tuple[Status, list[Action]]


def _fail(status: Status, trouble: Trouble, detail: str = "") -> _Step:
    failed = replace(status, state=State.STOPPING, trouble=trouble, detail=detail, asking=None)
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
        return replace(status, phase=Phase.CHECKING, asking=Question.ANSWER), [Action.SHOW, Action.ASK]
    return status, []


def _unhealthy(status: Status, event: Unhealthy) -> _Step:
    if status.state is not State.READY:
        return status, []  # before ready, exit and deadline decide
    struck = replace(status, strikes=status.strikes + 1)
    if struck.strikes >= (DEAD_STRIKES if event.dead else SILENT_STRIKES):
        return _fail(struck, Trouble.UNHEALTHY, "503" if event.dead else "")
    return struck, []


def _answered(status: Status, event: Answered) -> _Step:
    answered = replace(status, asking=None)
    if not status.asking:
        return status, []
    if not event.right:
        return _fail(answered, Trouble.WRONG_ANSWER, event.text)
    if status.state is State.STARTING:
        ready = replace(answered, state=State.READY, phase=Phase.SERVING, served=True, ready_since_s=event.at_s)
        return ready, [Action.SHOW]
    return answered, []


def _not_answered(status: Status, event: NotAnswered) -> _Step:
    if not status.asking:
        return status, []
    serving = status.state is State.READY
    if serving and ((event.late and status.moved) or (event.declined and status.asking is Question.TOKEN)):
        return replace(status, asking=None), []
    wedged = event.late and status.asking is Question.TOKEN
    return _fail(status, Trouble.WEDGED if wedged else Trouble.NO_ANSWER, event.detail)


def _moved(status: Status, _event: Moved) -> _Step:
    return (replace(status, moved=True), []) if status.asking else (status, [])


def _stalled(status: Status, _event: Stalled) -> _Step:
    if status.state is State.READY and not status.asking:
        return replace(status, asking=Question.TOKEN, moved=False), [Action.ASK_TOKEN]
    return status, []


def _process_lost(status: Status, _event: ProcessLost) -> _Step:
    # Helpers come and go (compile workers do); whether the engine still works is what an answer shows.
    if status.state is State.READY and not status.asking:
        return replace(status, asking=Question.ANSWER, moved=False), [Action.ASK]
    return status, []


def _engine_exited(status: Status, _event: EngineExited) -> _Step:
    if status.state in (State.STARTING, State.READY):
        return _fail(status, Trouble.EXITED)
    return status, []


def _not_started(status: Status, _event: NotStarted) -> _Step:
    return _fail(status, Trouble.NOT_STARTED) if status.state is State.STARTING else (status, [])


def _deadline_passed(status: Status, _event: DeadlinePassed) -> _Step:
    if status.state is State.STARTING:
        return _fail(status, Trouble.DEADLINE)
    return status, []


def _stop_requested(status: Status, _event: StopRequested) -> _Step:
    unwanted = replace(status, unwanted=True)
    if status.state in (State.STARTING, State.READY):
        return replace(unwanted, state=State.STOPPING, asking=None), [Action.SHOW, Action.END_TREE]
    if status.state is State.STOPPING:
        return unwanted, [Action.KILL_TREE]
    if status.state is State.RESTARTING:
        return replace(unwanted, state=State.STOPPED, trouble=None), [Action.SHOW, Action.FINISH]
    return status, []


def _ended(status: Status, event: Ended) -> _Step:
    if status.state is not State.STOPPING:
        return status, []
    if status.trouble is None:
        return replace(status, state=State.STOPPED), [Action.SHOW, Action.FINISH]
    since = status.ready_since_s
    failed = replace(status, failures=failures_in_a_row(status.failures, None if since is None else event.at_s - since))
    if status.unwanted or event.survivors or not status.served or failed.failures > status.policy.most:
        return replace(failed, state=State.FAILED), [Action.SHOW, Action.FINISH]
    resume_at_s = event.at_s + backoff_s(failed.failures)
    return replace(failed, state=State.RESTARTING, resume_at_s=resume_at_s), [Action.SHOW]


def _backoff_over(status: Status, _event: BackoffOver) -> _Step:
    if status.state is not State.RESTARTING:
        return status, []
    again = Status(policy=status.policy, served=status.served, failures=status.failures, restarts=status.restarts + 1)
    return again, [Action.SHOW, Action.START]


_STEPS: dict[type, Callable[..., _Step]] = {
    PhaseSeen: _phase_seen,
    Healthy: _healthy,
    Unhealthy: _unhealthy,
    Answered: _answered,
    NotAnswered: _not_answered,
    Moved: _moved,
    Stalled: _stalled,
    ProcessLost: _process_lost,
    EngineExited: _engine_exited,
    NotStarted: _not_started,
    DeadlinePassed: _deadline_passed,
    StopRequested: _stop_requested,
    Ended: _ended,
    BackoffOver: _backoff_over,
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
