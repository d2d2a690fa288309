"""What the kernel's log says about devices: Xid messages of NVIDIA's driver, counted by GPU and number.

Numbers and what they mean: NVIDIA, "Xid Errors". A line looks like
`NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.`
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

WANTED = re.compile(r"NVRM: |nvidia-nvswitch|\bSXid\b|Out of memory: Killed process|oom-kill:|\bdavinci|\[ascend\]")
"""Lines that are worth keeping."""

_XID = re.compile(r"NVRM: Xid \(PCI:([0-9A-Fa-f:.]+)\): (\d{1,5})")
_SXID = re.compile(r"SXid \(PCI:([0-9A-Fa-f:.]+)\): (\d{1,5}), (Fatal|Non-fatal)", re.IGNORECASE)
_KILLED = re.compile(r"Out of memory: Killed process (\d+) \(([^)]*)\)")

HARDWARE = frozenset({48, 61, 62, 63, 64, 74, 79, 92, 94, 95, 119, 120, 140, 143, 145, 149, 154, 155, 156})
"""Memory, bus, links, the GPU's own processors: a reset, a reboot or a new board."""
APPLICATION = frozenset({13, 31, 43, 45, 68, 69})
"""A program did something wrong, or was ended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Equal messages about one device."""

    bus_id: str
    number: int
    count: int
    line: str
    """The last of them."""
    switch: bool = False


def events(text: str) -> tuple[Event, ...]:
    """Xid messages of GPUs, and fatal ones of NVSwitches; sorted by device and number."""
    found: dict[tuple[str, int, bool], Event] = {}
    for line in text.splitlines():
        match, switch = _XID.search(line), False
        if match is None and (match := _SXID.search(line)):
            if match[3].lower() != "fatal":
                continue
            switch = True
        if match is None:
            continue
        key = (match[1].lower(), int(match[2]), switch)
        count = found[key].count + 1 if key in found else 1
        found[key] = Event(bus_id=key[0], number=key[1], count=count, line=line.strip()[:200], switch=switch)
    return tuple(found[key] for key in sorted(found))


def killed(text: str) -> tuple[str, ...]:
    """`python (pid 12)` for each process that the kernel ended for want of memory, in order."""
    return tuple(f"{name} (pid {pid})" for pid, name in _KILLED.findall(text))


def keep(lines: Iterable[str], most: int = 500) -> str:
    """The last lines that are worth keeping."""
    return "\n".join([line for line in lines if WANTED.search(line)][-most:])
