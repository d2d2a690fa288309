from __future__ import annotations

import hashlib
import json

import pytest

from selfhost.bundle import modelpack
from selfhost.bundle.modelpack import Layer
from selfhost.errors import IntegrityError
from selfhost.weights.lock import LockedFile, ModelLock, Origin


def digest(number: int) -> str:
    return f"{number:064x}"


LOCK = ModelLock(
    recipe="qwen2.5-7b",
    variant="bf16",
    source=Origin(kind="huggingface", id="Qwen/Qwen2.5-7B", revision="abc"),
    files=(
        LockedFile(path="model.safetensors", size=100, sha256=digest(1)),
        LockedFile(path="config.json", size=2, sha256=digest(2)),
        LockedFile(path="LICENSE", size=3, sha256=digest(3)),
        LockedFile(path="modeling_x.py", size=4, sha256=digest(4)),
    ),
)


def test_a_model_is_a_modelpack_artifact():
    built = modelpack.build_model(LOCK, ["Apache-2.0"])
    body = json.loads(built.manifest)
    assert body["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert body["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    assert body["config"]["digest"] == "sha256:" + hashlib.sha256(built.config).hexdigest()
    assert body["config"]["size"] == len(built.config)
    assert {one["annotations"]["org.cncf.model.filepath"]: one["mediaType"] for one in body["layers"]} == {
        "LICENSE": "application/vnd.cncf.model.doc.v1.raw",
        "config.json": "application/vnd.cncf.model.weight.config.v1.raw",
        "model.safetensors": "application/vnd.cncf.model.weight.v1.raw",
        "modeling_x.py": "application/vnd.cncf.model.code.v1.raw",
    }
    config = json.loads(built.config)
    assert config["modelfs"] == {"type": "layers", "diffIds": [one["digest"] for one in body["layers"]]}
    assert config["descriptor"]["sourceURL"] == "https://huggingface.co/Qwen/Qwen2.5-7B"
    assert config["descriptor"]["licenses"] == ["Apache-2.0"]


def test_what_is_built_is_read():
    built = modelpack.build_model(LOCK)
    manifest = modelpack.parse_manifest(built.manifest, "x")
    assert manifest.layers == built.layers
    assert manifest.config.sha256 == hashlib.sha256(built.config).hexdigest()
    extra = modelpack.build(
        modelpack.RECIPE, "qwen2.5-7b/bf16/recipe", {}, [Layer(path="a.toml", sha256=digest(5), size=1)], built.entry
    )
    assert modelpack.parse_manifest(extra.manifest, "y").subject == built.entry.sha256
    entries = (built.entry, extra.entry)
    assert modelpack.parse_index(modelpack.build_index(entries)) == entries


def test_the_same_files_are_the_same_bytes():
    other = ModelLock(recipe=LOCK.recipe, variant=LOCK.variant, source=LOCK.source, files=LOCK.files[::-1])
    assert modelpack.build_model(LOCK) == modelpack.build_model(other)


def test_a_folder_of_the_sender_is_not_told():
    origin = Origin(kind="directory", id="/home/someone/models", revision=None)
    built = modelpack.build_model(ModelLock(recipe="a", variant="b", source=origin, files=LOCK.files))
    assert b"someone" not in built.config + built.manifest


def _changed(change):
    body = json.loads(modelpack.build_model(LOCK).manifest)
    change(body)
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.pop("layers"),
        lambda body: body.pop("config"),
        lambda body: body["layers"][0].update(digest="sha512:" + "0" * 128),
        lambda body: body["layers"][0].update(digest="sha256:../../x"),
        lambda body: body["layers"][0].update(size=-1),
        lambda body: body["layers"][0].update(size=True),
        lambda body: body["layers"][0].pop("annotations"),
        lambda body: body["layers"][0]["annotations"].update({modelpack.TITLE: "other"}),
        lambda body: body["layers"][0].update(annotations={modelpack.TITLE: "../x"}),
        lambda body: body["layers"][0].update(annotations={modelpack.FILEPATH: "/etc/x"}),
        lambda body: body["layers"][0].update(annotations={modelpack.FILEPATH: "MODEL.safetensors"}),
        lambda body: body.update(layers=body["layers"] * 6000),
        lambda body: body.update(layers={}),
        lambda body: body.update(subject={"digest": "x"}),
        lambda body: body.update(annotations=[]) or body.update(config=[]),
    ],
)
def test_a_hostile_manifest_is_refused(change):
    with pytest.raises(IntegrityError):
        modelpack.parse_manifest(_changed(change), "x")


def test_a_hostile_index_is_refused():
    good = json.loads(modelpack.build_index([modelpack.build_model(LOCK).entry]))
    for manifests in ({}, good["manifests"] * 2, [{}], [1], [{**good["manifests"][0], "digest": "x"}]):
        with pytest.raises(IntegrityError):
            modelpack.parse_index(json.dumps({**good, "manifests": manifests}).encode())


def test_paths_that_not_every_system_takes_are_not_packed():
    file = LockedFile(path="nul", size=1, sha256=digest(1))
    with pytest.raises(IntegrityError, match="cannot be written"):
        modelpack.build_model(ModelLock(recipe="a", variant="b", source=LOCK.source, files=(file,)))
