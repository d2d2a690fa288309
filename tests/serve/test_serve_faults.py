"""What goes wrong around a server, and what comes of it. After each: no process, no open port, nothing half made.

| fault | what comes of it | exit code | where |
|---|---|---|---|
| kill -9 of the front process | the rest is ended; `failed`, or a restart | 1 | test_serve_{start,restart}, e2e |
| kill -9 of EngineCore or a worker | as vLLM ends itself, or as an answer shows; the same | 1 | test_serve_start, e2e |
| kill -9 of the supervisor | orphan; `ps` shows it, `stop [--orphans]` ends it | 137, stop 0 | test_serve_start |
| EngineCore stopped (SIGSTOP), `/health` fine | found by counters and a question; ended or restarted | 1 | here, e2e |
| supervisor stopped (SIGSTOP) | `stop` ends it all the same | stop 0 | test_serve_start |
| no space for the record at the start | refused, nothing is made | 8 | here |
| no space for the log at the start | refused | 8 | test_supervise |
| no space while it serves | it serves on; `stop` and Ctrl-C end it | 130, stop 0 | here, e2e |
| port taken between claim and bind | the engine fails, told by its cause | 4 | here |
| time of day set | nothing: no decision reads it | - | here, test_serve_restart |
| two `serve` of one name at once | one starts, the other is refused | 3 | here |
| Ctrl-C at each phase of a start | stopped | 130 | here |
| `stop` during load | requests end within the drain time, later ones are cut | 0 | e2e |

e2e: tests/e2e/test_e2e_serve_faults.py, with the real engine; the others with tests/fakes/engine.py or fake_world.py.
"""

from __future__ import annotations

import ast
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost.app import machine, servers, start, supervise
from selfhost.errors import EngineFailedError, ExitCode, NoError, NoSpaceError
from selfhost.home import Home
from selfhost.serve import lifecycle, ports, process, records
from tests.serve.serve_support import QUICK, free_port, marked

pytestmark = pytest.mark.slow

WATCHFUL = replace(QUICK, metrics_poll_s=0.1, idle_s=0.3, wedge_s=1.0)


def nothing_left(home: Home, name: str = "tiny", port: int | None = None) -> None:
    until = time.monotonic() + 5
    while marked(home.root):
        assert time.monotonic() < until, "processes are left"
        time.sleep(0.02)
    record = records.read(home, name)
    assert not ports.is_open("127.0.0.1", port or record.port)
    assert ports.bind_error("127.0.0.1", port or record.port) is None
    assert list(records.folder(home, name).path.glob(".*")) == [], "no file is half written"


def test_an_engine_that_is_stopped_is_found_by_what_it_does_not_compute(fakes, here, tmp_path):
    fakes.detached({"hang_file": str(tmp_path / "hangs"), "children": 1}, limits=WATCHFUL, restart="on-failure:1")
    (tmp_path / "hangs").touch()
    fakes.wait_for("restarting", seconds=15)
    (tmp_path / "hangs").unlink()
    until = time.monotonic() + 10
    while not ((record := records.read(here, "tiny")).restarts and record.ready_at):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert record.last_failure.message_id == "supervise.wedged"
    servers.stop(here, "tiny", 2)
    nothing_left(here)


# A disk that is full


