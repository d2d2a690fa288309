"""What /proc, /sys and /etc say about the machine: text in, facts out. Memory in bytes.

Control groups: a process may be limited at any level above it, by either version of the interface, so every level
counts and the tightest wins. Sources: kernel documentation, admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from selfhost.records import dataclass
from selfhost.units import KIB

if TYPE_CHECKING:
    from collections.abc import Iterable

FLAGS_THAT_MATTER = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "i8mm",
    "sve",
)
"""What the CPU engine chooses kernels by; the last four are ARM's."""

_COUNT = re.compile(r"\d{1,20}")
_MOST_CPUS = 1 << 16
_NO_LIMIT_V1 = 1 << 60
"""cgroup v1 writes the largest page-aligned number for "no limit"."""


def os_name(os_release: str) -> str | None:
    """`Debian GNU/Linux 12 (bookworm)` from /etc/os-release."""
    found = re.search(r"^PRETTY_NAME=(.*)$", os_release, re.MULTILINE)
    return found[1].strip().strip("\"'") or None if found else None


def cpu(cpuinfo: str) -> tuple[str | None, tuple[str, ...]]:
    """(name of the processor, its flags among those that matter) from /proc/cpuinfo, x86 or ARM."""
    name = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.*)$", cpuinfo, re.MULTILINE)
    present = set(flags[1].split()) if flags else set()
    return name[1].strip() if name else None, tuple(f for f in FLAGS_THAT_MATTER if f in present)


def memory(meminfo: str) -> tuple[int, int]:
    """(total, available) from /proc/meminfo; 0 for what it does not say."""
    found: list[tuple[str, str]] = re.findall(r"^(\w+):\s*(\d{1,19})", meminfo, re.MULTILINE)
    fields = {name: int(value) * KIB for name, value in found}
    return fields.get("MemTotal", 0), fields.get("MemAvailable", fields.get("MemFree", 0))


def count_list(cpus_or_nodes: str) -> int:
    """How many numbers a list of the kernel's has: `0-3,8` -> 5; 0 when it is none."""
    total = 0
    for first, last in re.findall(r"(\d{1,9})(?:-(\d{1,9}))?", cpus_or_nodes):
        total += max(0, int(last or first) - int(first) + 1)
    return total


def numbers(cpus_or_nodes: str) -> list[int]:
    """The numbers of a list of the kernel's, at most those of a large machine; none when it is none.

    >>> numbers("0-2,8")
    [0, 1, 2, 8]
    """
    found: list[int] = []
    for first, last in re.findall(r"(\d{1,9})(?:-(\d{1,9}))?", cpus_or_nodes):
        found += range(int(first), min(int(last or first), int(first) + _MOST_CPUS) + 1)
    return found


class Cpu(NamedTuple):
    """A logical CPU that this process may use."""

    number: int
    core: int
    """The lowest number among those that share its core."""
    node: int
    """Of its memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    point: str
    root: str
    """The part of the file system that is mounted; `/` for all of it."""
    file_system: str
    options: str


def mounts(mountinfo: str) -> list[Mount]:
    """The mounts, in order; a later one hides an earlier one at the same point."""
    found = []
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        fields, tail = left.split(" "), right.split(" ")
        if separator and len(fields) >= 6 and len(tail) >= 3:  # noqa: PLR2004 - see proc_pid_mountinfo(5)
            point, root = (
                re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), field) for field in (fields[4], fields[3])
            )
            found.append(Mount(point=point, root=root, file_system=tail[0], options=tail[2]))
    return found


def file_system_of(path: str, table: list[Mount]) -> str | None:
    """Type of the file system that holds an absolute path: `ext4`, `tmpfs`; None when no mount covers it."""
    holder = None
    for mount in table:
        covers = PurePosixPath(path).is_relative_to(mount.point)
        if covers and (holder is None or len(mount.point) >= len(holder.point)):
            holder = mount
    return holder.file_system if holder else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cgroup:
    """Directories of one controller, from this process's own group up to the root of what is mounted."""

    version: int
    controllers: frozenset[str]
    """`memory`, `cpu`, ...; empty for version 2, where each directory says itself."""
    directories: tuple[str, ...]


def cgroups(self_cgroup: str, table: list[Mount]) -> list[Cgroup]:
    """Where the limits of this process are, from /proc/self/cgroup and the mounts."""
    found = []
    for line in self_cgroup.splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        controllers = frozenset(names.split(",")) - {""}
        kind = "cgroup2" if number == "0" and not controllers else "cgroup"
        for mount in table:
            if mount.file_system == kind and controllers <= set(mount.options.split(",")):
                version = 2 if kind == "cgroup2" else 1
                found.append(Cgroup(version=version, controllers=controllers, directories=_upwards(path, mount)))
                break
    return found


def _upwards(path: str, mount: Mount) -> tuple[str, ...]:
    # Without a cgroup namespace a container sees the host's path, but only its own group is mounted: the mount's root.
    inner = PurePosixPath(path)
    if mount.root != "/" and inner.is_relative_to(mount.root):
        inner = PurePosixPath("/") / inner.relative_to(mount.root)
    parts = [part for part in inner.parts[1:] if part != ".."]
    top = PurePosixPath(mount.point)
    return tuple(str(top.joinpath(*parts[:depth])) for depth in range(len(parts), -1, -1))


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryLimit:
    """Limit and use of one control group."""

    limit_bytes: int
    used_bytes: int
    """What cannot be taken back: usage without the file cache that is not in active use."""


def memory_limit(limit: str, usage: str, stat: str) -> MemoryLimit | None:
    """From memory.max, memory.current and memory.stat, or their version 1 names; None without a limit."""
    if not _COUNT.fullmatch(limit.strip()) or int(limit) >= _NO_LIMIT_V1:
        return None
    found: list[tuple[str, str]] = re.findall(r"^(total_inactive_file|inactive_file) (\d{1,19})$", stat, re.MULTILINE)
    cache = dict(found)
    used = int(usage) if _COUNT.fullmatch(usage.strip()) else 0
    reclaimable = int(cache.get("total_inactive_file", cache.get("inactive_file", 0)))
    return MemoryLimit(limit_bytes=int(limit), used_bytes=max(0, used - reclaimable))


def cpu_quota(cpu_max: str) -> float | None:
    """CPUs a group may use, from `cpu.max` or `quota period` of version 1; None without a quota.

    >>> cpu_quota("150000 100000"), cpu_quota("max 100000"), cpu_quota("-1 100000")
    (1.5, None, None)
    """
    found = re.fullmatch(r"(\d{1,19}) (\d{1,19})", cpu_max.strip())
    return int(found[1]) / int(found[2]) if found and int(found[2]) else None


def usable_cpus(affinity: int, quotas: Iterable[float]) -> int:
    """Whole CPUs that affinity and quotas leave, at least 1."""
    return max(1, math.floor(min([affinity, *quotas])))


def usable_memory(total: int, available: int, limits: Iterable[MemoryLimit]) -> tuple[int, int, int | None]:
    """(total, available, the tightest limit) with the limits of all levels applied."""
    tightest = None
    for level in limits:
        total, available = min(total, level.limit_bytes), min(available, level.limit_bytes - level.used_bytes)
        tightest = level.limit_bytes if tightest is None else min(tightest, level.limit_bytes)
    return total, max(0, available), tightest
