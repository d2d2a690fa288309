"""The supervisor in a world of its own: hours of serving, crashing and hanging in milliseconds, nothing started."""

from __future__ import annotations

import pytest

from selfhost.errors import NoSpaceError
from selfhost.messages import Message
from selfhost.serve.events import Answered, NotAnswered
from selfhost.serve.lifecycle import Identity, Question, State
from tests.serve.fake_world import FakeWorld, supervise

NO_SPACE = NoSpaceError("cli.no_space", path="engine.log", detail="No space left on device")


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


def cause(record) -> str:
    return record.failure.params["line"].partition(":")[0]


def test_a_server_starts_serves_and_is_stopped(world):
    world.at(5000, world.signal)
    last = supervise(world)
    assert world.told == ["starting", "ready", "stopping", "stopped"]
    assert (last.state, last.failure, last.restarts) == (State.STOPPED, None, 0)
    assert last.device_memory_before == {"nvidia 0": 5}
    assert world.ended == [(pytest.approx(5000, abs=1), 30.0, False)]


def test_a_crash_ends_a_server_that_is_never_started_again(world):
    world.at(100, world.crash)
    last = supervise(world)
    assert (world.told[-1], cause(last), len(world.starts)) == ("failed", "exited", 1)


def test_a_start_that_never_comes_up_ends_at_its_deadline_and_is_not_tried_again(world):
    world.loads_s = 1e9
    last = supervise(world, "on-failure")
    assert (cause(last), len(world.starts)) == ("deadline", 1)
    assert world.ended[0][0] == pytest.approx(3000, abs=1)
    assert world.ended[0][1] == 5.0, "nobody waits for an answer"
    assert "a failed start is kept" in world.told


def test_a_crash_is_followed_by_a_restart_after_a_second(world):
    world.at(100, world.crash)
    world.at(5000, world.signal)
    last = supervise(world, "on-failure")
    assert world.told == ["starting", "ready", "stopping", "restarting", "starting", "ready", "stopping", "stopped"]
    assert world.starts == [0, pytest.approx(101, abs=1)]
    assert (last.restarts, last.state, last.last_failure.message_id) == (1, State.STOPPED, "serve.unhealthy")
    assert last.failure is None


def test_a_crash_loop_ends_with_its_cause_and_its_count(world):
    world.crash_in = 40.0  # ten seconds after it is ready
    last = supervise(world, "on-failure:3")
    # Each start takes 40 s, and the waits 1, 2 and 4 s.
    assert world.starts == [pytest.approx(second, abs=1) for second in (0, 41, 83, 127)]
    assert (last.state, last.restarts) == (State.FAILED, 3)
    message = Message(last.failure.message_id, last.failure.params)
    assert message.what == "`tiny` failed 4 times in a row and is not started again"
    assert message.why.startswith("the last time: `tiny` stopped answering")
    assert last.failure.code == 1


def test_serving_for_ten_minutes_forgives(world):
    world.crash_in = 30.0 + 601.0
    world.at(7000, world.signal)
    last = supervise(world, "on-failure:1")
    assert last.state is State.STOPPED
    assert last.restarts == len(world.starts) - 1 >= 9, "each failure is a first one again"


def test_a_restart_that_cannot_be_made_counts_as_a_failure(world):
    world.start_error = [None, OSError(2, "No such file or directory"), NO_SPACE]
    world.at(100, world.crash)
    last = supervise(world, "on-failure:2")
    assert last.failure.message_id == "supervise.crash_loop"
    assert last.failure.code == 8
    assert "No space left on device" in last.failure.params["why"]


@pytest.mark.parametrize(
    ("error", "message_id", "code"),
    [(NO_SPACE, "cli.no_space", 8), (OSError(13, "Permission denied"), "serve.not_runnable", 4)],
)
def test_a_first_start_that_cannot_be_made_is_told(world, error, message_id, code):
    world.start_error = [error]
    last = supervise(world, "on-failure")
    assert (last.state, last.failure.message_id, last.failure.code) == (State.FAILED, message_id, code)
    assert world.starts == []


def test_stop_while_it_waits_for_a_restart(world):
    world.at(100, world.crash)
    world.at(100.6, world.signal)
    last = supervise(world, "on-failure")
    assert world.told[-2:] == ["restarting", "stopped"]
    assert (last.state, last.failure, len(world.starts)) == (State.STOPPED, None, 1)


def test_stop_during_each_second_of_a_life_with_restarts_leaves_a_stopped_or_failed_server():
    for second in range(0, 150, 3):
        world = FakeWorld()
        world.loads_s, world.crash_in = 5.0, 12.0
        world.at(second, world.signal)
        last = supervise(world, "on-failure:50")
        assert last.state in (State.STOPPED, State.FAILED)
        assert world.clock < second + 5, "it is not started again"


def test_a_second_signal_means_at_once(world):
    hurried = []
    world.end_tree = lambda _known, _grace_s, hurry: hurried.append(hurry) or FakeWorld.end_tree(world, (), 0, hurry)
    world.at(100, world.signal)
    world.at(100, world.signal)
    supervise(world)
    # The tree is ended in the background: what counts is what it is told when it asks again.
    assert len(hurried) == 1


def test_survivors_are_no_reason_to_start_again(world):
    world.survivors = (Identity(pid=7, start_ticks=1, boot_id="b"),)
    world.at(100, world.crash)
    last = supervise(world, "on-failure")
    assert (last.state, len(world.starts)) == (State.FAILED, 1)


def test_survivors_of_a_stop_are_a_failure(world):
    world.survivors = (Identity(pid=7, start_ticks=1, boot_id="b"),)
    world.at(100, world.signal)
    assert supervise(world).failure.message_id == "serve.survivors"