@pytest.fixture
def small_disk(tmp_path):
    """A home on a file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", place], check=False).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> None:
    with (place / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


@pytest.fixture
def on_small_disk(small_disk, monkeypatch):
    from tests.serve.serve_support import Fakes

    monkeypatch.setenv("SELFHOST_HOME", str(small_disk / "home"))
    made = Fakes(Home(small_disk / "home"), monkeypatch)
    yield made
    (small_disk / "filler").unlink(missing_ok=True)
    for name in records.names(made.home):
        with contextlib.suppress(Exception):
            servers.stop(made.home, name, 0)
    assert marked(made.home.root) == []


def test_no_space_for_the_record_refuses_the_start(on_small_disk, small_disk):
    fill(small_disk)
    with pytest.raises(NoSpaceError) as caught:
        on_small_disk.claim()
    assert caught.value.code is ExitCode.NO_SPACE
    assert list(on_small_disk.home.servers.glob("tiny*")) == []


def test_no_space_while_it_serves_keeps_it_neither_from_serving_nor_from_its_end(on_small_disk, small_disk):
    front = on_small_disk.front({"children": 1})
    assert front.stdout.readline() == b"ready\n"
    port = records.read(on_small_disk.home, "tiny").port
    fill(small_disk)
    time.sleep(0.5)
    assert on_small_disk.state() == "ready"
    front.send_signal(signal.SIGINT)
    _out, err = front.communicate(timeout=10)
    assert (front.returncode, err) == (130, b"")
    (small_disk / "filler").unlink()
    nothing_left(on_small_disk.home, port=port)
    assert on_small_disk.state() == "dead", "its end could not be written; `ps` sees that nothing is left"


def test_a_server_is_stopped_although_no_space_is_left_to_write_that(on_small_disk, small_disk):
    record = on_small_disk.detached()
    fill(small_disk)
    said = servers.stop(on_small_disk.home, "tiny")
    assert said.id == "serve.stopped", "what was asked for was done: no error"
    (small_disk / "filler").unlink()
    nothing_left(on_small_disk.home, port=record.port)


# Races


def test_a_port_that_is_taken_between_claim_and_bind_is_told(fakes, here):
    record, orders = fakes.claim({"start_s": 0.2})
    with socket.create_server(("127.0.0.1", record.port)), pytest.raises(EngineFailedError) as caught:
        start.run_foreground(here, record, orders, fakes.report(), lambda _record: None)
    assert (caught.value.message.id, caught.value.code) == ("diagnose.port", ExitCode.MISSING)
    nothing_left(here)


def test_of_two_serves_of_one_name_at_the_same_moment_one_is_refused(fakes, here):
    outcomes, barrier = [], threading.Barrier(6)

    def claim(port: int) -> None:
        barrier.wait()
        try:
            outcomes.append(fakes.claim({}, port=port))
        except NoError as error:
            outcomes.append(error.message.id)

    threads = [threading.Thread(target=claim, args=(free_port(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert refused == ["serve.name_taken"] * 5
    ((record, _orders),) = (outcome for outcome in outcomes if not isinstance(outcome, str))
    assert records.read(here, "tiny").mark == record.mark


PHASES = {
    "before the engine is set up": ({"start_s": 60}, lambda record: record.engine),
    "loading": ({"start_s": 60, "children": 1}, lambda record: len(servers.look(record).members) > 1),
    "warming, deaf to TERM": (
        {"start_s": 60, "ignore_term": True},
        lambda record: record.engine and process.age_s(record.engine) > 0.7,
    ),
    "checking": ({"wedged": True}, lambda record: record.phase is lifecycle.Phase.CHECKING),
    "ready": ({}, lambda record: record.ready_at),
}


@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupt_at_each_phase_of_a_start_leaves_nothing(fakes, here, phase):
    how, reached = PHASES[phase]
    front = fakes.front(how, limits=replace(QUICK, answer_s=60, starting_grace_s=0.5))
    until = time.monotonic() + 10
    while not reached(records.read(here, "tiny")):
        assert time.monotonic() < until
        time.sleep(0.01)
    front.send_signal(signal.SIGINT)
    front.communicate(timeout=15)
    assert front.returncode == 130
    assert fakes.state() == "stopped"
    nothing_left(here)


@pytest.mark.parametrize("module", [machine, supervise, process, lifecycle, start])
def test_no_decision_reads_the_time_of_day(module):
    asked = {
        node.attr
        for node in ast.walk(ast.parse(Path(module.__file__).read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("time", "datetime")
    }
    assert asked <= {"monotonic", "sleep", "clock_gettime", "CLOCK_BOOTTIME"}
