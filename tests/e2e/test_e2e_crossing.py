"""The whole crossing: models and an engine on two volumes, into a home that has nothing, with no network at all.

On the far side there are two volumes, a Python and a key to trust. Everything runs in a network namespace that has
loopback and nothing else, and every address that is named in a call is written down.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import missing
from tests.e2e.test_e2e_pull import other_machines
from tests.e2e.test_e2e_serve_directory import processes_of, selfhost
from tests.standins.hub import Hub
from tests.tiny_models import ANSWER, make_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

VOLUME_BYTES = "700M"
SERVE = "--offline --detach --port 0"


@pytest.fixture
def volumes(engine_home, engine_python, tmp_path, monkeypatch) -> list[Path]:
    """What is carried over: SmolLM2 and a tiny DeepSeek-V3, the CPU engine as wheels, signed, on two small volumes."""
    make_tiny_model(engine_python, "deepseek_v3", tmp_path / "hub" / "org" / "tiny-v3")
    with Hub(tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        selfhost("pull", "org/tiny-v3")
    selfhost("pull", "smollm2-135m")
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", key], check=True)
    media = [tmp_path / "drive-a", tmp_path / "drive-b"]
    for medium in media:
        medium.mkdir()
    words = [
        "bundle",
        "create",
        "--model",
        "smollm2-135m",
        "--model",
        "org/tiny-v3",
        "--engine",
        "cpu",
        "--link",
        "copy",
    ]
    words += ["--volume-size", VOLUME_BYTES, "--sign-key", key, "--json"]
    for medium in media:
        words += ["--to", medium]
    made = selfhost(*map(str, words))
    assert json.loads(made.stdout)["schema_version"] == 1
    found = sorted(path for medium in media for path in medium.iterdir())
    assert len(found) == 2
    return found


def test_two_volumes_become_servers_that_answer_without_a_network(volumes, tmp_path, debian_tool):
    before = digests_of(volumes)
    home = tmp_path / "far-side"
    (home / "trust").mkdir(parents=True)
    (home / "trust" / "key.pub").write_bytes((tmp_path / "key.pub").read_bytes())
    said = json.loads(across(volumes, home, tmp_path, debian_tool))

    assert [model["new"] for model in said["import"]["models"]] == [True, True]
    assert said["verify"]["ok"]
    assert "Paris" in said["smollm2-135m"]
    assert said["org/tiny-v3"].strip() == ANSWER
    assert processes_of(home) == []
    assert other_machines((tmp_path / "trace").read_text()) == []
    assert digests_of(volumes) == before
    (line, *_) = [json.loads(line) for line in (home / "audit.jsonl").read_text().splitlines()]
    assert line["schema_version"] == 1


def across(volumes, home: Path, tmp_path: Path, debian_tool) -> str:
    """What is done on the far side, in one script that knows nothing of this side but the volumes."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        missing("a network namespace", "run as root")
    strace, ip = debian_tool("strace", "strace"), debian_tool("ip", "iproute2")
    script = tmp_path / "across.py"
    script.write_text(FAR_SIDE)
    calls = "trace=connect,sendto,sendmsg,sendmmsg"
    traced = [strace, "-f", "--seccomp-bpf", "-qq", "-s", "64", "-e", calls, "-o", tmp_path / "trace"]
    argv = [*traced, sys.executable, script, *volumes]
    inside = f"{ip} link set lo up && exec {shlex.join(map(str, argv))}"
    kept = ("PATH", "PYTHONPATH", "LANG", "PYTHONDONTWRITEBYTECODE")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"SELFHOST_HOME": str(home), "HOME": str(tmp_path / "nobody"), "SELFHOST_OFFLINE": "1"}
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", inside], capture_output=True, text=True, check=False, timeout=900, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


FAR_SIDE = f"""
import json, subprocess, sys

volumes = sys.argv[1:]

def selfhost(*words):
    done = subprocess.run([sys.executable, "-m", "selfhost", *words], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{{words}}: exit {{done.returncode}}\\n{{done.stdout}}")
    return done.stdout

said = {{"verify": json.loads(selfhost("bundle", "verify", *volumes, "--json"))}}
# One at a time, as they come out of the box: the second one completes it.
subprocess.run([sys.executable, "-m", "selfhost", "bundle", "import", volumes[1]], stdout=subprocess.DEVNULL)
said["import"] = json.loads(selfhost("bundle", "import", *volumes, "--json"))
(wheels,) = said["import"]["wheelhouses"]
selfhost("engine", "install", "cpu", "--wheelhouse", wheels)
for model in ("smollm2-135m", "org/tiny-v3"):
    selfhost("serve", model, "--name", "far", "--max-model-len", "512", *"{SERVE}".split())
    said[model] = selfhost("chat", "far", "What is the capital of France?", "--temperature", "0", "--max-tokens", "60")
    selfhost("stop", "far")
print(json.dumps(said))
"""


def digests_of(volumes: list[Path]) -> dict[str, tuple[int, int]]:
    """Size and time of last change of every file: what a medium must keep."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for v in volumes for p in v.rglob("*") if p.is_file()}
