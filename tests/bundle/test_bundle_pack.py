"""Volumes as `bundle create` leaves them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from selfhost import files
from selfhost.app import bundle_create
from selfhost.bundle import inside_verify, modelpack, openssf
from selfhost.bundle.info import parse_info
from selfhost.bundle.pack import Finishing
from selfhost.bundle.sign import open_signer
from selfhost.bundle.write import How, LinkMode
from selfhost.engines import own_wheels, wheels
from selfhost.engines.wheel_file import Wheel, describe
from selfhost.errors import IncompleteError, MissingError, NoSpaceError, TrustError, UsageError
from selfhost.weights.blobs import Blobs
from tests.bundle.pack_support import check_volume, files_of, make, tree
from tests.bundle.test_bundle_profile import NPU, TARGET
from tests.tiny_wheels import make_wheel
from tests.weights.storage_support import big, flip, put, put_old, sha, tiny_files


def test_a_volume_holds_the_model_and_nothing_else(home, model, content, medium):
    packed = make(home, medium)
    [volume] = packed.volumes
    assert volume.path == medium / "b-vol1of1"
    check_volume(volume.path)
    assert files_of([volume.path]) == content
    assert list(medium.iterdir()) == [volume.path]


def test_hard_links_take_no_space(home, model, medium):
    packed = make(home, medium, link=LinkMode.HARD)
    blob = medium / "b-vol1of1/blobs/sha256" / sha(b"terms")
    assert blob.samefile(Blobs(home / "blobs").path(sha(b"terms")))
    assert packed.volumes[0].how[How.HARD.value] > 200_000
    assert packed.volumes[0].how[How.COPY.value] < 10_000, "only what was made for the bundle"


def test_a_copy_is_a_file_of_its_own_and_read_back(home, model, content, medium):
    packed = make(home, medium, link=LinkMode.COPY)
    blob = medium / "b-vol1of1/blobs/sha256" / sha(b"terms")
    assert blob.stat().st_nlink == 1
    assert packed.volumes[0].how.keys() == {How.COPY.value}
    assert packed.read_back_bytes == packed.volumes[0].size_bytes
    assert make(home, medium, Finishing(read_back=False), label="c", link=LinkMode.COPY).read_back_bytes == 0


def test_the_lock_and_the_marks_go_along(home, medium):
    weights = big()
    put(home, tiny_files(weights))
    make(home, medium)
    volume = medium / "b-vol1of1"
    entries = {e.name: e for e in modelpack.parse_index((volume / "index.json").read_bytes())}
    assert set(entries) == {"tiny/bf16", "tiny/bf16/lock", "inventory"}
    read = lambda sha256: (volume / "blobs/sha256" / sha256).read_bytes()  # noqa: E731
    manifest = modelpack.parse_manifest(read(entries["tiny/bf16/lock"].sha256), "x")
    assert manifest.subject == entries["tiny/bf16"].sha256
    named = {layer.path: read(layer.sha256) for layer in manifest.layers}
    assert json.loads(named["lock.json"])["recipe"] == "tiny"
    [marks] = [path for path in named if path.startswith("marks/")]
    assert named[marks] == Blobs(home / "blobs").marks(marks.removeprefix("marks/"))


def test_a_model_of_an_older_selfhost_is_packed_from_its_folder(home, medium):
    put_old(home, tiny_files(), name="tiny")
    make(home, medium)
    check_volume(medium / "b-vol1of1")
    assert files_of([medium / "b-vol1of1"]) == tiny_files()


# Several volumes


def test_small_volumes(home, medium):
    content = {"config.json": b"{}", **{f"{n}.bin": big(n, size=3 << 20) for n in range(4)}}
    put(home, content)
    packed = make(home, medium, volume_size="8M")
    assert [volume.path.name for volume in packed.volumes] == ["b-vol1of2", "b-vol2of2"]
    paths = [volume.path for volume in packed.volumes]
    infos = [json.loads((path / "bundle.json").read_bytes()) for path in paths]
    assert [info.pop("volume") for info in infos] == [1, 2]
    assert infos[0] == infos[1]
    for path in paths:
        check_volume(path)
        assert sum(map(len, tree(path).values())) <= 8 << 20
    assert files_of(paths) == content
    index = modelpack.parse_index((paths[1] / "index.json").read_bytes())
    assert all((path / "blobs/sha256" / entry.sha256).exists() for path in paths for entry in index)


def test_a_volume_for_each_folder(home, tmp_path, monkeypatch):
    put(home, {f"{n}.bin": big(n, size=3 << 20) for n in range(4)})
    media = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    packed = make(home, media, volume_size="8M")
    assert [str(v.path.relative_to(tmp_path)) for v in packed.volumes] == ["a/b-vol1of2", "b/b-vol2of2"]
    with pytest.raises(NoSpaceError, match="too small"):
        make(home, media[:1] * 2, volume_size="5M", label="c")


def test_what_is_free_limits_a_volume_of_copies(home, model, medium, monkeypatch):
    monkeypatch.setattr(files, "free_bytes", lambda _path: 65 << 20)
    with pytest.raises(NoSpaceError):
        make(home, medium, link=LinkMode.COPY)
    assert not list(medium.iterdir())
    make(home, medium, link=LinkMode.HARD)


def test_a_file_that_the_medium_does_not_take_is_cut(home, model, content, medium):
    packed = make(home, medium, max_file_bytes=65536, link=LinkMode.COPY)
    volume = packed.volumes[0].path
    check_volume(volume)
    assert max(map(len, tree(volume).values())) <= 65536
    assert files_of([volume]) == content
    [cut] = [blob for blob in packed.info.blobs.values() if blob.chunks]
    assert cut.sha256 == sha(content["model.safetensors"])
    assert [chunk.size for chunk in cut.chunks[:-1]] == [65536] * 3


def test_a_link_that_cannot_be(home, model, medium, monkeypatch):
    monkeypatch.setattr(files, "clone", lambda *_: False)
    with pytest.raises(MissingError, match="reflink"):
        make(home, medium, link=LinkMode.REFLINK)


@pytest.mark.parametrize(("name", "data"), [("id_ed25519", b"x"), ("x.json", b"-----BEGIN OPENSSH PRIVATE KEY-----\n")])
def test_keys_do_not_go_along(home, medium, name, data):
    put(home, {**tiny_files(), name: data})
    with pytest.raises(TrustError):
        make(home, medium)
    assert not list(medium.iterdir())


# What is asked


def test_what_the_receiver_has_is_left_out(home, model, content, medium, tmp_path):
    inventory = tmp_path / "inventory.json"
    known = sha(content["model.safetensors"])
    inventory.write_text(
        json.dumps({"schema_version": 1, "bundles": ["f" * 32], "blobs": [{"sha256": known, "size": 1}]})
    )
    packed = make(home, medium, have=inventory)
    check_volume(medium / "b-vol1of1")
    assert packed.info.have == (known,)
    assert packed.info.base == ("f" * 32,)
    assert known not in packed.info.blobs
    assert packed.volumes[0].size_bytes < 10_000


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"blobs": ["x"]}', '{"blobs": [], "bundles": [1]}'])
def test_a_bad_inventory(home, model, medium, tmp_path, text):
    path = tmp_path / "inventory.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="--have"):
        make(home, medium, have=path)


def test_a_second_bundle_has_the_same_manifest(home, model, medium):
    first = make(home, medium, label="one")
    second = make(home, medium, label="two")
    assert first.info.models == second.info.models
    assert first.info.id != second.info.id
    assert second.info.serial >= first.info.serial


def _wheel(folder: Path, name: str) -> Wheel:
    make_wheel(folder, name, "1.0")
    return describe(folder / f"{name.replace('-', '_')}-1.0-py3-none-any.whl")


def test_wheels_of_an_engine(home, model, medium, tmp_path, monkeypatch):
    folder = tmp_path / "wheels"
    folder.mkdir()
    engine = _wheel(folder, "torch")
    own = _wheel(folder, "selfhost-llm")
    _wheel(folder, "foreign")
    monkeypatch.setattr(wheels, "find", lambda _spec, found, _machine: (engine,) if found == folder else ())
    make(home, medium, engine="cpu", wheelhouse=folder)
    assert wheels_in(medium / "b-vol1of1") == ["cpu.lock", engine.path.name]
    lock = folder / own_wheels.OWN_LOCK
    lock.write_text(f"selfhost-llm==1.0 \\\n    --hash=sha256:{own.sha256}\n")
    make(home, medium, engine="cpu", wheelhouse=folder, label="c")
    assert wheels_in(medium / "c-vol1of1") == sorted(["cpu.lock", engine.path.name, lock.name, own.path.name])
    start = (medium / "c-vol1of1/START-HERE.txt").read_text()
    assert own.sha256 in start
    own.path.unlink()
    with pytest.raises(IncompleteError, match="selfhost"):
        make(home, medium, engine="cpu", wheelhouse=folder, label="d")


@pytest.mark.parametrize(
    ("driver", "there", "name"),
    [
        ("580.95.05", {}, "quantize-cuda"),
        (None, {}, "quantize-cpu"),
        ("580.95.05", {"accelerators": [], "host": TARGET["host"] | {"nvidia_driver": None}}, "quantize-cpu"),
        ("580.95.05", {"accelerators": [NPU], "host": TARGET["host"] | {"nvidia_driver": None}}, "quantize-cpu"),
        (None, TARGET, "quantize-cuda"),
    ],
    ids=["driver here", "none here", "none there", "NPUs there", "driver there"],
)
def test_the_build_that_quantizes_is_the_one_for_the_machine_of_the_bundle(  # noqa: PLR0917
    home, model, medium, tmp_path, monkeypatch, driver, there, name
):
    engine = _wheel(tmp_path, "torch")
    target = tmp_path / "target.json" if there else None
    if target:
        target.write_text(json.dumps(TARGET | there))
    monkeypatch.setattr(wheels, "find", lambda *_: (engine,))
    monkeypatch.setattr(bundle_create, "read_driver_version", lambda: driver)
    make(home, medium, engine="quantize", wheelhouse=tmp_path, target=target)
    volume = medium / "b-vol1of1"
    assert wheels_in(volume, name) == [f"{name}.lock", engine.path.name]
    start = (volume / "START-HERE.txt").read_text()
    assert f"selfhost engine install {name} --wheelhouse DIR" in start
    assert "selfhost serve" not in start


def wheels_in(volume: Path, name: str = "cpu") -> list[str]:
    check_volume(volume)
    index = modelpack.parse_index((volume / "index.json").read_bytes())
    [entry] = [e for e in index if e.name == f"wheelhouse/{name}"]
    manifest = modelpack.parse_manifest((volume / "blobs/sha256" / entry.sha256).read_bytes(), "x")
    return [layer.path for layer in manifest.layers]


def test_bundle_json_is_what_was_made(home, model, medium):
    packed = make(home, medium)
    assert parse_info((medium / "b-vol1of1/bundle.json").read_bytes()) == packed.info


def _texts(_info):
    return {"verify.py": Path(inside_verify.__file__).read_bytes()}


def test_it_is_signed_before_it_counts_as_made(home, model, medium, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", key], check=True)
    signer = open_signer(key, lambda _path: None)
    make(home, medium, Finishing(texts=_texts, sign=signer.sign), signer=signer)
    volume = medium / "b-vol1of1"
    check_volume(volume)
    checked = subprocess.run(
        [sys.executable, volume / "verify.py", "--key", f"{key}.pub"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked
    entries = {e.name: e for e in modelpack.parse_index((volume / "index.json").read_bytes())}
    manifest = modelpack.parse_manifest(
        (volume / "blobs/sha256" / entries["tiny/bf16/signature"].sha256).read_bytes(), ""
    )
    [layer] = manifest.layers
    signed = openssf.verify((volume / "blobs/sha256" / layer.sha256).read_bytes(), [signer.public])
    assert not openssf.compare(signed, {p: sha(d) for p, d in files_of([volume]).items()}).changed
    assert manifest.subject == entries["tiny/bf16"].sha256


def test_bytes_that_change_after_it_was_made_are_told(home, model, medium):
    make(home, medium, link=LinkMode.COPY)
    volume = medium / "b-vol1of1"
    flip(volume / "blobs/sha256" / sha(b"terms"), 1)
    checked = subprocess.run([sys.executable, volume / "verify.py"], capture_output=True, text=True, check=False)
    assert checked.returncode == 5
    assert sha(b"terms") in checked.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("model")
def test_skopeo_reads_a_volume(home, content, medium, tmp_path, debian_tool):
    make(home, medium)
    skopeo, source = debian_tool("skopeo", "skopeo"), f"oci:{medium}/b-vol1of1:tiny/bf16"
    raw = subprocess.run([skopeo, "inspect", "--raw", source], capture_output=True, check=True).stdout
    assert sha(raw) in {path.name for path in (medium / "b-vol1of1/blobs/sha256").iterdir()}
    copied = tmp_path / "copied"
    subprocess.run(
        [skopeo, "--insecure-policy", "copy", "--preserve-digests", source, f"oci:{copied}:tiny"],
        check=True,
        capture_output=True,
    )
    there = {path.name for path in (copied / "blobs/sha256").iterdir()}
    assert {sha(data) for data in content.values()} <= there


@pytest.mark.slow
def test_shared_blocks_where_the_file_system_has_them(tmp_path, debian_tool):
    image, mounted = tmp_path / "image", tmp_path / "btrfs"
    mounted.mkdir()
    with image.open("wb") as stream:
        stream.truncate(256 << 20)
    subprocess.run([debian_tool("mkfs.btrfs", "btrfs-progs"), "-q", image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, mounted], check=False, capture_output=True).returncode:
        pytest.skip("an image cannot be mounted here: this needs root, a loop device and btrfs")
    try:
        content = {"model.safetensors": big(size=8 << 20)}
        put(mounted / "home", content)
        packed = make(mounted / "home", mounted, link=LinkMode.AUTO)
        check_volume(mounted / "b-vol1of1")
        assert packed.volumes[0].how[How.REFLINK.value] == 8 << 20
        blob = mounted / "b-vol1of1/blobs/sha256" / sha(content["model.safetensors"])
        assert blob.stat().st_nlink == 1, "a file of its own"
        flip(Blobs(mounted / "home/blobs").path(blob.name), 5)
        assert sha(blob.read_bytes()) == blob.name, "who writes to the store does not write to the bundle"
    finally:
        subprocess.run(["umount", mounted], check=True)
