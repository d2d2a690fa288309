"""A small model of every architecture of the recipes, on the real CPU engine: it answers, or the engine says why not.

Full widths, each kind of layer, few of them, random weights, the settings of the recipe (`selfhost smoke`). Of a model
that sees images this is the part that reads text.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from selfhost.errors import ExitCode, NoError
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
    "DeepseekV32ForCausalLM": ("sparse attention", "Sparse Attention is not supported on CPU"),
    "GlmMoeDsaForCausalLM": ("sparse attention", "Sparse Attention is not supported on CPU"),
    # These two start, and end at the first question: routing for GPUs only; kernels in Triton, which is not there.
    "MiniMaxM2ForCausalLM": ("cannot choose experts", 'assert self.scoring_func == "softmax"'),
    "DeepseekV4ForCausalLM": ("sparse attention", "TypeError: 'function' object is not subscriptable"),
    "Qwen3_5ForConditionalGeneration": ("needs torchvision", "No module named 'torchvision'"),
    "Qwen3_5MoeForConditionalGeneration": ("needs torchvision", "No module named 'torchvision'"),
    # Its processor of images is code in the model's repository.
    "KimiK3ForConditionalGeneration": ("cannot be made small", "Can't load image processor"),
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
    assert lines, said[-5000:]
    print(architecture, recipe.name, lines[0])


def bare_engine(python: str, recipe: Recipe, folder: Path) -> str:
    """The log of an engine that is to serve a small model of a recipe, and to be asked, as far as it comes."""
    config = dict(recipe.config)
    with contextlib.suppress(NoError):
        config = dict(small.shrink(config, small.Room(most_bytes=GIB, plain=True)).config)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    for name, value in stand_in.tokenizer_files(small.VOCAB_SIZE, 4096).items():
        (folder / name).write_text(json.dumps(value))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--load-format", "dummy"]
    command += ["--host", "127.0.0.1", "--port", port, "--max-model-len", "1024", "--enforce-eager"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    log = folder.with_name("engine.log")
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True) as process,
    ):
        try:
            ask(process, f"http://127.0.0.1:{port}", {"model": str(folder), "prompt": "hello", "max_tokens": 4})
            process.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return log.read_text(errors="replace")


def ask(process: subprocess.Popen[bytes], url: str, body: dict[str, object]) -> None:
    """Wait until it is healthy or has ended; in the first case ask it, which must fail."""
    until = time.monotonic() + 600
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
        except OSError:
            time.sleep(0.5)
        else:
            asked = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode())
            asked.add_header("Content-Type", "application/json")
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(asked, timeout=300).close()
            return
    assert process.poll() is not None
