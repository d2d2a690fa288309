"""Public keys as OpenSSH and PEM write them; bytes in, values out.

Taken: Ed25519, ECDSA on P-256, P-384 and P-521, RSA from 2048 bits. Not taken: DSA, certificates, and keys of FIDO
tokens (`sk-...`), whose signatures have another shape.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from selfhost.errors import TrustError
from selfhost.records import dataclass

PublicKeyObject = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKeyObject = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
_MIN_RSA_BITS = 2048
_PEM = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PUBLIC KEY-----")
_PRIVATE = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-[0-9]+: |AGE-SECRET-KEY-1[0-9A-Z]{20}"
)
_OPTIONS = (UnsupportedAlgorithm, ValueError, TypeError)


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicKey:
    """A key in its SSH encoding, which is what signatures carry; two keys are the same when these bytes are."""

    blob: bytes
    comment: str = ""

    @property
    def kind(self) -> str:
        """For example `ssh-ed25519`."""
        return _kind(self.blob)

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it: `SHA256:` and base64 without padding."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def pem(self) -> bytes:
        """The key as a PEM file of SubjectPublicKeyInfo."""
        encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self.load().public_bytes(encoding, form)

    def load(self) -> PublicKeyObject:
        """The key to verify with."""
        return _load(self.blob)


def is_private(data: bytes) -> bool:
    """Whether this is, or holds, a private key: of PEM, OpenSSH, OpenPGP, PuTTY or age."""
    return _PRIVATE.search(data) is not None


def parse_public(data: bytes, name: str) -> PublicKey:
    """The one public key in a file: a line of OpenSSH, or PEM. Raises TrustError when it is none that is taken.

    name: what the error calls the file.
    """
    if is_private(data):
        raise TrustError("trust.private_key", path=name)
    try:
        return _from_pem(data) if _PEM.search(data) else _from_line(data)
    except _OPTIONS as error:
        raise TrustError("trust.bad_key", path=name, detail=error) from error


def from_blob(blob: bytes) -> PublicKey:
    """The key with this SSH encoding. Raises ValueError when it is none that is taken."""
    key = PublicKey(blob=blob)
    key.load()
    return key


def from_object(key: PublicKeyObject, comment: str = "") -> PublicKey:
    """The key that `cryptography` holds. Raises ValueError when it is none that is taken."""
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    blob = base64.b64decode(line.split(b" ")[1])
    _load(blob)
    return PublicKey(blob=blob, comment=comment)


def curve_hash(key: ec.EllipticCurvePublicKey) -> hashes.HashAlgorithm:
    """The hash that goes with a curve, the same for SSH (RFC 5656, section 6.2.1) and for OpenSSF."""
    return {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}[key.curve.key_size]


def _from_line(data: bytes) -> PublicKey:
    lines = [line.strip() for line in data.decode("utf-8").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if len(lines) != 1:
        msg = f"{len(lines)} keys in one file, wanted: one"
        raise ValueError(msg)
    kind, _, rest = lines[0].partition(" ")
    if kind not in _KINDS:
        msg = f"found: {kind[:60]}, wanted: one of {', '.join(_KINDS)}, or PEM"
        raise ValueError(msg)
    body, _, comment = rest.strip().partition(" ")
    try:
        blob = base64.b64decode(body, validate=True)
    except binascii.Error as error:
        msg = "the key is not base64"
        raise ValueError(msg) from error
    if _kind(blob) != kind:
        msg = f"the line says {kind}, the key {_kind(blob)}"
        raise ValueError(msg)
    return PublicKey(blob=from_blob(blob).blob, comment=comment.strip())


def _from_pem(data: bytes) -> PublicKey:
    if (count := data.count(b"-----BEGIN ")) != 1:  # the first would be taken, and the others passed over
        msg = f"{count} blocks of PEM in one file, wanted: one"
        raise ValueError(msg)
    key = serialization.load_pem_public_key(data)
    if not isinstance(key, PublicKeyObject):
        msg = f"found: {type(key).__name__}, wanted: Ed25519, ECDSA on a NIST curve, or RSA"
        raise ValueError(msg)  # noqa: TRY004 - what a file holds, not what a caller passes
    return from_object(key)


def _load(blob: bytes) -> PublicKeyObject:
    kind = _kind(blob)
    if kind not in _KINDS:
        msg = f"found: {kind}, wanted: one of {', '.join(_KINDS)}"
        raise ValueError(msg)
    try:
        key = serialization.load_ssh_public_key(kind.encode() + b" " + base64.b64encode(blob))
    except NotImplementedError as error:  # a compressed point
        raise ValueError(error) from error
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        msg = f"RSA key of {key.key_size} bits, wanted: at least {_MIN_RSA_BITS}"
        raise ValueError(msg)
    if not isinstance(key, PublicKeyObject):
        raise ValueError(kind)  # noqa: TRY004 - as above
    return key


def _kind(blob: bytes) -> str:
    """The name of the algorithm, with which each SSH encoding starts."""
    if len(blob) < 4 + 1:
        msg = "the key is empty"
        raise ValueError(msg)
    (length,) = struct.unpack_from(">I", blob)
    return ascii(blob[4 : 4 + min(length, 60)].decode("latin-1"))[1:-1]
