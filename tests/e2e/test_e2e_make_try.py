"""`make try`: the README's first command, with the engine that `make test` installed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from selfhost.home import find_home
from selfhost.recipe.load import load_recipe
from selfhost.recipe.schema import SourceKind
from tests.e2e.test_e2e_serve_directory import processes_of
from tests.standins.hub import Hub
from tests.tiny_models import ANSWER, make_tiny_model

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]


def make_try(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SELFHOST_HOME": str(home), **variables}
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # when this runs under `make test`
        environment.pop(name, None)
    command = ["make", "--no-print-directory", "try", f"SELFHOST_HOME={home}", *words]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=420, env=environment
    )


def test_make_try_answers_paris_and_leaves_nothing(engine_home):
    done = make_try(engine_home)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = done.stdout.partition("A: ")[2]
    assert "Paris" in answer
    assert processes_of(engine_home) == []


def test_make_try_takes_a_qwen_from_a_hub(engine_home, engine_python, tmp_path):
    """The recipe's repository at the revision it pins, with the weights of a tiny model of the same class."""
    recipe = load_recipe("qwen2.5-0.5b", find_home())
    source = next(source for source in recipe.variants[0].sources if source.kind is SourceKind.HUGGINGFACE)
    config = make_tiny_model(engine_python, "qwen2", tmp_path / "hub" / source.id) / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "max_position_embeddings": recipe.context}))
    with Hub(tmp_path / "hub", revisions={f"{source.id}@{source.revision}": tmp_path / "hub" / source.id}) as hub:
        done = make_try(engine_home, "MODEL=qwen2.5-0.5b", "QUESTION=hello", HF_ENDPOINT=hub.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.partition("A: ")[2].startswith(ANSWER)
    assert f"revision {source.revision[:12]}" in done.stderr
    assert processes_of(engine_home) == []
