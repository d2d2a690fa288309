"""Images as other tools make them: no platform in the index, attestations that are artifacts, layers not passed on."""

from __future__ import annotations

import json

import pytest

from selfhost.bundle.image_store import open_image
from selfhost.errors import IncompleteError, IntegrityError
from tests.bundle.image_support import INDEX, MANIFEST, PLATFORMS, Layout

NAME = "registry.example/team/odd:1"
ATTESTATION = "application/vnd.docker.attestation.manifest.v1+json"
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


def manifests(made: Layout) -> list[dict]:
    return [made.manifest(one, {"bin/engine": one[1].encode()}) for one in PLATFORMS]


def index(made: Layout, listed: list[dict]) -> str:
    made.add(made.json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}), NAME)
    return f"oci:{made.root}"


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_an_index_that_names_no_platform_has_those_of_its_configurations(tmp_path, platform):
    made = Layout(tmp_path / "odd")
    listed = [{name: value for name, value in one.items() if name != "platform"} for one in manifests(made)]
    given = index(made, listed)
    assert open_image(given, None).image.platforms == ("linux/amd64", "linux/arm64/v8")
    picked = open_image(given, platform).image
    assert f"sha256:{picked.entry.sha256}" == listed[platform.endswith("arm64")]["digest"]


def attestation(made: Layout, **more) -> dict:
    body = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ATTESTATION,
        "config": made.put("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [made.put("application/vnd.in-toto+json", b'{"_type": "statement"}')],
    }
    return made.json(MANIFEST, body, **more)


def test_an_attestation_that_is_an_artifact_comes_along(tmp_path):
    made = Layout(tmp_path / "odd")
    nowhere = {"os": "unknown", "architecture": "unknown"}
    found = open_image(index(made, [*manifests(made), attestation(made, platform=nowhere)]), None).image
    assert found.platforms == ("linux/amd64", "linux/arm64/v8")
    assert "application/vnd.in-toto+json" in {one.media_type for one in found.layers}


@pytest.mark.parametrize("more", [{}, {"platform": {"os": "linux", "architecture": "amd64"}}], ids=str)
def test_an_artifact_is_no_platform_of_an_image(tmp_path, more):
    made = Layout(tmp_path / "odd")
    with pytest.raises(IntegrityError) as raised:
        open_image(index(made, [*manifests(made), attestation(made, **more)]), None)
    assert raised.value.message.id == "image.bad"


def test_a_layer_that_nobody_passes_on_is_told_as_such(tmp_path):
    made = Layout(tmp_path / "odd")
    given = index(made, manifests(made)[:1])
    path = made.root / "blobs/sha256"
    root = json.loads((path / made.entries[0]["digest"][7:]).read_bytes())
    body = json.loads((path / root["manifests"][0]["digest"][7:]).read_bytes())
    body["layers"].append({"mediaType": FOREIGN, "digest": f"sha256:{'a' * 64}", "size": 1, "urls": ["https://x/"]})
    made.entries.clear()
    made.add(made.json(MANIFEST, body), NAME)
    with pytest.raises(IncompleteError) as raised:
        open_image(given, None)
    assert raised.value.message.id == "image.foreign"


@pytest.mark.parametrize("said", [INDEX, f"{MANIFEST}\r\nX-Odd: 1", 7], ids=ascii)
def test_a_manifest_that_calls_itself_something_else_is_refused(tmp_path, said):
    made = Layout(tmp_path / "odd")
    [entry] = manifests(made)[:1]
    body = json.loads((made.root / "blobs/sha256" / entry["digest"][7:]).read_bytes())
    made.add(made.json(MANIFEST, {**body, "mediaType": said}), NAME)
    with pytest.raises(IntegrityError) as raised:
        open_image(f"oci:{made.root}", None)
    assert "says of itself" in raised.value.message.why
