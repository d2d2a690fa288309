"""START-HERE.txt as it stands on a medium, followed where there is a Python, a shell, no network and nothing else."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.conftest import missing
from tests.e2e.test_e2e_serve_directory import selfhost
from tests.tiny_wheels import make_spec
from tests.weights.storage_support import put, tiny_files

pytestmark = [pytest.mark.slow, pytest.mark.network]

RUN = re.compile(r"cd |ssh-keygen -Y verify|sha256sum |mkdir |cp |python3\S* -m venv|~/selfhost/bin|export |selfhost ")


@pytest.fixture
def medium(home, tmp_path, monkeypatch):
    """A signed bundle of a model, an engine of tiny wheels and selfhost itself, on one volume."""
    put(home, tiny_files())
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    detected = selfhost("detect", "--json").stdout
    (tmp_path / "target.json").write_text(detected)
    folder = tmp_path / "medium"
    folder.mkdir()
    create = tmp_path / "create.py"
    create.write_text(CREATE)
    spec = make_spec(tmp_path)
    argv = [sys.executable, "-P", create, spec.lock, tmp_path / "wheels", tmp_path / "target.json", folder, key]
    subprocess.run(argv, check=True)
    return folder


CREATE = """
import dataclasses, sys
from pathlib import Path
from selfhost.cli.main import main
from selfhost.engines import specs, own_wheels
from selfhost.engines.wheel_folder import WheelOptions

lock, wheels, target, folder, key = sys.argv[1:]
tiny = dataclasses.replace(specs.CPU, lock=lock, disk_bytes=1000000, fallback_index="", fallback_package="")
specs.SPECS = (tiny,)
own_wheels.fill(Path(wheels), WheelOptions())
words = ["--model", "tiny", "--engine", "cpu", "--wheelhouse", wheels, "--for", target, "--sign-key", key]
main(["bundle", "create", *words, "--to", folder, "--label", "b"])
"""


def test_a_host_with_a_shell_and_a_python_gets_selfhost_and_the_model_from_the_medium(medium, tmp_path):
    if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        missing("a network namespace", "run as root")
    (volume,) = medium.iterdir()
    said = (volume / "START-HERE.txt").read_text()
    assert re.search(r"needs Python 3\.\d+, \w+ and glibc 2\.\d+ or newer and nothing else", said)
    nobody = tmp_path / "nobody"
    nobody.mkdir()
    public = (tmp_path / "key.pub").read_text().split()[:2]
    (volume.parent / "allowed_signers").write_text(f"me {' '.join(public)}\n")
    lines = [line.strip() for line in said.splitlines() if line.startswith("   ")]
    commands = [line.partition("   #")[0] for line in lines if RUN.match(line)]
    # The tiny model and the tiny engine are not for serving; everything before that is done as it is written.
    commands = [one for one in commands if not one.startswith(("selfhost serve", "selfhost engine"))]
    assert {"selfhost bundle verify .", "selfhost bundle import ."} <= {one.strip() for one in commands}
    assert len(commands) >= 15, commands
    python = f"python{sys.version_info[0]}.{sys.version_info[1]} -m venv"
    script = "\n".join(["set -e", *commands, "selfhost ls --json", "selfhost recipe ls > recipes.txt"])
    script = script.replace(python, f"{shlex.quote(sys.base_prefix)}/bin/{python}").replace(" -I SIGNER ", " -I me ")
    script = script.replace("-f allowed_signers", f"-f {shlex.quote(str(volume.parent))}/allowed_signers")
    script = script.replace("> recipes.txt", f"> {nobody}/recipes.txt")
    trust = nobody / "selfhost-home" / "trust"
    trust.mkdir(parents=True)
    (trust / "key.pub").write_bytes((tmp_path / "key.pub").read_bytes())
    env = {"HOME": str(nobody), "PATH": "/usr/bin:/bin", "SELFHOST_HOME": str(nobody / "selfhost-home")}
    env |= {"PIP_CONFIG_FILE": os.devnull}
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", script], check=False, env=env, cwd=medium, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    stored = json.loads(done.stdout[done.stdout.index("\n{") if "\n{" in done.stdout else done.stdout.index("{") :])
    assert "tiny" in json.dumps(stored)
    assert "smollm2-135m" in (nobody / "recipes.txt").read_text()
