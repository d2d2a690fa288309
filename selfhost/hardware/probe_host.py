"""Reads what the kernel and the distribution say about this machine. Runs nothing, changes nothing."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from selfhost.hardware import ascend_files, cann_folder, host
from selfhost.hardware.types import Disk, Host
from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from selfhost.hardware.system import System

_CONTAINER_ENGINES = ("docker", "podman", "nerdctl", "buildah")


def probe_host(home: Path, system: System) -> Host:
    """The machine itself; `home` names the disk that models and engines will fill."""
    uname = os.uname()
    mounts = host.mounts(system.read("/proc/self/mountinfo"))
    groups = host.cgroups(system.read("/proc/self/cgroup"), mounts)
    cpu_name, cpu_flags = host.cpu(system.read("/proc/cpuinfo"))
    total, available, limit = host.usable_memory(
        *host.memory(system.read("/proc/meminfo")), _memory_limits(system, groups)
    )
    install = system.read(ascend_files.INSTALL_FILE)
    folder = ascend_files.folder(install)
    driver = ascend_files.parse_driver(system.read(f"{folder}/driver/version.info"))
    toolkit = cann_folder.find_cann(system)
    return Host(
        hostname=uname.nodename,
        os=host.os_name(system.read("/etc/os-release")) or uname.sysname,
        kernel=uname.release,
        glibc=_glibc(),
        architecture=uname.machine,
        python=".".join(map(str, sys.version_info[:3])),
        cpu_name=cpu_name,
        cpu_count=host.usable_cpus(len(os.sched_getaffinity(0)), _cpu_quotas(system, groups)),
        cpu_flags=cpu_flags,
        numa_nodes=host.count_list(system.read("/sys/devices/system/node/online")) or 1,
        memory_bytes=total,
        available_memory_bytes=available,
        cgroup_memory_limit_bytes=limit,
        ascend_driver=driver.version,
        ascend_firmware=ascend_files.parse_version(system.read(f"{folder}/firmware/version.info")),
        ascend_firmware_wanted=driver.firmware_wanted,
        ascend_install_status=ascend_files.parse_install(install).status,
        cann=toolkit.version if toolkit else None,
        container_engines=tuple(name for name in _CONTAINER_ENGINES if system.find(name)),
        disks=tuple(_disks((home, system.at("/dev/shm")), mounts)),  # noqa: S108 - a size, no file
    )


def ascend_notes(system: System, running: str | None, firmware: str | None) -> Iterator[Message]:
    """What of an Ascend driver does not go together: its files, what is running, the firmware, its installation.

    running, firmware: as npu-smi tells them; None when it does not.
    """
    install = system.read(ascend_files.INSTALL_FILE)
    folder = ascend_files.folder(install)
    driver = ascend_files.parse_driver(system.read(f"{folder}/driver/version.info"))
    if ascend_files.parse_install(install).status not in (None, "complete"):
        yield Message("hardware.npu_half_installed")
    if running and driver.version and not ascend_files.same_release(running, driver.version):
        yield Message("hardware.npu_driver_differs", {"running": running, "files": driver.version})
    firmware = firmware or ascend_files.parse_version(system.read(f"{folder}/firmware/version.info"))
    if driver.takes_firmware(firmware) is False:
        values = {"driver": driver.version, "wanted": driver.firmware_wanted, "firmware": firmware}
        yield Message("hardware.npu_firmware", values)


def _glibc() -> str | None:
    """`2.36`; None on another C library."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ") or None
    except (ValueError, OSError):
        return None


def _memory_limits(system: System, groups: list[host.Cgroup]) -> Iterator[host.MemoryLimit]:
    for group in groups:
        v2 = ("memory.max", "memory.current", "memory.stat")
        v1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat")
        for directory in group.directories:
            files = (system.read(f"{directory}/{name}") for name in (v2 if group.version == 2 else v1))  # noqa: PLR2004
            if level := host.memory_limit(*files):
                yield level


def _cpu_quotas(system: System, groups: list[host.Cgroup]) -> Iterator[float]:
    for group in groups:
        for directory in group.directories:
            if group.version == 2:  # noqa: PLR2004 - cgroup version
                quota = system.read(f"{directory}/cpu.max")
            else:
                quota = " ".join(system.read(f"{directory}/cpu.cfs_{part}_us").strip() for part in ("quota", "period"))
            if (cpus := host.cpu_quota(quota)) is not None:
                yield cpus


def _disks(paths: Iterable[Path], mounts: list[host.Mount]) -> Iterator[Disk]:
    """The file system of each path, or of its nearest parent that exists; none for one that cannot be asked."""
    for path in paths:
        try:
            existing = next(p for p in (path, *path.parents) if p.exists()).resolve()
            space = os.statvfs(existing)
        except OSError:
            continue
        yield Disk(
            path=str(path),
            file_system=host.file_system_of(str(existing), mounts),
            total_bytes=space.f_blocks * space.f_frsize,
            free_bytes=space.f_bavail * space.f_frsize,
        )
