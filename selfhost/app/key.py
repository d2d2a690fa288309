"""`selfhost key`: make, list, rotate and revoke API keys."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.app import gateway_key
from selfhost.errors import UsageError
from selfhost.home import find_home
from selfhost.serve import keys

if TYPE_CHECKING:
    from pathlib import Path


KEEP_S = 600.0
"""How long the key before holds after a rotation, unless told otherwise: time to hand the new one to its programs."""


def new(name: str, output: Path | None = None, gateway: Path | None = None, expires_s: float | None = None) -> str:
    """Make a key and return it; with `output` also write it there (0600). gateway: its file, in place of the home's.

    expires_s: seconds until it ends by itself. Raises UsageError when `output` exists or is the gateway's file, or its
    directory does not exist, for a gateway's key that should end, and for the name as `keys.new` does.
    """
    _check_output(output, gateway)
    if gateway is not None and expires_s is not None:
        raise UsageError("key.gateway_expires")
    key = gateway_key.new(name, gateway) if gateway else keys.new(find_home(), name, expires_s)
    if output is not None:
        try:
            _write(output, key)
        except BaseException:
            # A key that nobody has must not stay in force.
            revoke(name, gateway)
            raise
    return key


def rotate(
    name: str,
    output: Path | None = None,
    gateway: Path | None = None,
    keep_s: float = KEEP_S,
    expires_s: float | None = None,
) -> str:
    """Make another key of a name and return it, as `new` does; the one before holds for `keep_s` more seconds.

    A gateway lets both in until the old one is revoked. Raises UsageError as `new` does, and for an unknown name.
    """
    _check_output(output, gateway)
    if gateway is not None and expires_s is not None:
        raise UsageError("key.gateway_expires")
    key = keys.make()
    if output is not None:
        # Before it holds: one that nobody has would still end the one before.
        _write(output, key)
    try:
        if gateway:
            gateway_key.rotate(name, gateway, key)
        else:
            keys.rotate(find_home(), name, key, keep_s, expires_s)
    except BaseException:
        if output is not None:
            output.unlink(missing_ok=True)
        raise
    return key


def _check_output(output: Path | None, gateway: Path | None) -> None:
    if output is not None and output.exists():
        raise UsageError("key.output_exists", path=output)
    if output is not None and not output.absolute().parent.is_dir():
        raise UsageError("key.no_directory", path=output.absolute().parent)
    if output is not None and gateway is not None and os.path.realpath(output) == os.path.realpath(gateway):
        raise UsageError("key.output_is_gateway", path=output)


def _write(output: Path, key: str) -> None:
    try:
        with files.atomic_write(output.absolute(), 0o600) as stream:
            stream.write(key.encode() + b"\n")
    except OSError as error:
        raise UsageError("key.output_unwritable", path=output, detail=error.strerror) from error


def ls(gateway: Path | None = None) -> list[dict[str, str | None]]:
    """The keys, in the order they were made: name, when, until when, state, first digits of the sha256.

    A gateway's file knows no times. Raises UsageError for a gateway's file that is not there.
    """
    if gateway:
        found = gateway_key.ls(gateway)
        newest = {known.name: known for known in found}
        return [
            _row(
                known.name,
                digits=keys.fingerprint(known.key) if known.key else None,
                state="holds" if known is newest[known.name] else "replaced",
            )
            for known in found
        ]
    now = datetime.now(UTC)
    return [
        _row(known.name, known.created, known.expires, _state(known, now), known.fingerprint)
        for known in keys.load(find_home())
    ]


def _state(known: keys.ApiKey, now: datetime) -> str:
    if known.ended(now):
        return "ended"
    return "replaced" if known.replaced else "holds"


def _row(
    name: str, created: str | None = None, expires: str | None = None, state: str = "holds", digits: str | None = None
) -> dict[str, str | None]:
    return {"name": name, "created": created, "expires": expires, "state": state, "sha256_prefix": digits}


def revoke(name: str, gateway: Path | None = None, *, old_only: bool = False) -> None:
    """End the keys of a name; `old_only`: what a rotation has left. Raises UsageError for an unknown name."""
    if gateway:
        gateway_key.revoke(name, gateway, old_only=old_only)
    else:
        keys.revoke(find_home(), name, old_only=old_only)
