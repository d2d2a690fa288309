"""Certificates of nobody, made on the spot."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from selfhost.serve.certificate import Pair


def make_pair(folder, name="server", *, days=(-1, 1), password: bytes | None = None) -> Pair:
    """A certificate for another name than this machine's, and its key, in PEM files of a folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "models.example")])
    begins, ends = (datetime.now(UTC) + timedelta(days=each) for each in days)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begins, ends)
    certificate = made.sign(key, hashes.SHA256())
    pair = Pair(certfile=folder / f"{name}.crt", keyfile=folder / f"{name}.key")
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pair.certfile.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pair.keyfile.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    return pair
