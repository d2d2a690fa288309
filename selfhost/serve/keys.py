"""API keys: made once, kept as sha256 only, and the file that tells the front door of a server which ones hold.

`$SELFHOST_HOME/keys/keys.json` is read by every running server (`selfhost/inside/selfhost_keys.py`): a key that is made
or revoked holds or ends within about a second. A key has 256 random bits, so a plain sha256 of it cannot be searched.

A name has one key; after a rotation it has the one before as well, until that one's time is over.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import re
import secrets
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.errors import IntegrityError, MissingError, TrustError, UsageError
from selfhost.messages import word
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from selfhost.home import Home

SCHEMA_VERSION = 1
CLOSED = "gate.closed"
"""Left by the front door of a server that was started open and closed by the first key that was made."""
_PREFIX = "sk-selfhost-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256_HEX = re.compile("[0-9a-f]{64}")
_HASH_DIGITS_SHOWN = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """What is kept of a key."""

    name: str
    sha256: str
    """Hex digest of the whole key."""
    created: str
    """ISO 8601, UTC."""
    expires: str | None = None
    """When it ends by itself, as `created`; None: it does not."""
    replaced: bool = False
    """Whether a rotation has put another one in its place."""

    def ended(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and datetime.fromisoformat(self.expires) <= now

    @property
    def fingerprint(self) -> str:
        """Enough of the digest to tell keys apart."""
        return self.sha256[:_HASH_DIGITS_SHOWN]


def keys_file(home: Home) -> Path:
    """Where the keys of a home are kept; the path to hand to `write_gate`."""
    return home.keys / "keys.json"


def load(home: Home) -> list[ApiKey]:
    """The keys in the order they were made.

    Raises IntegrityError when the file is damaged or of a newer selfhost, MissingError when it cannot be read.
    """
    path = keys_file(home)
    try:
        value = json.loads(path.read_bytes())
        if value["schema_version"] != SCHEMA_VERSION:
            raise IntegrityError("key.newer", path=path, found=value["schema_version"], understood=SCHEMA_VERSION)
        return [_read(entry) for entry in value["keys"]]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise MissingError("key.unreadable", path=path, detail=error.strerror) from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError("key.damaged", path=path, detail=error) from error


def _read(entry: Mapping[str, Any]) -> ApiKey:
    if not all(isinstance(entry[name], str) for name in ("name", "sha256", "created")):
        raise TypeError(entry)
    expires = entry.get("expires")
    if not _SHA256_HEX.fullmatch(entry["sha256"]):
        # As the front door reads it: else it would be closed while the list is told as good.
        raise ValueError(entry["sha256"])
    if expires is not None and datetime.fromisoformat(expires).tzinfo is None:
        raise ValueError(expires)
    values = {name: entry[name] for name in ("name", "sha256", "created")}
    return ApiKey(**values, expires=expires, replaced=bool(entry.get("replaced")))


def fingerprint(key: str) -> str:
    """Enough of a key's digest to tell it from others."""
    return _sha256(key)[:_HASH_DIGITS_SHOWN]


def has_keys(home: Home) -> bool:
    """Whether there is any key, so that servers must ask for one: also when the time of all of them is over."""
    return bool(load(home))


def check_name(name: str) -> None:
    """Raises UsageError for what cannot be the name of a key."""
    if not _NAME.fullmatch(name):
        raise UsageError("key.bad_name", name=name)


def make() -> str:
    """A key of 256 random bits, of letters, digits, `-` and `_`; in force nowhere yet."""
    return _PREFIX + secrets.token_urlsafe(32)


def new(home: Home, name: str, expires_s: float | None = None) -> str:
    """Make a key and return it; it is kept nowhere, only its digest. Raises UsageError for a bad or a taken name.

    expires_s: seconds until it ends by itself; None: it does not.
    """
    check_name(name)
    with _changing(home) as known:
        now = datetime.now(UTC)
        if taken := next((key for key in known if key.name == name and not key.ended(now)), None):
            raise UsageError("key.taken", name=name, created=taken.created)
        key = make()
        # One whose time is over makes room for another of its name.
        _save(home, [*(old for old in known if old.name != name), _kept(name, key, now, expires_s)])
    return key


def rotate(home: Home, name: str, key: str, keep_s: float, expires_s: float | None = None) -> None:
    """Put another key (of `make`) under a name; the one before holds for `keep_s` more seconds at most.

    One that was replaced earlier ends. expires_s as for `new`. Raises UsageError when there is none of that name.
    """
    if not load(home):
        raise _unknown(name, [])
    with _changing(home) as known:
        current = next((key for key in known if key.name == name and not key.replaced), None)
        if current is None:
            raise _unknown(name, known)
        now = datetime.now(UTC)
        until = _text(now + timedelta(seconds=keep_s))
        expires = min(filter(None, (current.expires, until)), key=datetime.fromisoformat)
        others = [old for old in known if old.name != name]
        _save(home, [*others, replace(current, expires=expires, replaced=True), _kept(name, key, now, expires_s)])


def revoke(home: Home, name: str, *, old_only: bool = False) -> None:
    """End the keys of a name, or only what a rotation has left of it.

    Raises UsageError, with the names that come near, when there is none of that name.
    """
    if not load(home):
        raise _unknown(name, [])
    with _changing(home) as known:
        left = [key for key in known if key.name != name or (old_only and not key.replaced)]
        if not any(key.name == name for key in known):
            raise _unknown(name, known)
        _save(home, left)


@contextlib.contextmanager
def _changing(home: Home) -> Iterator[list[ApiKey]]:
    """The keys as they are, held against others until they are saved."""
    files.make_directory(home.keys, 0o700)
    with files.hold_lock(home.keys / ".lock"):
        yield load(home)


def _unknown(name: str, known: list[ApiKey]) -> UsageError:
    names = list(dict.fromkeys(key.name for key in known))
    near = get_close_matches(name, names) or names
    return UsageError("key.unknown", name=name, nearest=", ".join(f"`{each}`" for each in near) or word("none"))


def _kept(name: str, key: str, now: datetime, expires_s: float | None) -> ApiKey:
    expires = None if expires_s is None else _text(now + timedelta(seconds=expires_s))
    return ApiKey(name=name, sha256=_sha256(key), created=_text(now), expires=expires)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


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


def write_gate(
    path: Path,
    *,
    require_key: bool,
    keys_file: Path | None,
    access_log: Path | None = None,
    log_bytes: int | None = None,
) -> str:
    """Write the configuration of one server's front door (0600) and return its control key.

    access_log: where it notes requests; None: nowhere. log_bytes: the size at which that file is rolled.

    The control key always holds; it is for selfhost itself (readiness, `selfhost chat`), made anew for each server.
    Even with `require_key=False` pass the keys file: the first key that is made closes the running server.
    """
    control = make()
    value = {
        "schema_version": SCHEMA_VERSION,
        "require_key": require_key,
        "control_key_sha256": _sha256(control),
        "keys_file": str(keys_file) if keys_file else None,
        "access_log": str(access_log) if access_log else None,
        "access_log_bytes": log_bytes,
    }
    path.with_name(CLOSED).unlink(missing_ok=True)
    files.write_json(path, value, 0o600)
    return control


def _save(home: Home, keys: list[ApiKey]) -> None:
    value = {"schema_version": SCHEMA_VERSION, "keys": [asdict(key) for key in keys]}
    files.write_json(keys_file(home), value, 0o600)


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
