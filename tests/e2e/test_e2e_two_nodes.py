"""A plan over two nodes as it is rendered, with the real CPU engine: two machines on a wire, the gateway before them.

Commands and variables are read from the compose files, the gateway's configuration is the rendered one; paths of
containers are replaced, and what the CPU engine needs instead of a GPU's settings is added to the commands.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from selfhost.app.model import resolve as resolve_model
from selfhost.app.plan import plan_model
from selfhost.hardware.spec import parse
from selfhost.planner.plan import PlanRequest
from selfhost.render import gateway
from selfhost.render.compose import compose
from selfhost.render.deployment import CACHE, SECOND_ENGINE_PORT
from selfhost.render.resolve import Choices, deploy
from tests.e2e.network import two_machines
from tests.tiny_models import ANSWER, make_tiny_model

pytestmark = pytest.mark.e2e

LAUNCHER = Path(__file__).resolve().parents[2] / "selfhost/inside/selfhost_launch.py"
ROUTES = json.loads((Path(__file__).parents[1] / "data" / "routes-vllm-0.32.0.json").read_text())["routes"]
FOR_A_CPU = ("--kv-cache-memory-bytes", "64M", "--seed", "0")
EAGER = ("--enforce-eager",)
# The pipeline's hand-over between stages is not made by the CPU engine's eager mode.
TRACED = ("--compilation-config", '{"mode":1,"backend":"eager"}')
KEY = "sk-of-the-test"
REQUESTS = 8
BLOCKED = {(404, "route_blocked"), (404, "HEAD")}


class Cluster:
    """Two nodes and a gateway, run from rendered files."""

    def __init__(self, machines, folder: Path, python: Path, model: Path) -> None:
        self.machines = machines
        self._folder, self._python, self._model = folder, python, model
        self.variables: dict[str, str] = {}
        """For the engines, beside those that are rendered."""
        self._port = 0
        self._nodes: list[dict] = []
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, nginx: str, *more: str, **layout: int) -> None:
        """Render the plan of this layout, and start what the files say."""
        request = PlanRequest(max_model_len=512, max_num_seqs=8, **layout)
        plan = plan_model(resolve_model(str(self._model)).to_plan(), parse("2x1xH20"), request)
        deployment = deploy(plan, Choices(store=str(self._folder / "store"), address=self.machines[0].address))
        files = {file.path: file.text for file in compose(deployment)}
        self._port = deployment.port
        for number, machine in enumerate(self.machines):
            text = interpolated(files[f"node{number}/compose.yaml"], self._env(files, number))
            services = yaml.safe_load(text)["services"]
            assert {service["network_mode"] for service in services.values()} == {"host"}
            self._nodes.append(services["engine"])
            self._start_engine(number, machine, services["engine"], more)
            if "gateway" in services:
                self._start_gateway(nginx, services["gateway"], files[f"node{number}/gateway/nginx.conf"])

    def _env(self, files: dict[str, str], number: int) -> dict[str, str]:
        """`.env` of a node: the example, filled in."""
        asked = re.findall(r"^(\w+)=$", files[f"node{number}/.env.example"], re.MULTILINE)
        values = {
            "FIRST_NODE": self.machines[0].address,
            "THIS_NODE": self.machines[number].address,
            "INTERFACE": "eth0",
        }
        return {name: values[name] for name in asked}

    def _start_engine(self, number: int, machine, engine: dict, more: tuple[str, ...]) -> None:
        said = [*engine["entrypoint"], *engine["command"]]
        assert said[:2] == ["vllm", "serve"]
        ((source, target),) = [(bind["source"], bind["target"]) for bind in engine["volumes"] if isinstance(bind, dict)]
        assert (source, said[2]) == (str(self._model), target)
        words = ["serve", source, *said[3:]]
        cache = self._folder / f"cache{number}"
        variables = {name: value.replace(CACHE, str(cache)) for name, value in engine["environment"].items()}
        variables |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "PATH": os.environ["PATH"]}
        variables |= self.variables
        cache.mkdir()
        command = [*machine.enter, str(self._python), str(LAUNCHER), *words, *FOR_A_CPU, *more]
        with self.log(number).open("wb") as log:
            self._running.append(
                subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=variables, cwd=cache)
            )

    def _start_gateway(self, nginx: str, service: dict, text: str) -> None:
        folder, keys = self._folder / "gateway", self._folder / "gateway" / "keys.conf"
        folder.mkdir()
        keys.write_text(gateway.key_line(KEY, "test"))
        text = text.replace("/tmp/", f"{folder}/").replace("access_log /dev/stdout", f"access_log {folder}/access")
        text = text.replace(f"{gateway.KEYS_DIRECTORY}/{gateway.KEYS_NAME}", str(keys))
        # As root, which tests of namespaces are, it would give its files away.
        (folder / "nginx.conf").write_text(f"user root;\n{text}")
        words = [*service["entrypoint"], *service["command"]]
        words = [{"nginx": nginx, gateway.CONFIGURATION: str(folder / "nginx.conf")}.get(word, word) for word in words]
        with (folder / "stderr").open("wb") as log:
            self._running.append(subprocess.Popen([*self.machines[0].enter, *words], stderr=log))

    def is_healthy(self, number: int) -> bool:
        """What the health check of a node's engine says."""
        kind, python, *words = self._nodes[number]["healthcheck"]["test"]
        assert (kind, python) == ("CMD", "python3")
        command = [*self.machines[number].enter, sys.executable, *words]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def log(self, number: int) -> Path:
        """What a node says."""
        return self._folder / f"node{number}.log"

    def ask(self, *requests: dict) -> list[tuple[int, str]]:
        """From the second machine, at the gateway."""
        return self.machines[1].ask(self.machines[0].address, self._port, *requests)

    def wait(self) -> None:
        """Until the gateway says that the engine lives."""
        deadline = time.monotonic() + 420
        while self.ask({"method": "GET", "path": "/health"})[0][0] != 200:
            logs = "\n".join(self.log(number).read_text()[-3000:] for number in range(2))
            assert all(process.poll() is None for process in self._running), logs
            assert time.monotonic() < deadline, logs
            time.sleep(1)

    def end_node(self, number: int) -> None:
        """As a machine that fails."""
        # Engines and the gateway in the order they were started: node 0, gateway, node 1.
        _end([self._running[0 if number == 0 else 2]])

    def end(self) -> None:
        """All of it."""
        _end(self._running)


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    """Every process of each tree, by its id."""
    trees = []
    for process in running:
        if process.poll() is None:
            tree = psutil.Process(process.pid)
            trees += [tree, *tree.children(recursive=True)]
    for process in trees:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for process in running:
        process.wait(30)
    assert psutil.wait_procs(trees, 30)[1] == []


