"""Who signed comes first: nothing else of a medium is read, and nothing of it is taken, before that is settled."""

from __future__ import annotations

import json
import shutil

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from selfhost.bundle import layout, medium, sshsig, unpack
from selfhost.errors import ExitCode, TrustError
from selfhost.home import find_home
from tests.bundle.unpack_support import NAME, VARIANT, copied, import_bundle, make_bundle, reseal, run, snapshot


class Key:
    def __init__(self, seed: int) -> None:
        self.private = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)

    def sign(self, message: bytes) -> bytes:
        return sshsig.sign(message, self.private)

    def sign_elsewhere(self, message: bytes) -> bytes:
        return sshsig.sign(message, self.private, "file")

    def write(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        ssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        path.write_bytes(self.private.public_key().public_bytes(*ssh) + b" vendor\n")
        path.chmod(0o644)
        return path


VENDOR, STRANGER = Key(1), Key(2)


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("signed"), volumes=2, sign=VENDOR.sign)


@pytest.fixture
def volumes(signed, tmp_path):
    return copied(signed, tmp_path / "media")


@pytest.fixture
def trusting():
    """A home with the vendor's key."""
    VENDOR.write(find_home().trust / "vendor.pub")
    return find_home()


def model():
    return find_home().models / NAME / VARIANT


def test_signed_by_who_is_trusted(volumes, trusting):
    before = snapshot(*volumes)
    code, out, said = run("bundle", "verify", *volumes)
    assert code == 0, said
    assert "vendor" in out
    assert run("bundle", "import", *volumes)[0] == 0
    assert model().exists()
    assert snapshot(*volumes) == before
    [*_, line] = (trusting.root / "audit.jsonl").read_text().splitlines()
    assert "vendor" in json.loads(line)["signers"]


def strip(volume):
    (volume / layout.SIGNATURE_NAME).unlink()


def flip(volume):
    path = volume / layout.SIGNATURE_NAME
    lines = path.read_text().splitlines()
    lines[-3] = lines[-3][::-1]
    path.write_text("\n".join(lines))


def empty(volume):
    (volume / layout.SIGNATURE_NAME).write_text("")


def stranger(volume):
    (volume / layout.SIGNATURE_NAME).write_bytes(STRANGER.sign((volume / layout.SUMS_NAME).read_bytes()))


def other_namespace(volume):
    (volume / layout.SIGNATURE_NAME).write_bytes(VENDOR.sign_elsewhere((volume / layout.SUMS_NAME).read_bytes()))


def other_message(volume):
    (volume / layout.SIGNATURE_NAME).write_bytes(VENDOR.sign(b"0" * 64 + b"  bundle.json\n"))


def other_sums(volume):
    (volume / layout.START_NAME).write_text("run this as root")
    reseal(volume)


CHANGES = [strip, flip, empty, stranger, other_namespace, other_message, other_sums]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("command", ["verify", "import", "inspect"])
@pytest.mark.usefixtures("trusting")
def test_what_is_not_signed_by_who_is_trusted_is_not_read(volumes, monkeypatch, change, which, command):
    change(volumes[which])
    read, whole = [], medium.Medium.open

    def record(self, path):
        if self.root == volumes[which]:
            read.append(path)
        return whole(self, path)

    monkeypatch.setattr(medium.Medium, "open", record)
    before = snapshot(*volumes)
    code, _, said = run("bundle", command, *volumes)
    assert code == ExitCode.TRUST, said
    assert set(read) <= {layout.SUMS_NAME, layout.SIGNATURE_NAME}
    assert snapshot(*volumes) == before
    assert not model().exists()
    assert not find_home().blobs.exists()


def test_a_revoked_key(volumes, trusting):
    (trusting.trust / "trust.toml").write_text('[keys."vendor.pub"]\nrevoked = true\n')
    assert run("bundle", "import", *volumes)[0] == ExitCode.TRUST


def test_the_key_that_is_named_is_the_only_one(volumes, trusting, tmp_path):
    other = STRANGER.write(tmp_path / "stranger.pub")
    vendor = VENDOR.write(tmp_path / "vendor.pub")
    assert run("bundle", "import", *volumes, "--key", other)[0] == ExitCode.TRUST
    assert run("bundle", "import", *volumes, "--key", vendor)[0] == 0


def test_naming_a_revoked_key_takes_nothing_back(volumes, trusting, tmp_path):
    (trusting.trust / "trust.toml").write_text('[keys."vendor.pub"]\nrevoked = true\n')
    named = VENDOR.write(tmp_path / "elsewhere" / "vendor.pub")
    code, _, err = run("bundle", "import", *volumes, "--key", named)
    assert (code, "revoked" in err, model().exists()) == (6, True, False)


def test_unsigned_with_a_reason(volumes, trusting):
    for volume in volumes:
        strip(volume)
    assert run("bundle", "import", *volumes, "--allow-unsigned", "")[0] == ExitCode.USAGE
    assert run("bundle", "import", *volumes, "--allow-unsigned", "lab drive, ticket 7")[0] == 0
    [*_, line] = (trusting.root / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "lab drive, ticket 7"


def test_an_older_bundle_is_refused_unless_it_is_asked_for(tmp_path, trusting):
    new = make_bundle(tmp_path / "new", serial=9, sign=VENDOR.sign)
    old = make_bundle(tmp_path / "old", serial=8, sign=VENDOR.sign, shard_bytes=20_000)
    import_bundle(new, trusting)
    blobs = snapshot(trusting.blobs)
    with pytest.raises(TrustError):
        import_bundle(old, trusting)
    assert snapshot(trusting.blobs) == blobs
    import_bundle(new, trusting)
    import_bundle(old, trusting, allow_rollback=True)
    with pytest.raises(TrustError):
        import_bundle(old, trusting)


def test_an_older_bundle_that_was_overtaken_while_it_was_copied_changes_nothing(tmp_path, trusting, monkeypatch):
    new = make_bundle(tmp_path / "new", serial=9, sign=VENDOR.sign)
    old = make_bundle(tmp_path / "old", serial=8, sign=VENDOR.sign, shard_bytes=20_000)
    bring = unpack.bring

    def overtaken(*arguments):
        monkeypatch.setattr(unpack, "bring", bring)
        import_bundle(new, trusting)
        return bring(*arguments)

    monkeypatch.setattr(unpack, "bring", overtaken)
    with pytest.raises(TrustError):
        import_bundle(old, trusting)
    there = json.loads((model() / "selfhost-model.json").read_text())
    import_bundle(new, trusting)
    assert json.loads((model() / "selfhost-model.json").read_text()) == there


def test_the_mark_rises_only_when_everything_is_here(tmp_path, trusting):
    new = make_bundle(tmp_path / "new", serial=9, volumes=2, sign=VENDOR.sign)
    old = make_bundle(tmp_path / "old", serial=8, sign=VENDOR.sign, shard_bytes=20_000)
    assert run("bundle", "import", new[0])[0] == ExitCode.INCOMPLETE
    import_bundle(old, trusting)
    shutil.rmtree(old[0])
    import_bundle(new[1:], trusting)
