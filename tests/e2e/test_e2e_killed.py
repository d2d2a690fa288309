"""kill -9 of each part of a real server: what `ps` and `stop` say afterwards, and that nothing survives."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import psutil
import pytest

from tests.e2e.test_e2e_serve_directory import SELFHOST, processes_of, selfhost
from tests.tiny_models import make_tiny_model

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def tiny(engine_python, tmp_path_factory):
    directory = tmp_path_factory.mktemp("models") / "tiny"
    make_tiny_model(engine_python, "qwen2", directory)
    return directory


def listed() -> dict[str, dict]:
    return {server["name"]: server for server in json.loads(selfhost("ps", "--json").stdout)["servers"]}


def wait_for_state(name: str, *states: str, seconds: float = 60) -> str:
    deadline = time.monotonic() + seconds
    while (state := listed()[name]["state"]) not in states:
        assert time.monotonic() < deadline, f"{name} is {state}, expected {states}"
        time.sleep(0.5)
    return state


def started(tiny) -> dict:
    done = selfhost("serve", str(tiny), "--detach", "--port", "0", "--max-model-len", "512", "--json")
    return json.loads(done.stdout)


def test_killed_foreground_serve_leaves_an_orphan_that_stop_ends(tiny, engine_home):
    command = [*SELFHOST, "serve", str(tiny), "--port", "0", "--max-model-len", "512"]
    front = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while listed().get("tiny", {}).get("state") != "ready":
        assert front.poll() is None, "serve ended by itself"
        assert time.monotonic() < deadline
        time.sleep(1)
    front.send_signal(signal.SIGKILL)
    front.wait()

    assert wait_for_state("tiny", "orphaned") == "orphaned"
    assert processes_of(engine_home), "the engine outlives its supervisor until it is stopped"

    stopped = selfhost("stop", "tiny")
    assert "tiny" in stopped.stderr + stopped.stdout
    assert processes_of(engine_home) == []
    assert listed() == {}


@pytest.mark.parametrize("victim", ["engine main process", "worker"])
def test_killed_engine_process_ends_the_server_and_says_so(victim, tiny, engine_home):
    server = started(tiny)
    tree = {p.pid: p for p in processes_of(engine_home)}
    engine = next(p for p in tree.values() if "selfhost_launch.py" in " ".join(p.cmdline()))
    if victim == "worker":
        children = engine.children(recursive=True)
        target = next(p for p in children if "EngineCore" in p.name() or "EngineCore" in " ".join(p.cmdline()))
    else:
        target = engine
    target.send_signal(signal.SIGKILL)

    assert wait_for_state(server["name"], "failed") == "failed"
    _, alive = psutil.wait_procs(list(tree.values()), timeout=30)
    assert alive == [], "the rest of the tree is ended too"

    done = selfhost("stop", server["name"], check=False)
    assert done.returncode == 3, done.stderr
    assert processes_of(engine_home) == []
