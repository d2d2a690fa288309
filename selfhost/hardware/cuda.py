"""What NVML and nvidia-smi say, as accelerators: text in, records and notes out.

NVML (through `nvml.py`, JSON) is asked first; nvidia-smi is the fallback: `--query-gpu` for the GPUs, `-L` for the
names of MIG slices, the plain table for their memory and the CUDA ceiling.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from selfhost.hardware import catalog
from selfhost.hardware.types import Accelerator
from selfhost.messages import Message, text
from selfhost.records import dataclass
from selfhost.units import MIB

SMI_FIELDS = (
    "index",
    "uuid",
    "memory.total",
    "memory.used",
    "compute_cap",
    "mig.mode.current",
    "driver_version",
    "name",
)
"""The name comes last: it is the only one that could hold a comma."""

_LOWEST_CAPABILITY = (7, 0)
"""vLLM's lowest. Source: vLLM's installation requirements for NVIDIA GPUs."""

_PROBLEMS = (
    ("driver/library version mismatch", "hardware.nvidia_mismatch"),
    ("nvml/rm version mismatch", "hardware.nvidia_mismatch"),  # the same, in the words of nvidia-ml-py
    ("driver not loaded", "hardware.nvidia_not_loaded"),
    ("communicate with the nvidia driver", "hardware.nvidia_not_loaded"),
    ("shared library not found", "hardware.nvidia_no_library"),
    ("libnvidia-ml.so", "hardware.nvidia_no_library"),
    ("insufficient permissions", "hardware.nvidia_permission"),
    ("is lost", "hardware.nvidia_lost"),
    ("no devices were found", "hardware.nvidia_no_devices"),
    ("unknown error", "hardware.nvidia_unknown_error"),
)
_NUMBER = re.compile(r"\d{1,9}")
_CUDA_CEILING = re.compile(r"CUDA (?:UMD )?Version\s*:\s*(\d+\.\d+)")
_LISTED_GPU = re.compile(r"GPU (\d{1,4}): (.+?) \(UUID:")
_LISTED_SLICE = re.compile(r"\s+MIG (\S+)\s+Device\s+(\d{1,4}): \(UUID: (\S+?)\)")
_SLICE_ROW = re.compile(r"\|\s*(\d{1,4})\s+\d+\s+\d+\s+(\d{1,4})\s*\|\s*(\d{1,9})MiB\s*/\s*(\d{1,9})MiB")


@dataclass(frozen=True, kw_only=True, slots=True)
class CudaReport:
    """What one way of asking found."""

    accelerators: tuple[Accelerator, ...] = ()
    driver: str | None = None
    cuda_ceiling: str | None = None
    """Highest CUDA version the driver runs: `12.4`."""
    notes: tuple[Message, ...] = ()
    problem: Message | None = None
    """Why nothing could be told; then the rest is empty."""


def explain(said: str) -> Message:
    """The message for what NVML or nvidia-smi said when it failed."""
    for phrase, message_id in _PROBLEMS:
        if phrase in said.lower():
            return Message(message_id)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return Message("hardware.nvidia_failed", {"detail": _short(lines[0] if lines else "no output")})


def _short(line: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in line[:160])


def parse_nvml(output: str) -> CudaReport:
    """Report from what `nvml.py` printed; other lines (warnings of libraries) are skipped."""
    line = next((line for line in reversed(output.splitlines()) if line.startswith("{")), "")
    try:
        said = json.loads(line)
        if error := said.get("error"):
            return CudaReport(problem=explain(str(error)))
        return _from_nvml(said)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return CudaReport(problem=explain(output))


@dataclass(frozen=True, slots=True)
class _Part:
    """A GPU or a slice of one, as a tool describes it; memory in bytes."""

    name: str
    uuid: str | None
    total: int | None
    used: int | None


def _from_nvml(said: dict[str, Any]) -> CudaReport:
    found: list[Accelerator] = []
    for gpu in said["devices"]:
        index = int(gpu["index"])
        if "error" in gpu:
            found.append(_unreadable(index, str(gpu["error"])))
            continue
        capability = (int(gpu["capability"][0]), int(gpu["capability"][1])) if gpu["capability"] else None
        slices = [_nvml_part(part) for part in gpu["slices"]]
        found += _rows(index, _nvml_part(gpu), capability, slices, mig=bool(gpu["mig"]))
    cuda = said["cuda"]
    ceiling = f"{int(cuda) // 1000}.{int(cuda) % 1000 // 10}" if cuda else None
    return _report(found, driver=said["driver"] and str(said["driver"]), ceiling=ceiling)


def _nvml_part(part: dict[str, Any]) -> _Part:
    total, used = (None if part[key] is None else int(part[key]) for key in ("total", "used"))
    return _Part(str(part["name"]), part["uuid"] and str(part["uuid"]), total, used)


def parse_smi(query: str, listing: str = "", table: str = "") -> CudaReport:
    """Report from nvidia-smi: `--query-gpu` with SMI_FIELDS (csv, noheader, nounits), `-L` and the plain table."""
    slices = _smi_slices(listing, table)
    found: list[Accelerator] = []
    driver = None
    for line in query.splitlines():
        cells = [cell.strip() for cell in line.split(",", len(SMI_FIELDS) - 1)]
        if len(cells) != len(SMI_FIELDS) or not _NUMBER.fullmatch(cells[0]):
            continue
        index, (uuid, total, used, capability, mig, version, name) = int(cells[0]), cells[1:]
        if "lost" in total.lower() or "unknown error" in total.lower():
            found.append(_unreadable(index, total.strip("[]")))
            continue
        driver = version if version[:1].isdecimal() else driver
        gpu = _Part(name, uuid, _mib(total), _mib(used))
        parts = [replace(part, name=f"{name} {part.name}") for part in slices.get(index, ())]
        found += _rows(index, gpu, _capability(capability), parts, mig=mig == "Enabled")
    if not found:
        return CudaReport(problem=explain(query))
    ceiling = _CUDA_CEILING.search(table)
    return _report(found, driver=driver, ceiling=ceiling and ceiling[1])


def _smi_slices(listing: str, table: str) -> dict[int, list[_Part]]:
    """GPU index -> its MIG slices in order; memory from the table's `MIG devices` section, None where it has no row."""
    memory = {
        (int(gpu), int(mig)): (int(total) * MIB, int(used) * MIB) for gpu, mig, used, total in _SLICE_ROW.findall(table)
    }
    slices: dict[int, list[_Part]] = {}
    gpu = -1
    for line in listing.splitlines():
        if found := _LISTED_GPU.match(line):
            gpu = int(found[1])
        elif found := _LISTED_SLICE.match(line):
            total, used = memory.get((gpu, int(found[2])), (None, None))
            slices.setdefault(gpu, []).append(_Part(f"MIG {found[1]}", found[3], total, used))
    return slices


