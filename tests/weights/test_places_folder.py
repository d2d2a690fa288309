"""Directories: what is listed, which digests are known, which links are followed."""

from __future__ import annotations

import hashlib
import json

import pytest

from selfhost.errors import IntegrityError, SelfhostError, UsageError
from selfhost.weights.lock import LOCK_NAME, LockedFile, ModelLock, Origin
from selfhost.weights.places import choose
from selfhost.weights.places.folder import Folder
from selfhost.weights.remote import RemoteFile

COMMIT = "c0ffee" + "0" * 34


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / ".cache").mkdir()
    for path, content in {"config.json": b"{}", "sub/a.bin": b"abc", ".cache/x": b"", ".hidden": b""}.items():
        (folder / path).write_bytes(content)
    return folder


def listed(folder):
    return {file.path: file for file in Folder(folder).listing().files}


def test_files_are_listed_with_sizes_and_hidden_ones_are_not(model):
    found = listed(model)
    assert {path: file.size for path, file in found.items()} == {"config.json": 2, "sub/a.bin": 3}
    assert {file.sha256 for file in found.values()} == {None}


def test_sums_beside_the_files_are_believed_and_what_they_name_is_missed(model):
    (model / "SHA256SUMS").write_text(f"{'ab' * 32}  ./config.json\n{'cd' * 32}  gone.json\n")
    found = listed(model)
    assert found["config.json"].sha256 == "ab" * 32
    assert found["gone.json"].size is None
    assert "SHA256SUMS" not in found


def test_a_lock_beside_the_files_tells_digests_and_the_revision(model):
    lock = ModelLock(
        recipe="r",
        variant="v",
        source=Origin(kind="huggingface", id="o/n", revision=COMMIT),
        files=(LockedFile(path="config.json", size=2, sha256="ab" * 32),),
    )
    (model / LOCK_NAME).write_text(json.dumps(lock.as_dict()))
    listing = Folder(model).listing()
    assert listing.origin == Origin(kind="directory", id=str(model), revision=COMMIT)
    assert [file.sha256 for file in listing.files] == ["ab" * 32, None]


@pytest.mark.parametrize(("name", "content"), [(LOCK_NAME, "[]"), (LOCK_NAME, "{"), ("SHA256SUMS", "<html>")])
def test_a_list_that_is_none_is_an_error(model, name, content):
    (model / name).write_text(content)
    with pytest.raises(IntegrityError) as caught:
        Folder(model).listing()
    assert caught.value.message.id == "places.bad_list"


@pytest.fixture
def cache(tmp_path):
    """The hub's cache, as `hf download` leaves it."""
    root = tmp_path / "hub" / "models--o--n"
    snapshot = root / "snapshots" / COMMIT
    for folder in (root / "blobs", root / "refs", snapshot):
        folder.mkdir(parents=True)
    for path, content, in_lfs in (("config.json", b"{}", False), ("model.safetensors", b"weights", True)):
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        blob = hashlib.sha256(content).hexdigest() if in_lfs else git
        (root / "blobs" / blob).write_bytes(content)
        (snapshot / path).symlink_to(f"../../blobs/{blob}")
    (root / "refs" / "main").write_text(COMMIT)
    return root


@pytest.mark.parametrize("part", ["", f"snapshots/{COMMIT}"])
def test_the_cache_of_the_hub_tells_commit_and_digests(cache, part):
    place = Folder(cache / part)
    listing = place.listing()
    assert listing.origin.revision == COMMIT
    config, weights = listing.files
    assert (config.git_sha1, config.sha256) == ("9e26dfeeb6e641a33dae4961196235bdb965b21b", None)
    assert weights.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert place.local_path("model.safetensors").read_bytes() == b"weights"


def test_a_model_is_found_in_the_whole_cache_by_its_id(cache):
    assert Folder(cache.parent, "o/n").listing().origin.id == str(cache / "snapshots" / COMMIT)
    assert Folder(cache.parent, "o/other").listing().origin.id == str(cache.parent)


def test_of_several_snapshots_one_must_be_named(cache):
    (cache / "refs" / "main").unlink()
    assert Folder(cache).listing().origin.revision == COMMIT
    (cache / "snapshots" / "other").mkdir()
    with pytest.raises(UsageError) as caught:
        Folder(cache)
    assert caught.value.message.id == "places.which_snapshot"


def test_a_link_that_leads_out_is_refused_when_its_file_is_asked_for(model, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    (model / "vocab.json").symlink_to(secret)
    (model / "near.json").symlink_to("config.json")
    (model / "dangling.json").symlink_to("nowhere")
    place = Folder(model)
    assert set(listed(model)) == {"config.json", "sub/a.bin", "vocab.json", "near.json"}
    assert place.local_path("near.json") == (model / "config.json").resolve()
    for path in ("vocab.json", "../secret"):
        with pytest.raises(IntegrityError) as caught:
            place.local_path(path)
        assert caught.value.message.id == "places.leads_out"


def test_links_of_the_cache_may_lead_to_its_blobs_only(cache, tmp_path):
    (tmp_path / "secret").write_text("x")
    (cache / "snapshots" / COMMIT / "vocab.json").symlink_to(tmp_path / "secret")
    with pytest.raises(IntegrityError):
        Folder(cache).local_path("vocab.json")


def test_what_is_no_directory_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    for path, message in (("gone", "places.no_directory"), ("file", "model.not_a_directory")):
        with pytest.raises(SelfhostError) as caught:
            Folder(tmp_path / path)
        assert caught.value.message.id == message
        assert str(tmp_path) in str(caught.value)


def test_a_missing_file_is_told(model):
    with pytest.raises(UsageError) as caught:
        Folder(model).local_path("gone.json")
    assert "gone.json" in str(caught.value)


def test_a_branch_of_the_cache_is_a_name_and_leads_nowhere_else(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    cache = tmp_path / "models--org--m"
    snapshot = cache / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_bytes(b"../../elsewhere")
    assert Folder(cache).label == f"directory {snapshot}"
    (cache / "refs" / "main").write_bytes(b"\xff\xfe")
    assert Folder(cache).label == f"directory {snapshot}"


def test_a_configuration_that_is_none_by_its_size_is_not_read(tmp_path):
    with (tmp_path / "config.json").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(IntegrityError):
        choose.read_small(Folder(tmp_path), RemoteFile(path="config.json"))
