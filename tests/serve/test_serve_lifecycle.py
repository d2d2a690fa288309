"""The state machine: event lists in, states and actions out."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.serve.lifecycle import (
    DEAD_STRIKES,
    SILENT_STRIKES,
    Action,
    Answered,
    DeadlinePassed,
    Ended,
    EngineExited,
    Healthy,
    NotAnswered,
    Phase,
    PhaseSeen,
    ProcessLost,
    State,
    Status,
    StopRequested,
    Trouble,
    Unhealthy,
    observe,
    start_deadline_s,
    step,
)

READY = [Healthy(), Answered(right=True)]
END = [Action.SHOW, Action.END_TREE]


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
        ProcessLost(),
        EngineExited(),
        DeadlinePassed(),
        StopRequested(),
        Ended(),
    ]
)


@given(st.lists(EVENTS, max_size=30))
def test_whatever_happens_the_tree_is_ended_once_and_an_end_is_final(events):
    status, seen = Status(), []
    for event in events:
        before = status
        status, actions = step(status, event)
        seen += actions
        if before.state in (State.STOPPED, State.FAILED):
            assert (status, actions) == (before, [])
    assert seen.count(Action.END_TREE) == int(status.state in (State.STOPPING, State.STOPPED, State.FAILED))
    assert seen.count(Action.FINISH) == int(status.state in (State.STOPPED, State.FAILED))
    assert (status.state is State.FAILED) <= (status.trouble is not None)


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


def test_the_deadline_grows_with_the_weights():
    assert start_deadline_s(0) == 2700
    assert start_deadline_s(100_000_000_000) == 4700
