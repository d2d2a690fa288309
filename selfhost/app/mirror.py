"""`selfhost mirror serve`: the store, wheels and keys, put behind one server."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import platform
import re
import threading
from typing import TYPE_CHECKING

from selfhost.errors import IntegrityError, MissingError, SelfhostError, TrustError, UsageError
from selfhost.mirror.routes import Routes
from selfhost.mirror.server import Rules, Server
from selfhost.mirror.shelf import Shelf
from selfhost.mirror.simple_index import name_and_version
from selfhost.mirror.wheelhouse import Wheelhouse
from selfhost.recipe import load
from selfhost.recipe.schema import HUBS, SourceKind
from selfhost.records import dataclass
from selfhost.serve import keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.weights.lock import ModelLock

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class MirrorRequest:
    """What the command line asks for."""

    host: str
    port: int
    """0: any free one."""
    wheelhouses: tuple[Path, ...] = ()
    no_key: bool = False
    """Everybody may read, whatever the address and the keys."""


class Guard:
    """Who may read: anybody while there is no key and only this machine is asked, else who has one.

    Keys are read again when their file changes; while it is damaged nobody may.
    """

    def __init__(self, home: Home, *, required: bool) -> None:
        self._home, self.required = home, required
        self._guard = threading.Lock()
        self._state: tuple[int, ...] | None = None
        self._digests: tuple[str, ...] | None = ()

    def admits(self, authorization: str | None) -> bool:
        """Whether a request with this header is answered; a key is a bearer token or the password of `Basic`."""
        digests = self._now()
        if digests is None:
            return False
        if not digests and not self.required:
            return True
        if (key := _key_of(authorization)) is None:
            return False
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        return sum(hmac.compare_digest(digest, known) for known in digests) > 0

    def _now(self) -> tuple[str, ...] | None:
        with self._guard:
            try:
                info = keys.keys_file(self._home).stat()
                state: tuple[int, ...] = (info.st_mtime_ns, info.st_size, info.st_ino)
            except OSError:
                state = ()
            if state != self._state:
                try:
                    self._digests = tuple(key.sha256 for key in keys.load(self._home))
                except (IntegrityError, OSError):
                    self._digests = None
                self._state = state
            return self._digests


def _key_of(authorization: str | None) -> str | None:
    kind, _, value = (authorization or "").strip().partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return decoded.partition(":")[2]


def asks_for_key(home: Home, request: MirrorRequest) -> bool:
    """Whether clients need a key now. Raises TrustError for an open address without keys."""
    if request.no_key:
        return False
    has_keys = keys.has_keys(home)
    if not has_keys and not keys.is_loopback(request.host):
        raise TrustError("mirror.exposed", host=request.host)
    return has_keys


def reached_at(url: str) -> str:
    """The address as other machines may write it: one that means every address of this machine is none of them."""
    for every in ("//0.0.0.0:", "//[::]:"):
        url = url.replace(every, f"//{platform.node()}:")
    return url


def known_hub_id(home: Home, lock: ModelLock) -> str | None:
    """The hub id of a model that came from another mirror, which tells the commit; None when no recipe knows it.

    So that a mirror of a mirror answers to the same ids. What came from a directory may be anything.
    """
    revision = lock.source.revision
    if lock.source.kind != SourceKind.MIRROR or revision is None or not _COMMIT.fullmatch(revision):
        return None
    try:
        path = load.find_recipes(home).get(lock.recipe)
        variants = load.read_recipe(path).variants if path else ()
    except SelfhostError:
        return None
    sources = [source for variant in variants if variant.name == lock.variant for source in variant.sources]
    return next((one.id for one in sources if one.kind in HUBS and one.revision in (None, revision)), None)


def listen(home: Home, request: MirrorRequest, log: Callable[[str], None]) -> tuple[Server, int]:
    """A server that has its port and waits to be entered, and how many models it has.

    Raises UsageError for a wheelhouse that is none, TrustError for an open address without keys, MissingError when the
    port cannot be had.
    """
    for folder in request.wheelhouses:
        if not folder.is_dir() or not any(name_and_version(path.name) for path in folder.iterdir()):
            raise UsageError("mirror.no_wheelhouse", path=folder)
    asks_for_key(home, request)
    guard = Guard(home, required=not keys.is_loopback(request.host))
    shelf = Shelf(home.models, home.blobs, lambda lock: known_hub_id(home, lock))
    rules = Rules(admits=(lambda _header: True) if request.no_key else guard.admits, log=log)
    try:
        server = Server(request.host, request.port, Routes(shelf, Wheelhouse(request.wheelhouses)), rules)
    except (OSError, OverflowError) as error:
        raise MissingError("mirror.cannot_listen", host=request.host, port=request.port, detail=error) from error
    return server, shelf.catalogue().models
