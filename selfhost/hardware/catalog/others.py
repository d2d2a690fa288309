"""The CPU as a device, and known devices that no engine here drives."""

from __future__ import annotations

from selfhost.hardware.types import Device, Platform
from selfhost.messages import text
from selfhost.units import GIB

CPU = Device(id="cpu", name="CPU", vendor="cpu", platform=Platform.CPU, family="CPU")
"""Its memory is the host's: `cpu@16`, or what is free here."""

OTHERS = (
    CPU,
    Device(
        id="MLU370-X8-48G",
        name="MLU370-X8",
        vendor="cambricon",
        platform=None,
        aliases=("MLU370",),
        memory_bytes=48 * GIB,
        visible_memory_bytes=int(45.6 * GIB),
        visible_memory_low_bytes=int(45.6 * GIB),
        supported=False,
        reason=text("hardware.unsupported_mlu"),
        source="nominal 48 GB, not verified; visible derived: 0.95 of it",
    ),
    Device(
        id="MTT-S4000-48G",
        name="MTT S4000",
        vendor="moore-threads",
        platform=None,
        aliases=("S4000",),
        memory_bytes=48 * GIB,
        visible_memory_bytes=int(45.6 * GIB),
        visible_memory_low_bytes=int(45.6 * GIB),
        supported=False,
        reason=text("hardware.unsupported_mtt"),
        source="nominal 48 GB, not verified; visible derived: 0.95 of it",
    ),
)
