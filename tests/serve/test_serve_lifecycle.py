"""The state machine: event lists in, states and actions out."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.serve import lifecycle
from selfhost.serve.events import (
    Action,
    Answered,
    BackoffOver,
    DeadlinePassed,
    Ended,
    EngineExited,
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
from selfhost.serve.lifecycle import (
    DEAD_STRIKES,
    SILENT_STRIKES,
    Phase,
    Question,
    State,
    Status,
    Trouble,
    observe,
    step,
)
from selfhost.serve.restart import SETTLED_S, RestartPolicy

READY = [Healthy(), Answered(right=True)]
END = [Action.SHOW, Action.END_TREE]
ANSWER, TOKEN = Question


def replay(*events) -> tuple[Status, list[Action]]:
    """The status after all events, and the actions of the last one."""
    status, actions = Status(), []
    for event in events:
        status, actions = step(status, event)
    return status, actions


@pytest.mark.parametrize(
    ("events", "state", "phase", "trouble", "actions"),
    [
        ([PhaseSeen(Phase.WARMING)], "starting", "warming", None, [Action.SHOW]),
        ([PhaseSeen(Phase.WARMING), PhaseSeen(Phase.LOADING)], "starting", "warming", None, []),
        ([Unhealthy(dead=True)] * 5, "starting", "loading", None, []),
        ([Healthy()], "starting", "checking", None, [Action.SHOW, Action.ASK]),
        ([Healthy(), Healthy()], "starting", "checking", None, []),
        (READY, "ready", "serving", None, [Action.SHOW]),
        ([Answered(right=True)], "starting", "loading", None, []),
        ([Healthy(), Answered(right=False, text="zzz")], "stopping", "checking", Trouble.WRONG_ANSWER, END),
        ([Healthy(), NotAnswered("timed out")], "stopping", "checking", Trouble.NO_ANSWER, END),
        ([EngineExited()], "stopping", "loading", Trouble.EXITED, END),
        ([*READY, EngineExited()], "stopping", "serving", Trouble.EXITED, END),
        ([PhaseSeen(Phase.WARMING), DeadlinePassed()], "stopping", "warming", Trouble.DEADLINE, END),
        ([*READY, DeadlinePassed()], "ready", "serving", None, []),
        ([StopRequested()], "stopping", "loading", None, END),
        ([*READY, StopRequested()], "stopping", "serving", None, END),
        ([*READY, StopRequested(), StopRequested()], "stopping", "serving", None, [Action.KILL_TREE]),
        ([*READY, StopRequested(), EngineExited()], "stopping", "serving", None, []),
        ([*READY, StopRequested(), Ended()], "stopped", "serving", None, [Action.SHOW, Action.FINISH]),
        ([EngineExited(), Ended()], "failed", "loading", Trouble.EXITED, [Action.SHOW, Action.FINISH]),
        ([EngineExited(), StopRequested(), Ended()], "failed", "loading", Trouble.EXITED, [Action.SHOW, Action.FINISH]),
        ([*READY, ProcessLost()], "ready", "serving", None, [Action.ASK]),
        ([*READY, ProcessLost(), Answered(right=True)], "ready", "serving", None, []),
        ([*READY, ProcessLost(), NotAnswered("cut off")], "stopping", "serving", Trouble.NO_ANSWER, END),
        ([*READY, *[Unhealthy(dead=True)] * DEAD_STRIKES], "stopping", "serving", Trouble.UNHEALTHY, END),
        ([*READY, *[Unhealthy(dead=False)] * SILENT_STRIKES], "stopping", "serving", Trouble.UNHEALTHY, END),
        ([*READY, *[Unhealthy(dead=False)] * (SILENT_STRIKES - 1)], "ready", "serving", None, []),
        ([*READY, Unhealthy(dead=True), Healthy(), Unhealthy(dead=True)], "ready", "serving", None, []),
        ([Ended()], "starting", "loading", None, []),
    ],
    ids=itertools.count(),
)
def test_steps(events, state, phase, trouble, actions):
    status, last = replay(*events)
    assert (status.state.value, status.phase.value, status.trouble, last) == (state, phase, trouble, actions)


def test_the_wrong_answer_and_the_refusal_are_kept():
    assert replay(Healthy(), Answered(right=False, text="zzz"))[0].detail == "zzz"
    assert replay(Healthy(), NotAnswered("timed out"))[0].detail == "timed out"


EVENTS = st.sampled_from(
    [
        PhaseSeen(Phase.WARMING),
        Healthy(),
        Unhealthy(dead=True),
        Unhealthy(dead=False),
        Answered(right=True),
        Answered(right=False),
        NotAnswered(""),
        NotAnswered("", late=True),
        NotAnswered("", declined=True),
        Moved(),
        Stalled(),
        ProcessLost(),
        EngineExited(),
        NotStarted(),
        DeadlinePassed(),
        StopRequested(),
        Ended(),
        Ended(survivors=True),
        BackoffOver(),
    ]
)


@given(st.lists(EVENTS, max_size=40), st.sampled_from([0, 1, 3]))
def test_whatever_happens_each_run_is_ended_once_and_an_end_is_final(events, most):
    status, seen = Status(policy=RestartPolicy(most=most)), []
    for event in events:
        before = status
        status, actions = step(status, event)
        seen += actions
        if before.state in (State.STOPPED, State.FAILED):
            assert (status, actions) == (before, [])
    ended = status.state in (State.STOPPING, State.RESTARTING, State.STOPPED, State.FAILED)
    stopped_between = status.state is State.STOPPED and seen.count(Action.END_TREE) == seen.count(Action.START)
    assert seen.count(Action.END_TREE) - seen.count(Action.START) == int(ended and not stopped_between)
    assert seen.count(Action.FINISH) == int(status.state in (State.STOPPED, State.FAILED))
    assert seen.count(Action.START) == status.restarts
    assert (status.state is State.FAILED) <= (status.trouble is not None)
    assert (status.restarts > 0) <= (most > 0 and status.served)


# Every arrow: a status in each state, each event, and what may come of it. An arrow that is not here changes nothing.


def _status(state: State, **changes) -> Status:
    phase = {State.STARTING: Phase.CHECKING}.get(state, Phase.SERVING)
    return Status(state=state, phase=phase, policy=RestartPolicy(most=2), **changes)


ONCE = {"served": True, "ready_since_s": 0.0}
BROKEN = {**ONCE, "trouble": Trouble.EXITED}
ARROWS = [
    # (from, what else it is, event) -> (to, actions)
    (Status(), PhaseSeen(Phase.WARMING), "starting", [Action.SHOW]),
    (Status(), Healthy(), "starting", [Action.SHOW, Action.ASK]),
    (_status(State.READY, strikes=3), Healthy(), "ready", []),
    (_status(State.READY), Unhealthy(dead=False), "ready", []),
    (_status(State.READY, strikes=SILENT_STRIKES - 1), Unhealthy(dead=False), "stopping", END),
    (_status(State.STARTING, asking=ANSWER), Answered(right=True), "ready", [Action.SHOW]),
    (_status(State.STARTING, asking=ANSWER), Answered(right=False), "stopping", END),
    (_status(State.READY, asking=ANSWER), Answered(right=True), "ready", []),
    (_status(State.READY, asking=TOKEN), Answered(right=False), "stopping", END),
    (_status(State.STARTING, asking=ANSWER), NotAnswered("no", late=True), "stopping", END),
    (_status(State.READY, asking=TOKEN), NotAnswered("no", late=True), "stopping", END),
    (_status(State.READY, asking=TOKEN, moved=True), NotAnswered("no", late=True), "ready", []),
    (_status(State.READY, asking=TOKEN), NotAnswered("too many", declined=True), "ready", []),
    (_status(State.STARTING, asking=ANSWER), Moved(), "starting", []),
    (_status(State.READY, asking=TOKEN), Moved(), "ready", []),
    (_status(State.READY), Stalled(), "ready", [Action.ASK_TOKEN]),
    (_status(State.READY), ProcessLost(), "ready", [Action.ASK]),
    (_status(State.STARTING), EngineExited(), "stopping", END),
    (_status(State.READY), EngineExited(), "stopping", END),
    (_status(State.STARTING), NotStarted(), "stopping", END),
    (_status(State.STARTING), DeadlinePassed(), "stopping", END),
    (_status(State.STARTING), StopRequested(), "stopping", END),
    (_status(State.READY), StopRequested(), "stopping", END),
    (_status(State.STOPPING), StopRequested(), "stopping", [Action.KILL_TREE]),
    (_status(State.RESTARTING, **BROKEN), StopRequested(), "stopped", [Action.SHOW, Action.FINISH]),
    (_status(State.STOPPING), Ended(), "stopped", [Action.SHOW, Action.FINISH]),
    (_status(State.STOPPING, trouble=Trouble.EXITED), Ended(), "failed", [Action.SHOW, Action.FINISH]),
    (_status(State.STOPPING, **BROKEN), Ended(), "restarting", [Action.SHOW]),
    (_status(State.STOPPING, **BROKEN), Ended(survivors=True), "failed", [Action.SHOW, Action.FINISH]),
    (_status(State.STOPPING, **BROKEN, unwanted=True), Ended(), "failed", [Action.SHOW, Action.FINISH]),
    (_status(State.STOPPING, **BROKEN, failures=2), Ended(), "failed", [Action.SHOW, Action.FINISH]),
    (_status(State.STOPPING, **BROKEN, failures=2), Ended(at_s=SETTLED_S), "restarting", [Action.SHOW]),
    (_status(State.RESTARTING, **BROKEN), BackoffOver(), "starting", [Action.SHOW, Action.START]),
]
NOTHING = {
    # (event, state) pairs that change nothing whatever else the status holds; every other pair is an arrow above.
    **dict.fromkeys([PhaseSeen, NotStarted, DeadlinePassed], "ready stopping restarting stopped failed"),
    Healthy: "stopping restarting stopped failed",
    **dict.fromkeys([Unhealthy, Stalled, ProcessLost], "starting stopping restarting stopped failed"),
    **dict.fromkeys([Answered, NotAnswered, Moved], "stopping restarting stopped failed"),
    EngineExited: "stopping restarting stopped failed",
    StopRequested: "stopped failed",
    Ended: "starting ready restarting stopped failed",
    BackoffOver: "starting ready stopping stopped failed",
}


@pytest.mark.parametrize(("status", "event", "state", "actions"), ARROWS, ids=itertools.count())
def test_arrows(status, event, state, actions):
    after, found = step(status, event)
    assert (after.state.value, found) == (state, actions)
    assert (after, found) != (status, [])


def test_the_arrows_are_all_there_are():
    states = [state for state in State if state not in (State.ORPHANED, State.DEAD)]
    drawn = {(type(event), status.state) for status, event, _state, _actions in ARROWS}
    still = {(kind, State(name)) for kind, names in NOTHING.items() for name in names.split()}
    assert drawn | still == set(itertools.product(lifecycle._STEPS, states))
    assert not drawn & still


@given(EVENTS, st.sampled_from(Phase), st.sampled_from([None, *Trouble]), st.booleans(), st.integers(0, 9))
def test_what_is_not_an_arrow_changes_nothing(event, phase, trouble, served, failures):
    for name in NOTHING[type(event)].split():
        asking = ANSWER if name in ("starting", "ready") else None  # an end forgets the question
        status = Status(
            state=State(name), phase=phase, trouble=trouble, served=served, failures=failures, asking=asking
        )
        assert step(status, event) == (status, [])


def test_a_server_that_was_never_ready_is_not_started_again():
    assert ended(Status(policy=RestartPolicy(most=5)), EngineExited())[0].state is State.FAILED


def ended(status: Status, *events, at_s: float = 0.0) -> tuple[Status, list[Action]]:
    for event in (*events, Ended(at_s=at_s)):
        status, actions = step(status, event)
    return status, actions


def test_waits_double_until_a_crash_loop_is_called_one_and_serving_for_long_forgives():
    status, now, waits = Status(policy=RestartPolicy(most=3)), 0.0, []
    while True:
        status = step(step(status, Healthy())[0], Answered(right=True, at_s=now))[0]
        status, _ = ended(status, EngineExited(), at_s=now)
        if status.state is State.FAILED:
            break
        waits.append(status.resume_at_s - now)
        now = status.resume_at_s
        status = step(status, BackoffOver())[0]
        assert (status.state, status.trouble, status.strikes) == (State.STARTING, None, 0)
    assert waits == [1, 2, 4]
    assert (status.restarts, status.failures) == (3, 4)

    again = Status(policy=RestartPolicy(most=3), served=True, failures=3, restarts=3)
    again = step(step(again, Healthy())[0], Answered(right=True, at_s=100.0))[0]
    again, _ = ended(again, EngineExited(), at_s=100.0 + SETTLED_S)
    assert (again.state, again.failures, again.resume_at_s) == (State.RESTARTING, 1, 101.0 + SETTLED_S)


def test_a_restart_that_does_not_come_up_counts_as_one_more():
    status = Status(policy=RestartPolicy(most=2), served=True, failures=1, restarts=1)
    status, _ = ended(status, DeadlinePassed(), at_s=5000.0)
    assert (status.state, status.failures) == (State.RESTARTING, 2)


def test_a_late_answer_of_a_busy_server_is_no_wedge_and_of_an_idle_one_is():
    ready, _ = replay(*READY)
    busy, _ = replay(*READY, Stalled(), Moved(), NotAnswered("timed out", late=True))
    assert (busy.state, busy.asking) == (State.READY, None)
    assert step(ready, Stalled())[1] == step(busy, Stalled())[1] == [Action.ASK_TOKEN]
    hung, _ = replay(*READY, Moved(), Stalled(), NotAnswered("timed out", late=True))
    assert (hung.state, hung.trouble) == (State.STOPPING, Trouble.WEDGED)


@pytest.mark.parametrize(
    ("recorded", "supervised", "processes", "now"),
    [
        ("ready", True, True, "ready"),
        ("ready", True, False, "ready"),
        ("ready", False, True, "orphaned"),
        ("starting", False, True, "orphaned"),
        ("ready", False, False, "dead"),
        ("stopping", False, False, "dead"),
        ("failed", False, False, "failed"),
        ("failed", False, True, "orphaned"),
        ("stopped", False, False, "stopped"),
    ],
)
def test_a_record_is_believed_only_as_far_as_processes_bear_it_out(recorded, supervised, processes, now):
    assert observe(State(recorded), supervised=supervised, processes=processes).value == now
