"""Findings about the health of NVIDIA GPUs: memory errors, slowed clocks, links, and the kernel's messages.

Sources: NVIDIA, "GPU Memory Error Management", "Xid Errors", and NVML's API reference (bits of clocksEventReasons).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.doctor import kernel_log
from selfhost.doctor.rules_host import error, note, warning
from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.doctor.facts import Facts, Gpu
    from selfhost.findings import Finding

_SLOWED = {
    0x8: "hardware slowdown",
    0x20: "the driver, for heat",
    0x40: "the hardware, for heat",
    0x80: "the power brake of the machine",
}
_EXCLUSIVE, _PROHIBITED = 3, 2


def memory_errors(facts: Facts) -> Iterator[Finding]:
    """ECC errors that could not be corrected, and rows or pages that wait to be replaced."""
    for gpu in _gpus(facts):
        where = f"GPU {gpu.index}"
        values: dict[str, object] = {"index": gpu.index}
        if gpu.remap_failed:
            yield error(where, Message("doctor_cuda.remap_failed", values))
        elif gpu.remap_pending or gpu.retirement_pending:
            yield error(where, Message("doctor_cuda.remap_pending", values))
        if gpu.ecc_uncorrected:
            yield error(where, Message("doctor_cuda.ecc", {**values, "count": gpu.ecc_uncorrected}))
        elif gpu.ecc_uncorrected_ever:
            yield note(where, Message("doctor_cuda.ecc_ever", {**values, "count": gpu.ecc_uncorrected_ever}))
        if gpu.ecc is False:
            yield note(where, Message("doctor_cuda.ecc_off", values))


def clocks(facts: Facts) -> Iterator[Finding]:
    """GPUs that run slower than they could, for heat or for want of power."""
    for gpu in _gpus(facts):
        if reasons := [name for bit, name in _SLOWED.items() if gpu.slowed_by & bit]:
            values = {"index": gpu.index, "reasons": ", ".join(reasons)}
            yield warning(f"GPU {gpu.index}", Message("doctor_cuda.slowed", values))


def bus(facts: Facts) -> Iterator[Finding]:
    """A slot or a cable that gives fewer lanes than the GPU has; NVLinks that are down."""
    for gpu in _gpus(facts):
        if gpu.pcie_width and gpu.pcie_width_highest and gpu.pcie_width < gpu.pcie_width_highest:
            values = {"index": gpu.index, "found": gpu.pcie_width, "wanted": gpu.pcie_width_highest}
            yield warning(f"GPU {gpu.index}", Message("doctor_cuda.pcie_width", values))
        if gpu.links_down:
            links = ", ".join(map(str, gpu.links_down))
            yield warning(f"GPU {gpu.index}", Message("doctor_cuda.links_down", {"index": gpu.index, "links": links}))


def modes(facts: Facts) -> Iterator[Finding]:
    """Modes of the driver: persistence, and who may compute."""
    off = [gpu.index for gpu in _gpus(facts) if gpu.persistence is False]
    if off:
        yield note("GPUs", Message("doctor_cuda.persistence", {"indices": ", ".join(map(str, off))}))
    for gpu in _gpus(facts):
        if gpu.compute_mode == _PROHIBITED:
            yield error(f"GPU {gpu.index}", Message("doctor_cuda.prohibited", {"index": gpu.index}))
        elif gpu.compute_mode == _EXCLUSIVE:
            yield note(f"GPU {gpu.index}", Message("doctor_cuda.exclusive", {"index": gpu.index}))


def kernel(facts: Facts) -> Iterator[Finding]:
    """Xid messages since the machine was started, and what the kernel killed."""
    text = facts.host.kernel_log or ""
    for event in kernel_log.events(text):
        values = {"bus": event.bus_id, "number": event.number, "count": event.count, "line": event.line}
        where = f"PCI {event.bus_id}"
        if event.switch:
            yield error(where, Message("doctor_cuda.sxid", values))
        elif event.number in kernel_log.HARDWARE:
            yield error(where, Message("doctor_cuda.xid_hardware", values))
        elif event.number in kernel_log.APPLICATION:
            yield warning(where, Message("doctor_cuda.xid_application", values))
        else:
            yield warning(where, Message("doctor_cuda.xid", values))
    if (killed := kernel_log.killed(text)) and not facts.host.oom_kills:
        yield warning("memory", Message("doctor.killed", {"count": len(killed), "last": killed[-1]}))


def _gpus(facts: Facts) -> tuple[Gpu, ...]:
    return facts.cuda.gpus if facts.cuda else ()


RULES = (memory_errors, clocks, bus, modes, kernel)
