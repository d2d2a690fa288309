"""What the engine of a pod is started with, once Kubernetes and the shell have made it out of the files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.render.kubernetes.plans import container

if TYPE_CHECKING:
    from pathlib import Path

LEADER = "deepseek-0.deepseek.selfhost"
POD_IPS = [f"10.0.0.{index}" for index in range(1, 9)]


def expand(text: str, variables: dict[str, str]) -> str:
    """As Kubernetes does: `$(NAME)` of a known variable is replaced, `$$` is `$`, all else stays.

    Source: k8s.io/kubernetes third_party/forked/golang/expansion.
    """
    return re.sub(
        r"\$\$|\$\(([^()]*)\)",
        lambda found: "$" if found[0] == "$$" else variables.get(found[1], found[0]),
        text,
    )


def variables_of(template: dict, index: int) -> dict[str, str]:
    """The environment of a pod: what the controller sets, then what the files do, in their order."""
    found = {"LWS_LEADER_ADDRESS": LEADER, "LWS_WORKER_INDEX": str(index)}
    for entry in container(template)["env"]:
        if "valueFrom" in entry:
            assert entry["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
            found[entry["name"]] = POD_IPS[index]
        else:
            found[entry["name"]] = expand(entry["value"], found)
    return found


def run_pod(template: dict, index: int, tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """What the engine of a pod is started with, and its environment; /dev/shm is a folder of the test."""
    shared = tmp_path / "shm"
    shared.mkdir(exist_ok=True)
    (shared / "psm_left_over").touch()
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    say = "import json, os, sys\nprint(json.dumps([[NAME, *sys.argv[1:]], dict(os.environ)]))\n"
    for name in ("vllm", "selfhost"):
        (programs / name).write_text(f"#!{sys.executable}\nNAME = {name!r}\n{say}")
        (programs / name).chmod(0o755)
    variables = variables_of(template, index)
    found = container(template)
    command = [expand(word, variables) for word in [*found["command"], *found["args"]]]
    command[2] = command[2].replace("/dev/shm", str(shared))
    assert "/dev/" not in command[2]
    done = subprocess.run(
        command, env={**variables, "PATH": f"{programs}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert not list(shared.iterdir())
    return json.loads(done.stdout)
