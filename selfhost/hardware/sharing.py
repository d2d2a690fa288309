"""What the environment and other processes leave of the accelerators that were found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.messages import Message
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from selfhost.hardware.types import Accelerator

VARIABLES = {"nvidia": "CUDA_VISIBLE_DEVICES", "huawei": "ASCEND_RT_VISIBLE_DEVICES"}

_BUSY_FRACTION = 0.1
"""An idle NPU reports up to 9 % as used (910B4: 2.9 of 32 GB), an idle GPU next to nothing."""

_SHOWN = 3
"""Processes of one accelerator that a note names."""


def hide(
    accelerators: Iterable[Accelerator], environ: Mapping[str, str]
) -> tuple[tuple[Accelerator, ...], tuple[Message, ...]]:
    """The accelerators, those marked that the environment hides from an engine, and a note per variable that is set.

    Entries are indices or beginnings of uuids; as CUDA does, reading stops at the first that names nothing. On Ascend
    they are logical ids: where those are not known, nothing is marked.
    """
    found = list(accelerators)
    notes: list[Message] = []
    for vendor, variable in VARIABLES.items():
        mine = [a for a in found if a.vendor == vendor]
        if (value := environ.get(variable)) is None or not mine:
            continue
        if any(a.npu and a.npu.logical_id is None for a in mine):
            notes.append(Message("hardware.hidden_unknown", {"variable": variable, "value": value}))
            continue
        kept: list[Accelerator] = []
        for entry in value.split(","):
            named = [a for a in mine if _names(entry.strip(), a)]
            if not named:
                break
            kept += named
        found = [a if a.vendor != vendor or a in kept else replace(a, hidden=True) for a in found]
        values = {"variable": variable, "value": value, "kept": len(set(kept)), "found": len(mine)}
        notes.append(Message("hardware.hidden", values))
    return tuple(found), tuple(notes)


def _names(entry: str, accelerator: Accelerator) -> bool:
    if entry.isdecimal():
        return int(entry) == (accelerator.npu.logical_id if accelerator.npu else accelerator.index)
    return bool(entry) and (accelerator.uuid or "").startswith(entry)


def busy_notes(accelerators: Iterable[Accelerator]) -> tuple[Message, ...]:
    """One note per accelerator that others use, and an engine started from here would see."""
    return tuple(
        Message(
            "hardware.busy",
            {
                "index": a.index,
                "name": a.name,
                "used": format_bytes(a.used_bytes or 0),
                "total": format_bytes(a.memory_bytes or a.visible_memory_bytes or 0),
                "by": _by(a),
            },
        )
        for a in accelerators
        if a.supported
        and not a.hidden
        and (a.used_bytes or 0) > _BUSY_FRACTION * (a.memory_bytes or a.visible_memory_bytes or 0)
    )


def _by(accelerator: Accelerator) -> str:
    """`, by python (pid 4711)`, those with most memory first; empty when the tool does not tell."""
    jobs = [process for process in accelerator.processes if not process.context_only]
    jobs.sort(key=lambda process: (-(process.memory_bytes or 0), process.pid))
    told = [f"{process.name or 'a process'} (pid {process.pid})" for process in jobs[:_SHOWN]]
    more = f" and {len(jobs) - _SHOWN} more" if len(jobs) > _SHOWN else ""
    return f", by {', '.join(told)}{more}" if told else ""


def assumed_notes(accelerators: Iterable[Accelerator]) -> tuple[Message, ...]:
    """One note per kind of accelerator whose engine-visible memory is not known."""
    kinds = {
        (a.name, a.visible_memory_bytes): Message(
            "hardware.visible_assumed", {"name": a.name, "visible": format_bytes(a.visible_memory_bytes or 0)}
        )
        for a in accelerators
        if a.supported and a.visible_memory_assumed and not a.mig
    }
    return tuple(kinds.values())


def ranges(numbers: Sequence[int]) -> str:
    """`0-2,5` for 0, 1, 2, 5."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
