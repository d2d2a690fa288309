"""From one store into another by the commands alone: made, verified, imported, repaired, updated."""

from __future__ import annotations

import json
import subprocess

import pytest

from selfhost.bundle import layout
from selfhost.home import Home, find_home
from selfhost.weights import store
from selfhost.weights.blobs import Blobs
from tests.bundle.unpack_support import NAME, VARIANT, files_of, model_parts, run
from tests.pull_support import write_repository


@pytest.fixture
def sender(tmp_path, monkeypatch):
    """A store that has the model; commands use it until the receiver's is named."""
    home = Home(tmp_path / "sender")
    monkeypatch.setenv("SELFHOST_HOME", str(home.root))
    write_repository(tmp_path / "repository", shard_bytes=30_000)
    *_, lock = model_parts(tmp_path / "repository", home)
    store.publish(store.model_directory(home.models, NAME, VARIANT), lock, Blobs(home.blobs))
    return home


def succeeds(*words: object) -> str:
    code, out, said = run(*words)
    assert code == 0, said
    return out


def model(home: Home) -> dict[str, bytes]:
    return files_of(home.models / NAME / VARIANT)


def receive(monkeypatch, tmp_path) -> Home:
    monkeypatch.setenv("SELFHOST_HOME", str(tmp_path / "receiver"))
    return find_home()


def made(tmp_path, name: str, *words: object):
    (tmp_path / name).mkdir()
    succeeds("bundle", "create", "--model", f"{NAME}/{VARIANT}", "--to", tmp_path / name, *words)
    return sorted((tmp_path / name).iterdir())


@pytest.mark.parametrize("words", [(), ("--link", "hard"), ("--link", "copy"), ("--volume-size", "1200K")])
def test_there_and_in(tmp_path, sender, monkeypatch, words):
    volumes = made(tmp_path, "media", *words)
    wanted = model(sender)
    home = receive(monkeypatch, tmp_path)
    succeeds("bundle", "verify", *volumes)
    succeeds("bundle", "import", *volumes)
    assert model(home) == wanted
    succeeds("verify", NAME)
    # What the receiver does with its files is no business of the medium's.
    (home.models / NAME / VARIANT / "config.json").write_text("{}")
    succeeds("bundle", "verify", *volumes)


def test_made_for_a_machine_and_signed_with_a_key_that_signs_models_too(tmp_path, sender, monkeypatch):
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", tmp_path / "key"], check=True)
    (tmp_path / "target.json").write_text(succeeds("detect", "--json"))
    [volume] = made(tmp_path, "media", "--for", tmp_path / "target.json", "--sign-key", tmp_path / "key")
    home = receive(monkeypatch, tmp_path)
    succeeds("bundle", "import", volume, "--key", tmp_path / "key.pub")
    assert (home.models / NAME / VARIANT / "model.sig").is_file()
    succeeds("verify", NAME)


def test_a_damaged_bundle_and_a_small_one_of_what_it_lacks(tmp_path, sender, monkeypatch):
    [volume] = made(tmp_path, "media", "--link", "copy")
    shard = max((volume / layout.BLOBS).iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(shard.read_bytes())
    data[77] ^= 1
    shard.write_bytes(data)
    wanted = model(sender)
    home = receive(monkeypatch, tmp_path)
    assert run("bundle", "import", volume)[0] == 5
    (tmp_path / "repair.json").write_text(succeeds("bundle", "repair-list", volume))
    monkeypatch.setenv("SELFHOST_HOME", str(sender.root))
    [small] = made(tmp_path, "repair", "--have", tmp_path / "repair.json", "--link", "copy")
    big = [path for path in (small / layout.BLOBS).iterdir() if path.stat().st_size > 25_000]
    assert [path.name for path in big] == [shard.name]
    monkeypatch.setenv("SELFHOST_HOME", str(home.root))
    succeeds("bundle", "import", small)
    assert model(home) == wanted


def test_what_the_receiver_has_is_left_out(tmp_path, sender, monkeypatch):
    volumes = made(tmp_path, "media")
    home = receive(monkeypatch, tmp_path)
    succeeds("bundle", "import", *volumes)
    said = succeeds("bundle", "inventory")
    assert json.loads(said)["bundles"]
    (tmp_path / "have.json").write_text(said)
    monkeypatch.setenv("SELFHOST_HOME", str(sender.root))
    [small] = made(tmp_path, "delta", "--have", tmp_path / "have.json", "--link", "copy")
    assert sum(path.stat().st_size for path in (small / layout.BLOBS).iterdir()) < 20_000
    monkeypatch.setenv("SELFHOST_HOME", str(home.root))
    succeeds("bundle", "import", small)
