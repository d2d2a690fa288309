"""`make try`: the README's first command, with the engine that `make test` installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.test_e2e_serve_directory import processes_of

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).resolve().parents[2]


def test_make_try_answers_paris_and_leaves_nothing(engine_home):
    environment = {**os.environ, "SELFHOST_HOME": str(engine_home)}
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # when this runs under `make test`
        environment.pop(name, None)
    command = ["make", "--no-print-directory", "try", f"SELFHOST_HOME={engine_home}"]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=420, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = done.stdout.partition("A: ")[2]
    assert "Paris" in answer
    assert processes_of(engine_home) == []
