"""What doctor asks about the machine around the accelerators."""

from __future__ import annotations

import os
import pwd
import re
import resource
import time
from typing import TYPE_CHECKING

from selfhost.doctor import kernel_log
from selfhost.doctor.facts import UNLIMITED, HostFacts
from selfhost.hardware import host as kernel_files
from selfhost.messages import Message

if TYPE_CHECKING:
    from selfhost.app.doctor.asking import Asking
    from selfhost.hardware.system import System

ENGINE_VARIABLES = re.compile(
    r"(?:ASCEND|ATB|CUDA|GLOO|HCCL|HF|LD|MODELSCOPE|NCCL|NVIDIA|OMP|PYTORCH|RANK|SELFHOST|TASK|TORCH|TP|VLLM)_\w+"
)
"""Names of variables that engines look at."""
_CONTAINER_TRACES = ("/.dockerenv", "/run/.containerenv")
_CONTAINER_GROUPS = re.compile(r"docker|kubepods|libpod|containerd|lxc")
_SHM = "/dev/shm"  # noqa: S108 - its size


def host_facts(asking: Asking) -> HostFacts:
    """Limits, shared memory, control group, kernel's log, variables."""
    system = asking.system
    size, free = _space(system, _SHM)
    return HostFacts(
        in_container=in_container(asking),
        open_files=_limit(resource.RLIMIT_NOFILE, hard=True),
        locked_bytes=_limit(resource.RLIMIT_MEMLOCK, hard=False),
        shm_bytes=size,
        shm_free_bytes=free,
        rdma=asking.exists("/dev/infiniband"),
        oom_kills=_oom_kills(system),
        kernel_log=_kernel_log(asking),
        has_name=_has_name(),
        environ={name: value for name, value in system.environ.items() if ENGINE_VARIABLES.fullmatch(name)},
        numa_balancing=_switch(system, "/proc/sys/kernel/numa_balancing"),
        now=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def in_container(asking: Asking) -> bool:
    """Whether this is a container, by the traces that runtimes leave."""
    if any(asking.exists(path) for path in _CONTAINER_TRACES) or asking.system.environ.get("KUBERNETES_SERVICE_HOST"):
        return True
    return bool(_CONTAINER_GROUPS.search(asking.system.read("/proc/1/cgroup")))


def _limit(kind: int, *, hard: bool) -> int:
    value = resource.getrlimit(kind)[hard]
    return UNLIMITED if value == resource.RLIM_INFINITY else value


def _space(system: System, path: str) -> tuple[int | None, int | None]:
    try:
        space = os.statvfs(system.at(path))
    except OSError:
        return None, None
    return space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize


def _oom_kills(system: System) -> int | None:
    """Of this process's own control group."""
    groups = kernel_files.cgroups(
        system.read("/proc/self/cgroup"), kernel_files.mounts(system.read("/proc/self/mountinfo"))
    )
    for group in groups:
        name = "memory.events" if group.version == 2 else "memory.oom_control"  # noqa: PLR2004
        for directory in group.directories[:1]:
            if found := re.search(r"^oom_kill (\d{1,19})$", system.read(f"{directory}/{name}"), re.MULTILINE):
                return int(found[1])
    return None


def _kernel_log(asking: Asking) -> str | None:
    tool = asking.system.find("dmesg")
    if tool is None:
        return None
    answer = asking.ask([tool])
    if answer.returncode is None:
        asking.not_told.append(Message("doctor.dmesg_silent", {"seconds": f"{asking.system.call_limit_s:g}"}))
        return None
    if answer.returncode:
        asking.not_told.append(Message("doctor.dmesg_closed"))
        return None
    return kernel_log.keep(answer.output.splitlines())


def _has_name() -> bool:
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def _switch(system: System, path: str) -> bool | None:
    text = system.read(path).strip()
    return text != "0" if text else None
