"""Trust on disk: directories of public keys with their settings, and the highest serial taken of each model.

/etc/selfhost/trust.d/   the site's
<home>/trust/            this user's
    NAME.pub             a public key, OpenSSH or PEM
    trust.toml           threshold, [keys."NAME.pub"] principal, not_before, expires, revoked; [minimum_serial]
    serials.json         written here (this user's only)
"""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.bundle.keys import parse_public
from selfhost.bundle.policy import KeySettings, Settings, Trust, TrustedKey, check_serial, parse_settings
from selfhost.errors import IntegrityError, TrustError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfhost.home import Home

SITE = Path("/etc/selfhost/trust.d")
SETTINGS_NAME = "trust.toml"
_SERIALS_NAME = "serials.json"
_OWN = (SETTINGS_NAME, _SERIALS_NAME, "serials.lock")
_SCHEMA_VERSION = 1


def read_trust(home: Home, site: Path = SITE) -> Trust:
    """Who is trusted: the keys of the site and of this user; of two thresholds or serials the higher one.

    Raises TrustError for anything in there that cannot be read, and for a threshold that these keys cannot reach: a key
    that is skipped could be a revoked one.
    """
    places = (site, home.trust)
    read = [_read_directory(place) for place in places]
    minimum: dict[str, int] = {}
    for settings, _ in read:
        for subject, serial in settings.minimum_serial.items():
            minimum[subject] = max(serial, minimum.get(subject, serial))
    trust = Trust(
        keys=tuple(key for _, keys in read for key in keys),
        places=tuple(str(place) for place in places),
        directory=str(home.trust),
        threshold=max(settings.threshold for settings, _ in read),
        minimum_serial=minimum,
    )
    if trust.threshold > max(len(trust.usable), 1):
        detail = f"threshold: {trust.threshold}, keys that are not revoked: {len(trust.usable)}"
        raise TrustError("trust.bad_settings", path=SETTINGS_NAME, detail=f"{detail}, in {', '.join(trust.places)}")
    return trust


def trust_only(paths: Sequence[Path], known: Trust) -> Trust:
    """Trust in the keys that a person named, and in no others. Raises TrustError when one is no public key.

    What is known of such a key stays: naming it takes back no revocation, and no serial that is asked for.
    """
    keys = tuple(_named(path, known) for path in paths)
    places = tuple(str(path) for path in paths)
    return Trust(keys=keys, places=places, minimum_serial=known.minimum_serial)


def _named(path: Path, known: Trust) -> TrustedKey:
    public = parse_public(_read(path), str(path))
    return known.find(public) or TrustedKey(public=public, source=str(path))


class Serials:
    """The highest serial taken of each subject (a model, or the label of a bundle without one)."""

    def __init__(self, home: Home) -> None:
        self._path = home.trust / _SERIALS_NAME

    def check(self, subjects: Iterable[str], serial: int, trust: Trust) -> None:
        """Raise TrustError when a bundle with this serial is older than what was taken before."""
        taken = self._load()
        for subject in subjects:
            check_serial(subject, serial, taken.get(subject), trust)

    def record(self, subjects: Iterable[str], serial: int) -> None:
        """Remember that a signed bundle was taken; a mark never goes down.

        For signed bundles only: else anybody could set a mark that no later bundle reaches.
        """
        with files.hold_lock(self._path.with_suffix(".lock")):
            taken = self._load()
            for subject in subjects:
                taken[subject] = max(serial, taken.get(subject, serial))
            files.write_json(self._path, {"schema_version": _SCHEMA_VERSION, "serials": taken})

    def _load(self) -> dict[str, int]:
        if not self._path.exists():
            return {}
        found = (files.read_json(self._path) or {}).get("serials")
        if not isinstance(found, dict) or not all(type(serial) is int for serial in found.values()):
            raise IntegrityError("trust.bad_serials", path=self._path)
        return found


def _read_directory(place: Path) -> tuple[Settings, list[TrustedKey]]:
    try:
        paths = sorted(place.iterdir())
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not place.is_symlink():
            return Settings(), []
        raise TrustError("trust.unreadable", path=place, detail=error.strerror) from error
    _refuse_open(place)
    for path in paths:
        # A key or settings under another name would be passed over without a word, as if nobody had put them there.
        if not (path.suffix == ".pub" or path.name in _OWN or path.name.startswith(".") or path.name.endswith("~")):
            raise TrustError("trust.odd_file", path=path, settings=SETTINGS_NAME)
    names = frozenset(path.name for path in paths if path.suffix == ".pub")
    settings = Settings()
    if place / SETTINGS_NAME in paths:
        settings = _read_settings(place / SETTINGS_NAME, names)
    keys = [
        TrustedKey(
            public=parse_public(_read(path), str(path)),
            source=str(path),
            settings=settings.keys.get(path.name, KeySettings()),
        )
        for path in paths
        if path.name in names
    ]
    return settings, keys


def _read_settings(path: Path, names: frozenset[str]) -> Settings:
    try:
        return parse_settings(tomllib.loads(_read(path).decode("utf-8")), names)
    except ValueError as error:  # of TOML and of UTF-8 too
        raise TrustError("trust.bad_settings", path=path, detail=error) from error


def _read(path: Path) -> bytes:
    try:
        _refuse_open(path)
        return path.read_bytes()
    except OSError as error:
        raise TrustError("trust.unreadable", path=path, detail=error.strerror) from error


def _refuse_open(path: Path) -> None:
    """Refuse what anybody may write to, or may put something else in the place of."""
    for one in (path, path.resolve().parent):
        mode = one.stat().st_mode
        # In a folder like /tmp everybody may make files, and replace one's own only.
        if mode & stat.S_IWOTH and not (one != path and mode & stat.S_ISVTX):
            raise TrustError("trust.open_to_all", path=one, mode=stat.filemode(mode))