def interpolated(text: str, values: dict[str, str]) -> str:
    """As compose does with the variables of `.env`. Raises KeyError for one that is not there."""
    found = re.sub(r"(?<!\$)\$\{(\w+):\?[^}]*\}", lambda name: values[name[1]], text)
    return found.replace("$$", "$")


@pytest.fixture
def cluster(engine_python, tmp_path, debian_tool):
    if os.geteuid() != 0:
        pytest.skip("network namespaces are made by root")
    debian_tool("ip", "iproute2")
    model = tmp_path / "tiny"
    make_tiny_model(engine_python, "qwen2", model)
    with two_machines() as machines:
        made = Cluster(machines, tmp_path, engine_python, model)
        try:
            yield made
        finally:
            made.end()


@pytest.fixture
def nginx(debian_tool):
    return debian_tool("nginx", "nginx-light")


def chat(**changes) -> dict:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "你好"}], "temperature": 0, "max_tokens": 100}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    return {"method": "POST", "path": "/v1/chat/completions", "headers": headers, "body": json.dumps(body | changes)}


def texts(answers: list[tuple[int, str]]) -> list[str]:
    assert [status for status, _ in answers] == [200] * len(answers), answers
    return [json.loads(body)["choices"][0]["message"]["content"] for _, body in answers]


