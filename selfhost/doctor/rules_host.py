"""Findings about the machine around the accelerators: limits, shared memory, control groups, disks, the clock.

Figures of vLLM 0.32.0: utils/system_utils.py (65,535 open files), distributed/device_communicators/shm_broadcast.py
(10 pieces of 24 MiB for each group of workers).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.doctor.facts import UNLIMITED
from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.units import GIB, MIB, format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.doctor.facts import Facts

_OPEN_FILES = 65_535
_SHM_LEAST = 256 * MIB
"""One broadcast buffer of 240 MiB; NCCL's rings come on top."""
_SHM_ENOUGH = 1 * GIB
_DISK_LEAST = 20 * GIB
_SLOW_LOAD_S = 600.0
_FIRST_DAY = "2026-01-01"
"""Before this selfhost was made: a clock that says so is wrong, and certificates fail."""
_MEMORY_LEAST = 16 * GIB


def error(where: str, message: Message) -> Finding:
    """Something that keeps engines from running here."""
    return Finding(severity=Severity.ERROR, where=where, message=message)


def warning(where: str, message: Message) -> Finding:
    """Something that will cost time or work later."""
    return Finding(severity=Severity.WARNING, where=where, message=message)


def note(where: str, message: Message) -> Finding:
    """Something worth knowing."""
    return Finding(severity=Severity.NOTE, where=where, message=message)


def several_devices(facts: Facts) -> bool:
    """Whether an engine here may have several workers."""
    return sum(a.supported and not a.hidden for a in facts.snapshot.accelerators) > 1


def limits(facts: Facts) -> Iterator[Finding]:
    """Open files, and locked memory where RDMA or NPUs need it."""
    files, locked = facts.host.open_files, facts.host.locked_bytes
    if files is not None and files < _OPEN_FILES:
        yield warning("ulimit -n", Message("doctor.open_files", {"found": files, "wanted": _OPEN_FILES}))
    if locked is not None and locked < UNLIMITED and facts.host.rdma:
        yield warning("ulimit -l", Message("doctor.locked_memory", {"found": format_bytes(locked)}))


def shared_memory(facts: Facts) -> Iterator[Finding]:
    """Size of /dev/shm, where workers of several devices meet."""
    if not facts.snapshot.accelerators:
        return
    size, free = facts.host.shm_bytes, facts.host.shm_free_bytes
    where = "/dev/shm"  # noqa: S108 - a name
    if size is None:
        yield warning(where, Message("doctor.no_shm"))
    elif size < _SHM_ENOUGH:
        values = {"size": format_bytes(size), "wanted": format_bytes(_SHM_ENOUGH)}
        kind = error if size < _SHM_LEAST and several_devices(facts) else warning
        yield kind(where, Message("doctor.small_shm", values))
    elif free is not None and free < _SHM_LEAST:
        yield warning(where, Message("doctor.full_shm", {"free": format_bytes(free), "size": format_bytes(size)}))


def memory(facts: Facts) -> Iterator[Finding]:
    """Main memory and the limit of the control group."""
    host = facts.snapshot.host
    limit = host.cgroup_memory_limit_bytes
    if limit is not None and limit < _MEMORY_LEAST and facts.snapshot.accelerators:
        values = {"limit": format_bytes(limit), "wanted": format_bytes(_MEMORY_LEAST)}
        yield warning("memory", Message("doctor.small_cgroup", values))
    if facts.host.oom_kills:
        yield warning("memory", Message("doctor.oom_kills", {"count": facts.host.oom_kills}))


def disks(facts: Facts) -> Iterator[Finding]:
    """Room for models, and how long they take to load."""
    host = facts.snapshot.host
    if host.disks and host.disks[0].free_bytes < _DISK_LEAST:
        disk = host.disks[0]
        values = {"path": disk.path, "free": format_bytes(disk.free_bytes), "total": format_bytes(disk.total_bytes)}
        yield warning(disk.path, Message("doctor.full_disk", values))
    weights = facts.weights
    if weights is None or weights.read_bytes_per_s is None:
        return
    seconds = weights.bytes / weights.read_bytes_per_s
    values = {
        "name": weights.name,
        "size": format_bytes(weights.bytes),
        "speed": format_bytes(weights.read_bytes_per_s),
        "time": format_duration(seconds),
    }
    if seconds > _SLOW_LOAD_S:
        yield warning("disk", Message("doctor.slow_disk", values))
    else:
        yield note("disk", Message("doctor.disk_speed", values))


def clock(facts: Facts) -> Iterator[Finding]:
    """A clock that went back to the beginning."""
    if facts.host.now and facts.host.now < _FIRST_DAY:
        yield error("clock", Message("doctor.clock", {"now": facts.host.now, "first": _FIRST_DAY}))


def user(facts: Facts) -> Iterator[Finding]:
    """A uid without a name: torch asks for it when there are several ranks (vllm-project/vllm-ascend#9490)."""
    if not facts.host.has_name:
        kind = error if several_devices(facts) else warning
        yield kind("user", Message("doctor.nameless"))


def engines(facts: Facts) -> Iterator[Finding]:
    """Engine environments that are unfinished or from another lock."""
    for engine in facts.engines:
        values = {"name": engine.spec.name, "path": engine.path}
        if not engine.complete:
            yield warning(engine.path, Message("doctor.unfinished_engine", values))
        elif not engine.current and not any(
            other.current and other.complete and other.spec == engine.spec for other in facts.engines
        ):
            yield warning(engine.path, Message("doctor.other_engine", {**values, "version": engine.spec.version}))


def nothing_runs(facts: Facts) -> Iterator[Finding]:
    """Accelerators of which no engine here drives one."""
    found = facts.snapshot.accelerators
    if found and not any(a.supported for a in found):
        reasons = "\n".join(dict.fromkeys(f"{a.name}: {a.reason}" for a in found))
        yield error("accelerators", Message("doctor.none_supported", {"count": len(found), "reasons": reasons}))
        return
    for name, reason in dict.fromkeys((a.name, a.reason) for a in found if not a.supported):
        yield warning("accelerators", Message("doctor.not_supported", {"name": name, "reason": reason}))


def mixture(facts: Facts) -> Iterator[Finding]:
    """Accelerators of several kinds, of which one engine takes one kind."""
    usable = [a for a in facts.snapshot.accelerators if a.supported and not a.mig]
    kinds = sorted({a.name for a in usable})
    # Of NPUs `detect` says so.
    if len(kinds) > 1 and any(a.vendor != "huawei" for a in usable):
        yield note("accelerators", Message("doctor.mixture", {"kinds": ", ".join(kinds)}))


RULES = (limits, shared_memory, memory, disks, clock, user, engines, nothing_runs, mixture)
