"""Rendered commands for GPUs and NPUs: the pinned engine's own parser takes them and reads what was planned."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.render import engine_commands, golden
from tests.render.kubernetes import plans

pytestmark = pytest.mark.e2e

HERE = Path(__file__).resolve().parent
INSIDE = HERE.parents[1] / "selfhost" / "inside"


@pytest.fixture(scope="module")
def commands(tmp_path_factory) -> dict[str, list[str]]:
    """Words after `vllm serve` of every target's files; those of `selfhost serve` are in its plan's way out."""
    return engine_commands.of_machines() | engine_commands.of_clusters(tmp_path_factory.mktemp("pods"))


def after(words: list[str], option: str, default: int) -> int:
    return int(words[words.index(option) + 1]) if option in words else default


@pytest.fixture(scope="module")
def parsed(engine_python, commands, tmp_path_factory):
    home = tmp_path_factory.mktemp("parser")
    done = subprocess.run(
        [engine_python, HERE / "parse_commands.py"],
        input=json.dumps(list(commands.values())),
        env={"PYTHONPATH": str(INSIDE), "HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(zip(commands, json.loads(done.stdout), strict=True))


def test_commands_of_every_target_are_here(commands):
    several = {"compose", "quadlet", "systemd", "leaving"}
    for plan in golden.PLANS:
        targets = {path.split("/")[1] for path in commands if path.startswith(f"{plan}/")}
        assert targets in ({"leaving"}, several)
    for case in plans.CASES:
        nodes = {f"kubernetes/{case}/leaving/node{node.number}" for node in plans.deployment(case).nodes}
        assert nodes <= {*commands}
    for case in plans.SEVERAL_NODES:
        nodes = {f"kubernetes/{case}/node{node.number}" for node in plans.deployment(case).nodes}
        assert nodes <= {*commands}


def test_the_engine_takes_every_command_and_reads_what_was_planned(commands, parsed):
    assert {path: read["error"] for path, read in parsed.items() if "error" in read} == {}
    for path, words in commands.items():
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
    plans_ = {path.rpartition("/")[0] for path in parsed if path.endswith("node1")}
    assert {plan.split("/")[1] for plan in plans_} > {"compose", "quadlet", "systemd", "leaving"}
    for plan in plans_:
        places = {"node_rank", "headless", "data_parallel_start_rank"}
        if plan.startswith("kubernetes/") and not plan.endswith("leaving"):
            # A leader listens at its pod's address, workers know its name.
            places |= {"master_addr", "data_parallel_address"}
        first, *others = (parsed[path] for path in sorted(parsed) if path.rpartition("/")[0] == plan)
        assert first["headless"] is False
        for number, other in enumerate(others, 1):
            assert {name for name in first if first[name] != other[name]} <= places
            assert other["headless"] is True
            each = first["data_parallel_size"] // (len(others) + 1)
            place = other["data_parallel_start_rank"] if each else other["node_rank"]
            assert place == number * max(each, 1)


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
