"""`detect`, and the hardware a plan is for: what `--on` supposes, else what is here."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from selfhost.errors import MissingError
from selfhost.hardware import catalog, spec
from selfhost.hardware.types import Device, Hardware, Platform
from selfhost.messages import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfhost.engines.environment import EngineEnvironment
    from selfhost.hardware.probe_ascend import EnginePython
    from selfhost.hardware.system import System
    from selfhost.hardware.types import Accelerator, HardwareSnapshot
    from selfhost.home import Home

_FIRST_FP8 = (8, 9)
_FIRST_FP4 = (10, 0)
_T = TypeVar("_T")


def detect(home: Home) -> HardwareSnapshot:
    """What this machine has. Runs vendors' tools for 10 s at most, changes nothing, never fails.

    Where there are NPUs and npu-smi tells nothing of them, torch_npu is asked, if an engine here has it: 30 s more.
    """
    from selfhost.hardware.probe import probe

    return probe(home.root, torch_npu=lambda: torch_npu_pythons(home))


def torch_npu_pythons(home: Home, system: System | None = None) -> tuple[EnginePython, ...]:
    """Pythons that have torch_npu, found without importing it: of engines of this home, and the one that runs this.

    Each with what CANN and NNAL of the machine set for it, or nothing where they are not whole.
    """
    from selfhost.app.engine_env import cann_env
    from selfhost.hardware.probe_ascend import EnginePython
    from selfhost.hardware.system import System

    def asked(python: Path) -> EnginePython:
        try:
            return EnginePython(python, cann_env(system or System(), python))
        except MissingError:
            return EnginePython(python, {})

    engines = [engine for engine in engines_here(home) if any(engine.path.glob("lib/python3*/site-packages/torch_npu"))]
    mine = [Path(sys.executable)] if sys.executable and find_spec("torch_npu") else []
    return tuple(asked(python) for python in (*(engine.python for engine in engines), *mine))


def engines_here(home: Home) -> tuple[EngineEnvironment, ...]:
    """The engine environments of this home that are whole."""
    if not home.engines.is_dir():
        return ()
    from selfhost.engines.environment import find_all

    return tuple(environment for environment in find_all(home) if environment.complete)


def as_dict(snapshot: HardwareSnapshot, engines: Iterable[EngineEnvironment]) -> dict[str, object]:
    """The contract of `selfhost detect --json`."""
    return {
        "schema_version": snapshot.schema_version,
        "captured_at": snapshot.captured_at,
        "accelerators": [accelerator.as_dict() for accelerator in snapshot.accelerators],
        "host": snapshot.host.as_dict(),
        "engines": [engine.as_dict() for engine in engines],
        "notes": list(snapshot.notes),
    }


def hardware_for(on: str | None, home: Home) -> Hardware:
    """The hardware a plan is for; asks this machine only when `--on` leaves something open.

    Raises UsageError for a malformed `--on` or an unknown device.
    """
    if on is None:
        return choose_hardware(detect(home), None)
    if on.strip().lower() != catalog.CPU.id:
        return spec.parse(on)
    from selfhost.hardware.probe_host import probe_host
    from selfhost.hardware.system import System

    return spec.parse(on, host_memory_bytes=probe_host(home.root, System()).available_memory_bytes)


def choose_hardware(snapshot: HardwareSnapshot, on: str | None) -> Hardware:
    """What `on` supposes, else the largest group of equal accelerators here, else the CPU with the memory that is free.

    Raises UsageError for a malformed `--on` or an unknown device.
    """
    if on is not None:
        return spec.parse(on, host_memory_bytes=snapshot.host.available_memory_bytes)
    here = hardware_here(snapshot)[0]
    return replace(here, notes=(*snapshot.notes, *_passed_over(snapshot)), host=snapshot.host)


def why_cpu(hardware: Hardware) -> list[str]:
    """Why the CPU is what is used of this machine, where that may not be what is meant: devices that do not answer."""
    if hardware.device.platform is not Platform.CPU or hardware.assumed:
        return []
    return [text("plan.on_cpu", note=note) for note in hardware.notes]


def _passed_over(snapshot: HardwareSnapshot) -> list[str]:
    """Devices that are here and that no engine drives, with the reason."""
    found = Counter((a.name, a.reason) for a in snapshot.accelerators if not a.supported)
    return [text("plan.passed_over", count=count, name=name, reason=reason) for (name, reason), count in found.items()]


def hardware_here(snapshot: HardwareSnapshot) -> list[Hardware]:
    """Groups of equal supported accelerators, most memory first, then the CPU.

    Left out are devices that the environment hides. A MIG slice is a group of its own: a process sees one, and slices
    cannot reach each other.
    """
    groups: dict[tuple[str, int], list[Accelerator]] = {}
    for accelerator in snapshot.accelerators:
        visible = accelerator.visible_memory_bytes
        if accelerator.supported and not accelerator.hidden and visible:
            groups.setdefault((accelerator.device_id or accelerator.name, visible), []).append(accelerator)
    found = [group(members) for members in groups.values()]
    found.sort(key=lambda h: (-h.device_count * h.visible_memory_bytes, h.device.id))
    memory = snapshot.host.available_memory_bytes
    return [*found, Hardware(device=catalog.CPU, visible_memory_bytes=memory, assumed=False)]


def group(members: Iterable[Accelerator]) -> Hardware:
    """Accelerators of one kind as hardware, in the order of their indices."""
    first, *others = members = sorted(members, key=lambda member: member.index)
    visible = first.visible_memory_bytes or 0
    device = (first.device_id and catalog.lookup(first.device_id)) or _unlisted(first)
    return Hardware(
        device=device,
        devices_per_node=1 if first.mig else 1 + len(others),
        visible_memory_bytes=visible,
        assumed=False,
        free_memory_bytes=tuple(_free(member, visible) for member in members),
        device_indices=() if first.mig else tuple(member.index for member in members),
        slice_uuids=_all_known(member.uuid for member in members) if first.mig else (),
        physical_ids=_all_known(member.npu.physical_id if member.npu else None for member in members),
        logical_ids=_all_known(member.npu.logical_id if member.npu else None for member in members),
    )


def _free(accelerator: Accelerator, visible: int) -> int:
    """What others leave of the bytes that an engine can see.

    npu-smi counts the driver's share as used, and torch_npu does not see it: it must not be taken off twice.
    Check: an idle 910B3 with 3314 of 65536 MB used leaves 60.76 GiB of 60.96, where an engine found 60.61 free.
    Source: vllm-project/vllm-ascend#13439, #8289.
    """
    used, total = accelerator.used_bytes or 0, accelerator.memory_bytes
    return min(visible, total - used) if accelerator.vendor == "huawei" and total else visible - used


def _all_known(ids: Iterable[_T | None]) -> tuple[_T, ...]:
    """The ids; none when one is not known."""
    found = tuple(ids)
    known = tuple(each for each in found if each is not None)
    return known if len(known) == len(found) else ()


def _unlisted(accelerator: Accelerator) -> Device:
    """A device that is here but not in the catalogue: what its driver says, and what follows from that."""
    capability = accelerator.compute_capability or (0, 0)
    return Device(
        id=accelerator.name,
        name=accelerator.name,
        vendor=accelerator.vendor,
        platform=Platform.CUDA if accelerator.vendor == "nvidia" else Platform.ASCEND,
        memory_bytes=accelerator.memory_bytes,
        compute_capability=accelerator.compute_capability,
        native_fp8=capability >= _FIRST_FP8,
        native_fp4=capability >= _FIRST_FP4,
        source="detected here, not in the catalogue",
    )
