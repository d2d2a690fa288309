"""A small model of every architecture of the recipes, on the real CPU engine: it answers, or the engine says why not.

Full widths, each kind of layer, few of them, random weights, the settings of the recipe (`selfhost smoke`). Of a model
that sees images this is the part that reads text.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from selfhost.app.engine_env import INSIDE
from selfhost.errors import ExitCode
from selfhost.models import small, stand_in
from selfhost.models.arch import ModelArch
from selfhost.models.families import FAMILIES
from selfhost.recipe.load import builtin_directory, read_recipe
from selfhost.units import GIB
from tests.e2e.test_e2e_serve_directory import processes_of, selfhost

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.recipe.schema import Recipe

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("long_run")]

REFUSED = {
    # What selfhost says before anything is started, and what the engine says when it is started nevertheless.
    "DeepseekV32ForCausalLM": ("sparse attention", ""),
    "GlmMoeDsaForCausalLM": ("sparse attention", ""),
    "DeepseekV4ForCausalLM": ("sparse attention", ""),
    "Qwen3_5ForConditionalGeneration": ("needs torchvision", ""),
    "Qwen3_5MoeForConditionalGeneration": ("needs torchvision", ""),
    "KimiK3ForConditionalGeneration": ("cannot be made small", ""),
}


def smallest() -> dict[str, Recipe]:
    """Of each architecture that the engine has, the recipe with the fewest parameters."""
    found: dict[str, Recipe] = {}
    for path in sorted(builtin_directory().glob("*/*.toml")):
        recipe = read_recipe(path)
        if FAMILIES.keys().isdisjoint(recipe.config["architectures"]):
            continue
        name = ModelArch.from_config(recipe.config).architecture
        if name not in found or (recipe.parameters or 0) < (found[name].parameters or 0):
            found[name] = recipe
    return found


RECIPES = smallest()


@pytest.mark.parametrize("architecture", sorted(RECIPES.keys() - REFUSED.keys()))
def test_it_answers(architecture, engine_home):
    recipe = RECIPES[architecture]
    done = selfhost("smoke", recipe.name, "--json", check=False, seconds=1200)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    print(architecture, recipe.name, round(said["seconds"]), "s", json.dumps(said["reductions"]))
    assert (said["passed"], said["error"]) == (True, None)
    assert all(stage["reached"] for stage in said["stages"])
    assert processes_of(engine_home) == []


@pytest.mark.parametrize("architecture", sorted(RECIPES.keys() & REFUSED.keys()))
@pytest.mark.usefixtures("engine_home")
def test_it_is_refused_and_the_engine_refuses_it_too(architecture, engine_python, tmp_path):
    recipe, (reason, of_engine) = RECIPES[architecture], REFUSED[architecture]
    done = selfhost("smoke", recipe.name, check=False)
    assert done.returncode == ExitCode.NO
    assert reason in done.stderr
    said = bare_engine(engine_python, recipe, tmp_path / "model")
    lines = [line.rpartition("] ")[2] for line in said.splitlines() if of_engine in line]
    assert lines, said
    print(architecture, recipe.name, lines[0])


def bare_engine(python: str, recipe: Recipe, folder: Path) -> str:
    """The log of an engine that is to serve a small model of a recipe, which it must not come to do."""
    config = dict(recipe.config)
    if "KimiK3ForConditionalGeneration" not in recipe.config["architectures"]:
        config = dict(small.shrink(config, small.Room(most_bytes=4 * GIB, plain=True)).config)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    for name, value in stand_in.tokenizer_files(small.VOCAB_SIZE, 4096).items():
        (folder / name).write_text(json.dumps(value))
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--load-format", "dummy"]
    command += ["--host", "127.0.0.1", "--port", "0", "--max-model-len", "2048", "--enforce-eager"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "PYTHONPATH": str(INSIDE)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr
