"""The files that say who may enter: read strictly, read again when they change, never trusted when they are wrong.

Used by `selfhost_gate` in the engine's process and environment: standard library only. They are written by
`selfhost/serve/keys.py`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCHEMA_VERSION = 1
_RECHECK_S = 1.0
_SHA256_HEX = re.compile("[0-9a-f]{64}")


class GateError(RuntimeError):
    """The configuration or the keys file cannot be trusted."""


class Entry(NamedTuple):
    """One key in the file."""

    digest: bytes
    name: str
    until: float
    """Seconds since the epoch; infinite for one that does not end by itself."""


def load(path: Path) -> dict[str, Any]:
    """A JSON object of a schema version that is understood. Raises GateError, and FileNotFoundError when absent."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        msg = f"`{path}` cannot be read: {error}"
        raise GateError(msg) from error
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION:
        found = value.get("schema_version") if isinstance(value, dict) else type(value).__name__
        msg = f"`{path}` has schema_version {found}; understood: {SCHEMA_VERSION}"
        raise GateError(msg)
    return value


def digest_of(entry: Any, path: Path, name: str = "sha256") -> bytes:
    """The sha256 in hex under a name, as bytes. Raises GateError."""
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, str) or not _SHA256_HEX.fullmatch(value):
        msg = f"`{path}` has no sha256 in hex where `{name}` should be"
        raise GateError(msg)
    return bytes.fromhex(value)


def _entry(value: Any, path: Path) -> Entry:
    digest, name = digest_of(value, path), str(value.get("name") or "?")
    text = value.get("expires")
    if text is None:
        return Entry(digest, name, math.inf)
    try:
        until = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        until = None
    if until is None or until.tzinfo is None:
        msg = f"`{path}` has no time with a zone where `expires` should be"
        raise GateError(msg)
    return Entry(digest, name, until.timestamp())


class KeysFile:
    """Digests of the keys in a file; it is read again when it changes, and looked at about once a second."""

    def __init__(
        self,
        path: Path | None,
        clock: Callable[[], float] = time.monotonic,
        # The wall clock: an end is a date. Who can set it back can also read the model's memory.
        now: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._clock = clock
        self._now = now
        self._stamp: tuple[int, int, int] | None = None
        self._next_look = float("-inf")
        self._entries: tuple[Entry, ...] = ()
        self._bad: GateError | None = None

    def entries(self) -> tuple[Entry, ...]:
        """Keys of the file as it is now, ended ones too; none when it is absent. Raises GateError when it is bad."""
        now = self._clock()
        if self._path is not None and now >= self._next_look:
            self._next_look = now + _RECHECK_S
            self._refresh(self._path)
        if self._bad is not None:
            raise self._bad
        return self._entries

    def holder(self, key: bytes) -> str | None:
        """Whose key this is; None when it is nobody's, or its time is over. Raises GateError as `entries` does."""
        digest, now, found = hashlib.sha256(key).digest(), self._now(), None
        for entry in self.entries():
            # All of them, each in constant time: no stopping at the first match.
            if hmac.compare_digest(digest, entry.digest) and now < entry.until:
                found = entry.name
        return found

    def _refresh(self, path: Path) -> None:
        try:
            info = path.stat()
            stamp = (info.st_mtime_ns, info.st_size, info.st_ino)
            if stamp == self._stamp and self._bad is None:
                return
            values = load(path).get("keys")
            self._entries = tuple(_entry(value, path) for value in (values if isinstance(values, list) else [None]))
            self._stamp, self._bad = stamp, None
        except FileNotFoundError:
            self._entries, self._stamp, self._bad = (), None, None
        except (GateError, OSError) as error:
            if self._bad is None:
                print(f"selfhost_gate: keys cannot be checked: {error}", file=sys.stderr, flush=True)
            self._bad = GateError(str(error))
