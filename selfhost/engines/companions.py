"""Wheels that go with a lock and that no lock can name: an index of their own has them, so there is no hash to lock.

They are taken from a folder only, where somebody put them; `beside.lock` then names each with its sha256, so that what
is installed behind a gap is what was there when the folder was packed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import Version

from selfhost.engines import environment
from selfhost.engines.install import this_machine
from selfhost.engines.lock import LockEntry, lock_text, parse_lock
from selfhost.engines.wheel_file import Wheel, describe
from selfhost.engines.wheel_tags import misfit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from selfhost.engines.needs import Machine
    from selfhost.engines.specs import EngineSpec


def find(spec: EngineSpec, folder: Path, machine: Machine | None = None) -> tuple[Wheel, ...]:
    """The wheels in a folder that go with an engine on a machine (None: this one): of the very version that it has.

    Raises IntegrityError for one that is no wheel.
    """
    there = machine or this_machine()
    locked = {entry.name: entry.version for entry in parse_lock(environment.lock_file(spec).read_text())}
    found: dict[str, Wheel] = {}
    for path in sorted(folder.glob("*.whl")):
        name = canonicalize_name(path.name.partition("-")[0])
        if not name.startswith(spec.companions) or misfit(path.name, there):
            continue
        wheel = describe(path)
        if Version(wheel.version).public == Version(locked[spec.companion_of]).public:
            found[name] = wheel
    return tuple(found.values())


def as_lock(wheels: Iterable[Wheel]) -> str:
    """Requirements with hashes, for `engine install --wheelhouse`."""
    return lock_text(LockEntry(canonicalize_name(one.name), one.version, "", (one.sha256,)) for one in wheels)
