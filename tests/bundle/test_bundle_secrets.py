"""Secrets are kept off media; what only looks like one is not."""

from __future__ import annotations

import hashlib

import pytest

from selfhost.bundle.secrets import refuse_secret
from selfhost.errors import TrustError
from selfhost.home import Home
from selfhost.serve import keys
from tests.bundle.trust_support import make_key

RANDOM = hashlib.sha256(b"not a token of anybody").hexdigest()


@pytest.mark.parametrize("form", ["RFC4716", "PKCS8", "PEM"])
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa256", "rsa"])
@pytest.mark.parametrize("passphrase", ["", "encrypted"])
def test_private_keys_of_any_form(tmp_path, kind, form, passphrase):
    path = make_key(tmp_path / "key", kind, passphrase, form)
    with pytest.raises(TrustError, match=r"notes/key\.txt") as caught:
        refuse_secret("notes/key.txt", b"some words\n" + path.read_bytes())
    assert "private key" in caught.value.message.why
    refuse_secret("key.pub", path.with_suffix(".pub").read_bytes())


@pytest.mark.parametrize(
    ("path", "head"),
    [
        (".netrc", b""),
        ("deep/in/ID_RSA", b""),
        ("config.json", b'{"token": "hf_' + RANDOM[:34].encode() + b'"}'),
        (".env", b"GITHUB_TOKEN=ghp_" + RANDOM[:36].encode()),
        ("notes.md", b"AKIA" + RANDOM[:16].upper().encode() + b"\n"),
        ("key.asc", b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n"),
        ("key.ppk", b"PuTTY-User-Key-File-3: ssh-ed25519\n"),
        ("notes.md", b"AGE-SECRET-KEY-1" + RANDOM[:40].upper().encode()),
        ("notes.md", b"token: ms-0b5e3d1c-8d2f-4f7e-9a61-3c4d5e6f7a8b\n"),
        ("run.sh", b"export OPENAI_API_KEY=sk-proj-" + RANDOM[:48].encode()),
    ],
)
def test_tokens_and_files_of_passwords(path, head):
    with pytest.raises(TrustError) as caught:
        refuse_secret(path, head)
    assert caught.value.code == 6
    assert RANDOM[:10] not in str(caught.value.message.why)


def test_our_own_api_keys(tmp_path):
    key = keys.new(Home(tmp_path), "node")
    with pytest.raises(TrustError):
        refuse_secret("notes.md", f"the key is {key}\n".encode())


@pytest.mark.parametrize(
    ("path", "head"),
    [
        ("README.md", b"export HF_TOKEN=hf_" + b"x" * 34),
        ("README.md", b"put your `hf_...` token here; ask-" + b"a" * 50),
        ("tokenizer.json", b'{"hf_token": 1, "task-classification-of-many-kinds-of-documents-in-one": 2}'),
        ("model.safetensors", b"\0\1hf_" + RANDOM[:34].encode()),
        ("config.json", RANDOM.encode()),
        ("README.md", b"sk-learn-pipelines-with-quite-long-names-in-kebab-case-2"),
        ("README.md", b"wait 10 ms-00000000-0000-0000-0000-000000000000"),
        ("key.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----"),
        ("LICENSE", b"-----BEGIN PUBLIC KEY-----"),
    ],
)
def test_what_only_looks_like_one(path, head):
    refuse_secret(path, head)
