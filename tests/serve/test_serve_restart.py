"""Restarts, hangs and orphans with real processes, the engine being `tests/fakes/engine.py`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from dataclasses import replace

import pytest

from selfhost.app import boot, servers, strays
from selfhost.cli import main as cli
from selfhost.errors import NoError
from selfhost.serve import process, records
from tests.serve.serve_support import QUICK, make_plan, marked

pytestmark = pytest.mark.slow

WATCHFUL = replace(QUICK, metrics_poll_s=0.1, idle_s=0.3, wedge_s=0.5)


def ready_again(fakes, restarts: int):
    until = time.monotonic() + 10
    while (record := records.read(fakes.home, "tiny")).restarts != restarts or record.ready_at is None:
        assert time.monotonic() < until, record
        time.sleep(0.02)
    return record


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    return int(ended.value.code or 0)


def test_a_killed_engine_is_started_again_and_its_log_is_kept(fakes, here, capsys):
    first = fakes.detached({"children": 1}, restart="on-failure")
    process.send(first.engine, signal.SIGKILL)
    record = ready_again(fakes, 1)
    assert record.engine != first.engine
    assert boot.of_server(here, record)["started_at"] > first.started_at, "what the restart measured"
    server = servers.find_server(here, "tiny")
    assert (server.state.value, len(server.members)) == ("ready", 2)
    said = server.as_dict()
    assert (said["restart"], said["restarts"], said["failure"]) == ("on-failure", 1, None)
    assert said["last_failure"]["id"] == "diagnose.signal"
    folder = records.folder(here, "tiny")
    assert folder.earlier_log.read_text().startswith("fake engine: ")
    assert folder.earlier_log.stat().st_ino != folder.engine_log.stat().st_ino

    assert run("ps") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[-1] == "1"
    why = "`tiny` failed while serving: its main process was ended by signal 9"
    assert err == f"tiny: restarts: 1, the last because {why}\n"
    assert servers.stop(here, "tiny", 2).params["count"] == 2


def test_a_crash_loop_ends_as_a_failure_that_says_so(fakes, here, tmp_path):
    dies = tmp_path / "dies"
    first = fakes.detached({"die_file": str(dies)}, restart="on-failure:1")
    dies.touch()
    process.send(first.engine, signal.SIGKILL)
    fakes.wait_for("failed", seconds=10)
    server = servers.find_server(here, "tiny")
    assert server.record.failure.message_id == "supervise.crash_loop"
    assert server.as_dict()["failure"]["what"] == "`tiny` failed 2 times in a row and is not started again"
    assert "while loading" in server.as_dict()["failure"]["why"]


def test_stop_ends_a_server_that_waits_for_its_restart(fakes, here):
    first = fakes.detached({}, restart="on-failure")
    process.send(first.engine, signal.SIGKILL)
    fakes.wait_for("restarting")
    servers.stop(here, "tiny", 2)
    time.sleep(1.5)  # longer than the wait that was left
    assert servers.find_server(here, "tiny").state.value == "stopped"
    assert servers.list_servers(here)[0] == []


def test_the_foreground_goes_on_through_a_restart_and_says_ready_once(fakes, here):
    front = fakes.front({}, restart="on-failure")
    assert front.stdout.readline() == b"ready\n"
    process.send(records.read(here, "tiny").engine, signal.SIGKILL)
    ready_again(fakes, 1)
    front.send_signal(signal.SIGINT)
    out, err = front.communicate(timeout=10)
    assert (front.returncode, out, err) == (130, b"", b"")


def test_a_hang_behind_a_healthy_front_is_found(fakes, here, tmp_path):
    hangs = tmp_path / "hangs"
    fakes.detached({"hang_file": str(hangs)}, limits=WATCHFUL)
    time.sleep(1)
    assert fakes.state() == "ready", "asked, it answers"
    hangs.touch()
    fakes.wait_for("failed", seconds=10)
    failure = servers.find_server(here, "tiny").as_dict()["failure"]
    assert failure["id"] == "supervise.wedged"
    assert "a question of one token had no answer for 0.5 s" in failure["why"]


def test_a_server_says_what_it_does_about_failures_by_a_word_it_knows(capsys):
    assert run("serve", "./tiny", "--restart", "always") == 2
    assert "not a way to restart: `always`" in capsys.readouterr().err


# Orphans


def orphan(fakes) -> None:
    front = fakes.front({"children": 1})
    assert front.stdout.readline() == b"ready\n"
    front.kill()
    front.communicate()


def test_orphans_are_ended_with_and_without_a_record(fakes, here, capsys):
    orphan(fakes)
    assert run("stop", "--orphans", "--timeout", "1") == 0
    assert capsys.readouterr().out.startswith("tiny stopped: 2 processes ended in ")
    assert marked(here.root) == []

    orphan(fakes)
    shutil.rmtree(records.folder(here, "tiny").path)
    (stray,) = strays.find(here)
    assert run("ps", "--json") == 0
    assert json.loads(capsys.readouterr().out)["strays"] == [
        {"name": "tiny", "pids": [identity.pid for identity in stray.members]}
    ]
    assert len(stray.members) == 2
    assert run("ps") == 0
    assert "tiny: 2 processes without a record (pid " in capsys.readouterr().err
    assert run("stop", "--orphans", "--timeout", "1") == 0
    assert capsys.readouterr().out.startswith("tiny stopped: 2 processes without a record ended in ")
    assert (strays.find(here), marked(here.root)) == ([], [])
    assert run("stop", "--orphans") == 0
    assert capsys.readouterr().err == "no orphans\n"


def test_a_supervisor_whose_record_was_taken_away_ends_with_its_engine(fakes, here):
    fakes.detached({"children": 1}, restart="on-failure")
    shutil.rmtree(records.folder(here, "tiny").path)
    assert run("stop", "--orphans", "--timeout", "1") == 0
    until = time.monotonic() + 5
    while marked(here.root):
        assert time.monotonic() < until, "it is started again, or its supervisor is left"
        time.sleep(0.05)


def test_what_runs_is_no_orphan_and_neither_is_what_belongs_to_another_home(fakes, here, tmp_path, monkeypatch):
    fakes.detached()
    other = process.spawn(
        ["sleep", "60"],
        {**os.environ, "SELFHOST_SERVER": "tiny:1", "SELFHOST_GATE": str(tmp_path / "servers" / "tiny" / "gate.json")},
        tmp_path / "log",
    )
    assert strays.find(here) == []
    assert run("stop", "--orphans") == 0
    assert fakes.state() == "ready"
    assert other.poll() is None
    other.kill()
    other.wait()


# Times that fit


def test_the_uptime_is_the_processes_own_whatever_the_clock_was_set_to(fakes, here):
    fakes.detached()
    records.write(here, replace(records.read(here, "tiny"), started_at="2031-01-01T00:00:00+00:00"))
    assert 0 <= servers.find_server(here, "tiny").as_dict()["uptime_s"] < 30


def test_memory_that_did_not_come_back_is_said_by_stop(fakes, here, monkeypatch):
    fakes.detached()
    record = records.read(here, "tiny")
    for identity in (record.supervisor,):
        process.send(identity, signal.SIGKILL)
    fakes.wait_for("orphaned")
    records.write(here, replace(record, device_memory_before={"nvidia 0": 1 << 30}))
    monkeypatch.setattr("selfhost.app.device_memory.used", lambda _plan, _env: {"nvidia 0": 3 << 30})
    monkeypatch.setattr("selfhost.app.device_memory._BACK_S", 0.1)
    said = servers.stop(here, "tiny", 1)
    assert said.what.endswith("memory of its devices that was free before its start is still in use: nvidia 0: 2.0 GiB")
    assert records.read(here, "tiny").device_memory_held == {"nvidia 0": 2 << 30}


def test_a_server_that_does_not_run_has_nothing_to_start_again(fakes, here):
    fakes.detached({}, restart="on-failure", plan=make_plan())
    servers.stop(here, "tiny", 1)
    with pytest.raises(NoError):
        servers.stop(here, "tiny", 1)
