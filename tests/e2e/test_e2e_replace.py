"""`replace` with the real CPU engine behind a real nginx, under load: no request fails, streams and others."""

from __future__ import annotations

import json
import os
import time

import pytest

from selfhost.home import Home
from selfhost.serve import records
from tests.e2e.test_e2e_serve_directory import processes_of, selfhost
from tests.serve.replace_support import Load
from tests.serve.test_serve_replace_gateway import KEY, Nginx
from tests.tiny_models import make_tiny_model

pytestmark = pytest.mark.e2e


@pytest.fixture
def model(engine_python, tmp_path):
    """A tiny one, or a real one of a directory that is named."""
    if named := os.environ.get("SELFHOST_TEST_REPLACE_MODEL"):
        return named
    directory = tmp_path / "tiny"
    make_tiny_model(engine_python, "qwen2", directory)
    return str(directory)


@pytest.fixture
def other_engine(engine_home, engine_python):
    """The name of an environment of another lock where there is one beside the pinned; else of that."""
    pinned = engine_python.parent.parent
    beside = (path.parent for path in pinned.parent.glob("*/selfhost-engine.json") if path.parent != pinned)
    found = next(beside, pinned)
    link = engine_home / "engines" / pinned.parent.name / found.name
    if not link.exists():
        link.symlink_to(found)
    return found.name


@pytest.fixture
def nginx(debian_tool, engine_home, model):
    selfhost("serve", model, "-d", "--name", "tiny", "--port", "0", "--max-model-len", "512", "--max-num-seqs", "8")
    made = None
    try:
        made = Nginx(debian_tool("nginx", "nginx-light"), Home(engine_home))
        yield made
    finally:
        if made:
            made.end()
        selfhost("stop", "--all", check=False)
        assert processes_of(engine_home) == []


def replaced(nginx, load: Load, *settings: str) -> dict:
    before, began = load.whole, time.monotonic()
    done = selfhost("replace", "tiny", "--gateway", str(nginx.configuration), "--json", *settings, seconds=500)
    told = json.loads(done.stdout)
    answers, seconds = load.whole - before, time.monotonic() - began
    print(f"{told['replaced']} -> {told['server']['name']}: {answers} whole answers in {seconds:.0f} s meanwhile")
    assert answers > 0, "it went on answering"
    before, until = load.whole, time.monotonic() + 60
    while load.whole < before + 8:
        assert time.monotonic() < until
        time.sleep(0.05)
    return told


def test_servers_take_each_other_s_place_under_load_and_one_can_go_back(nginx, engine_home, other_engine):
    home = Home(engine_home)
    model = records.read(home, "tiny").served_model_name
    load = Load(port=nginx.port, key=KEY, model=model, pause_s=1)
    with load.running(4):
        other = replaced(nginx, load, "--max-model-len", "256")
        assert other["server"]["state"] == "ready"
        assert records.read(home, "tiny@2").plan["settings"]["max_model_len"] == 256
        replaced(nginx, load, "--engine-version", other_engine, "--max-model-len", "512")
    print(f"{load.whole} whole, {len(load.failed)} failed, {load.again} asked again on a kept connection that closed")
    assert load.failed == []
    kept = records.read(home, "tiny@3").request
    assert (kept["settings"]["max_model_len"], kept["settings"]["max_num_seqs"]) == (512, 8)
    (listed,) = json.loads(selfhost("ps", "--json").stdout)["servers"]
    assert (listed["name"], listed["state"]) == ("tiny@3", "ready")
    assert selfhost("chat", "tiny", "Hello", "--max-tokens", "4").stdout.strip()
    (row,) = [row for row in selfhost("engine", "ls").stdout.splitlines() if "tiny@3" in row]
    assert row.endswith(f"/{other_engine}")
    assert selfhost("engine", "remove", "cpu", "--version", other_engine, "--yes", check=False).returncode == 3

    # A new one that does not start leaves the old one as it is.
    failed = selfhost("replace", "tiny", "--gateway", str(nginx.configuration), "--", "--no-such-flag", check=False)
    assert failed.returncode != 0
    assert selfhost("chat", "tiny", "Hello", "--max-tokens", "4").stdout.strip()
    assert selfhost("stop", "tiny").stdout.startswith("tiny@3 stopped: ")
