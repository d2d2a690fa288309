"""`model.sig` both ways: the official `model_signing` accepts ours and refuses what changed, and we theirs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from selfhost.bundle import openssf
from selfhost.bundle.keys import from_object
from selfhost.errors import TrustError
from tests.conftest import missing

CONTENT = {
    "config.json": b"{}",
    "model-00001.safetensors": b"\x00\x01",
    "sub/deep/tokenizer.model": b"",
    "sub.txt": b"sorts before or after sub/, by who sorts",
    "Ünicode 模型.md": b"# readme",
    ".gitattributes": b"*.bin filter=lfs",
    "selfhost-model.json": b"the lock",
}
CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


@pytest.fixture(params=CURVES, ids=lambda curve: curve.name)
def key(request):
    return ec.generate_private_key(request.param)


@pytest.fixture
def model(tmp_path):
    root = tmp_path / "tiny"
    for path, data in CONTENT.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def digests(root):
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != "model.sig")
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def write_keys(tmp_path, key):
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(private)
    (tmp_path / "key.pub").write_bytes(from_object(key.public_key()).pem)
    return tmp_path / "key.pem", tmp_path / "key.pub"


def own(root, key):
    return openssf.sign(root.name, digests(root), key)


@pytest.fixture(scope="session")
def official():
    """Runs the official command; its environment is its own."""
    python = os.environ.get("SELFHOST_TEST_MODEL_SIGNING_PYTHON")
    if not python:
        missing("model_signing", "set SELFHOST_TEST_MODEL_SIGNING_PYTHON to a Python with model-signing and pyOpenSSL")

    def run(*arguments):
        return subprocess.run([python, "-m", "model_signing", *arguments], check=False, capture_output=True, text=True)

    return run


@pytest.mark.slow
def test_the_official_verifier_accepts_ours_and_refuses_what_changed(tmp_path, model, key, official):
    _, public = write_keys(tmp_path, key)
    (model / "model.sig").write_bytes(own(model, key))

    def verify(public=public):
        return official("verify", "key", model, "--public_key", public, "--signature", model / "model.sig").returncode

    assert verify() == 0
    (model / "config.json").write_bytes(b"{ }")
    assert verify() != 0
    (model / "config.json").write_bytes(CONTENT["config.json"])
    (model / "added.py").write_bytes(b"import os")
    assert verify() != 0
    (model / "added.py").unlink()
    (model / "sub.txt").rename(model / "sub2.txt")
    assert verify() != 0
    (model / "sub2.txt").rename(model / "sub.txt")
    assert verify() == 0
    _, other = write_keys(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    assert verify(other) != 0


@pytest.mark.slow
def test_we_accept_what_the_official_signer_writes(tmp_path, model, key, official):
    private, _ = write_keys(tmp_path, key)
    done = official("sign", "key", model, "--private_key", private, "--signature", model / "model.sig")
    assert done.returncode == 0, done.stderr
    theirs = openssf.verify((model / "model.sig").read_bytes(), [from_object(key.public_key())])
    assert openssf.compare(theirs, digests(model)).none
    ours = openssf.verify(openssf.sign("tiny", digests(model), key, ()), [from_object(key.public_key())])
    assert dict(ours.files) == dict(theirs.files)
    assert list(ours.files) == list(theirs.files)
    assert set(ours.ignored) == set(theirs.ignored)


def test_what_was_signed_comes_back(model, key):
    public = from_object(key.public_key())
    signed = openssf.verify(own(model, key), [public])
    left_out = {".gitattributes", "selfhost-model.json"}
    assert signed.name == "tiny"
    assert dict(signed.files) == {p: d for p, d in digests(model).items() if p not in left_out}
    assert signed.key.blob == public.blob
    found = openssf.compare(signed, digests(model))
    assert found.none
    assert set(found.left_out) == left_out


def test_differences_are_named(model, key):
    signed = openssf.verify(own(model, key), [from_object(key.public_key())])
    found = digests(model) | {"config.json": "0" * 64, "extra.py": "1" * 64, ".github/x/y": "2" * 64}
    del found["sub.txt"]
    differences = openssf.compare(signed, found)
    assert not differences.none
    assert differences.changed == ("config.json",)
    assert differences.missing == ("sub.txt",)
    assert differences.unsigned == ("extra.py",)
    assert ".github/x/y" in differences.left_out


def test_two_shards_that_change_places_are_noticed(model, key):
    signed = openssf.verify(own(model, key), [from_object(key.public_key())])
    found = digests(model)
    found["config.json"], found["sub.txt"] = found["sub.txt"], found["config.json"]
    assert openssf.compare(signed, found).changed == ("config.json", "sub.txt")


def test_other_keys_and_other_kinds_of_keys(model, key):
    data = own(model, key)
    stranger = from_object(ec.generate_private_key(ec.SECP256R1()).public_key())
    with pytest.raises(TrustError) as caught:
        openssf.verify(data, [stranger])
    assert caught.value.message.id == "trust.unknown_model_signer"
    assert openssf.verify(data, [stranger, from_object(key.public_key())]).key.blob != stranger.blob
    with pytest.raises(TrustError):
        openssf.verify(data, [])


def changed(data, change):
    bundle = json.loads(data)
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    change(bundle, statement)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(bundle).encode()


def resign(data, key, change):
    """The signature of a signer whose tool is odd."""
    bundle = json.loads(changed(data, lambda bundle, statement: change(statement)))
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    proof = key.sign(openssf._pae(payload), ec.ECDSA(openssf.curve_hash(key.public_key())))
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(proof).decode()
    return json.dumps(bundle).encode()


def test_a_changed_statement_is_refused(model, key):
    public = from_object(key.public_key())
    data = own(model, key)
    for change in (
        lambda b, s: s["predicate"]["resources"].pop(),
        lambda b, s: s["subject"][0].update(name="other"),
        lambda b, s: s["predicate"]["serialization"]["ignore_paths"].append("extra.py"),
    ):
        with pytest.raises(TrustError) as caught:
            openssf.verify(changed(data, change), [public])
        assert caught.value.message.id == "trust.bad_model_signature"
    hintless = changed(data, lambda b, s: b["verificationMaterial"]["publicKey"].update(hint="0" * 64))
    with pytest.raises(TrustError):
        openssf.verify(hintless, [public])


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
        lambda s: s["predicate"]["serialization"].update(method="shards"),
        lambda s: s["predicate"]["serialization"].update(hash_type="blake2b"),
        lambda s: s["predicate"]["resources"].pop(),
        lambda s: s["predicate"]["resources"].append(s["predicate"]["resources"][0]),
        lambda s: s["predicate"]["resources"][0].update(digest="00"),
        lambda s: s["predicate"]["resources"][0].update(algorithm="md5"),
        lambda s: s["subject"].append(s["subject"][0]),
        lambda s: s.pop("predicate"),
    ],
)
def test_a_well_signed_statement_that_says_something_else(model, change):
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(TrustError) as caught:
        openssf.verify(resign(own(model, key), key, change), [from_object(key.public_key())])
    assert caught.value.message.id == "trust.malformed_model_signature"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"mediaType":"x"}', b" " * ((16 << 20) + 1)]
)
def test_noise_is_refused(data):
    with pytest.raises(TrustError) as caught:
        openssf.verify(data, [])
    assert caught.value.message.id == "trust.malformed_model_signature"


def test_every_changed_character_is_noticed_or_means_nothing(model):
    """A bit of the file that can change unnoticed is outside of what is signed; it must not change the answer."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = from_object(key.public_key())
    data = own(model, key)
    right = openssf.verify(data, [public])
    for position in range(0, len(data) * 8, 7):
        other = bytearray(data)
        other[position // 8] ^= 1 << position % 8
        try:
            assert openssf.verify(bytes(other), [public]) == right
        except TrustError:
            continue
