"""Two servers on one machine with the real CPU engine: names, ports and cores of their own, both answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.tiny_models import make_tiny_model

pytestmark = pytest.mark.e2e


def selfhost(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "selfhost", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def bound(name: str) -> list[int]:
    """Where the engine says that it binds its threads."""
    (line,) = [line for line in selfhost("logs", name).stdout.splitlines() if "core ids=" in line]
    return json.loads(line.partition("core ids=")[2])


@pytest.fixture
def two(engine_home, engine_python, tmp_path):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core has no place for a second server's threads")
    model = tmp_path / "tiny"
    make_tiny_model(engine_python, "qwen2", model)
    started = []
    try:
        for name in ("one", "two"):
            done = selfhost("serve", str(model), "-d", "--name", name, "--max-model-len", "512", "--json")
            started.append((json.loads(done.stdout), done.stderr))
        yield model, started
    finally:
        selfhost("stop", "--all")


def test_two_servers_share_a_machine(two):
    model, ((one, _), (other, said)) = two
    assert one["port"] < other["port"]
    assert "port 8000 is taken by" in said
    assert set(one["cpus"]).isdisjoint(other["cpus"])
    assert bound("one") == one["cpus"]
    assert bound("two") == other["cpus"]
    for name in ("one", "two"):
        assert selfhost("chat", name, "Hello", "--max-tokens", "4").stdout.strip()

    plan = json.loads(selfhost("plan", str(model), "--max-model-len", "512", "--json").stdout)
    held = [line for line in plan["reasons"] if line.startswith("held: ")]
    assert ["`one`" in held[0], "`two`" in held[1], len(held)] == [True, True, 2]
    taken = selfhost("serve", str(model), "--name", "one", code=3)
    assert "give this one another name: `--name one-2`" in taken.stderr
