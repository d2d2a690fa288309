"""Signers: plain and encrypted keys, OpenSSH and PEM, and keys that only an agent has."""

from __future__ import annotations

import os
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed448

from selfhost.bundle import sshsig
from selfhost.bundle.keys import parse_public
from selfhost.bundle.sign import AgentSigner, open_signer
from selfhost.errors import MissingError, TrustError, UsageError
from tests.bundle.trust_support import make_key, ssh_verify

MESSAGE = b"what is signed\n"


def nobody(path):
    return None


def never(path):
    raise AssertionError(path)


@pytest.mark.parametrize("form", ["RFC4716", "PKCS8", "PEM"])
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa384", "rsa"])
@pytest.mark.parametrize("passphrase", ["", "over there"])
def test_a_key_in_a_file(tmp_path, kind, form, passphrase):
    path = make_key(tmp_path / "key", kind, passphrase, form)
    asked = []
    signer = open_signer(path, lambda path: asked.append(path) or passphrase)
    assert ssh_verify(tmp_path, tmp_path / "key.pub", MESSAGE, signer.sign(MESSAGE)) == 0
    assert asked == ([path] if passphrase else [])
    assert (signer.model_key is not None) == (kind == "ecdsa384")
    assert signer.public.blob == parse_public((tmp_path / "key.pub").read_bytes(), "key.pub").blob


@pytest.mark.parametrize("form", ["RFC4716", "PKCS8"])
def test_passphrases_that_do_not_open_it(tmp_path, form):
    path = make_key(tmp_path / "key", "ecdsa256", "right", form)
    with pytest.raises(TrustError) as caught:
        open_signer(path, lambda path: "wrong")
    assert caught.value.message.id == "trust.wrong_passphrase"
    with pytest.raises(TrustError) as caught:
        open_signer(path, nobody)
    assert caught.value.message.id == "trust.no_passphrase"
    assert "right" not in caught.value.message.why


def test_files_that_are_no_keys(tmp_path):
    with pytest.raises(UsageError) as caught:
        open_signer(tmp_path / "absent", never)
    assert caught.value.message.id == "trust.unreadable_key"
    (tmp_path / "junk").write_bytes(b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "other").write_bytes(ed448.Ed448PrivateKey.generate().private_bytes(*form))
    (tmp_path / "text").write_bytes(b"hello\n")
    for name in ("junk", "other", "text"):
        with pytest.raises(TrustError) as caught:
            open_signer(tmp_path / name, never)
        assert caught.value.message.id == "trust.bad_key", name


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """An ssh-agent of this test."""
    process = subprocess.Popen(["ssh-agent", "-D", "-a", tmp_path / "agent"], stdout=subprocess.PIPE)
    process.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    yield
    process.terminate()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa256", "rsa"])
def test_a_key_that_only_an_agent_has(tmp_path, agent, kind):
    path = make_key(tmp_path / "key", kind)
    subprocess.run(["ssh-add", "-q", path], check=True)
    path.unlink()
    signer = open_signer(tmp_path / "key.pub", never)
    assert isinstance(signer, AgentSigner)
    assert signer.model_key is None
    (signature,) = sshsig.parse(signer.sign(MESSAGE))
    assert signature.holds(MESSAGE)
    assert signature.namespace == sshsig.NAMESPACE


def test_an_agent_without_the_key_and_no_tool(tmp_path, agent, monkeypatch):
    make_key(tmp_path / "key").unlink()
    signer = open_signer(tmp_path / "key.pub", never)
    with pytest.raises(MissingError) as caught:
        signer.sign(MESSAGE)
    assert caught.value.message.id == "trust.agent_refused"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError) as caught:
        signer.sign(MESSAGE)
    assert caught.value.message.id == "trust.no_tool"


def test_a_tool_that_signs_with_another_key_is_noticed(tmp_path, monkeypatch):
    wanted, other = make_key(tmp_path / "wanted"), make_key(tmp_path / "other")
    real = subprocess.run(["which", "ssh-keygen"], check=True, capture_output=True, text=True).stdout.strip()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh-keygen").write_text(f'#!/bin/sh\nexec {real} -Y sign -f {other} -n "$6"\n')
    (tmp_path / "bin" / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(TrustError) as caught:
        open_signer(wanted.with_suffix(".pub"), never).sign(MESSAGE)
    assert caught.value.message.id == "trust.bad_signature"
