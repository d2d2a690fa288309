"""What the shell offers: through Typer's own protocol, as a shell asks, and by function."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from selfhost.app import key
from selfhost.cli import complete
from selfhost.hardware.spec import parse

if TYPE_CHECKING:
    from pathlib import Path


def offered(*words: str, cwd: Path | None = None) -> list[str]:
    """Candidates for the last word."""
    asked = {
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
        "_SELFHOST_COMPLETE": "complete_bash",
    }
    done = subprocess.run(
        [sys.executable, "-m", "selfhost"],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **asked},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("plan", "qwen2.5-7"), ["qwen2.5-72b", "qwen2.5-7b"]),
        (("serve", "glm-4.5"), ["glm-4.5", "glm-4.5-air", "glm-4.5v"]),
        (("plan", "qwen2.5-72b", "--variant", "g"), ["gptq-int4", "gptq-int8"]),
        (("plan", "qwen2.5-72b", "--on", "2x8xh20-9"), ["2x8xh20-96G"]),
        (("plan", "--for-hardware", "he"), ["here"]),
        (("plan", "qwen2.5-72b", "--for", ""), ["context", "latency", "throughput"]),
        (
            ("plan", "qwen2.5-72b", "--ma"),
            ["--matrix", "--max-model-len", "--max-num-batched-tokens", "--max-num-seqs"],
        ),
        (("plan", "--exp"), ["--explain"]),
    ],
    ids=str,
)
def test_what_a_shell_is_offered(words, expected):
    assert sorted(offered("selfhost", *words)) == expected


def test_a_path_is_completed_by_directories(tmp_path, monkeypatch):
    (tmp_path / "models" / "qwen").mkdir(parents=True)
    (tmp_path / "models.txt").touch()
    assert offered("selfhost", "plan", "./mo", cwd=tmp_path) == ["./models"]
    assert complete.models(f"{tmp_path}/models/") == [f"{tmp_path}/models/qwen"]
    monkeypatch.chdir(tmp_path)
    assert complete.models(".") == []
    assert complete.models("./no/such/") == []


@pytest.mark.parametrize(
    "name",
    ["\\$(touch x)", "$(touch x)", "`touch x`", "a;touch x", "a b", "a'b", 'a"b', "a\nb", "g*", "a|b", "!x"],
)
def test_what_a_shell_would_read_otherwise_is_not_offered(tmp_path, home, name):
    """zsh evaluates what it is offered (`\\$(...)` was run at Tab), bash puts it into the line as it is."""
    models = tmp_path / "models"
    for folder in (models / name, models / "模型-1.5", home / "servers" / name, home / "servers" / "good"):
        folder.mkdir(parents=True)
        (folder / "server.json").touch()
    assert complete.models(f"{models}/") == [f"{models}/模型-1.5"]
    assert complete.servers("") == ["good"]


def test_every_device_that_is_offered_can_be_planned_for():
    for word in complete.hardware("8x"):
        if word != "8xcpu":
            assert parse(word).devices_per_node == 8
    assert complete.hardware("8x8x8x") == []
    assert complete.hardware_or_here("")[0] == "here"


def test_a_recipe_that_cannot_be_read_offers_no_variants_and_does_not_fail(home):
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "broken.toml").write_text("schema_version = ")
    assert offered("selfhost", "plan", "broken", "--variant", "") == []
    assert offered("selfhost", "plan", "no-such", "--variant", "") == []
    assert offered("selfhost", "plan", "--variant", "") == []


def test_devices_are_offered_after_those_that_are_typed(monkeypatch):
    monkeypatch.setattr(complete, "_device_numbers", lambda: ["0", "1", "2", "10"])
    assert complete.devices("") == ["0", "1", "2", "10"]
    assert complete.devices("1") == ["1", "10"]
    assert complete.devices("1,") == ["1,0", "1,2", "1,10"]
    assert complete.devices("0,2,1") == ["0,2,1", "0,2,10"]


def test_without_device_nodes_the_cores_are_offered():
    """This machine may have GPUs: then their numbers are."""
    assert complete.devices("")[0].isdecimal()


def test_names_of_servers_keys_and_engines(home):
    for name in ("glm", "qwen"):
        (home / "servers" / name).mkdir(parents=True)
    (home / "servers" / "qwen" / "server.json").write_text("{}")
    assert offered("selfhost", "logs", "") == ["qwen"]
    assert offered("selfhost", "stop", "x") == []
    key.new("alice")
    key.new("bob")
    assert offered("selfhost", "key", "revoke", "a") == ["alice"]

    assert set(offered("selfhost", "engine", "install", "")) == {
        "ascend",
        "cpu",
        "cuda",
        "quantize",
        "quantize-cpu",
        "quantize-cuda",
    }
    assert offered("selfhost", "recipe", "show", "smollm2-135") == ["smollm2-135m"]


def test_the_file_that_typer_makes_for_zsh_completes_at_once(tmp_path, monkeypatch):
    """More in test_cli_complete_shells.py, with the shell itself."""
    monkeypatch.setenv("HOME", str(tmp_path))
    complete.mend_zsh()
    assert list(tmp_path.iterdir()) == [], "nothing is made for whoever has another shell"
    (tmp_path / ".zfunc").mkdir()
    file = tmp_path / ".zfunc" / "_selfhost"
    file.write_text("#compdef selfhost\n\n_selfhost_completion() {\n}\n\ncompdef _selfhost_completion selfhost")
    complete.mend_zsh()
    once = file.read_text()
    complete.mend_zsh()
    assert file.read_text() == once
    assert once.splitlines()[-2:] == [
        "compdef _selfhost_completion selfhost",
        '[[ $zsh_eval_context[-1] == loadautofunc ]] && _selfhost_completion "$@"',
    ]
