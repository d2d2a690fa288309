"""Signing with a key in a file, or with one that only an ssh-agent has (a smart card, a hardware module, a session's).

Private keys are read, never written and never copied.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from selfhost.bundle import sshsig
from selfhost.bundle.keys import PrivateKeyObject, PublicKey, from_object, is_private, parse_public
from selfhost.errors import MissingError, TrustError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Passphrase = Callable[[Path], str | None]
    """Asked for the passphrase of an encrypted key; None where nobody can be asked."""

_TOOL = "ssh-keygen"
_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"


class Signer(Protocol):
    """Whoever can sign in the name of `public`."""

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""

    @property
    def model_key(self) -> ec.EllipticCurvePrivateKey | None:
        """The key to sign `model.sig` with, which takes ECDSA and no agent; None for others."""

    def sign(self, message: bytes, namespace: str = sshsig.NAMESPACE) -> bytes:
        """A signature file over `message`, verified once before it is handed out."""


class FileSigner:
    """Signs with a private key that was read from a file."""

    def __init__(self, private: PrivateKeyObject) -> None:
        self._private = private
        self.public = from_object(private.public_key())

    @property
    def model_key(self) -> ec.EllipticCurvePrivateKey | None:
        """The key itself when it is an ECDSA key."""
        return self._private if isinstance(self._private, ec.EllipticCurvePrivateKey) else None

    def sign(self, message: bytes, namespace: str = sshsig.NAMESPACE) -> bytes:
        """A signature file over `message`."""
        return _checked(sshsig.sign(message, self._private, namespace), message, self.public, namespace)


class AgentSigner:
    """Signs through `ssh-keygen -Y sign`, which asks the ssh-agent for the key that belongs to a public key."""

    model_key = None

    def __init__(self, path: Path, public: PublicKey) -> None:
        self._path, self.public = path, public

    def sign(self, message: bytes, namespace: str = sshsig.NAMESPACE) -> bytes:
        """A signature file over `message`. Raises MissingError without the tool or the agent's consent."""
        tool = shutil.which(_TOOL)
        if tool is None:
            raise MissingError("trust.no_tool", tool=_TOOL, path=self._path)
        argv = [tool, "-Y", "sign", "-f", str(self._path.absolute()), "-n", namespace]
        done = subprocess.run(argv, input=message, capture_output=True, check=False)
        if done.returncode:
            detail = done.stderr.decode(errors="replace").strip()
            raise MissingError("trust.agent_refused", fingerprint=self.public.fingerprint, detail=detail)
        return _checked(done.stdout, message, self.public, namespace)


def open_signer(path: Path, passphrase: Passphrase) -> Signer:
    """Whoever signs for `path`: a private key, or a public key whose private half an ssh-agent has.

    Raises UsageError when the file cannot be read, TrustError when it is no key that is taken or the passphrase is
    wrong.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError("trust.unreadable_key", path=path, detail=error.strerror) from error
    if not is_private(data):
        return AgentSigner(path, parse_public(data, str(path)))
    try:
        return FileSigner(_load(data, path, passphrase))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TrustError("trust.bad_key", path=path, detail=error) from error


def _load(data: bytes, path: Path, passphrase: Passphrase) -> PrivateKeyObject:
    read = serialization.load_ssh_private_key if _OPENSSH in data else serialization.load_pem_private_key
    try:
        key = read(data, None)
    except TypeError:  # how `cryptography` says that a passphrase is needed
        given = passphrase(path)
        if given is None:
            raise TrustError("trust.no_passphrase", path=path) from None
        try:
            key = read(data, given.encode())
        except ValueError as error:
            raise TrustError("trust.wrong_passphrase", path=path) from error
    if not isinstance(key, PrivateKeyObject):
        raise ValueError(type(key).__name__)  # noqa: TRY004 - what a file holds, not what a caller passes
    return key


def _checked(signature: bytes, message: bytes, public: PublicKey, namespace: str) -> bytes:
    """The signature, if it is one: a broken signer is noticed here and not beyond the gap."""
    (made,) = sshsig.parse(signature)
    if made.key.blob != public.blob or made.namespace != namespace or not made.holds(message):
        raise TrustError("trust.bad_signature", signer=made.key.fingerprint)
    return signature
