"""kill -9 at every change of a file: a model is whole or not there, nothing needed is lost, nothing unneeded stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("action", "least"), [("publish", 25), ("first publish", 20), ("gc", 8), ("rm", 8), ("repair", 12)]
)
def test_killed_at_every_point(tmp_path, action, least):
    argv = [sys.executable, "-m", "tests.weights.killed", action, str(tmp_path / "home")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least, "the points where it could be killed were not found"
