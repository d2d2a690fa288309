"""What `--on` says: `[[NODESx]COUNTx]DEVICE[@VISIBLE_GIB]` -> Hardware."""

from __future__ import annotations

import re

from selfhost.errors import UsageError
from selfhost.hardware import catalog
from selfhost.hardware.types import Device, Hardware, Platform
from selfhost.messages import word
from selfhost.units import GIB

_SPEC = re.compile(
    r"""\s*(?:(?:(?P<nodes>\d{1,5})\s*[x\u00d7*]\s*)?(?P<count>\d{1,5})\s*[x\u00d7*]\s*)?
        (?P<device>(?![-+\d.]+\s*(?:[x\u00d7*]|@|$))[^@]*[^@\s])\s*
        (?:@\s*(?P<gib>\d{1,6}(?:\.\d+)?)\s*(?:G|GiB)?\s*)?""",
    re.VERBOSE | re.IGNORECASE,
)


def parse(text: str, *, host_memory_bytes: int | None = None) -> Hardware:
    """The hardware that `--on` supposes; `host_memory_bytes` stands in for the size of a bare `cpu`.

    A device that is not in the catalogue is taken as a CUDA device of unknown capability when its memory is given.
    A known device that no engine here drives is returned too: the verdict is the planner's.
    Raises UsageError for text outside the grammar, a zero, an unknown or ambiguous device, `cpu` without its memory
    or more than once.

    Check: `2x8x910B3` -> 2 nodes, 8 devices each, 60.96 GiB visible; `cpu@16` -> 17_179_869_184 bytes.
    """
    found = _SPEC.fullmatch(text)
    nodes, count = (int(found[group] or 1) for group in ("nodes", "count")) if found else (0, 0)
    visible = int(float(found["gib"]) * GIB) if found and found["gib"] else None
    if not found or not nodes or not count or visible == 0:
        raise UsageError("hardware.spec_malformed", spec=text)
    device = catalog.lookup(found["device"]) or _assumed(found["device"], visible, text)
    if device is catalog.CPU and (nodes, count) != (1, 1):
        raise UsageError("hardware.cpu_is_one", spec=text)
    if visible is None:
        visible = host_memory_bytes if device is catalog.CPU else device.visible_memory_bytes
    if visible is None:
        raise UsageError("hardware.cpu_needs_memory", spec=text)
    return Hardware(device=device, nodes=nodes, devices_per_node=count, visible_memory_bytes=visible)


def _assumed(name: str, visible: int | None, spec: str) -> Device:
    """A CUDA device nothing is known of but its memory."""
    if candidates := catalog.ambiguous(name):
        raise UsageError("hardware.device_ambiguous", device=name, candidates=", ".join(candidates))
    if visible is None:
        nearest = ", ".join(catalog.nearest(name)) or word("none")
        raise UsageError("hardware.device_unknown", device=name, spec=spec, nearest=nearest)
    return Device(
        id=name,
        name=f"{name} (not in the catalogue)",
        vendor="unknown",
        platform=Platform.CUDA,
        source="assumed from --on: a CUDA device of unknown compute capability with the given memory",
    )
