"""Every command line for Ascend, and the facts, against the vLLM that the plugin is made for: its own parser.

SELFHOST_TEST_ASCEND_WHEELS names a folder with two wheels, which are read and not installed:

    pip download --no-deps --dest FOLDER vllm==0.23.0 vllm-ascend==0.23.0

The Python of the CPU engine imports them from an unpacked copy: torch and the rest are its own, no device is needed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from selfhost.app.engine_env import engine_command
from tests.bench import bench_plan_matrix as matrix

pytestmark = pytest.mark.e2e

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data" / "render"
FACTS = HERE.parents[1] / "selfhost" / "engines" / "facts" / "vllm-ascend-0.23.0.json"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """Both wheels without their libraries; vLLM says of itself that it is for CPUs, so that it looks for no GPU."""
    given = os.environ.get("SELFHOST_TEST_ASCEND_WHEELS")
    if not given:
        pytest.skip("SELFHOST_TEST_ASCEND_WHEELS is not set")
    folder = tmp_path_factory.mktemp("ascend")
    wheels = [next(Path(given).glob(pattern)) for pattern in ("vllm-0.23.0*.whl", "vllm_ascend-0.23.0*.whl")]
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if not name.endswith(".so")])
    about = folder / "vllm-0.23.0.dist-info" / "METADATA"
    about.write_text(about.read_text().replace("\nVersion: 0.23.0\n", "\nVersion: 0.23.0+cpu\n", 1))
    return folder


def run(engine_python, script: Path, unpacked: Path, said: str = "") -> str:
    done = subprocess.run(
        [engine_python, script],
        input=said,
        env={"PYTHONPATH": str(unpacked), "HOME": str(unpacked), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def lines() -> list[list[str]]:
    """Of every recipe on every NPU, node by node and as `serve` runs it; and of the rendered files."""
    found = set()
    for recipe in matrix.recipes():
        for plan in matrix.plans(recipe):
            if plan.engine.name == "vllm-ascend" and plan.argv:
                found |= {plan.argv, *plan.node_argv, ("vllm", *engine_command(Path("python"), plan)[2:])}
    for path in DATA.glob("*910b3/compose/**/compose.yaml"):
        engine = yaml.safe_load(path.read_text())["services"]["engine"]
        assert engine["entrypoint"] == ["vllm", "serve"]
        found.add(("vllm", "serve", *(re.sub(r"\$\{\w+:\?[^}]*\}", "10.0.0.1", word) for word in engine["command"])))
    return [list(argv) for argv in sorted(found)]


def test_the_engines_own_parser_takes_every_line(engine_python, unpacked):
    every = lines()
    assert len(every) > 500
    wrong = ["vllm", "serve", "/m", "--no-such-option", "1"], ["vllm", "serve", "/m", "--block-size", "many"]
    refused = json.loads(run(engine_python, HERE / "parse_ascend_commands.py", unpacked, json.dumps([*every, *wrong])))
    assert refused == [" ".join(argv) for argv in wrong]


def test_the_facts_are_what_this_release_says_of_itself(engine_python, unpacked):
    script = HERE.parents[1] / "selfhost" / "inside" / "selfhost_facts.py"
    assert json.loads(run(engine_python, script, unpacked)) == json.loads(FACTS.read_text())
