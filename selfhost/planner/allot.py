"""What the servers of selfhost that run leave to one more: devices, memory that is promised but not taken yet, cores.

The planner takes the devices of found hardware in their order, so to allot is to leave some out, or to put them in
another order. Memory of a device is what detection says is free, less what a server that is still loading has yet to
take: how much that is follows from what was used before it began. Of the host's memory it can be measured per process.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from selfhost.errors import UsageError
from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.records import dataclass
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from selfhost.hardware.host import Cpu
    from selfhost.hardware.types import Hardware

_IDLE_FRACTION = 0.9
"""Of its memory an idle device has free; as `hardware.sharing` tells busy ones."""
_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")
_UUID = re.compile(r"(?:GPU|MIG)-[0-9A-Za-z/-]+")
_MOST_NAMED = 4096
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """A server that runs, and what it has or has been promised."""

    server: str
    devices: tuple[str, ...] = ()
    """As `--devices` calls them; empty for a server on the CPU."""
    promised_bytes: int = 0
    """Of each of its devices; on a CPU of all its ranks together."""
    before_bytes: tuple[int, ...] = ()
    """What was used of each of its devices before it was started; empty: not known."""
    loading: bool = False
    """It is not ready yet, so not all that was promised is taken."""
    taken_bytes: int = 0
    """On a CPU: what its processes hold now and nothing else could have."""
    cpus: tuple[int, ...] = ()
    """On a CPU: where its threads are bound."""

    @property
    def on_cpu(self) -> bool:
        """Whether it takes memory of the host."""
        return not self.devices and self.promised_bytes > 0

    @property
    def to_come_bytes(self) -> int:
        """On a CPU: what it was promised and has not taken yet."""
        return max(0, self.promised_bytes - self.taken_bytes)


def parse_devices(given: str) -> tuple[str, ...]:
    """What `--devices` names, one by one: `0,2-4` -> 0, 2, 3, 4; `GPU-...` and `MIG-...` as they are.

    Raises UsageError for anything else, and for a device that is named twice.
    """
    found: list[str] = []
    for word in (part.strip() for part in given.split(",")):
        if word.isdecimal() and word.isascii():
            found.append(str(int(word)))
        elif (ends := _RANGE.fullmatch(word)) and 0 <= int(ends[2]) - int(ends[1]) < _MOST_NAMED:
            found += [str(number) for number in range(int(ends[1]), int(ends[2]) + 1)]
        elif _UUID.fullmatch(word):
            found.append(word)
        else:
            raise UsageError("allot.malformed", devices=given, word=word)
    if twice := [name for name in dict.fromkeys(found) if found.count(name) > 1]:
        raise UsageError("allot.twice", devices=given, word=twice[0])
    return tuple(found)


# Memory


def share(hardware: Hardware, holders: Sequence[Holder], *, stopped: Collection[str] = ()) -> Hardware:
    """Hardware that was found, less what servers hold and were promised.

    stopped: servers that are taken as ended: what they have comes back. Check: of 80 GiB 10 are used by others, and a
    server was promised 32 and has taken 20 of it (30 used): 38 are free, not 50.
    """
    if hardware.device.platform is Platform.CPU:
        return _share_host(hardware, [holder for holder in holders if holder.on_cpu], stopped)
    names = hardware.device_names
    mine = [holder for holder in holders if not set(holder.devices).isdisjoint(names)]
    if not mine:
        return hardware
    visible = hardware.visible_memory_bytes
    detected = hardware.free_memory_bytes or (visible,) * len(names)
    held = tuple(", ".join(h.server for h in mine if name in h.devices and h.server not in stopped) for name in names)
    free = tuple(_left(visible, left, name, mine, stopped) for name, left in zip(names, detected, strict=True))
    return replace(hardware, free_memory_bytes=free, held_by=held)


def _left(visible: int, free: int, device: str, holders: Iterable[Holder], stopped: Collection[str]) -> int:
    """Bytes of a device that are free, or will be once those that load have taken what they were promised."""
    on_it = [holder for holder in holders if device in holder.devices]
    staying = [holder for holder in on_it if holder.server not in stopped]
    back = sum(holder.promised_bytes for holder in on_it if holder.server in stopped)
    free = min(visible, free + back)
    if not any(holder.loading for holder in staying):
        return free
    before = min(_before(holder, device) for holder in staying)
    return max(0, min(free, visible - before - sum(holder.promised_bytes for holder in staying)))


def _before(holder: Holder, device: str) -> int:
    place = holder.devices.index(device)
    return holder.before_bytes[place] if place < len(holder.before_bytes) else 0


def _share_host(hardware: Hardware, holders: Sequence[Holder], stopped: Collection[str]) -> Hardware:
    if not holders:
        return hardware
    staying = [holder for holder in holders if holder.server not in stopped]
    back = sum(holder.taken_bytes for holder in holders if holder.server in stopped)
    visible = hardware.visible_memory_bytes + back - sum(holder.to_come_bytes for holder in staying)
    held = tuple(filter(None, [", ".join(holder.server for holder in staying)]))
    return replace(hardware, visible_memory_bytes=max(0, visible), held_by=held)


# Devices


def unheld(hardware: Hardware) -> Hardware | None:
    """Only the devices that no server holds; None when that are all of them or none."""
    free = [place for place, holder in enumerate(hardware.held_by) if not holder]
    if hardware.device.platform is Platform.CPU or len(free) in (0, len(hardware.held_by)):
        return None
    return _keep(hardware, free)


def ordered(hardware: Hardware, count: int) -> Hardware:
    """The same hardware, its devices in the order in which `count` of them are best taken.

    Those that nobody uses come before those that other processes use, those before devices of our own servers; of used
    ones those with most memory left. A block that starts at a multiple of `count` comes first: neighbours are linked
    best (two by NVLink bridges, two dies of a card, four below a switch), and larger blocks stay whole for the next.
    """
    names, visible = hardware.device_names, hardware.visible_memory_bytes
    if len(names) <= count and not hardware.slice_uuids:
        return hardware
    free = hardware.free_memory_bytes or (visible,) * len(names)
    held = hardware.held_by or ("",) * len(names)
    ranks = [(bool(held[place]), free[place] < _IDLE_FRACTION * visible) for place in range(len(names))]
    idle = (False, False)
    by_rank = sorted(
        range(len(names)), key=lambda place: (ranks[place], -free[place] if ranks[place] != idle else 0, place)
    )
    whole = (block for block in _blocks(hardware, count) if all(ranks[place] == idle for place in block))
    taken = next(whole, sorted(by_rank[:count]))
    return _keep(hardware, [*taken, *(place for place in by_rank if place not in taken)])


def _blocks(hardware: Hardware, count: int) -> list[list[int]]:
    """Places of `count` devices that are numbered in a row, from a multiple of it on."""
    found: dict[int, list[int]] = {}
    for place, number in enumerate(hardware.device_indices):
        found.setdefault(number // count, []).append(place)
    return [block for _, block in sorted(found.items()) if len(block) == count]


def _keep(hardware: Hardware, places: Sequence[int]) -> Hardware:
    """Only the devices at these places, in this order."""

    def kept(values: tuple[_T, ...]) -> tuple[_T, ...]:
        return tuple(values[place] for place in places) if values else ()

    return replace(
        hardware,
        devices_per_node=1 if hardware.slice_uuids else len(places),
        free_memory_bytes=kept(hardware.free_memory_bytes),
        device_indices=kept(hardware.device_indices),
        physical_ids=kept(hardware.physical_ids),
        logical_ids=kept(hardware.logical_ids),
        slice_uuids=kept(hardware.slice_uuids),
        held_by=kept(hardware.held_by),
    )


# Cores


def bound_by_engine(cpus: Sequence[Cpu]) -> tuple[int, ...]:
    """Where the engine binds the threads of one rank by itself: on the first NUMA node, one CPU of each core.

    The last one is left to its other processes (vLLM 0.32 utils/ompmultiprocessing.py, on x86).
    """
    if not cpus:
        return ()
    first = min(cpu.node for cpu in cpus)
    found = sorted(max(core) for core in _cores(cpu for cpu in cpus if cpu.node == first))
    return tuple(found[:-1] or found)


def cpus_beside(cpus: Sequence[Cpu], held: Collection[int]) -> tuple[int, ...]:
    """One CPU of each core that no server is bound to, of the NUMA node with most of them; empty when there is none.

    As the engine does, one core is left to its other processes where there are several.
    """
    free: dict[int, list[int]] = {}
    for node in sorted({cpu.node for cpu in cpus}):
        cores = _cores(cpu for cpu in cpus if cpu.node == node)
        free[node] = sorted(max(core) for core in cores if core.isdisjoint(held))
    most = max(free.values(), key=len, default=[])
    return tuple(most[:-1] or most)


def _cores(cpus: Iterable[Cpu]) -> list[set[int]]:
    found: dict[int, set[int]] = {}
    for cpu in cpus:
        found.setdefault(cpu.core, set()).add(cpu.number)
    return list(found.values())


# Sentences


def servers_on(hardware: Hardware, holders: Sequence[Holder]) -> list[str]:
    """Names of the servers that hold some of this hardware."""
    if hardware.device.platform is Platform.CPU:
        return [holder.server for holder in holders if holder.on_cpu]
    names = set(hardware.device_names)
    return [holder.server for holder in holders if not names.isdisjoint(holder.devices)]


def told(hardware: Hardware, holders: Sequence[Holder]) -> list[str]:
    """A line for each server that holds some of this hardware."""
    if hardware.device.platform is Platform.CPU:
        return [
            text(
                "allot.holds_host",
                server=holder.server,
                promised=format_bytes(holder.promised_bytes),
                to_come=format_bytes(holder.to_come_bytes),
            )
            for holder in holders
            if holder.on_cpu
        ]
    names = hardware.device_names
    unit = "NPU" if hardware.device.platform is Platform.ASCEND else "GPU"
    return [
        text(
            "allot.holds_loading" if holder.loading else "allot.holds",
            server=holder.server,
            unit=unit,
            devices=", ".join(name for name in names if name in holder.devices),
            promised=format_bytes(holder.promised_bytes),
        )
        for holder in holders
        if not set(holder.devices).isdisjoint(names)
    ]
