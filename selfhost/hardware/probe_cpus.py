"""Which logical CPUs this process may use, on which core and NUMA node each is. Runs nothing, changes nothing."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from selfhost.hardware.host import Cpu, numbers
from selfhost.hardware.system import System

if TYPE_CHECKING:
    from collections.abc import Iterable

_NODES = "/sys/devices/system/node"
_CPUS = "/sys/devices/system/cpu"


def probe_cpus(system: System | None = None, allowed: Iterable[int] | None = None) -> tuple[Cpu, ...]:
    """The CPUs, by number; what the kernel does not tell is taken as one core each, all on node 0.

    allowed: of which; None: those of this process's affinity.
    """
    system = system or System()
    nodes: dict[int, int] = {}
    for node in numbers(system.read(f"{_NODES}/online")):
        nodes |= dict.fromkeys(numbers(system.read(f"{_NODES}/node{node}/cpulist")), node)
    found = []
    for number in sorted(os.sched_getaffinity(0) if allowed is None else allowed):
        siblings = numbers(system.read(f"{_CPUS}/cpu{number}/topology/thread_siblings_list"))
        found.append(Cpu(number, min(siblings, default=number), nodes.get(number, 0)))
    return tuple(found)


def read_binding(value: str) -> tuple[int, ...]:
    """The CPUs of a `VLLM_CPU_OMP_THREADS_BIND`: `0-3|4,6` -> 0 to 4 and 6; empty for `auto` and `nobind`."""
    return tuple(sorted({number for part in re.split(r"[|,]", value) for number in numbers(part)}))
