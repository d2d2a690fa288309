"""`--devices`: those that are named, of this machine; as hardware of which all is meant to be used."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.app import detect
from selfhost.errors import UsageError
from selfhost.hardware.sharing import VARIABLES
from selfhost.hardware.types import Platform
from selfhost.planner.allot import parse_devices

if TYPE_CHECKING:
    from collections.abc import Collection

    from selfhost.hardware.types import Accelerator, Hardware, HardwareSnapshot
    from selfhost.home import Home


def hardware_named(devices: str, home: Home) -> Hardware:
    """The devices that `--devices` names, as `detect` numbers them; cores where there are no accelerators.

    Raises UsageError for one that is not there, is hidden or cannot be used, and for devices of several kinds.
    """
    return choose(devices, detect.detect(home), os.sched_getaffinity(0))


def choose(devices: str, snapshot: HardwareSnapshot, cpus: Collection[int]) -> Hardware:
    """The same of what was found. cpus: what this process may use."""
    names = parse_devices(devices)
    here = detect.choose_hardware(snapshot, None)
    if here.device.platform is Platform.CPU and not snapshot.accelerators:
        return replace(here, cpus=_cpus(names, cpus), named=True)
    picked = [_find(name, snapshot) for name in names]
    kinds = {(one.device_id or one.name, one.visible_memory_bytes): one for one in picked}
    if len(kinds) > 1:
        found = "\n".join(f"{name}: {one.name}" for name, one in zip(names, picked, strict=True))
        raise UsageError("allot.mixed", devices=devices, found=found)
    if len(picked) > 1 and picked[0].mig:
        raise UsageError("allot.one_slice", devices=devices)
    if picked[0].mig and not picked[0].uuid:
        raise UsageError("allot.no_uuid", index=picked[0].index)
    return replace(detect.group(picked), named=True, notes=snapshot.notes, host=snapshot.host)


def _find(name: str, snapshot: HardwareSnapshot) -> Accelerator:
    found = [one for one in snapshot.accelerators if _is(name, one)]
    if not found:
        known = ", ".join(_called(one) for one in snapshot.accelerators)
        raise UsageError("allot.unknown", word=name, found=known)
    if len(found) > 1:
        raise UsageError("allot.several", word=name, found=", ".join(_called(one) for one in found))
    one = found[0]
    if one.hidden:
        variable = VARIABLES[one.vendor]
        raise UsageError("allot.hidden", word=name, variable=variable, value=os.environ.get(variable, ""))
    if not one.supported or not one.visible_memory_bytes:
        raise UsageError("allot.unusable", word=name, name=one.name, reason=one.reason)
    return one


def _is(name: str, accelerator: Accelerator) -> bool:
    if name.isdecimal():
        return int(name) == accelerator.index
    return (accelerator.uuid or "").startswith(name)


def _called(accelerator: Accelerator) -> str:
    return accelerator.uuid or str(accelerator.index) if accelerator.mig else str(accelerator.index)


def _cpus(names: tuple[str, ...], cpus: Collection[int]) -> tuple[int, ...]:
    for name in names:
        if not name.isdecimal() or int(name) not in cpus:
            from selfhost.hardware.sharing import ranges

            raise UsageError("allot.no_such_cpu", word=name, found=ranges(sorted(cpus)))
    return tuple(map(int, names))
