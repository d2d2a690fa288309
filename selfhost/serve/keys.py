"""API keys: made once, kept as sha256 only, and the file that tells the front door of a server which ones hold.

`$SELFHOST_HOME/keys/keys.json` is read by every running server (`selfhost/inside/selfhost_gate.py`): a key that is made
or revoked holds or ends within about a second. A key has 256 random bits, so a plain sha256 of it cannot be searched.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import IntegrityError, TrustError, UsageError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.home import Home

SCHEMA_VERSION = 1
_PREFIX = "sk-selfhost-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH_DIGITS_SHOWN = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """What is kept of a key."""

    name: str
    sha256: str
    """Hex digest of the whole key."""
    created: str
    """ISO 8601, UTC."""

    @property
    def fingerprint(self) -> str:
        """Enough of the digest to tell keys apart."""
        return self.sha256[:_HASH_DIGITS_SHOWN]


def keys_file(home: Home) -> Path:
    """Where the keys of a home are kept; the path to hand to `write_gate`."""
    return home.keys / "keys.json"


def load(home: Home) -> list[ApiKey]:
    """The keys in the order they were made. Raises IntegrityError when the file is damaged or of a newer selfhost."""
    path = keys_file(home)
    try:
        value = json.loads(path.read_bytes())
        if value["schema_version"] != SCHEMA_VERSION:
            raise IntegrityError("key.newer", path=path, found=value["schema_version"], understood=SCHEMA_VERSION)
        return [ApiKey(name=k["name"], sha256=k["sha256"], created=k["created"]) for k in value["keys"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError("key.damaged", path=path, detail=error) from error


def fingerprint(key: str) -> str:
    """Enough of a key's digest to tell it from others."""
    return _sha256(key)[:_HASH_DIGITS_SHOWN]


def has_keys(home: Home) -> bool:
    """Whether any key is in force, so that servers must ask for one."""
    return bool(load(home))


def check_name(name: str) -> None:
    """Raises UsageError for what cannot be the name of a key."""
    if not _NAME.fullmatch(name):
        raise UsageError("key.bad_name", name=name)


def make() -> str:
    """A key of 256 random bits, of letters, digits, `-` and `_`; in force nowhere yet."""
    return _PREFIX + secrets.token_urlsafe(32)


def new(home: Home, name: str) -> str:
    """Make a key and return it; it is kept nowhere, only its digest. Raises UsageError for a bad or a taken name."""
    check_name(name)
    files.make_directory(home.keys, 0o700)
    with files.hold_lock(home.keys / ".lock"):
        known = load(home)
        if taken := next((key for key in known if key.name == name), None):
            raise UsageError("key.taken", name=name, created=taken.created)
        key = make()
        created = datetime.now(UTC).isoformat(timespec="seconds")
        _save(home, [*known, ApiKey(name=name, sha256=_sha256(key), created=created)])
    return key


def revoke(home: Home, name: str) -> None:
    """End a key. Raises UsageError, with the names that come near, when there is none of that name."""
    known = load(home)
    if known:
        with files.hold_lock(home.keys / ".lock"):
            known = load(home)
            left = [key for key in known if key.name != name]
            if len(left) < len(known):
                _save(home, left)
                return
    names = [key.name for key in known]
    near = get_close_matches(name, names) or names
    raise UsageError("key.unknown", name=name, nearest=", ".join(f"`{each}`" for each in near) or "none")


def check_exposure(host: str, *, has_keys: bool) -> bool:
    """Whether a server on this address must ask for a key: when it is not loopback, or when any key exists.

    Raises TrustError when it must and there is none. Loopback is 127.0.0.0/8, ::1 and `localhost`.
    """
    if not is_loopback(host) and not has_keys:
        raise TrustError("key.exposed", host=host)
    return has_keys


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def write_gate(path: Path, *, require_key: bool, keys_file: Path | None) -> str:
    """Write the configuration of one server's front door (0600) and return its control key.

    The control key always holds; it is for selfhost itself (readiness, `selfhost chat`), made anew for each server.
    Even with `require_key=False` pass the keys file: the first key that is made closes the running server.
    """
    control = make()
    value = {
        "schema_version": SCHEMA_VERSION,
        "require_key": require_key,
        "control_key_sha256": _sha256(control),
        "keys_file": str(keys_file) if keys_file else None,
    }
    files.write_json(path, value, 0o600)
    return control


def _save(home: Home, keys: list[ApiKey]) -> None:
    value = {"schema_version": SCHEMA_VERSION, "keys": [asdict(key) for key in keys]}
    files.write_json(keys_file(home), value, 0o600)


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
