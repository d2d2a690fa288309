"""`pull` from a hub, then the real CPU engine on what lies in the store: with no network at all, and sockets traced."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import missing
from tests.e2e.test_e2e_serve_directory import SELFHOST, processes_of, selfhost
from tests.standins.hub import Hub
from tests.tiny_models import ANSWER, make_tiny_model

pytestmark = pytest.mark.e2e

ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
SETTINGS = ("--detach", "--port", "0", "--max-model-len", "512")


@pytest.fixture(scope="module")
def root(engine_python, tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    for name in ("pulled", "served"):
        make_tiny_model(engine_python, "qwen2", root / "org" / name)
        (root / "org" / name / "README.md").write_text("# not needed")
    return root


def test_what_was_pulled_is_served_without_a_network(root, engine_home, monkeypatch, tmp_path, debian_tool):
    with Hub(root) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        pulled = json.loads(selfhost("pull", "org/pulled", "--json").stdout)
        listed = hub.requests[-1].path
    assert pulled["schema_version"] == 1
    assert pulled["revision"] in listed
    assert pulled["bytes_downloaded"] == sum(file["size"] for file in pulled["files"]) > 0
    assert not any(file["path"] == "README.md" for file in pulled["files"])

    trace = tmp_path / "trace"
    answer = in_no_network(
        trace,
        debian_tool,
        f"{' '.join(SELFHOST)} serve org/pulled --offline --name alone {' '.join(SETTINGS)} && "
        f"{' '.join(SELFHOST)} chat alone hello; {' '.join(SELFHOST)} stop alone",
    )
    assert answer.splitlines()[1].strip() == ANSWER
    assert processes_of(engine_home) == []
    assert other_machines(trace.read_text()) == []


def in_no_network(trace, debian_tool, script: str) -> str:
    """Run a script where there is no interface but loopback; calls that name an address are written to `trace`."""
    strace, ip = debian_tool("strace", "strace"), debian_tool("ip", "iproute2")
    if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        missing("a network namespace", "run as root")
    traced = [
        strace,
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-s",
        "64",
        "-e",
        "trace=connect,sendto,sendmsg,sendmmsg",
        "-o",
        trace,
    ]
    inside = f"{ip} link set lo up && exec {' '.join(map(str, traced))} sh -c '{script}'"
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", inside], capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def other_machines(trace: str) -> list[str]:
    """Calls that name an address of another machine."""
    found = []
    for line in trace.splitlines():
        for match in ADDRESS.finditer(line):
            address = match[1] or match[2]
            if not address.startswith("127.") and address not in ("::1", "0.0.0.0", "::", "::ffff:127.0.0.1"):
                found.append(line)
    return found


def test_the_trace_would_show_another_machine(tmp_path, debian_tool):
    trace = tmp_path / "trace"
    reach = 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect_ex(("192.0.2.1", 9))'
    in_no_network(trace, debian_tool, f'{sys.executable} -c "{reach.replace(chr(34), chr(92) + chr(34))}"')
    (line,) = other_machines(trace.read_text())
    assert "192.0.2.1" in line


def test_serve_pulls_what_is_missing_and_says_what_that_takes(root, engine_home, monkeypatch):
    with Hub(root) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        started = selfhost("serve", "org/served", "--json", *SETTINGS)
    assert json.loads(started.stdout)["model"] == "served"
    assert re.search(r"org/served: \d+ files, .* still to come, .* free; revision [0-9a-f]{12}, into ", started.stderr)
    assert selfhost("chat", "served", "hello").stdout.strip() == ANSWER
    selfhost("stop", "served")
    assert processes_of(engine_home) == []

    # A byte that changed since is found before an engine is started.
    weights = engine_home / "models" / "org" / "served" / "model.safetensors"
    with weights.open("r+b") as stream:
        stream.seek(weights.stat().st_size - 1)
        last = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([last[0] ^ 1]))
    refused = selfhost("serve", "org/served", "--offline", *SETTINGS, check=False)
    assert refused.returncode == 5, refused.stderr
    assert "selfhost verify org/served --repair" in refused.stderr
    assert (
        not (engine_home / "servers" / "served" / "engine.log").exists()
        or json.loads(selfhost("ps", "--json").stdout)["servers"] == []
    )
