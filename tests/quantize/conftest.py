"""A model in the store, and a stand-in for what quantizes it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from selfhost.app.quantize import run
from selfhost.home import Home
from selfhost.recipe.load import load_recipe
from tests.cli.conftest import selfhost  # noqa: F401 - a fixture
from tests.pull_support import safetensors
from tests.weights.storage_support import put

FAKES = Path(__file__).resolve().parents[1] / "fakes" / "quantize"


@pytest.fixture
def faults(monkeypatch):
    """What goes wrong in the stand-in."""

    def give(**what):
        monkeypatch.setenv("FAKE_QUANTIZE", json.dumps(what))

    return give


def contents(config: dict, shards: int = 3) -> dict[str, bytes]:
    """A model that is whole by its headers."""
    names = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    files = {name: safetensors(f"tensor.{number}", 5000, number) for number, name in enumerate(names, 1)}
    index = {"weight_map": {f"tensor.{number}": name for number, name in enumerate(names, 1)}}
    return files | {
        "model.safetensors.index.json": json.dumps(index).encode(),
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": b'{"version": "1.0"}',
    }


@pytest.fixture
def model(home, monkeypatch) -> Path:
    """SmolLM2's recipe, with little weights in the store."""
    monkeypatch.setattr(run, "_INSIDE", FAKES)
    recipe = load_recipe("smollm2-135m", Home(home))
    return put(home, contents(dict(recipe.config)), name="smollm2-135m", variant="bf16")


@pytest.fixture
def quantize(selfhost, model):  # noqa: F811
    """Run the command with this Python as the environment: (exit code, stdout, stderr)."""

    def go(*arguments, name="smollm2-135m"):
        return selfhost("quantize", name, "--engine-python", sys.executable, *arguments)

    return go
