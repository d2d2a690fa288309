"""Findings out of what `detect` could not tell or warns of; and which processes hold memory of accelerators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.doctor.facts import Process
from selfhost.doctor.rules_host import warning
from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.units import GIB, format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.doctor.facts import Facts
    from selfhost.hardware.types import Accelerator

_TOLD_HERE = {"hardware.busy"}
"""Told with the processes that hold the memory: `memory_held`."""
_NOTES = {
    *("hardware.hidden", "hardware.hidden_unknown", "hardware.visible_assumed"),
    *("hardware.npu_by_torch", "hardware.npu_mixed"),
}
_WARNINGS = {
    *("hardware.npu_none", "hardware.nvidia_no_devices"),
    *("hardware.npu_cut", "hardware.npu_not_listed", "hardware.npu_torch_failed"),
    "hardware.npu_part_hangs",
}
_SICK = ("Alarm", "Critical")
"""Other words than npu-smi's own, as from a translated one, are no proof of a fault."""
_IDLE_BYTES = 4 * GIB
"""An idle NPU of 64 GB reports up to 3.4 GB as used, a 950PR of 128 GB 5.2 GB; an idle GPU less than 1 GB."""
_IDLE_FRACTION = 0.05
_SHOWN = 8


def detected(facts: Facts) -> Iterator[Finding]:
    """What `detect` says, by how bad it is: a driver that does not answer is an error."""
    for message in facts.snapshot.messages:
        if message.id in _TOLD_HERE:
            continue
        if message.id in _NOTES:
            severity = Severity.NOTE
        elif message.id in _WARNINGS or message.params.get("health", _SICK[0]) not in _SICK:
            severity = Severity.WARNING
        else:
            severity = Severity.ERROR
        yield Finding(severity=severity, where="detect", message=message)


def memory_held(facts: Facts) -> Iterator[Finding]:
    """Accelerators whose memory others hold; servers of selfhost are named as such."""
    by_index = {gpu.index: gpu.processes for gpu in facts.cuda.gpus} if facts.cuda else {}
    for accelerator in facts.snapshot.accelerators:
        used, total = accelerator.used_bytes or 0, accelerator.memory_bytes or 0
        if not accelerator.supported or used <= max(_IDLE_BYTES, _IDLE_FRACTION * total):
            continue
        own = accelerator.vendor == "nvidia"
        processes = by_index.get(accelerator.index, ()) if own else _told(facts, accelerator)
        where = f"{accelerator.name} {accelerator.index}"
        values = {"where": where, "used": format_bytes(used), "total": format_bytes(total)}
        who = "\n".join(_line(process) for process in processes[:_SHOWN])
        if processes and all(process.server for process in processes):
            continue
        if who:
            yield warning(where, Message("doctor.memory_held", {**values, "who": who}))
        else:
            yield warning(where, Message("doctor.memory_held_by", {**values, "tool": _tool(accelerator)}))


def _told(facts: Facts, accelerator: Accelerator) -> tuple[Process, ...]:
    """What npu-smi tells; every rank of an engine leaves a small context on the first NPU, which is no work there."""
    return tuple(
        Process(
            pid=one.pid,
            name=one.name or "no name",
            used_bytes=one.memory_bytes,
            server=facts.servers.get(one.container_pid or one.pid),
        )
        for one in accelerator.processes
        if not one.context_only
    )


def _line(process: Process) -> str:
    used = "?" if process.used_bytes is None else format_bytes(process.used_bytes)
    server = f", server `{process.server}`" if process.server else ""
    return f"pid {process.pid} ({process.name}): {used}{server}"


def _tool(accelerator: Accelerator) -> str:
    return "npu-smi info" if accelerator.vendor == "huawei" else "nvidia-smi"


RULES = (detected, memory_held)
