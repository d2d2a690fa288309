"""Ascend devices by other sources than npu-smi: what torch_npu says, and what nodes and the PCI bus leave to tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from selfhost.hardware import ascend_files, npu_codes, npu_names
from selfhost.hardware.types import Accelerator, Npu
from selfhost.messages import text
from selfhost.units import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def from_torch(output: str) -> tuple[tuple[Accelerator, ...], str | None]:
    """(devices, what went wrong) from what `inside/selfhost_npus.py` printed: logical ids, and what an engine sees."""
    line = next((line for line in reversed(output.splitlines()) if line.startswith("{")), "")
    try:
        said = json.loads(line)
        found = tuple(_by_torch(int(each["index"]), each) for each in said["devices"])
        return found, said["error"] and str(said["error"])
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        return (), npu_codes.shown(lines[-1] if lines else "no output")


def _by_torch(logical: int, said: Mapping[str, object]) -> Accelerator:
    name, total, free = str(said["name"]), said["total"], said["free"]
    visible = total if isinstance(total, int) and total > 0 else None
    named = npu_names.resolve(name, visible and visible // MIB)
    reason = named.reason or ("" if visible else text("hardware.npu_no_memory"))
    return Accelerator(
        vendor="huawei",
        name=named.shown,
        index=logical,
        memory_bytes=None,
        visible_memory_bytes=visible,
        used_bytes=max(0, visible - free) if visible and isinstance(free, int) else None,
        supported=not reason,
        reason=reason,
        device_id=named.device.id if named.device else None,
        npu=Npu(logical_id=logical, soc_version=name.lower()),
    )


def unread(nodes: Sequence[int], families: Sequence[str], detail: str) -> tuple[Accelerator, ...]:
    """Devices of which only their nodes are known, and what the PCI bus tells: their kind is not, so none is usable."""
    family = families[0] if len(set(families)) == 1 else None
    known = ascend_files.unsupported(family)
    reason = known.what if known else text("hardware.npu_unread", detail=detail)
    return tuple(
        Accelerator(
            vendor="huawei",
            name=f"Ascend {family}" if family else "Ascend",
            index=node,
            memory_bytes=None,
            visible_memory_bytes=None,
            used_bytes=None,
            supported=False,
            reason=reason,
            npu=Npu(physical_id=node),
        )
        for node in nodes
    )
