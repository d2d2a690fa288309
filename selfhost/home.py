"""Where selfhost keeps things on this machine: `$SELFHOST_HOME`, else the XDG data directory.

engines/   environments, one folder per engine, version and lock; elsewhere where `$SELFHOST_ENGINES` says so
models/    directories an engine can open by path
blobs/     contents of their files, each once, by sha256
verify/    how far interrupted verifications got
servers/   one folder per started server: record, log, keys in force
boots/     what engines measured when they were started here
benches/   what `bench` measured, one file for each run
keys/      API keys
wheels/    wheels of engines that were downloaded for bundles
accepted/  licences whose terms were accepted here
bundles/   bundles that were imported here
fetched/   container images that were fetched for bundles, one OCI image layout
images/    container images that bundles brought, each an OCI image layout
wheelhouses/  wheels that bundles brought, for `engine install --wheelhouse`
trust/     public keys that bundles must be signed with
quantize/  variants being made, or left by an interrupted run, which the next one goes on with
audit.jsonl  one line for each operation on a bundle
"""

from __future__ import annotations

import os
from pathlib import Path

from selfhost.errors import UsageError
from selfhost.records import dataclass


@dataclass(frozen=True, slots=True)
class Home:
    """The directories under one root; nothing here creates them."""

    root: Path
    shared_engines: Path | None = None
    """Where engine environments are instead, of a container image that brings its own."""

    @property
    def engines(self) -> Path:
        """Engine environments."""
        return self.shared_engines or self.root / "engines"

    @property
    def models(self) -> Path:
        """Models as plain directories."""
        return self.root / "models"

    @property
    def blobs(self) -> Path:
        """Contents of files, by sha256, and what is being downloaded."""
        return self.root / "blobs"

    @property
    def verify(self) -> Path:
        """How far interrupted verifications got."""
        return self.root / "verify"

    @property
    def servers(self) -> Path:
        """State of servers, one folder per name."""
        return self.root / "servers"

    @property
    def boots(self) -> Path:
        """Boot records; they outlive the servers."""
        return self.root / "boots"

    @property
    def benches(self) -> Path:
        """What benchmarks measured; they outlive the servers."""
        return self.root / "benches"

    @property
    def wheels(self) -> Path:
        """Wheels of engines that were downloaded for bundles, one folder per engine."""
        return self.root / "wheels"

    @property
    def keys(self) -> Path:
        """API keys."""
        return self.root / "keys"

    @property
    def accepted(self) -> Path:
        """What a person agreed to, one file each."""
        return self.root / "accepted"

    @property
    def bundles(self) -> Path:
        """What was imported, one file for each bundle."""
        return self.root / "bundles"

    @property
    def wheelhouses(self) -> Path:
        """Wheels that bundles brought, one folder for each engine."""
        return self.root / "wheelhouses"

    @property
    def fetched(self) -> Path:
        """Container images that were fetched for bundles, all in one layout."""
        return self.root / "fetched"

    @property
    def images(self) -> Path:
        """Container images that bundles brought, one layout for each."""
        return self.root / "images"

    @property
    def trust(self) -> Path:
        """Public keys of this user's choice, and the serials that were taken."""
        return self.root / "trust"

    @property
    def quantize(self) -> Path:
        """Variants that are being made, one folder per model and variant."""
        return self.root / "quantize"

    @property
    def audit(self) -> Path:
        """The log of operations on bundles."""
        return self.root / "audit.jsonl"

    @property
    def recipes(self) -> Path:
        """The user's own recipes."""
        return self.root / "recipes"


def find_home() -> Home:
    """The home in force: `SELFHOST_HOME`, else `$XDG_DATA_HOME/selfhost`, else `~/.local/share/selfhost`.

    `SELFHOST_ENGINES` names another folder for the engine environments alone. Raises UsageError when the home cannot be
    told.
    """
    engines = os.environ.get("SELFHOST_ENGINES")
    shared = user_path(engines).absolute() if engines else None
    if root := os.environ.get("SELFHOST_HOME"):
        return Home(user_path(root).absolute(), shared)
    base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Home(user_path(base).absolute() / "selfhost", shared)


def user_path(text: str) -> Path:
    """A path as a user writes it, with `~` and `~name`. Raises UsageError when there is no such home directory."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # no such user; or a uid without a passwd entry, and HOME is not set
        raise UsageError("cli.no_home", path=text) from error
