"""What doctor asks about NVIDIA GPUs."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from selfhost.doctor import gpu_health
from selfhost.doctor.facts import ContainerToolkit, CudaFacts, Library
from selfhost.engines.needs import parse_driver_version
from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from selfhost.app.doctor.asking import Asking
    from selfhost.hardware.system import System
    from selfhost.hardware.types import HardwareSnapshot

_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/lib",
)
_LIBRARY = re.compile(r"libcuda\.so\.(\d{3,}\.\d+(?:\.\d+)?)")
_CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
_CDI_DEVICE = re.compile(r"^nvidia\.com/gpu=", re.MULTILINE)
_RUNTIMES = ("docker", "podman")
_SWITCH_CLASS = "0x0680"
_NVIDIA = "0x10de"
_MANAGER = "nv-fabricmanager"[:15]
"""The kernel keeps 15 characters of a name."""
_NODES = ("/dev/nvidiactl", "/dev/nvidia-uvm")


def is_here(asking: Asking, snapshot: HardwareSnapshot) -> bool:
    """Whether anything speaks of an NVIDIA GPU."""
    return (
        any(a.vendor == "nvidia" for a in snapshot.accelerators)
        or any(message.id.startswith("hardware.nvidia_") for message in snapshot.messages)
        or asking.exists("/proc/driver/nvidia/version")
    )


def cuda_facts(
    asking: Asking, snapshot: HardwareSnapshot, servers: Mapping[int, str], *, in_container: bool
) -> CudaFacts:
    """Everything about GPUs; `servers`: the server of each process that belongs to one."""
    system = asking.system
    driver = parse_driver_version(system.read("/proc/driver/nvidia/version"))
    health = gpu_health.Health()
    if any(a.vendor == "nvidia" for a in snapshot.accelerators):
        health = _health(asking, servers)
    libraries, compat = _libraries(system)
    missing = [path for path in _NODES if not asking.exists(path)] if in_container and driver else []
    return CudaFacts(
        gpus=health.gpus,
        peers=health.peers,
        kernel_driver=driver,
        libraries=libraries,
        compat=compat,
        switches=sum(1 for _ in _switches(system)),
        fabric_manager=None if in_container else _runs(system, _MANAGER),
        missing_nodes=tuple(missing),
        containers=None if in_container else _containers(asking, snapshot, driver),
    )


def _health(asking: Asking, servers: Mapping[int, str]) -> gpu_health.Health:
    answer = asking.ask(asking.system.health_argv)
    health = gpu_health.parse(answer.output, lambda pid: _name(asking.system, pid), servers.get)
    if answer.returncode is None or health.problem:
        detail = health.problem if answer.returncode is not None else "NVML does not answer"
        asking.not_told.append(Message("doctor.nvml_silent", {"detail": detail}))
    return health


def _name(system: System, pid: int) -> str:
    return system.read(f"/proc/{pid}/comm").strip() or "not visible here"


def _libraries(system: System) -> tuple[tuple[Library, ...], str | None]:
    """(libraries of the driver in the places where loaders look, a folder of the compatibility library)."""
    named = [path for path in system.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if path.startswith("/")]
    configured = [
        line.strip()
        for path in sorted(system.at("/etc/ld.so.conf.d").glob("*.conf"))
        for line in system.read(path).splitlines()
        if line.strip().startswith("/")
    ]
    found: dict[str, Library] = {}
    compat = None
    for folder in dict.fromkeys((*named, *configured, *_FOLDERS)):
        for path in _files(system.at(folder), "libcuda.so.*"):
            match = _LIBRARY.fullmatch(path.name)
            if match is None:
                continue
            if "compat" in folder.split("/"):
                compat = compat or folder
                continue
            real = os.path.realpath(path)
            found.setdefault(real, Library(path=f"{folder.rstrip('/')}/{path.name}", version=match[1]))
    return tuple(found.values()), compat


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _switches(system: System) -> Iterator[str]:
    for device in _files(system.at("/sys/bus/pci/devices"), "*"):
        with contextlib.suppress(OSError):
            if (device / "vendor").read_text().strip() == _NVIDIA and (device / "class").read_text().startswith(
                _SWITCH_CLASS
            ):
                yield device.name


def _runs(system: System, name: str) -> bool:
    return any(system.read(path).strip() == name for path in _files(system.at("/proc"), "[0-9]*/comm"))


def _containers(asking: Asking, snapshot: HardwareSnapshot, driver: str | None) -> ContainerToolkit | None:
    runtime = next((name for name in _RUNTIMES if name in snapshot.host.container_engines), None)
    if runtime is None:
        return None
    tool = asking.system.find("nvidia-ctk")
    devices = None
    if tool:
        answer = asking.ask([tool, "cdi", "list"])
        devices = len(_CDI_DEVICE.findall(answer.output)) if answer.returncode == 0 else None
    stale = tuple(_stale(asking.system, driver)) if driver else ()
    return ContainerToolkit(runtime=runtime, toolkit=tool is not None, devices=devices, stale=stale)


def _stale(system: System, driver: str) -> Iterator[Library]:
    """CDI files that name libraries of another driver."""
    for folder in _CDI_FOLDERS:
        for path in _files(system.at(folder), "*.[jy]*"):
            versions = set(_LIBRARY.findall(system.read(path)))
            if versions and driver not in versions:
                yield Library(path=f"{folder}/{path.name}", version=min(versions))
