"""`selfhost smoke` and `accept` with the real CPU engine: full widths of real recipes, few layers, random weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_e2e_serve_directory import processes_of, selfhost
from tests.tiny_models import make_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e

STAGES = ["engine", "ranks", "weights", "memory", "server", "answer", "stop"]


def prove(model: str, settings: list[str], reduced: dict[str, object], home: Path) -> None:
    done = selfhost("smoke", model, *settings, "--json", check=False, seconds=900)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["passed"], said["error"], said["model"]) == (True, None, model)
    assert [stage["stage"] for stage in said["stages"] if stage["reached"]] == STAGES
    after = {one["name"]: one["after"] for one in said["reductions"]}
    assert after == {**after, "num_hidden_layers": 2, "vocab_size": 8192, **reduced}
    assert "made small: num_hidden_layers" in done.stderr
    assert processes_of(home) == []
    assert not list((home / "servers").glob("*/server.json"))


def test_a_recipe_is_proven_without_a_byte_of_its_weights(engine_home):
    prove("qwen2.5-1.5b", ["--pipeline-parallel-size", "2"], {}, engine_home)


@pytest.mark.usefixtures("long_run")
@pytest.mark.parametrize(
    ("model", "settings", "reduced"),
    [
        # FP8 and experts of 4 bits have no kernels on a CPU.
        ("deepseek-v3", ["--tensor-parallel-size", "2"], {"quantization": "none", "n_routed_experts": 16}),
        ("glm-4.5", [], {"n_routed_experts": 40}),
    ],
)
def test_a_recipe_with_experts_is_proven_too(model, settings, reduced, engine_home):
    prove(model, settings, reduced, engine_home)


def test_a_running_server_is_asked_what_it_must_get_right(engine_home, engine_python, tmp_path):
    model = tmp_path / "tiny"
    make_tiny_model(engine_python, "qwen2", model)
    selfhost("key", "new", "alice")
    selfhost("serve", str(model), "--detach", "--port", "0", "--max-model-len", "512")
    try:
        said = json.loads(selfhost("accept", "tiny", "--json").stdout)
    finally:
        selfhost("stop", "tiny")
    shown = {check["name"]: check["outcome"] for check in said["checks"]}
    assert shown == {
        **dict.fromkeys(("key", "template", "answer", "stop", "same", "stream"), "passed"),
        **dict.fromkeys(("tool", "reasoning"), "not_shown"),
    }, said
    assert said["accepted"]
    assert processes_of(engine_home) == []
