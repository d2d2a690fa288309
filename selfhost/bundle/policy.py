"""Who is trusted, and whether what they signed may be taken; values in, a verdict out.

The order of the questions: is there a signature, does it hold, is it for bundles, is the key trusted, revoked, valid
now, and have enough signed. A signature that does not hold is refused whatever else is allowed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from selfhost.bundle import sshsig
from selfhost.errors import TrustError, UsageError
from selfhost.messages import Message
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.bundle.keys import PublicKey

_SCHEMA_VERSION = 1
_TOP = ("schema_version", "threshold", "keys", "minimum_serial")
_KEY = ("principal", "not_before", "expires", "revoked")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeySettings:
    """What `trust.toml` says about one key."""

    principal: str = ""
    not_before: dt.datetime | None = None
    expires: dt.datetime | None = None
    revoked: bool = False

    @property
    def window(self) -> str:
        """When the key is valid, for people."""
        first = self.not_before.isoformat() if self.not_before else ""
        last = self.expires.isoformat() if self.expires else ""
        return " ".join(filter(None, (first and f"from {first}", last and f"until {last}"))) or "always"

    def valid(self, now: dt.datetime) -> bool:
        """Whether the key is valid at a time."""
        return (self.not_before is None or self.not_before <= now) and (self.expires is None or now <= self.expires)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustedKey:
    """A key in a trust directory."""

    public: PublicKey
    source: str
    """The file it is from."""
    settings: KeySettings = KeySettings()

    @property
    def name(self) -> str:
        """Who that is, for people and logs."""
        principal = self.settings.principal or self.public.comment
        return f"{principal} ({self.public.fingerprint})" if principal else self.public.fingerprint


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """`trust.toml` of one directory."""

    threshold: int = 1
    """How many trusted keys must have signed."""
    keys: Mapping[str, KeySettings] = field(default_factory=dict)
    """By file name."""
    minimum_serial: Mapping[str, int] = field(default_factory=dict)
    """By model or label: nothing below is taken, seen before or not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """All that is known about who is trusted here."""

    keys: tuple[TrustedKey, ...]
    places: tuple[str, ...]
    """Where keys were looked for."""
    directory: str = ""
    """Where this user can put a key; empty when the keys were named one by one."""
    threshold: int = 1
    minimum_serial: Mapping[str, int] = field(default_factory=dict)

    def find(self, public: PublicKey) -> TrustedKey | None:
        """The entry of a key; a revocation in one place counts whatever another says."""
        found = [key for key in self.keys if key.public.blob == public.blob]
        return next((key for key in found if key.settings.revoked), found[0] if found else None)

    @property
    def usable(self) -> frozenset[bytes]:
        """The keys that are not revoked, each once, in their SSH encoding."""
        revoked = {key.public.blob for key in self.keys if key.settings.revoked}
        return frozenset(key.public.blob for key in self.keys) - revoked


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What the caller asks for."""

    now: dt.datetime
    """With a time zone."""
    strict_time: bool = False
    """Refuse keys outside their time instead of telling: clocks of closed sites are often wrong."""
    allow_unsigned: str | None = None
    """Why something that no trusted key signed may be taken; logged. None: it may not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """It may be taken; and what a person should be told about that."""

    signers: tuple[TrustedKey, ...]
    """Trusted keys that signed."""
    notes: tuple[Message, ...] = ()

    @property
    def vouched(self) -> bool:
        """Whether a trusted key signed."""
        return bool(self.signers)


def decide(trust: Trust, message: bytes, signature: bytes | None, demand: Demand) -> Verdict:
    """Whether `message` (SHA256SUMS) with this signature file may be taken. Raises TrustError when it may not.

    Raises UsageError when unsigned contents are allowed without a reason.
    """
    if demand.allow_unsigned is not None and not demand.allow_unsigned.strip():
        raise UsageError("trust.no_reason")
    if signature is None:
        return _unsigned(trust, demand)
    signed = _holding(message, signature)
    entries = [entry for public in signed.values() if (entry := trust.find(public))]
    for entry in entries:
        check_revoked(entry)
    notes = [note for entry in entries if (note := check_time(entry, demand))]
    seen = tuple(public.fingerprint for public in signed.values())
    if not trust.keys:
        values = {"signers": ", ".join(seen), "directory": trust.directory}
        return Verdict(signers=(), notes=(Message("trust.note_nobody", values),))
    if len(entries) < trust.threshold:
        if demand.allow_unsigned is None:
            raise _too_few(trust, len(entries), seen)
        notes.append(Message("trust.note_allowed", {"reason": demand.allow_unsigned}))
        entries = []
    return Verdict(signers=tuple(entries), notes=tuple(notes))


