"""What the shell offers: through Typer's own protocol, as a shell asks, and by function."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

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
        (("serve", "glm-4.5"), ["glm-4.5", "glm-4.5-air"]),
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
