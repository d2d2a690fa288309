"""SSHSIG, the signatures of `ssh-keygen -Y sign`; bytes in, bytes out.

Source: PROTOCOL.sshsig of OpenSSH 9.2. Read strictly: what `ssh-keygen` would not write is refused, so that a changed
bit anywhere in a signature file is noticed. A file may hold several signatures one after another, for sites that want
more than one signer; `ssh-keygen -Y verify` looks at the first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from typing import TYPE_CHECKING, NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from selfhost.bundle.keys import PublicKey, curve_hash, from_blob, from_object
from selfhost.errors import TrustError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.bundle.keys import PrivateKeyObject, PublicKeyObject

NAMESPACE = "selfhost-bundle"
"""What our signatures are for; one made for another purpose (a git commit, a login) does not pass."""

MAX_FILE_BYTES = 1 << 20
_MAGIC = b"SSHSIG"
_VERSION = 1
_HASHES = {"sha256": hashlib.sha256, "sha512": hashlib.sha512}
_LINE = 70
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_BLOCK = re.compile(rf"{_BEGIN}\n((?:[A-Za-z0-9+/=]+\n)+){_END}(?:\n|\Z)")
_RSA_HASHES = {"rsa-sha2-256": hashes.SHA256, "rsa-sha2-512": hashes.SHA512}


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """One signature: who says they signed, for what, and the proof."""

    key: PublicKey
    namespace: str
    reserved: bytes
    hash_name: str
    algorithm: str
    raw: bytes

    def holds(self, message: bytes) -> bool:
        """Whether the holder of `key` signed exactly these bytes, in the namespace the signature names."""
        signed = _to_sign(self.namespace, self.reserved, self.hash_name, message)
        try:
            _verify(self.key.load(), self.algorithm, self.raw, signed)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True


def parse(data: bytes) -> tuple[Signature, ...]:
    """The signatures in a file, at least one. Raises TrustError when it is anything else."""
    try:
        if len(data) > MAX_FILE_BYTES:
            _refuse(f"{len(data)} bytes, at most {MAX_FILE_BYTES} are read")
        return tuple(_parse_blob(blob) for blob in _blobs(data.decode("ascii")))
    except (ValueError, struct.error) as error:
        raise TrustError("trust.malformed", detail=error) from error


def sign(message: bytes, private: PrivateKeyObject, namespace: str = NAMESPACE) -> bytes:
    """The signature file for these bytes, as `ssh-keygen -Y sign` writes it.

    Raises ValueError for a key that is not taken.
    """
    public = from_object(private.public_key())
    algorithm, raw = _sign(private, public, _to_sign(namespace, b"", "sha512", message))
    proof = _string(algorithm.encode()) + _string(raw)
    blob = (
        _MAGIC
        + struct.pack(">I", _VERSION)
        + b"".join(map(_string, (public.blob, namespace.encode(), b"", b"sha512", proof)))
    )
    body = base64.b64encode(blob).decode()
    lines = [body[start : start + _LINE] for start in range(0, len(body), _LINE)]
    return "\n".join([_BEGIN, *lines, _END, ""]).encode()


def _to_sign(namespace: str, reserved: bytes, hash_name: str, message: bytes) -> bytes:
    digest = _HASHES[hash_name](message).digest()
    return _MAGIC + b"".join(map(_string, (namespace.encode(), reserved, hash_name.encode(), digest)))


def _sign(private: PrivateKeyObject, public: PublicKey, signed: bytes) -> tuple[str, bytes]:
    match private:
        case ed25519.Ed25519PrivateKey():
            return public.kind, private.sign(signed)
        case ec.EllipticCurvePrivateKey():
            r, s = decode_dss_signature(private.sign(signed, ec.ECDSA(curve_hash(private.public_key()))))
            return public.kind, _string(_mpint(r)) + _string(_mpint(s))
        case rsa.RSAPrivateKey():
            return "rsa-sha2-512", private.sign(signed, padding.PKCS1v15(), hashes.SHA512())


def _verify(key: PublicKeyObject, algorithm: str, raw: bytes, signed: bytes) -> None:
    match key:
        case ed25519.Ed25519PublicKey():
            key.verify(raw, signed)
        case ec.EllipticCurvePublicKey():
            reader = _Reader(raw)
            r, s = reader.mpint(), reader.mpint()
            reader.end()
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(curve_hash(key)))
        case rsa.RSAPublicKey():
            key.verify(raw, signed, padding.PKCS1v15(), _RSA_HASHES[algorithm]())


def _blobs(text: str) -> list[bytes]:
    found, at = [], 0
    while at < len(text):
        block = _BLOCK.match(text, at)
        if block is None:
            _refuse(f"no `{_BEGIN}` block at byte {at}")
        body = block[1].replace("\n", "")
        try:
            blob = base64.b64decode(body, validate=True)
        except binascii.Error as error:
            msg = f"the block at byte {at} is not base64"
            raise ValueError(msg) from error
        # Unused bits of the last character would be a place to change something unnoticed.
        if base64.b64encode(blob).decode() != body:
            _refuse(f"the block at byte {at} is not canonical base64")
        found.append(blob)
        at = block.end()
    if not found:
        _refuse("the file is empty")
    return found


def _parse_blob(blob: bytes) -> Signature:
    reader = _Reader(blob)
    if reader.take(len(_MAGIC)) != _MAGIC:
        _refuse("no SSHSIG")
    if (version := reader.number()) != _VERSION:
        _refuse(f"version found: {version}, understood: {_VERSION}")
    key = from_blob(reader.string())
    namespace, reserved, hash_name = reader.text(), reader.string(), reader.text()
    proof = _Reader(reader.string())
    reader.end()
    algorithm, raw = proof.text(), proof.string()
    proof.end()
    if hash_name not in _HASHES:
        _refuse(f"hash found: {hash_name}, wanted: {' or '.join(_HASHES)}")
    wanted = tuple(_RSA_HASHES) if key.kind == "ssh-rsa" else (key.kind,)
    if algorithm not in wanted:
        _refuse(f"algorithm found: {algorithm}, wanted: {' or '.join(wanted)}")
    return Signature(key=key, namespace=namespace, reserved=reserved, hash_name=hash_name, algorithm=algorithm, raw=raw)


class _Reader:
    """Fields of the SSH wire format (RFC 4251, section 5), one after another; ValueError where they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            _refuse("cut off")
        self._at += count
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return self.string().decode("ascii")

    def mpint(self) -> int:
        data = self.string()
        value = int.from_bytes(data, "big")
        if data != _mpint(value):
            _refuse("a number is not in its shortest form")
        return value

    def end(self) -> None:
        if self._at != len(self._data):
            _refuse("bytes after the end")


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _mpint(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big") if value else b""


def _refuse(detail: str) -> NoReturn:
    raise ValueError(detail)