def test_memory_that_did_not_come_back_is_recorded(world):
    world.held = {"nvidia 0": 1 << 30}
    world.at(100, world.signal)
    assert supervise(world).device_memory_held == {"nvidia 0": 1 << 30}


# Liveness


def tokens(world) -> list[float]:
    return [second for second, question in world.asked if question is Question.TOKEN]


def test_an_idle_server_is_asked_about_once_a_minute_and_goes_on(world):
    world.at(3600, world.signal)
    last = supervise(world)
    assert last.state is State.STOPPED
    assert 50 <= len(tokens(world)) <= 60


def test_a_busy_server_is_never_asked(world):
    world.busy = True
    world.at(7200, world.signal)
    assert supervise(world).state is State.STOPPED
    assert tokens(world) == []


def test_without_counters_nothing_is_asked(world):
    world.counts = False
    world.at(7200, world.signal)
    supervise(world)
    assert tokens(world) == []


def test_an_engine_that_hangs_behind_a_healthy_front_is_found_within_minutes(world):
    world.busy = True
    world.at(1000, world.hang)
    last = supervise(world)
    assert cause(last) == "wedged"
    assert 1000 + 300 < world.ended[0][0] < 1000 + 300 + 60 + 2 * 15 + 2


def test_a_hang_is_cured_by_a_restart(world):
    world.busy = True
    world.at(1000, world.hang)

    def cure():
        world.computes, world.answers = True, {}

    world.at(1370, cure)
    world.at(5000, world.signal)
    last = supervise(world, "on-failure")
    assert (last.state, last.restarts) == (State.STOPPED, 1)


def test_a_long_queue_is_no_hang(world):
    # It computes all the time, but the question waits behind everybody else's.
    world.busy = True
    world.answers = {Question.TOKEN: NotAnswered("timed out", late=True)}

    def pause():
        world.busy = False

    def go_on():
        world.busy = True

    world.at(1000, pause)
    world.at(1100, go_on)
    world.at(5000, world.signal)
    assert supervise(world).state is State.STOPPED
    assert tokens(world), "it was asked during the pause"


def test_a_front_that_refuses_the_question_says_nothing_about_the_engine(world):
    world.answers = {Question.TOKEN: NotAnswered("too many requests", declined=True)}
    world.at(3600, world.signal)
    assert supervise(world).state is State.STOPPED


# What is seen while it serves


def test_a_lost_worker_is_asked_about(world):
    world.busy = True
    world.at(100, world.kill_worker)
    world.at(500, world.signal)
    assert supervise(world).state is State.STOPPED
    assert [question for _second, question in world.asked][:2] == [Question.ANSWER, Question.ANSWER]


def test_a_lost_worker_whose_engine_talks_nonsense_ends_the_server(world):
    world.at(99, lambda: world.answers.update({Question.ANSWER: Answered(right=False, text="zzz")}))
    world.at(100, world.kill_worker)
    assert cause(supervise(world)) == "wrong_answer"


def test_a_front_that_is_silent_for_a_minute_ends_the_server(world):
    world.busy = True
    world.at(1000, lambda: setattr(world, "healthy", False))
    last = supervise(world)
    assert cause(last) == "unhealthy"
    assert world.ended[0][0] == pytest.approx(1060, abs=6)


def test_an_answer_that_comes_after_the_end_of_its_run_is_nobodys(world):
    # Asked in the first run, answered in the second, which is still loading.
    world.at(99, lambda: world.answers.update({Question.ANSWER: NotAnswered("cut off", late=True)}))
    world.at(100, world.kill_worker)
    world.at(110, world.crash)
    world.at(111, world.answers.clear)
    world.at(5000, world.signal)
    last = supervise(world, "on-failure")
    assert (last.state, last.restarts) == (State.STOPPED, 1)


def test_an_answer_that_broke_off_with_the_engine_is_told_as_the_engine_s_end(world):
    def dies(_question):
        world.at(world.clock + 1, world.crash)  # at the moment of the answer, and before it
        return NotAnswered("connection reset")

    world.at(
        99,
        lambda: setattr(world, "ask", lambda question: world.asked.append((world.clock, question)) or dies(question)),
    )
    world.at(100, world.kill_worker)
    assert cause(supervise(world)) == "exited"


# A disk that is full


def test_a_record_that_cannot_be_written_ends_the_engine(world):
    world.save_error = {"ready": NO_SPACE, "failed": NO_SPACE}
    with pytest.raises(NoSpaceError):
        supervise(world)
    assert len(world.ended) == 1


def test_a_disk_that_is_full_later_keeps_nobody_from_being_stopped_or_started_again(world):
    for state in ("stopping", "restarting", "stopped"):
        world.save_error[state] = NO_SPACE
    world.at(100, world.crash)
    world.at(101.5, lambda: world.save_error.update({"starting": NO_SPACE, "ready": NO_SPACE}))
    world.at(5000, world.signal)
    last = supervise(world, "on-failure")
    assert (last.state, last.restarts, last.failure) == (State.STOPPED, 1, None)


def test_a_server_whose_record_was_taken_away_is_not_started_again(world):
    world.save_error["stopping"] = FileNotFoundError(2, "No such file or directory")
    world.at(100, world.crash)
    assert supervise(world, "on-failure").state is State.FAILED
    assert len(world.starts) == 1


def test_what_goes_wrong_in_the_background_ends_the_engine(world):
    def broken():
        raise RuntimeError("no threads left")

    world.figures = broken
    with pytest.raises(RuntimeError, match="no threads left"):
        supervise(world)
    assert len(world.ended) == 1
    assert world.saved[-1].state is State.FAILED
