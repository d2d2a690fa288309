"""Files for Kubernetes, byte for byte; reviewed like code. To write them anew:

SELFHOST_TEST_REWRITE=1 python -m pytest tests/render/kubernetes/test_k8s_golden.py
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from selfhost.render.rendered import differences
from selfhost.render.targets import TARGETS
from tests.render.kubernetes.plans import CASES, deployment

OF_ALL_TARGETS = "LEAVING.md"
GOLDEN = Path(__file__).resolve().parents[2] / "data" / "kubernetes"


@pytest.mark.parametrize("name", CASES)
def test_files_are_as_reviewed(name):
    made = [file for file in TARGETS[CASES[name].target](deployment(name)) if file.path != OF_ALL_TARGETS]
    folder = GOLDEN / name
    if os.environ.get("SELFHOST_TEST_REWRITE"):
        shutil.rmtree(folder, ignore_errors=True)
        for file in made:
            path = folder / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.text)
    there = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert differences(made, there) == ""
    assert set(there) == {file.path for file in made}


def test_golden_files_are_of_cases():
    assert {path.name for path in GOLDEN.iterdir()} == {*CASES}
