"""A server's own certificate: what its files must be before an engine is started with it, how it is recognised.

Selfhost reaches its servers by an address of this machine, which their certificates seldom name, and may have been
signed by nobody whom this machine knows. So the certificate itself is compared, byte for byte, with that of the file.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from selfhost.errors import MissingError, UsageError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from pathlib import Path

_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_NO_PASSWORD = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """The files of a certificate, with those that lead from it to a root, and of its key."""

    certfile: Path
    keyfile: Path


def leaf_sha256(path: Path) -> str | None:
    """Hex digest of the first certificate in a file, as the server sends it; None where there is none to be read."""
    try:
        found = _PEM.search(path.read_text(errors="replace"))
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest() if found else None
    except (OSError, ValueError):
        return None


def check(pair: Pair, now: datetime | None = None) -> str:
    """The digest of a pair that an engine can serve with. Raises UsageError, MissingError for one that it cannot."""
    for path in (pair.certfile, pair.keyfile):
        try:
            path.read_bytes()
        except OSError as error:
            raise MissingError("tls.unreadable", path=path, detail=error.strerror or error) from error
    digest = leaf_sha256(pair.certfile)
    if digest is None:
        raise UsageError("tls.no_certificate", path=pair.certfile)
    _load(pair)
    _check_time(pair.certfile, now or datetime.now(UTC))
    return digest


def _load(pair: Pair) -> None:
    asked = []

    def password() -> str:
        asked.append(True)
        return _NO_PASSWORD

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.certfile, pair.keyfile, password)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        if asked:
            raise UsageError("tls.encrypted", path=pair.keyfile) from error
        reason = getattr(error, "reason", None) or str(error)
        if reason == "KEY_VALUES_MISMATCH":
            raise UsageError("tls.mismatch", certfile=pair.certfile, keyfile=pair.keyfile) from error
        raise UsageError(
            "tls.bad_pair", certfile=pair.certfile, keyfile=pair.keyfile, detail=reason.replace("_", " ").lower()
        ) from error


def _check_time(path: Path, now: datetime) -> None:
    from cryptography import x509

    found = x509.load_pem_x509_certificates(path.read_bytes())[0]
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    if not begins <= now < ends:
        raise UsageError("tls.not_now", path=path, begins=begins.isoformat(), ends=ends.isoformat())
