"""What the pods run: command lines as Kubernetes and the shell make them, probes and checks really run."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

from selfhost.bundle import modelcar, modelpack
from selfhost.planner.layouts import FIRST_NODE
from selfhost.render.k8s import k8s
from selfhost.weights.lock import LOCK_NAME
from tests.render.kubernetes.plans import CASES, ONE_NODE, SEVERAL_NODES, container, deployment, pods
from tests.render.kubernetes.running import LEADER, POD_IPS, expand, run_pod


@pytest.mark.parametrize("name", SEVERAL_NODES)
def test_each_pod_of_a_group_runs_the_command_of_its_node(name, tmp_path):
    wanted = deployment(name)
    for node in wanted.nodes:
        template = pods(name)["worker" if node.headless else "leader"]
        argv, env = run_pod(template, node.number, tmp_path)
        first = LEADER if node.headless else POD_IPS[0]
        assert sorted(argv) == sorted(first if word == FIRST_NODE else word for word in node.argv)
        # The order counts for what stands beside each other.
        for place, word in enumerate(node.argv[:-1]):
            if word.startswith("--") and not node.argv[place + 1].startswith("--"):
                value = node.argv[place + 1]
                assert argv[argv.index(word) + 1] == (first if value == FIRST_NODE else value)
        assert env["VLLM_HOST_IP"] == POD_IPS[node.number]
        assert env["GLOO_SOCKET_IFNAME"] == CASES[name].kubernetes.interface


@pytest.mark.parametrize("name", ONE_NODE)
def test_a_single_pod_runs_the_command_of_its_node(name, tmp_path):
    (node,) = deployment(name).nodes
    argv, env = run_pod(pods(name)["leader"], 0, tmp_path)
    assert tuple(argv) == node.argv
    assert {key: env[key] for key in node.env} == dict(node.env)


def test_a_dollar_of_the_users_reaches_the_engine():
    before = deployment("qwen2.5-7b-1xRTX4090")
    node = replace(before.nodes[0], argv=(*before.nodes[0].argv, "--", "--chat-template", "$(HOME) $x"))
    (file,) = [file for file in k8s(replace(before, nodes=(node,))) if file.path == "deployment.yaml"]
    said = container(yaml.safe_load(file.text)["spec"]["template"])["args"][-1]
    assert expand(said, {"HOME": "/root", "x": "y"}) == "$(HOME) $x"


@pytest.mark.parametrize("name", ["qwen2.5-7b-1xRTX4090", "deepseek-v3-2x8xH20"])
class TestModelCheck:
    """The init container, run on a folder."""

    @pytest.fixture
    def check(self, name, tmp_path):
        def run(digest=None):
            (found,) = pods(name)["leader"]["spec"]["initContainers"]
            assert found["args"] == [deployment(name).model_path, deployment(name).model_sha256]
            command = [sys.executable, *found["command"][1:], str(tmp_path), digest or ""]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return done.returncode, done.stderr

        return run

    @pytest.fixture
    def model(self, tmp_path):
        (tmp_path / "config.json").write_text("{}")
        (tmp_path / LOCK_NAME).write_text(json.dumps({"files": [{"path": "config.json", "size": 2}]}))
        return hashlib.sha256((tmp_path / LOCK_NAME).read_bytes()).hexdigest()

    def test_the_model_that_was_rendered_for_passes(self, check, model):
        assert check(model) == (0, "")
        assert check() == (0, "")

    def test_another_one_does_not(self, check, model):
        code, said = check("0" * 64)
        assert code == 1
        assert f"has sha256 {model}, wanted: {'0' * 64}" in said

    def test_one_that_is_cut_off_does_not(self, check, model, tmp_path):
        (tmp_path / "config.json").write_text("{")
        code, said = check(model)
        assert code == 1
        assert "config.json: 1 bytes, wanted: 2" in said

    def test_none_does_not(self, check):
        code, said = check("0" * 64)
        assert code == 1
        assert "the model is not here" in said


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.kubernetes.image])
def test_a_models_image_of_ours_has_the_model_where_the_engine_is_sent(name, tmp_path):
    body = b"{}"
    layer = modelpack.Layer(path="config.json", sha256=hashlib.sha256(body).hexdigest(), size=len(body))
    manifest = SimpleNamespace(layers=(layer,))
    for made in modelcar.layers_of(manifest):
        content = b"".join(part if isinstance(part, bytes) else body for part in made.parts)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(tmp_path, filter="data")
    for template in pods(name).values():
        (found,) = template["spec"]["initContainers"]
        (mount,) = [mount for mount in found["volumeMounts"] if mount["name"] == "store"]
        place = container(template)["args"][2]
        assert found["args"] == [place]
        assert mount in container(template)["volumeMounts"]
        for missing, wanted in ((False, 0), (True, 1)):
            there = place.replace(mount["mountPath"], str(tmp_path / "nowhere" if missing else tmp_path))
            done = subprocess.run([sys.executable, *found["command"][1:], there], capture_output=True, check=False)
            assert done.returncode == wanted


def probe(name, role, replaced, by):
    """The exit status of a pod's liveness probe, with a port of the test in it."""
    (_, flag, code) = container(pods(name)[role])["livenessProbe"]["exec"]["command"]
    assert str(replaced) in code
    command = [sys.executable, flag, code.replace(str(replaced), str(by))]
    environment = {**os.environ, "LWS_LEADER_ADDRESS": "127.0.0.1"}
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def test_a_rank_fails_when_nobody_listens_where_ranks_meet():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert probe("deepseek-v3-2x8xH20", "worker", 29501, port) == 0
    assert probe("deepseek-v3-2x8xH20", "worker", 29501, port) == 1


@pytest.mark.parametrize(
    ("name", "role", "port"),
    [("deepseek-v3-2x8x910B3", "worker", 8080), ("qwen2.5-72b-8x910B3", "leader", 8000)],
)
@pytest.mark.parametrize(("status", "wanted"), [(200, 0), (503, 1)])
def test_an_engine_is_asked_for_its_health(name, role, port, status, wanted):
    asked = []

    class Engine(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *words):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert probe(name, role, port, server.server_address[1]) == wanted
        server.shutdown()
    assert asked == ["/health"]
