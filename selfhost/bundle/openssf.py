"""`model.sig`: OpenSSF Model Signing v1 with a key; a DSSE envelope in a sigstore bundle. Bytes in, bytes out.

Made from digests that are known already, so nothing is hashed twice. Source: model_signing 1.1.1 (manifest.py,
_signing/signing.py, _signing/sign_ec_key.py), the DSSE protocol 1.0.0. The format takes ECDSA keys only.

By its rules files of git (`.gitattributes`, ...) and `model.sig` are left out. One that was added or changed goes
unseen by its own verifier: `compare` names them, and whoever imports goes by SHA256SUMS, which leaves out nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from selfhost.bundle.keys import PublicKey, curve_hash, from_object
from selfhost.errors import TrustError
from selfhost.records import dataclass
from selfhost.weights.lock import LOCK_NAME, MODEL_SIGNATURE_NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

SIGNATURE_NAME = MODEL_SIGNATURE_NAME
MAX_FILE_BYTES = 16 << 20
_GIT = (".git", ".gitattributes", ".github", ".gitignore")
_BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://model_signing/signature/v1.0"
_DIGEST_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedModel:
    """What a signer said about a model."""

    name: str
    files: Mapping[str, str]
    """Path -> sha256."""
    ignored: tuple[str, ...]
    """Paths, and folders with all in them, that the signer left out."""
    key: PublicKey


@dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """How the files of a model differ from what was signed; all sorted."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    unsigned: tuple[str, ...]
    """There, and not signed: a difference."""
    left_out: tuple[str, ...]
    """There, and left out by the rules of the format: says nothing about them."""

    @property
    def none(self) -> bool:
        """Whether all that was signed is there and unchanged, and nothing else but what is left out."""
        return not (self.changed or self.missing or self.unsigned)


def sign(
    name: str, files: Mapping[str, str], key: ec.EllipticCurvePrivateKey, ignored: Collection[str] = (LOCK_NAME,)
) -> bytes:
    """`model.sig` for a model of these files (path -> sha256).

    ignored: files that lie beside the model's own and are not part of it; our lock, which an import writes there.
    """
    public = from_object(key.public_key())
    payload = _statement(name, files, sorted({*_GIT, SIGNATURE_NAME, *ignored}))
    proof = key.sign(_pae(payload), ec.ECDSA(curve_hash(key.public_key())))
    bundle = {
        "mediaType": _BUNDLE_TYPE,
        "verificationMaterial": {"publicKey": {"hint": _hint(public)}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(proof).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle, separators=(",", ":")).encode()


def verify(data: bytes, keys: Sequence[PublicKey]) -> SignedModel:
    """What was signed, by one of these keys. Raises TrustError otherwise."""
    try:
        if len(data) > MAX_FILE_BYTES:
            _refuse(f"{len(data)} bytes, at most {MAX_FILE_BYTES} are read")
        bundle = json.loads(data)
        _want("mediaType", bundle["mediaType"], _BUNDLE_TYPE)
        envelope = bundle["dsseEnvelope"]
        _want("payloadType", envelope["payloadType"], _PAYLOAD_TYPE)
        payload = base64.b64decode(envelope["payload"], validate=True)
        (signature,) = envelope["signatures"]
        proof = base64.b64decode(signature["sig"], validate=True)
        hint = bundle["verificationMaterial"]["publicKey"].get("hint", "")
        key = _signer(keys, hint, proof, _pae(payload))
        return _read_statement(json.loads(payload), key)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrustError("trust.malformed_model_signature", detail=repr(error)) from error


def compare(signed: SignedModel, found: Mapping[str, str]) -> Differences:
    """How files (path -> sha256) differ from what was signed."""
    extra = sorted(found.keys() - signed.files.keys())
    left_out = [path for path in extra if _is_left_out(path, (*signed.ignored, *_GIT))]
    return Differences(
        changed=tuple(p for p in sorted(found.keys() & signed.files.keys()) if found[p] != signed.files[p]),
        missing=tuple(sorted(signed.files.keys() - found.keys())),
        unsigned=tuple(path for path in extra if path not in left_out),
        left_out=tuple(left_out),
    )


def _statement(name: str, files: Mapping[str, str], ignored: list[str]) -> bytes:
    # Ordered as paths, folder by folder, and not as text.
    ordered = sorted((p for p in files if not _is_left_out(p, ignored)), key=lambda path: path.split("/"))
    root = hashlib.sha256(b"".join(bytes.fromhex(files[path]) for path in ordered)).hexdigest()
    statement = {
        "_type": _STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": root}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": ignored,
            },
            "resources": [{"name": path, "algorithm": "sha256", "digest": files[path]} for path in ordered],
        },
    }
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()


def _signer(keys: Sequence[PublicKey], hint: str, proof: bytes, signed: bytes) -> PublicKey:
    """The key that made the proof. Raises TrustError when none did."""
    usable = [(key, loaded) for key in keys if isinstance(loaded := key.load(), ec.EllipticCurvePublicKey)]
    named = [(key, loaded) for key, loaded in usable if hint in ("", _hint(key))]
    if not named:
        raise TrustError("trust.unknown_model_signer", hint=hint, count=len(usable))
    for key, loaded in named:
        try:
            loaded.verify(proof, signed, ec.ECDSA(curve_hash(loaded)))
        except InvalidSignature:
            continue
        return key
    raise TrustError("trust.bad_model_signature")


def _read_statement(statement: dict[str, Any], key: PublicKey) -> SignedModel:
    _want("_type", statement["_type"], _STATEMENT)
    _want("predicateType", statement["predicateType"], _PREDICATE)
    how = statement["predicate"]["serialization"]
    _want("method", (how["method"], how["hash_type"]), ("files", "sha256"))
    (subject,) = statement["subject"]
    files: dict[str, str] = {}
    root = hashlib.sha256()
    for resource in statement["predicate"]["resources"]:
        _want("algorithm", resource["algorithm"], "sha256")
        digest = bytes.fromhex(resource["digest"])
        name = resource["name"]
        if len(digest) != _DIGEST_BYTES or not isinstance(name, str) or name in files:
            _refuse(f"not one sha256 for {name!r}")
        root.update(digest)
        files[name] = digest.hex()
    _want("digest of digests", subject["digest"]["sha256"], root.hexdigest())
    ignored = tuple(str(path) for path in how.get("ignore_paths", ()))
    return SignedModel(name=str(subject["name"]), files=files, ignored=ignored, key=key)


def _is_left_out(path: str, ignored: Collection[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:depth]) in ignored for depth in range(1, len(parts) + 1))


def _pae(payload: bytes) -> bytes:
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)


def _hint(key: PublicKey) -> str:
    return hashlib.sha256(key.pem).hexdigest()


def _want(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        _refuse(f"{what} found: {str(found)[:120]}, wanted: {wanted}")


def _refuse(detail: str) -> NoReturn:
    raise ValueError(detail)
