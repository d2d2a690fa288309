"""Which servers are trusted: by `SSL_CERT_FILE`, `SSL_CERT_DIR`, `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`, or the system.

The same for listings and for bytes: a hub that answers and then does not give its files would puzzle everybody.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from selfhost.errors import MissingError

_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# Where distributions keep them, for a Python that was compiled for other paths.
_SYSTEM_CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)


def context() -> ssl.SSLContext:
    """Which servers are trusted. Raises MissingError when the environment names a file that cannot be read."""
    for name in _CERTIFICATES:
        if path := os.environ.get(name):
            try:
                is_folder = Path(path).is_dir()
                return ssl.create_default_context(capath=path) if is_folder else ssl.create_default_context(cafile=path)
            except OSError as error:  # ssl.SSLError is one
                raise MissingError("places.bad_certificates", variable=name, path=path, detail=error) from error
    found = ssl.create_default_context()  # takes SSL_CERT_DIR
    if not os.environ.get("SSL_CERT_DIR") and not found.cert_store_stats()["x509_ca"]:
        for path in filter(os.path.isfile, _SYSTEM_CERTIFICATES):
            found.load_verify_locations(path)
            break
    return found
