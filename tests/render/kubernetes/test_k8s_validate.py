"""Golden files against the schemas of Kubernetes itself, of custom kinds against ours, and through kustomize."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from selfhost.render.kubernetes import IMAGE_VOLUME_MINOR
from tests.conftest import missing
from tests.render.kubernetes.plans import CASES, SEVERAL_NODES, objects, pods, rendered
from tests.render.kubernetes.schemas import SCHEMAS

OPERATORS = {"LeaderWorkerSet", "ServiceMonitor", "PrometheusRule"}


@pytest.fixture(scope="session")
def validator() -> str:
    """`kubernetes-validate` of an environment of its own, as it brings 100 MB of schemas."""
    python = os.environ.get("SELFHOST_TEST_VALIDATORS_PYTHON")
    if not python:
        missing(
            "kubernetes-validate",
            "`pip install kubernetes-validate==1.37.0` into an environment of its own, and name its Python in "
            "SELFHOST_TEST_VALIDATORS_PYTHON",
        )
    return str(Path(python).parent / "kubernetes-validate")


def validate(validator, minor, documents, folder):
    """What it says about documents of kinds that Kubernetes knows; a warning counts as an error."""
    path = folder / "all.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    command = [validator, "--strict", "-k", f"1.{minor}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    passed = sum(line.startswith("INFO") and " passed " in line for line in lines)
    return done.returncode == 0 and passed == len(documents) == len(lines), "\n".join(lines)


def builtin(name):
    found = [found for (kind, _), found in objects(name).items() if kind not in OPERATORS]
    if name in SEVERAL_NODES:
        for role, template in pods(name).items():
            pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(template)}
            pod["metadata"]["name"] = f"{name.replace('.', '-').lower()}-{role}"
            found.append(pod)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("minor", [30, 37])
def test_kubernetes_takes_every_object(minor, validator, tmp_path):
    names = [name for name, case in CASES.items() if case.kubernetes.minor <= minor]
    documents = [found for name in names for found in builtin(name)]
    good, said = validate(validator, minor, documents, tmp_path)
    assert good, said


@pytest.mark.slow
def test_files_for_an_old_cluster_are_taken_by_it(validator, tmp_path):
    old = [name for name, case in CASES.items() if case.kubernetes.minor == 29]
    good, said = validate(validator, 29, [found for name in old for found in builtin(name)], tmp_path)
    assert good, said


@pytest.mark.slow
def test_image_volumes_are_taken_by_the_oldest_cluster_that_has_them_and_by_none_before(validator, tmp_path):
    names = [name for name, case in CASES.items() if case.kubernetes.image]
    assert {name in SEVERAL_NODES for name in names} == {True, False}
    documents = [found for name in names for found in builtin(name)]
    good, said = validate(validator, IMAGE_VOLUME_MINOR, documents, tmp_path)
    assert good, said
    good, said = validate(validator, IMAGE_VOLUME_MINOR - 1, documents, tmp_path)
    assert not good
    assert "image" in said


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [{"kind": "LeaderWorkerSett"}, {"spec": {"replicas": "one"}}, {"specc": {}}])
def test_the_validator_would_notice(wrong, validator, tmp_path):
    (found,) = [found for found in builtin("smollm2-135m-cpu") if found["kind"] == "Deployment"]
    good, _ = validate(validator, 37, [found | wrong], tmp_path)
    assert not good


@pytest.mark.parametrize("name", CASES)
def test_bodies_of_custom_kinds_have_the_fields_of_their_apis(name):
    found = [found for (kind, _), found in objects(name).items() if kind in OPERATORS]
    found += [yaml.safe_load(text) for path, text in rendered(name).items() if path.endswith("kustomization.yaml")]
    assert len(found) == 4 + (name in SEVERAL_NODES)
    for document in found:
        jsonschema.validate(document, SCHEMAS[document["kind"]])


def test_our_schemas_would_notice():
    (group,) = [found for (kind, _), found in objects("deepseek-v3-2x8xH20").items() if kind == "LeaderWorkerSet"]
    for path, value in (("size", 0), ("restartPolicy", "Never"), ("siez", 2)):
        wrong = copy.deepcopy(group)
        wrong["spec"]["leaderWorkerTemplate"][path] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMAS["LeaderWorkerSet"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2-135m-cpu", "deepseek-v3-2x8xH20"])
def test_kustomize_builds_what_the_files_say(name, tmp_path):
    kubectl = shutil.which("kubectl")
    if not kubectl:
        # No distribution has a recent one: not asked of continuous integration.
        pytest.skip("`kubectl` is missing")
    for path, text in rendered(name).items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    built = []
    for folder in (tmp_path, tmp_path / "monitoring"):
        done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=True)
        built += yaml.safe_load_all(done.stdout)
    by_name = {(found["kind"], found["metadata"]["name"]): found for found in built}
    assert by_name == objects(name)
