"""SSHSIG both ways: `ssh-keygen` and `sshsig` accept ours, we accept theirs; nothing changed passes."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sshsig import InvalidSignature, verify
from sshsig.ssh_public_key import PublicKey

from selfhost.bundle import sshsig
from selfhost.bundle.keys import parse_public
from selfhost.errors import TrustError
from tests.bundle.trust_support import KINDS, armoured, make_key, ssh_sign, ssh_verify, string, unarmoured

MESSAGE = b"0123  blobs/a\n" * 100


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return {kind: make_key(folder / kind, kind) for kind in KINDS}


def load(path):
    return serialization.load_ssh_private_key(path.read_bytes(), None)


@pytest.mark.parametrize("kind", KINDS)
def test_ssh_keygen_accepts_what_we_sign_and_refuses_it_elsewhere(tmp_path, keys, kind):
    public = keys[kind].with_suffix(".pub")
    signature = sshsig.sign(MESSAGE, load(keys[kind]))
    assert ssh_verify(tmp_path, public, MESSAGE, signature) == 0
    assert ssh_verify(tmp_path, public, MESSAGE + b"x", signature) != 0
    assert ssh_verify(tmp_path, public, MESSAGE, signature, "git") != 0
    other = keys["rsa" if kind != "rsa" else "ed25519"].with_suffix(".pub")
    assert ssh_verify(tmp_path, other, MESSAGE, signature) != 0


@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
@pytest.mark.parametrize("kind", KINDS)
def test_we_accept_what_ssh_keygen_signs(keys, kind, hash_name):
    (signature,) = sshsig.parse(ssh_sign(keys[kind], MESSAGE, hash_name=hash_name))
    assert signature.namespace == sshsig.NAMESPACE
    assert signature.hash_name == hash_name
    public = keys[kind].with_suffix(".pub")
    assert signature.key.blob == parse_public(public.read_bytes(), public.name).blob
    assert signature.holds(MESSAGE)
    assert not signature.holds(MESSAGE[:-1])


def test_ed25519_gives_byte_for_byte_what_ssh_keygen_gives(keys):
    assert sshsig.sign(MESSAGE, load(keys["ed25519"])) == ssh_sign(keys["ed25519"], MESSAGE)
    assert sshsig.sign(MESSAGE, load(keys["rsa"])) == ssh_sign(keys["rsa"], MESSAGE)


def test_many_ecdsa_signatures_have_numbers_of_any_length(tmp_path, keys):
    # One in 256 has a number that is a byte shorter, one in two a leading zero.
    private = load(keys["ecdsa256"])
    for number in range(600):
        message = str(number).encode()
        (signature,) = sshsig.parse(sshsig.sign(message, private))
        assert signature.holds(message)


def test_several_signatures_in_one_file(tmp_path, keys):
    both = ssh_sign(keys["ed25519"], MESSAGE) + sshsig.sign(MESSAGE, load(keys["rsa"]))
    assert [s.key.kind for s in sshsig.parse(both) if s.holds(MESSAGE)] == ["ssh-ed25519", "ssh-rsa"]
    assert ssh_verify(tmp_path, keys["ed25519"].with_suffix(".pub"), MESSAGE, both) == 0


@pytest.fixture(scope="module")
def signed(keys):
    return {kind: ssh_sign(key, MESSAGE) for kind, key in keys.items()}


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa256"])
def test_every_single_changed_bit_is_noticed(signed, kind):
    for position in range(len(signed[kind]) * 8):
        changed = bytearray(signed[kind])
        changed[position // 8] ^= 1 << position % 8
        assert not passes(bytes(changed)), f"bit {position}"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_a_changed_byte_inside_is_noticed(signed, kind, data):
    blob = bytearray(unarmoured(signed[kind]))
    position = data.draw(st.integers(0, len(blob) - 1))
    blob[position] ^= data.draw(st.integers(1, 255))
    assert not passes(armoured(bytes(blob)))


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=400), wrapped=st.booleans())
def test_noise_is_refused_with_our_error(data, wrapped):
    with pytest.raises(TrustError):
        sshsig.parse(armoured(b"SSHSIG\0\0\0\1" + data) if wrapped else data)


def passes(data: bytes) -> bool:
    try:
        return all(signature.holds(MESSAGE) for signature in sshsig.parse(data))
    except TrustError:
        return False


def parts(signature: bytes) -> list[bytes]:
    rest, found = unarmoured(signature)[10:], []
    while rest:
        length = int.from_bytes(rest[:4], "big")
        found.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    return found


def rebuilt(fields: list[bytes], start: bytes = b"SSHSIG\0\0\0\1", end: bytes = b"") -> bytes:
    return armoured(start + b"".join(map(string, fields)) + end)


def test_fields_that_lie(signed):
    key, namespace, reserved, hash_name, proof = parts(signed["rsa"])
    assert passes(rebuilt([key, namespace, reserved, hash_name, proof]))
    raw = proof[4 + len("rsa-sha2-512") :]
    cases = {
        "another version": rebuilt([key, namespace, reserved, hash_name, proof], b"SSHSIG\0\0\0\2"),
        "bytes after the end": rebuilt([key, namespace, reserved, hash_name, proof], end=b"\0"),
        "weak hash of the message": rebuilt([key, namespace, reserved, b"sha1", proof]),
        "SHA-1 under RSA": rebuilt([key, namespace, reserved, hash_name, string(b"ssh-rsa") + raw]),
        "another algorithm": rebuilt([key, namespace, reserved, hash_name, string(b"rsa-sha2-256") + raw]),
        "bytes after the proof": rebuilt([key, namespace, reserved, hash_name, proof + b"\0"]),
        "something reserved": rebuilt([key, namespace, b"x", hash_name, proof]),
        "another namespace": rebuilt([key, b"git", reserved, hash_name, proof]),
        "no key": rebuilt([b"", namespace, reserved, hash_name, proof]),
        "no proof": rebuilt([key, namespace, reserved, hash_name, b""]),
    }
    assert [name for name, data in cases.items() if passes(data)] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda s: b"",
        lambda s: s + b"more",
        lambda s: b" " + s,
        lambda s: s.replace(b"\n", b"\r\n"),
        lambda s: s[: len(s) // 2],
        lambda s: s + b"\n" * 2,
        lambda s: s.replace(b"SSH SIGNATURE", b"PGP SIGNATURE"),
        lambda s: b"x" * (sshsig.MAX_FILE_BYTES + 1),
    ],
)
def test_armour_that_ssh_keygen_does_not_write(signed, change):
    with pytest.raises(TrustError) as caught:
        sshsig.parse(change(signed["ed25519"]))
    assert caught.value.message.id == "trust.malformed"


def test_the_library_sshsig_agrees(keys):
    for kind in ("ed25519", "rsa"):  # it knows no ECDSA
        public = PublicKey.from_openssh_str(keys[kind].with_suffix(".pub").read_text())
        signature = sshsig.sign(MESSAGE, load(keys[kind])).decode()
        verify(MESSAGE, signature, [public], namespace=sshsig.NAMESPACE)
        with pytest.raises(InvalidSignature):
            verify(MESSAGE + b"x", signature, [public], namespace=sshsig.NAMESPACE)
