"""Keys and signatures made by stock OpenSSH, for tests that need somebody else's."""

from __future__ import annotations

import base64
import datetime as dt
import struct
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
KINDS = {
    "ed25519": ("ed25519", "256"),
    "ecdsa256": ("ecdsa", "256"),
    "ecdsa384": ("ecdsa", "384"),
    "ecdsa521": ("ecdsa", "521"),
    "rsa": ("rsa", "2048"),
}


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "", form: str = "RFC4716") -> Path:
    """A private key by `ssh-keygen`; its public half is beside it, with `.pub`."""
    name, bits = KINDS[kind]
    argv = ["ssh-keygen", "-q", "-t", name, "-b", bits, "-N", passphrase, "-m", form, "-C", f"{path.name}@site"]
    subprocess.run([*argv, "-f", path], check=True, capture_output=True)
    return path


def ssh_sign(key: Path, message: bytes, namespace: str = "selfhost-bundle", hash_name: str = "sha512") -> bytes:
    """A signature file by `ssh-keygen -Y sign`."""
    argv = ["ssh-keygen", "-Y", "sign", "-f", key, "-n", namespace, "-O", f"hashalg={hash_name}"]
    return subprocess.run(argv, input=message, check=True, capture_output=True).stdout


def ssh_verify(folder: Path, public: Path, message: bytes, signature: bytes, namespace: str = "selfhost-bundle") -> int:
    """Exit status of `ssh-keygen -Y verify`."""
    (folder / "allowed").write_text(f"somebody {public.read_text()}")
    (folder / "signature").write_bytes(signature)
    argv = ["ssh-keygen", "-Y", "verify", "-f", folder / "allowed", "-I", "somebody", "-n", namespace]
    done = subprocess.run([*argv, "-s", folder / "signature"], input=message, check=False, capture_output=True)
    return done.returncode


def armoured(blob: bytes) -> bytes:
    """A signature file with these bytes inside."""
    body = base64.b64encode(blob).decode()
    lines = [body[start : start + 70] for start in range(0, len(body), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]).encode()


def unarmoured(signature: bytes) -> bytes:
    """The bytes inside a signature file."""
    return base64.b64decode(b"".join(signature.splitlines()[1:-1]))


def string(data: bytes) -> bytes:
    """A field of the SSH wire format."""
    return struct.pack(">I", len(data)) + data
