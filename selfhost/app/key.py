"""`selfhost key`: make, list and revoke API keys."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.app import gateway_key
from selfhost.errors import UsageError
from selfhost.home import find_home
from selfhost.serve import keys

if TYPE_CHECKING:
    from pathlib import Path


def new(name: str, output: Path | None = None, gateway: Path | None = None) -> str:
    """Make a key and return it; with `output` also write it there (0600). gateway: its file, in place of the home's.

    Raises UsageError when `output` exists or is the gateway's file, or its directory does not exist, and for the name
    as `keys.new` does.
    """
    if output is not None and output.exists():
        raise UsageError("key.output_exists", path=output)
    if output is not None and not output.absolute().parent.is_dir():
        raise UsageError("key.no_directory", path=output.absolute().parent)
    if output is not None and gateway is not None and os.path.realpath(output) == os.path.realpath(gateway):
        raise UsageError("key.output_is_gateway", path=output)
    key = gateway_key.new(name, gateway) if gateway else keys.new(find_home(), name)
    if output is not None:
        try:
            with files.atomic_write(output.absolute(), 0o600) as stream:
                stream.write(key.encode() + b"\n")
        except BaseException:
            # A key that nobody has must not stay in force.
            revoke(name, gateway)
            raise
    return key


def ls(gateway: Path | None = None) -> list[dict[str, str | None]]:
    """The keys in force, in the order they were made: name, when (unknown of a gateway's), first digits of the sha256.

    Raises UsageError for a gateway's file that is not there.
    """
    if gateway:
        return [
            _row(known.name, None, keys.fingerprint(known.key) if known.key else None)
            for known in gateway_key.ls(gateway)
        ]
    return [_row(known.name, known.created, known.fingerprint) for known in keys.load(find_home())]


def _row(name: str, created: str | None, digits: str | None) -> dict[str, str | None]:
    return {"name": name, "created": created, "sha256_prefix": digits}


def revoke(name: str, gateway: Path | None = None) -> None:
    """End a key. Raises UsageError for an unknown name."""
    if gateway:
        gateway_key.revoke(name, gateway)
    else:
        keys.revoke(find_home(), name)
