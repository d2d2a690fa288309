"""`selfhost serve DIR` with the real CPU engine: tiny models of the exact architecture classes start, answer, stop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.tiny_models import make_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

SELFHOST = [sys.executable, "-m", "selfhost"]


def selfhost(*arguments: str, check: bool = True, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*SELFHOST, *arguments], capture_output=True, text=True, check=False, timeout=seconds)
    if check:
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process on this machine that carries this home in its environment, except ourselves."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("SELFHOST_HOME") == str(home):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.parametrize("kind", ["qwen2", "deepseek_v3", "glm4", "glm4_moe"])
def test_a_tiny_model_of_the_class_is_served_and_stopped(kind, engine_home, engine_python, tmp_path):
    model = tmp_path / kind
    make_tiny_model(engine_python, kind, model)

    started = selfhost("serve", str(model), "--detach", "--port", "0", "--max-model-len", "512", "--json")
    server = json.loads(started.stdout)
    assert server["state"] == "ready"
    assert server["model"] == kind

    (listed,) = json.loads(selfhost("ps", "--json").stdout)["servers"]
    assert (listed["name"], listed["state"], listed["url"]) == (kind, "ready", server["url"])

    answer = selfhost("chat", kind, "你好, who are you?")
    assert answer.stdout.strip()

    # The same plan again knows of this start: what was computed is what the engine counted.
    plan = json.loads(selfhost("plan", str(model), "--max-model-len", "512", "--json").stdout)
    said = plan["measured"]
    assert plan["confidence"] == "measured", plan["reasons"]
    assert said["predicted"]["kv_cache_tokens"] == said["actual"]["kv_cache_tokens"] == plan["kv_cache"]["tokens"]
    assert said["actual"]["ready_s"] > said["actual"]["engine_init_s"] > 0
    assert f"boot record: {said['record']}" in started.stderr
    assert f"tokens {plan['kv_cache']['tokens']:,} / {plan['kv_cache']['tokens']:,}" in started.stderr

    selfhost("stop", kind)

    assert json.loads(selfhost("ps", "--json").stdout)["servers"] == []
    assert processes_of(engine_home) == []
    assert selfhost("stop", kind, check=False).returncode == 3
