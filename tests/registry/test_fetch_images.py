"""`bundle create --image HOST/NAME:TAG`: what a registry has comes into the bundle with its digest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from selfhost import files
from selfhost.app import bundle_fetch
from selfhost.bundle import layout
from selfhost.errors import ExitCode, UsageError
from selfhost.home import find_home
from selfhost.registry.reference import parse_reference
from selfhost.serve.ports import free_port
from tests.bundle.image_support import make_image, sha
from tests.bundle.unpack_support import run
from tests.standins.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path


def put(registry: Registry, tmp_path: Path):
    """An image in a registry; the layout that it is from."""
    made = make_image(tmp_path / "engine")
    code, _, err = run("bundle", "create", "--to", tmp_path / "first", "--label", "b", "--image", f"oci:{made.root}")
    assert code == 0, err
    words = ("--as", "images", "--plain-http")
    code, _, err = run("bundle", "push", tmp_path / "first", f"{registry.host}/team/engine:1.0", *words)
    assert code == 0, err
    return made


def create(to: Path, image: str, *words: object) -> tuple[int, str, str]:
    return run("bundle", "create", "--to", to, "--label", "c", "--image", image, "--plain-http", *words)


def test_it_comes_with_its_digest_and_is_not_fetched_twice(tmp_path):
    with Registry() as registry:
        made = put(registry, tmp_path)
        name = f"{registry.host}/team/engine:1.0"
        code, out, err = create(tmp_path / "second", name, "--json")
        assert code == 0, err
        [image] = json.loads(out)["images"]
        assert (image["name"], image["digest"]) == (name, made.entries[0]["digest"])
    volume = tmp_path / "second" / "c-vol1of1"
    blobs = {path.name for path in (made.root / layout.BLOBS).iterdir()}
    assert blobs <= {path.name for path in (volume / layout.BLOBS).iterdir()}
    assert run("bundle", "verify", volume)[0] == 0
    # What was fetched is a layout of its own, and is enough once the registry is gone.
    assert create(tmp_path / "third", f"oci:{find_home().fetched}:{name}")[0] == 0


def test_one_platform_fetches_no_other(tmp_path):
    with Registry() as registry:
        made = put(registry, tmp_path)
        name = f"{registry.host}/team/engine:1.0"
        code, out, err = create(tmp_path / "second", name, "--platform", "linux/arm64", "--json")
        assert code == 0, err
    [image] = json.loads(out)["images"]
    index = json.loads((made.root / layout.BLOBS / made.entries[0]["digest"][7:]).read_text())
    assert image["digest"] == index["manifests"][1]["digest"]
    fetched = {path.name for path in (find_home().fetched / layout.BLOBS).iterdir()}
    other = json.loads((made.root / layout.BLOBS / index["manifests"][0]["digest"][7:]).read_text())
    assert other["layers"][0]["digest"][7:] not in fetched
    assert all(sha((find_home().fetched / layout.BLOBS / one).read_bytes()) == one for one in fetched)


def test_a_dry_run_fetches_no_layer(tmp_path):
    with Registry() as registry:
        made = put(registry, tmp_path)
        code, out, err = create(tmp_path, f"{registry.host}/team/engine:1.0", "--dry-run", "--json")
        assert code == 0, err
        assert json.loads(out)["volumes"][0]["bytes"] > 90_000
    fetched = {path.stat().st_size for path in (find_home().fetched / layout.BLOBS).iterdir()}
    assert max(fetched) < 5000
    assert made.root.is_dir()


def test_what_is_not_there_is_exit_code_3_and_no_name_is_2(tmp_path):
    with Registry() as registry:
        code, _, err = create(tmp_path, f"{registry.host}/team/none:1")
        assert (code, "team/none:1" in err) == (ExitCode.NO, True)
    assert create(tmp_path, "engine")[0] == ExitCode.USAGE
    assert not list(tmp_path.glob("c-*"))


@pytest.mark.slow
def test_from_docker_registry_where_skopeo_put_it(tmp_path, docker_registry, skopeo):
    made = make_image(tmp_path / "engine")
    with docker_registry(tmp_path / "registry") as port:
        name = f"127.0.0.1:{port}/team/engine:2.0"
        skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{made.root}", f"docker://{name}")
        code, out, err = create(tmp_path / "medium", name, "--json")
        assert code == 0, err
    assert json.loads(out)["images"][0]["digest"] == made.entries[0]["digest"]


@pytest.mark.parametrize(("host", "name"), [("LOCALHOST:1", "localhost:1"), ("[::1]:1", None)])
def test_what_is_fetched_gets_a_name_that_an_import_takes(host, name):
    if name is None:
        with pytest.raises(UsageError) as raised:
            bundle_fetch.name_of(parse_reference(f"{host}/team/engine:1"))
        assert raised.value.message.id == "image.unnameable"
    else:
        assert bundle_fetch.name_of(parse_reference(f"{host}/team/engine:1")) == f"{name}/team/engine:1"


def test_what_a_killed_process_left_half_written_goes_unless_somebody_fetches(tmp_path):
    blobs = find_home().fetched / layout.BLOBS
    blobs.mkdir(parents=True)
    left = blobs / f".{'a' * 64}.xyz"
    left.write_bytes(b"half")
    with Registry() as registry:
        put(registry, tmp_path)
        name = f"{registry.host}/team/engine:1.0"
        with files.hold_lock(find_home().fetched / ".in-use.lock", shared=True):
            assert create(tmp_path / "second", name)[0] == 0
        assert left.exists()
        assert create(tmp_path / "third", name)[0] == 0
    assert not left.exists()


def test_a_registry_that_does_not_answer_is_told_while_it_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("selfhost.weights.move.halt.Halt.sleep", lambda _halt, _seconds: None)
    code, _, err = create(tmp_path, f"127.0.0.1:{free_port('127.0.0.1')}/team/engine:1")
    assert code == ExitCode.INCOMPLETE
    assert "trying again" in err
