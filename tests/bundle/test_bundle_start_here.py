"""START-HERE.txt: its commands are run as they stand, in a folder that looks like a volume."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from selfhost.bundle.start_here import OwnWheel, Start, text
from tests.tiny_wheels import make_wheel

START = Start(
    label="tiny",
    id="ab" * 16,
    created="2026-11-27T10:00:00+00:00",
    tool="selfhost 0.1.0",
    volume=1,
    volumes=("tiny-vol1of1",),
    models=("smollm2-135m",),
    size=3 << 30,
    signed=True,
    engine="cpu",
    python=f"{sys.version_info[0]}.{sys.version_info[1]}",
)


def commands(said):
    """The indented lines that a shell is to run."""
    return [line.strip() for line in said.splitlines() if line.startswith("   ") and not line.startswith("   The ")]


def test_what_is_there_is_told_and_what_is_not_is_not():
    said = text(START)
    assert "tiny: volume 1 of 1" in said
    assert "  model    smollm2-135m" in said
    assert "ssh-keygen -Y verify -f allowed_signers -I SIGNER -n selfhost-bundle" in said
    assert "selfhost engine install cpu --wheelhouse DIR" in said
    assert "selfhost serve smollm2-135m --offline" in said
    assert "Install selfhost" not in said
    unsigned = text(replace(START, signed=False, engine="", models=()))
    assert "ssh-keygen" not in unsigned
    assert "is not signed" in unsigned
    assert "engine" not in unsigned
    assert "serve " not in unsigned
    quantizes = text(replace(START, engine="quantize-cpu", serves=False))
    assert "selfhost engine install quantize-cpu --wheelhouse DIR\n   selfhost quantize --help\n" in quantizes
    assert "selfhost serve" not in quantizes


def test_several_volumes_say_which_holds_what():
    wheels = (OwnWheel("b.whl", "2" * 64, 2), OwnWheel("a.whl", "1" * 64, 1))
    said = text(replace(START, volume=2, volumes=("tiny-vol1of2", "tiny-vol2of2"), wheels=wheels))
    assert "cd tiny-vol2of2" in said
    order = [said.index(part) for part in ("# in tiny-vol1of2:", "a.whl", "# in tiny-vol2of2:", "b.whl")]
    assert order == sorted(order)


def test_all_lines_fit_a_terminal_but_those_to_paste():
    wheels = (OwnWheel("a.whl", "1" * 64, 1),)
    assert all(len(line) <= 120 for line in text(replace(START, wheels=wheels)).splitlines())
    assert text(START).isascii()


@pytest.mark.slow
def test_the_commands_install_from_blobs_with_nothing_but_a_shell_and_python(tmp_path):
    volume = tmp_path / "it's a medium" / "tiny-vol1of1"
    blobs = volume / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    wheels = []
    for name, version in (("selfhost-llm", "0.1.0"), ("tiny-one", "1.0")):
        digest = make_wheel(tmp_path, name, version)
        (made,) = tmp_path.glob(f"{name.replace('-', '_')}-*.whl")
        made.rename(blobs / digest)
        wheels.append(OwnWheel(made.name, digest, 1))
    said = text(replace(START, wheels=tuple(wheels)))
    (volume / "START-HERE.txt").write_text(said)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  blobs/sha256/{path.name}\n" for path in blobs.iterdir()]
    (volume / "SHA256SUMS").write_text("".join(sums))
    wanted = [
        line for line in commands(said) if re.match(r"cd |sha256sum|mkdir|cp |python3\S* -m venv|~/selfhost/bin", line)
    ]
    assert len(wanted) == 7
    env = {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull}
    (tmp_path / "home").mkdir()
    wanted = [line.replace(f"python{START.python} ", f"{sys.executable} ") for line in wanted]
    script = "set -e\n" + "\n".join(wanted)
    subprocess.run(["sh", "-c", script], check=True, env=env, cwd=volume.parent)
    python = tmp_path / "home" / "selfhost" / "bin" / "python"
    subprocess.run([str(python), "-I", "-c", "import selfhost_llm"], check=True)

    next(blobs.iterdir()).write_bytes(b"changed")
    done = subprocess.run(
        ["sh", "-c", "\n".join(wanted[:2])], check=False, env=env, cwd=volume.parent, capture_output=True
    )
    assert done.returncode != 0
