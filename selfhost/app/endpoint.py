"""How selfhost itself asks a server that it started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.serve import records
from selfhost.serve.health import Certificate, Endpoint

if TYPE_CHECKING:
    from selfhost.home import Home
    from selfhost.serve.records import Record


def endpoint_of(home: Home, record: Record) -> Endpoint:
    """Where a server is and what it takes: selfhost's own key; and by which certificate it is known, if it has one."""
    return Endpoint(
        host=record.host,
        port=record.port,
        model=record.served_model_name,
        key=records.read_control_key(home, record.name),
        chat=record.chat,
        certificate=_certificate_of(record),
    )


def _certificate_of(record: Record) -> Certificate | None:
    path, sha256 = record.certfile, record.certificate_sha256
    return Certificate(Path(path), sha256) if path and sha256 else None