def streamed(body: str) -> list[str]:
    """The pieces of an answer's text."""
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
    assert body.rstrip().endswith("data: [DONE]")
    return [event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"]]


def replay(cluster: Cluster, headers: dict[str, str]) -> dict[str, tuple[int, str]]:
    """What each route of the engine answers through the gateway: status, and the error's code."""
    requests = []
    for route in ROUTES:
        method, path = route.split(" ", 1)
        path = re.sub(r"\{[^}]*\}", "x", path) + ("/x" if method == "MOUNT" else "")
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        more = {**upgrade, "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg=="} if method == "WEBSOCKET" else {}
        method = "GET" if method in {"WEBSOCKET", "MOUNT"} else method
        requests.append({"method": method, "path": path, "headers": headers | more})
    answers = cluster.ask(*requests)
    return {route: (status, code(route, body)) for route, (status, body) in zip(ROUTES, answers, strict=True)}


def code(route: str, body: str) -> str:
    """Of an error; an answer to HEAD has no body to say it in."""
    if route.startswith("HEAD "):
        return "HEAD"
    found = re.search('"code": "([a-z_]+)"', body)
    return found[1] if found else ""


def test_tensor_parallel_over_two_nodes_answers_through_the_gateway(cluster, nginx):
    cluster.start(nginx, *EAGER, tensor_parallel_size=2)
    cluster.wait()

    assert texts(cluster.ask(chat(), chat())) == [ANSWER, ANSWER]
    ((status, body),) = cluster.ask(chat(stream=True))
    assert (status, "".join(streamed(body))) == (200, ANSWER)
    assert len(streamed(body)) > 3
    ((status, body),) = cluster.ask(chat(messages=[{"role": "user", "content": "你好" * 2_000_000}]))
    assert status == 400, body[:500]
    assert "route_blocked" not in body

    # The engine itself is not on the wire.
    first, second = cluster.machines
    health = {"method": "GET", "path": "/health"}
    assert first.ask("127.0.0.1", SECOND_ENGINE_PORT, health)[0][0] == 200
    assert second.ask(first.address, SECOND_ENGINE_PORT, health)[0][0] == 0

    decided = {kind: {route for route in ROUTES if ROUTES[route] == kind} for kind in ("blocked", "key", "open")}
    without, with_key = replay(cluster, {}), replay(cluster, {"Authorization": f"Bearer {KEY}"})
    assert {route for route, answer in without.items() if answer in BLOCKED} == decided["blocked"]
    assert {route for route, answer in with_key.items() if answer in BLOCKED} == decided["blocked"]
    assert {route for route, answer in without.items() if answer == (401, "invalid_api_key")} == decided["key"]
    assert {status for status, _ in with_key.values()}.isdisjoint({0, 401, 502, 503}), with_key
    assert texts(cluster.ask(chat())) == [ANSWER]

    # A node without an API is not healthy when the first one is gone.
    assert [cluster.is_healthy(0), cluster.is_healthy(1)] == [True, True]
    cluster.end_node(0)
    assert [cluster.is_healthy(0), cluster.is_healthy(1)] == [False, False]
    assert cluster.ask(health)[0][0] == 503


def test_pipeline_parallel_over_two_nodes_answers_through_the_gateway(cluster, nginx):
    cluster.start(nginx, *TRACED, pipeline_parallel_size=2)
    cluster.wait()
    assert texts(cluster.ask(chat(), chat())) == [ANSWER, ANSWER]


def test_data_parallel_over_two_nodes_splits_the_requests(cluster, nginx):
    cluster.start(nginx, *EAGER, data_parallel_size=2)
    cluster.wait()
    assert set(texts(cluster.ask(*[chat()] * REQUESTS))) == {ANSWER}
    counts = answered(cluster)
    assert sum(counts.values()) == REQUESTS
    assert len(counts) == 2, counts
    assert all(counts.values()), counts


def answered(cluster: Cluster) -> dict[str, float]:
    """Requests that each engine has finished, by its number."""
    ((status, metrics),) = cluster.machines[0].ask(
        "127.0.0.1", gateway.METRICS_PORT, {"method": "GET", "path": "/metrics"}
    )
    assert status == 200
    found = re.findall(
        r'^vllm:request_success_total\{engine="(\d)",finished_reason="stop".*\} (\S+)$', metrics, re.MULTILINE
    )
    return {engine: float(number) for engine, number in found}
