"""The world of a supervisor as it is: what becomes of what it asks and of what it leaves."""

from __future__ import annotations

import signal

import pytest

from selfhost.app.machine import Machine
from selfhost.errors import NoSpaceError
from selfhost.serve import health, process, records
from selfhost.serve.events import Answered, NotAnswered
from selfhost.serve.lifecycle import Question


@pytest.fixture
def machine(fakes, here) -> Machine:
    return Machine(here, *fakes.claim())


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (health.RefusedError(None, "timed out", late=True), NotAnswered("timed out", late=True)),
        (health.RefusedError(429, "too many"), NotAnswered("too many", declined=True)),
        (health.RefusedError(500, "EngineCore is gone"), NotAnswered("EngineCore is gone")),
        (health.RefusedError(None, "cut off"), NotAnswered("cut off")),
    ],
)
def test_a_question_without_an_answer(machine, monkeypatch, error, event):
    def refuse(*_args, **_more):
        raise error

    monkeypatch.setattr(health, "check_answer", refuse)
    assert machine.ask(Question.TOKEN) == event


@pytest.mark.slow
def test_a_question_that_broke_off_is_told_once_the_engine_had_time_to_end(machine, monkeypatch):
    engine = machine.start()

    def breaks(*_args, **_more):
        process.send(engine, signal.SIGKILL)
        raise health.RefusedError(None, "connection reset")

    monkeypatch.setattr(health, "check_answer", breaks)
    assert machine.ask(Question.ANSWER) == NotAnswered("connection reset")
    assert machine.exit_status() is not None


def test_a_question_for_a_token_takes_any_and_one_only(machine, monkeypatch):
    asked = []

    def answer(_endpoint, prompt, expect, **more):
        asked.append((prompt, expect, more))
        return health.Answer(right=True, text="x", chat=True)

    monkeypatch.setattr(health, "check_answer", answer)
    answered = machine.ask(Question.TOKEN)
    assert isinstance(answered, Answered)
    assert answered.right
    machine.ask(Question.ANSWER)
    question = "What is the capital of France?"
    assert asked == [
        (question, "", {"max_tokens": 1, "timeout_s": 600.0}),
        (question, "Paris", {"max_tokens": 448, "timeout_s": 5}),
    ]


@pytest.mark.slow
def test_an_engine_that_cannot_be_started_again_leaves_the_log_of_the_one_before(machine, here, monkeypatch):
    folder = records.folder(here, "tiny")
    machine.start()
    machine.end_tree((), 1.0, lambda: True)
    said = folder.engine_log.read_bytes()

    def full(*_args):
        raise NoSpaceError("cli.no_space", path="engine.log", detail="No space left on device")

    monkeypatch.setattr(process, "spawn", full)
    for _ in range(2):
        with pytest.raises(NoSpaceError):
            machine.start()
    assert (folder.earlier_log.read_bytes(), folder.engine_log.exists()) == (said, False)
    assert machine.exit_status() is None
