"""Asks NVML how the GPUs are and prints one JSON object; run by `doctor` as a process of its own, as `nvml.py` is.

Answers: {"devices": [...], "peers": [[one, other, status]]} or {"error"}; what NVML would not tell is null. Nothing
imports this file.
"""

from __future__ import annotations

import json
import sys
from typing import Any

_MOST_LINKS = 18
_NOT_REPORTED = 0xFFFFFFFF


def _ask(nvml: Any, name: str, *args: object) -> Any:
    """What the NVML function `name` says; None for any NVML error, and for one that the library lacks."""
    try:
        return getattr(nvml, name)(*args)
    except (nvml.NVMLError, AttributeError):
        return None


def _fabric(nvml: Any, handle: object) -> list[int] | None:
    info = nvml.c_nvmlGpuFabricInfo_t()
    if _ask(nvml, "nvmlDeviceGetGpuFabricInfo", handle, nvml.byref(info)) is None:
        return None
    return [int(info.state), int(info.status)]


def _links_down(nvml: Any, handle: object) -> list[int]:
    """NVLinks that are not active although others of this GPU are."""
    states = [_ask(nvml, "nvmlDeviceGetNvLinkState", handle, link) for link in range(_MOST_LINKS)]
    return [link for link, state in enumerate(states) if state == 0] if 1 in states else []


def _processes(nvml: Any, handle: object) -> list[list[int | None]]:
    found = _ask(nvml, "nvmlDeviceGetComputeRunningProcesses", handle) or []
    return [[int(one.pid), one.usedGpuMemory] for one in found]


def _memory_errors(nvml: Any, handle: object) -> dict[str, Any]:
    mode = _ask(nvml, "nvmlDeviceGetEccMode", handle)
    uncorrected = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    return {
        "ecc": None if mode is None else bool(mode[0]),
        "ecc_uncorrected": _ask(nvml, "nvmlDeviceGetTotalEccErrors", handle, uncorrected, nvml.NVML_VOLATILE_ECC),
        "ecc_uncorrected_ever": _ask(nvml, "nvmlDeviceGetTotalEccErrors", handle, uncorrected, nvml.NVML_AGGREGATE_ECC),
        "remapped": _ask(nvml, "nvmlDeviceGetRemappedRows", handle),
        "retirement_pending": _ask(nvml, "nvmlDeviceGetRetiredPagesPendingStatus", handle),
    }


def _width(nvml: Any, name: str, handle: object) -> int | None:
    width = _ask(nvml, name, handle)
    return None if width in (None, 0, _NOT_REPORTED) else int(width)


def _device(nvml: Any, index: int) -> dict[str, Any]:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        return {"index": index, "error": str(error)}
    pci = _ask(nvml, "nvmlDeviceGetPciInfo", handle)
    bus = getattr(pci, "busId", b"") if pci else b""
    return {
        "index": index,
        "bus_id": bus.decode(errors="replace") if isinstance(bus, bytes) else str(bus),
        "persistence": _ask(nvml, "nvmlDeviceGetPersistenceMode", handle),
        "slowed_by": _ask(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", handle),
        "pcie_width": _width(nvml, "nvmlDeviceGetCurrPcieLinkWidth", handle),
        "pcie_width_highest": _width(nvml, "nvmlDeviceGetMaxPcieLinkWidth", handle),
        "compute_mode": _ask(nvml, "nvmlDeviceGetComputeMode", handle),
        "fabric": _fabric(nvml, handle),
        "links_down": _links_down(nvml, handle),
        "processes": _processes(nvml, handle),
        **_memory_errors(nvml, handle),
    }


def _peers(nvml: Any, count: int) -> list[list[int]]:
    """Pairs that cannot read each other's memory."""
    handles = [_ask(nvml, "nvmlDeviceGetHandleByIndex", index) for index in range(count)]
    found = []
    for one in range(count):
        for other in range(one + 1, count):
            if handles[one] is None or handles[other] is None:
                continue
            # 0: reading; the binding writes that constant as a tuple.
            status = _ask(nvml, "nvmlDeviceGetP2PStatus", handles[one], handles[other], 0)
            if status:
                found.append([one, other, int(status)])
    return found


def query() -> dict[str, Any]:
    """Everything NVML says."""
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError as error:
        return {"error": str(error)}
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        return {"error": str(error)}
    return {"devices": [_device(pynvml, index) for index in range(count)], "peers": _peers(pynvml, count)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(query()) + "\n")