def check_serial(subject: str, serial: int, lowest: int | None, trust: Trust) -> None:
    """Raise TrustError when a bundle is older than what was taken before, or than what the settings ask for.

    subject: the model, or the label of a bundle without one. An equal serial passes: the same bundle may come twice.
    """
    # A model's name without a variant asks for all of its variants.
    asked = (trust.minimum_serial.get(name, serial) for name in (subject, subject.partition("/")[0]))
    bound = max(lowest if lowest is not None else serial, *asked)
    if serial < bound:
        raise TrustError("trust.rollback", subject=subject, serial=serial, lowest=bound)


def parse_settings(data: Mapping[str, Any], names: frozenset[str]) -> Settings:
    """`trust.toml` as read; `names` are the key files beside it.

    Raises ValueError that says what is wrong, and where.
    """
    _known(data, _TOP, "")
    if (version := data.get("schema_version", _SCHEMA_VERSION)) != _SCHEMA_VERSION:
        msg = f"schema_version found: {version}, understood: {_SCHEMA_VERSION}"
        raise ValueError(msg)
    keys = _table(data, "keys")
    _known(keys, tuple(sorted(names)), "keys.")
    return Settings(
        threshold=_number(data.get("threshold", 1), "threshold", 1),
        keys={name: _parse_key(value, f"keys.{name}.") for name, value in keys.items()},
        minimum_serial={
            name: _number(value, f"minimum_serial.{name}", 0) for name, value in _table(data, "minimum_serial").items()
        },
    )


def _holding(message: bytes, signature: bytes) -> dict[bytes, PublicKey]:
    """The keys that signed, each once. Raises TrustError when one signature of the file does not hold."""
    signed = {}
    for one in sshsig.parse(signature):
        if not one.holds(message):
            raise TrustError("trust.bad_signature", signer=one.key.fingerprint)
        if one.namespace != sshsig.NAMESPACE:
            raise TrustError("trust.other_purpose", found=one.namespace, wanted=sshsig.NAMESPACE)
        signed[one.key.blob] = one.key
    return signed


def _unsigned(trust: Trust, demand: Demand) -> Verdict:
    if trust.keys and demand.allow_unsigned is None:
        raise TrustError("trust.unsigned", count=len(trust.keys), places=", ".join(trust.places))
    notes = [Message("trust.note_unsigned")]
    if demand.allow_unsigned is not None:
        notes.append(Message("trust.note_allowed", {"reason": demand.allow_unsigned}))
    return Verdict(signers=(), notes=tuple(notes))


def check_revoked(entry: TrustedKey) -> None:
    """Raise TrustError for a key that was revoked."""
    if entry.settings.revoked:
        raise TrustError("trust.revoked", signer=entry.name, source=entry.source)


def check_time(entry: TrustedKey, demand: Demand) -> Message | None:
    """What to tell of a key outside its time; None within it. Raises TrustError where the demand is strict."""
    if entry.settings.valid(demand.now):
        return None
    now = demand.now.isoformat(timespec="seconds")
    if demand.strict_time:
        raise TrustError("trust.outside_time", signer=entry.name, window=entry.settings.window, now=now)
    return Message("trust.note_outside_time", {"signer": entry.name, "window": entry.settings.window, "now": now})


def _too_few(trust: Trust, found: int, seen: tuple[str, ...]) -> TrustError:
    if not trust.directory:
        return TrustError("trust.not_named", signers=", ".join(seen), places=", ".join(trust.places))
    return TrustError(
        "trust.too_few",
        wanted=trust.threshold,
        found=found,
        signers=", ".join(seen),
        places=", ".join(trust.places),
        directory=trust.directory,
    )


def _parse_key(value: object, where: str) -> KeySettings:
    if not isinstance(value, Mapping):
        msg = f"wanted: a table at `{where[:-1]}`"
        raise ValueError(msg)  # noqa: TRY004 - what a file holds, not what a caller passes
    _known(value, _KEY, where)
    principal, revoked = value.get("principal", ""), value.get("revoked", False)
    if not isinstance(principal, str) or not isinstance(revoked, bool):
        msg = f"wanted: text at `{where}principal`, true or false at `{where}revoked`"
        raise ValueError(msg)  # noqa: TRY004 - as above
    first, last = (_time(value.get(name), where + name) for name in ("not_before", "expires"))
    return KeySettings(principal=principal, not_before=first, expires=last, revoked=revoked)


def _time(value: object, where: str) -> dt.datetime | None:
    if value is None:
        return None
    if isinstance(value, dt.datetime):
        return value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    msg = f"wanted: a date like 2027-01-31 at `{where}`"
    raise ValueError(msg)


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name, {})
    if not isinstance(value, Mapping):
        msg = f"wanted: a table at `{name}`"
        raise ValueError(msg)  # noqa: TRY004 - as above
    return value


def _number(value: object, where: str, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        msg = f"wanted: a whole number from {least} at `{where}`"
        raise ValueError(msg)
    return value


def _known(data: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    if unknown := sorted(set(data) - set(names)):
        msg = f"unknown: `{where}{unknown[0]}`, wanted: one of {', '.join(names) or 'none'}"
        raise ValueError(msg)
