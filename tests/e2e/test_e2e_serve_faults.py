"""What goes wrong in a server with the real CPU engine; all faults: the table in tests/serve/test_serve_faults.py."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from selfhost.app import serve, serve_tools, servers, start
from selfhost.app.orders import Limits
from selfhost.cli.moving import Terminal
from selfhost.home import Home
from selfhost.planner.plan import PlanRequest
from selfhost.serve import ports, records
from tests.e2e.test_e2e_serve_directory import processes_of, selfhost
from tests.tiny_models import make_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    import psutil

pytestmark = pytest.mark.e2e

WATCHFUL = Limits(deadline_s=400, ready_poll_s=1, metrics_poll_s=1, idle_s=2, wedge_s=15, grace_s=15)


@pytest.fixture(scope="module")
def tiny(engine_python, tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "tiny"
    make_tiny_model(engine_python, "qwen2", directory)
    return directory


@pytest.fixture
def here(engine_home):
    """A home whose servers do not outlive the test."""
    yield Home(engine_home)
    selfhost("stop", "--all", "--timeout", "1", check=False)
    for left in processes_of(engine_home):
        left.kill()


def begin(home: Home, tiny: Path, **more):
    """As `serve -d` does, with shorter times."""
    tools = serve_tools.real_tools(home, None, Terminal())
    plan = PlanRequest(port=0, max_model_len=512)
    wanted = serve.ServeRequest(target=str(tiny), plan=plan, name="tiny", detached=True, limits=WATCHFUL, **more)
    record, orders = serve.claim(home, wanted, serve.prepare(home, wanted, tools))
    return start.run_detached(home, record, orders, start.StartReport(lambda _step, _line: None))


def core_of(home: Path) -> psutil.Process:
    return next(p for p in processes_of(home) if "EngineCore" in p.name() or "EngineCore" in " ".join(p.cmdline()))


def ready_again(home: Home, restarts: int, seconds: float = 300) -> records.Record:
    until = time.monotonic() + seconds
    while (record := records.read(home, "tiny")).restarts != restarts or record.ready_at is None:
        assert record.failure is None, record.failure
        assert time.monotonic() < until, (record.state, record.restarts)
        time.sleep(0.2)
    return record


def ask_at_length(record, key: str, ended: list[str]) -> None:
    """One stream of a thousand words; how it ended."""
    connection = http.client.HTTPConnection(record.host, record.port, timeout=120)
    body = {"model": record.served_model_name, "prompt": "1", "max_tokens": 500, "ignore_eos": True, "stream": True}
    with contextlib.closing(connection):
        try:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            connection.request("POST", "/v1/completions", json.dumps(body), headers)
            text = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException) as error:
            text = type(error).__name__
    ended.append("whole" if "[DONE]" in text else "cut")


def test_a_wedge_and_a_kill_are_cured_by_restarts_and_stop_under_load_leaves_nothing(tiny, here, engine_home):
    home = here
    first = begin(home, tiny, restart="on-failure")

    # Stopped, it computes nothing, and /health goes on saying 200.
    core = core_of(engine_home)
    core.send_signal(signal.SIGSTOP)
    record = ready_again(home, 1)
    assert record.last_failure.message_id == "supervise.wedged", record.last_failure
    assert not core.is_running()
    assert record.engine != first.engine

    core_of(engine_home).send_signal(signal.SIGKILL)
    record = ready_again(home, 2)
    assert "EngineCore" in records.folder(home, "tiny").earlier_log.read_text()

    key = records.read_control_key(home, "tiny")
    ended: list[str] = []
    threads = [threading.Thread(target=ask_at_length, args=(record, key, ended)) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    began = time.monotonic()
    done = selfhost("stop", "tiny")
    assert time.monotonic() - began < 60
    assert done.stdout.startswith("tiny stopped: ")
    for thread in threads:
        thread.join(30)
    assert len(ended) == 8, "no client is left waiting"
    assert processes_of(engine_home) == []
    assert ports.bind_error(record.host, record.port) is None


def test_a_disk_that_is_full_of_logs_ends_neither_answers_nor_the_stop(tiny, engine_python, tmp_path, monkeypatch):
    place = tmp_path / "small"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "small", place], check=False).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    try:
        engine = engine_python.parent.parent
        target = place / "home" / "engines" / engine.parent.name
        target.mkdir(parents=True)
        (target / engine.name).symlink_to(engine)
        monkeypatch.setenv("SELFHOST_HOME", str(place / "home"))
        home = Home(place / "home")
        record = begin(home, tiny)
        with (place / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        for _ in range(3):
            assert selfhost("chat", "tiny", "你好", "--max-tokens", "8").stdout.strip()
        assert servers.find_server(home, "tiny").state.value == "ready"
        # That it has ended cannot be written; it has all the same.
        done = selfhost("stop", "tiny")
        assert done.stdout.startswith("tiny stopped: ")
        assert processes_of(place / "home") == []
        assert ports.bind_error(record.host, record.port) is None
        (place / "filler").unlink()
        assert selfhost("stop", "tiny", check=False).returncode == 3
    finally:
        for left in processes_of(place / "home"):
            left.kill()
        subprocess.run(["umount", "-l", place], check=True)
