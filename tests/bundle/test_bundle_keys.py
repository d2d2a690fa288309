"""Public keys: what OpenSSH writes is read as OpenSSH means it; what is not taken is refused by name."""

from __future__ import annotations

import base64
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ed448, rsa

from selfhost.bundle.keys import from_object, is_private, parse_public
from selfhost.errors import TrustError
from tests.bundle.trust_support import KINDS, make_key

SPKI = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", KINDS)
def test_fingerprint_and_pem_are_those_of_ssh_keygen(tmp_path, kind):
    public = make_key(tmp_path / "key", kind).with_suffix(".pub")
    key = parse_public(public.read_bytes(), "key.pub")
    listed = subprocess.run(["ssh-keygen", "-l", "-f", public], check=True, capture_output=True, text=True).stdout
    assert listed.split()[1] == key.fingerprint
    assert base64.b64encode(key.blob).decode() == public.read_text().split()[1]
    assert key.comment == "key@site"
    exported = subprocess.run(["ssh-keygen", "-e", "-m", "PKCS8", "-f", public], check=False, capture_output=True)
    if kind != "ed25519":  # which ssh-keygen 9.2 does not export
        assert exported.stdout == key.pem
    assert parse_public(key.pem, "key.pem").blob == key.blob


def test_a_private_key_is_not_taken_for_a_public_one(tmp_path):
    data = make_key(tmp_path / "key").read_bytes()
    assert is_private(data)
    with pytest.raises(TrustError) as caught:
        parse_public(data, "key")
    assert caught.value.message.id == "trust.private_key"


def small_rsa() -> bytes:
    return rsa.generate_private_key(65537, 1024).public_key().public_bytes(*SPKI)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "0 keys"),
        (b"# nothing\n\n", "0 keys"),
        (b"ssh-ed25519 AAAA\nssh-ed25519 AAAA\n", "2 keys"),
        (b"sk-ssh-ed25519@openssh.com AAAA", "sk-ssh-ed25519@openssh.com"),
        (b"ssh-dss AAAA", "ssh-dss"),
        (b"ssh-ed25519-cert-v01@openssh.com AAAA", "cert"),
        (b"ssh-ed25519 ####", "base64"),
        (b"ssh-ed25519 AAAAB3NzaC1yc2EAAAAD", "the line says ssh-ed25519, the key ssh-rsa"),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA", ""),
        (b"\xff\xfe", ""),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", ""),
        (small_rsa(), "1024 bits"),
        (small_rsa() * 2, "2 blocks"),
        (dsa.generate_private_key(1024).public_key().public_bytes(*SPKI), "DSA"),
        (ed448.Ed448PrivateKey.generate().public_key().public_bytes(*SPKI), "Ed448"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*DSA.*")
def test_what_is_no_key_that_is_taken(data, detail):
    with pytest.raises(TrustError, match="key") as caught:
        parse_public(data, "some.pub")
    assert caught.value.message.id == "trust.bad_key"
    assert detail.lower() in caught.value.message.why.lower()


def test_a_short_rsa_key_does_not_sign_either():
    with pytest.raises(ValueError, match="2048"):
        from_object(rsa.generate_private_key(65537, 1024).public_key())
