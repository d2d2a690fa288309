"""Data parallel over two nodes with the real CPU engine: the planned commands, both run on this machine over loopback.

The plan is for two nodes with one GPU each; what the CPU engine needs instead of a GPU's settings is added to its
commands. The second node is headless: that it answers at all shows in the first one's counters.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from selfhost.app.model import resolve
from selfhost.app.plan import plan_model
from selfhost.hardware.spec import parse
from selfhost.planner.layouts import DATA_PARALLEL_RPC_PORT, FIRST_NODE
from selfhost.planner.plan import PlanRequest
from selfhost.serve.ports import free_port
from tests.tiny_models import ANSWER, make_tiny_model

pytestmark = pytest.mark.e2e

LAUNCHER = Path(__file__).resolve().parents[2] / "selfhost/inside/selfhost_launch.py"
FOR_A_CPU = ("--enforce-eager", "--kv-cache-memory-bytes", "64M", "--seed", "0")
REQUESTS = 8


def commands(directory: Path, python: Path) -> tuple[list[list[str]], dict[str, str], int]:
    """Command of each node, their variables, and the port of the first."""
    port = free_port("127.0.0.1")
    request = PlanRequest(data_parallel_size=2, max_model_len=512, max_num_seqs=8, port=port)
    plan = plan_model(resolve(str(directory)).to_plan(), parse("2x1xH20"), request)
    assert len(plan.node_argv) == 2
    stand_ins = {FIRST_NODE: "127.0.0.1", str(DATA_PARALLEL_RPC_PORT): str(free_port("127.0.0.1"))}
    found = [[stand_ins.get(word, word) for word in argv[1:]] for argv in plan.node_argv]
    variables = {**plan.env, "VLLM_HOST_IP": "127.0.0.1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    return [[str(python), str(LAUNCHER), *argv, *FOR_A_CPU] for argv in found], variables, port


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def wait_until_healthy(port: int, nodes: list[subprocess.Popen[bytes]], log: Path) -> None:
    deadline = time.monotonic() + 480
    while True:
        assert all(node.poll() is None for node in nodes), log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            get(f"http://127.0.0.1:{port}/health")
        except (urllib.error.URLError, OSError):
            time.sleep(1)
        else:
            return


def ask(port: int) -> str:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "你好"}], "temperature": 0, "max_tokens": 100}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def end(nodes: list[subprocess.Popen[bytes]]) -> None:
    """Every process of each tree, by its id."""
    trees = []
    for node in nodes:
        if node.poll() is None:
            tree = psutil.Process(node.pid)
            trees += [tree, *tree.children(recursive=True)]
    for process in trees:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    for node in nodes:
        node.wait(30)
    assert psutil.wait_procs(trees, 30)[1] == []


def test_two_nodes_are_one_server_and_both_engines_answer(engine_python, tmp_path):
    model = tmp_path / "tiny"
    make_tiny_model(engine_python, "qwen2", model)
    lines, variables, port = commands(model, engine_python)
    logs = [tmp_path / f"node{number}.log" for number in range(2)]
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for line, path in zip(lines, logs, strict=True):
            with path.open("wb") as log:
                nodes.append(
                    subprocess.Popen(
                        line, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **variables}, cwd=tmp_path
                    )
                )
        wait_until_healthy(port, nodes, logs[0])
        assert {ask(port) for _ in range(REQUESTS)} == {ANSWER}
        done = re.findall(
            r'^vllm:request_success_total\{engine="(\d)",finished_reason="stop".*\} (\S+)$',
            get(f"http://127.0.0.1:{port}/metrics"),
            re.MULTILINE,
        )
        counts = {engine: float(number) for engine, number in done}
        assert set(counts) == {"0", "1"}, done
        assert sum(counts.values()) == REQUESTS
        assert all(counts.values()), counts
    finally:
        end(nodes)