def _capability(cell: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,2})\.(\d{1,2})", cell)
    return (int(found[1]), int(found[2])) if found else None


def _mib(cell: str) -> int | None:
    """`97871` -> bytes; `[N/A]`, `[Not Supported]` and the like -> None."""
    return int(cell) * MIB if _NUMBER.fullmatch(cell) else None


def _rows(
    index: int, gpu: _Part, capability: tuple[int, int] | None, slices: list[_Part], *, mig: bool
) -> list[Accelerator]:
    """One accelerator per slice, or the GPU itself; with MIG enabled and no slice it cannot be used."""
    device = catalog.match(gpu.name, gpu.total)
    capability = capability or (device.compute_capability if device else None)
    reason = device.reason if device else ""
    if mig and not slices:
        reason = text("hardware.mig_without_slices")
    elif capability and capability < _LOWEST_CAPABILITY:
        reason = text("hardware.capability_too_low", found=f"{capability[0]}.{capability[1]}", wanted="7.0")
    rows = []
    for part in slices if mig and slices else [gpu]:
        visible, assumed = catalog.visible_memory(device if part is gpu else None, "nvidia", part.total)
        row = Accelerator(
            vendor="nvidia",
            name=part.name,
            index=index,
            memory_bytes=part.total,
            visible_memory_bytes=visible,
            visible_memory_assumed=assumed,
            used_bytes=part.used,
            supported=not reason,
            reason=reason,
            device_id=device.id if device else None,
            uuid=part.uuid,
            compute_capability=capability,
            mig=part is not gpu,
        )
        rows.append(row)
    return rows


def _unreadable(index: int, said: str) -> Accelerator:
    return Accelerator(
        vendor="nvidia",
        name="unknown",
        index=index,
        memory_bytes=None,
        visible_memory_bytes=None,
        used_bytes=None,
        supported=False,
        reason=text("hardware.gpu_unreadable", detail=_short(said)),
    )


def _report(found: list[Accelerator], *, driver: str | None, ceiling: str | None) -> CudaReport:
    if not found:
        return CudaReport(problem=Message("hardware.nvidia_no_devices"))
    lost = [gpu for gpu in found if "is lost" in gpu.reason.lower()]
    notes = (Message("hardware.nvidia_lost"),) if lost else ()
    return CudaReport(accelerators=tuple(found), driver=driver, cuda_ceiling=ceiling, notes=notes)
