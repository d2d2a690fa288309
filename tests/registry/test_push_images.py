"""`bundle push --as images`: the images of a bundle, with the index over their platforms."""

from __future__ import annotations

import json

import pytest

from selfhost.app import bundle_ship
from selfhost.errors import ExitCode, UsageError
from selfhost.registry.reference import parse_reference
from tests.bundle import image_support as images
from tests.bundle.unpack_support import run
from tests.standins.registry import Registry


@pytest.fixture
def volume(tmp_path):
    """A bundle with two images that share nothing but their form."""
    one = images.make_image(tmp_path / "one")
    two = images.make_image(tmp_path / "two", "other.example/tools/gate:2", images.PLATFORMS[:1], more=b"x")
    words = [word for made in (one, two) for word in ("--image", f"oci:{made.root}")]
    code, _, err = run("bundle", "create", "--to", tmp_path / "medium", "--label", "b", *words)
    assert code == 0, err
    return next((tmp_path / "medium").iterdir()), (one, two)


def test_every_image_gets_a_place_below_the_name(volume):
    path, layouts = volume
    with Registry() as registry:
        code, out, err = run("bundle", "push", path, f"{registry.host}/p", "--as", "images", "--plain-http", "--json")
        assert code == 0, err
        pushed = {one["reference"].partition("/")[2]: one["digest"] for one in json.loads(out)["pushed"]}
        assert pushed == {"p/engine:1.0": layouts[0].entries[0]["digest"], "p/gate:2": layouts[1].entries[0]["digest"]}
        index = json.loads(registry.manifests["p/engine", "1.0"][1])
        assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
        assert run("bundle", "push", path, f"{registry.host}/p:v1", "--as", "images", "--plain-http")[0] == (
            ExitCode.USAGE
        )


@pytest.mark.slow
def test_skopeo_finds_the_same_image(volume, tmp_path, docker_registry, skopeo):
    path, layouts = volume
    with docker_registry(tmp_path / "registry") as port:
        host = f"127.0.0.1:{port}"
        code, _, err = run("bundle", "push", path, f"{host}/p", "--as", "images", "--plain-http")
        assert code == 0, err
        skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{host}/p/engine:1.0", f"oci:{tmp_path}/back:x")
    back = json.loads((tmp_path / "back/index.json").read_bytes())["manifests"]
    assert [one["digest"] for one in back] == [layouts[0].entries[0]["digest"]]


def test_one_tag_names_one_thing():
    reference = parse_reference("localhost/a:v1")
    with pytest.raises(UsageError):
        bundle_ship._named(reference, "m/bf16", alone=False)
    with pytest.raises(UsageError):
        bundle_ship._check_distinct([reference, parse_reference("localhost/b:v1"), reference])
    assert str(bundle_ship._place(parse_reference("localhost/a"), "r.example/x/Engine:1", alone=False)) == (
        "localhost/a/engine:1"
    )


def test_a_manifest_that_does_not_say_what_it_is_goes_under_the_type_of_its_descriptor(tmp_path):
    made = images.Layout(tmp_path / "odd")
    entry = made.manifest(images.PLATFORMS[0], {"a": b"x"})
    body = json.loads((made.root / "blobs/sha256" / entry["digest"][7:]).read_bytes())
    del body["mediaType"]
    listed = made.json(images.MANIFEST, body)
    made.add(made.json(images.INDEX, {"schemaVersion": 2, "manifests": [listed]}), images.NAME)
    code, _, err = run("bundle", "create", "--to", tmp_path / "medium", "--label", "b", "--image", f"oci:{made.root}")
    assert code == 0, err
    with Registry() as registry:
        words = ("--as", "images", "--plain-http")
        code, _, err = run("bundle", "push", tmp_path / "medium", f"{registry.host}/p/engine:1", *words)
        assert code == 0, err
        types = {name: one[0] for (_, name), one in registry.manifests.items()}
    assert (types["1"], types[listed["digest"]]) == (images.INDEX, images.MANIFEST)


def test_an_image_whose_entry_names_a_type_is_an_image_all_the_same(tmp_path):
    made = images.Layout(tmp_path / "odd")
    made.add(made.manifest(images.PLATFORMS[0], {"a": b"x"}), images.NAME)
    path = made.root / "index.json"
    body = json.loads(path.read_text())
    body["manifests"][0]["artifactType"] = "application/vnd.oci.image.config.v1+json"
    path.write_text(json.dumps(body))
    words = ("--label", "b", "--image", f"oci:{made.root}")
    code, _, err = run("bundle", "create", "--to", tmp_path / "medium", *words)
    assert code == 0, err
    code, out, err = run("bundle", "import", tmp_path / "medium", "--json")
    assert code == 0, err
    assert [one["name"] for one in json.loads(out)["images"]] == [images.NAME]


@pytest.mark.parametrize("listed", [5, None, "x", {"a": 1}])
def test_an_index_that_is_no_list_is_no_layout(tmp_path, listed):
    made = images.make_image(tmp_path / "odd")
    (made.root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))
    code, _, err = run("bundle", "create", "--to", tmp_path / "medium", "--image", f"oci:{made.root}")
    assert (code, "is no OCI image layout" in err) == (ExitCode.USAGE, True)


def test_a_bundle_without_models_says_how_its_images_are_pushed(volume):
    code, _, err = run("bundle", "push", volume[0], "localhost/p", "--plain-http")
    assert code == ExitCode.NO
    assert "--as images" in err
