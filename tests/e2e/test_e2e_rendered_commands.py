"""Rendered commands for GPUs and NPUs: the pinned engine's own parser takes them and reads what was planned."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.e2e

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data" / "render"
INSIDE = HERE.parents[1] / "selfhost" / "inside"


def commands() -> dict[str, list[str]]:
    """Words after `vllm serve` in each compose file that was reviewed, by its path; `selfhost serve` is not here."""
    found = {}
    for path in sorted(DATA.glob("*/compose/**/compose.yaml")):
        engine = yaml.safe_load(path.read_text())["services"]["engine"]
        if engine["entrypoint"] == ["vllm", "serve"]:
            words = [re.sub(r"\$\{\w+:\?[^}]*\}", "10.0.0.1", word) for word in engine["command"]]
            found[str(path.parent.relative_to(DATA))] = words
    return found


def after(words: list[str], option: str, default: int) -> int:
    return int(words[words.index(option) + 1]) if option in words else default


@pytest.fixture(scope="module")
def parsed(engine_python, tmp_path_factory):
    home = tmp_path_factory.mktemp("parser")
    done = subprocess.run(
        [engine_python, HERE / "parse_commands.py"],
        input=json.dumps(list(commands().values())),
        env={"PYTHONPATH": str(INSIDE), "HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(commands(), json.loads(done.stdout), strict=True))


def test_the_engine_takes_every_command_and_reads_what_was_planned(parsed):
    assert {path: read["error"] for path, read in parsed.items() if "error" in read} == {}
    for path, words in commands().items():
        read = parsed[path]
        for option, name, default in (
            ("--tensor-parallel-size", "tensor_parallel_size", 1),
            ("--pipeline-parallel-size", "pipeline_parallel_size", 1),
            ("--data-parallel-size", "data_parallel_size", 1),
            ("--nnodes", "nnodes", 1),
            ("--node-rank", "node_rank", 0),
        ):
            assert read[name] == after(words, option, default), (path, option)
        assert (read["model_tag"], read["host"]) == (words[0], "127.0.0.1")
        assert read["headless"] is ("--headless" in words)


def test_nodes_of_one_plan_differ_in_their_place_only(parsed):
    places = {"node_rank", "headless", "data_parallel_start_rank"}
    several = {path.rpartition("/")[0] for path in parsed if path.endswith("node0")}
    assert several
    for plan in several:
        first, second = (parsed[f"{plan}/node{number}"] for number in range(2))
        assert {name for name in first if first[name] != second[name]} <= places
        assert (first["headless"], second["headless"]) == (False, True)


def test_an_option_that_the_engine_does_not_know_would_be_found(engine_python, tmp_path):
    done = subprocess.run(
        [engine_python, HERE / "parse_commands.py"],
        input=json.dumps([["/models/x", "--no-such-option", "1"]]),
        env={"PYTHONPATH": str(INSIDE), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert list(json.loads(done.stdout)[0]) == ["error"]
