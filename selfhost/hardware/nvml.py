"""Asks NVML about the GPUs and prints one JSON object; run by `probe` as a process of its own.

A driver that hangs or a library that crashes takes this process with it, not the command. Nothing imports this file.
Answers: {"driver", "cuda", "devices": [...]} or {"error"}; a value NVML would not tell is null.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def _ask(nvml: Any, name: str, *args: object, **options: object) -> Any:
    """What the NVML function `name` says; None for any NVML error."""
    try:
        return getattr(nvml, name)(*args, **options)
    except nvml.NVMLError:
        return None


def _memory(nvml: Any, handle: object) -> dict[str, int | None]:
    # Version 2 leaves the driver's reserve out of `used`, as nvidia-smi does; old drivers only know version 1.
    memory = _ask(nvml, "nvmlDeviceGetMemoryInfo", handle, version=nvml.nvmlMemory_v2)
    memory = memory or _ask(nvml, "nvmlDeviceGetMemoryInfo", handle)
    return {"total": memory.total if memory else None, "used": memory.used if memory else None}


def _describe(nvml: Any, handle: object) -> dict[str, Any]:
    name, uuid = _ask(nvml, "nvmlDeviceGetName", handle), _ask(nvml, "nvmlDeviceGetUUID", handle)
    return {"name": name, "uuid": uuid, **_memory(nvml, handle)}


def _slices(nvml: Any, handle: object) -> list[dict[str, Any]]:
    """MIG devices of a GPU, in the order CUDA numbers them."""
    count = _ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0
    handles = (_ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", handle, i) for i in range(count))
    return [_describe(nvml, slice_) for slice_ in handles if slice_ is not None]


def _device(nvml: Any, index: int) -> dict[str, Any]:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError as error:
        return {"index": index, "error": str(error)}
    mode = _ask(nvml, "nvmlDeviceGetMigMode", handle)
    mig = bool(mode and mode[0])
    return {
        "index": index,
        **_describe(nvml, handle),
        "capability": _ask(nvml, "nvmlDeviceGetCudaComputeCapability", handle),
        "mig": mig,
        "slices": _slices(nvml, handle) if mig else [],
    }


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
    return {
        "driver": _ask(pynvml, "nvmlSystemGetDriverVersion"),
        "cuda": _ask(pynvml, "nvmlSystemGetCudaDriverVersion_v2"),
        "devices": [_device(pynvml, index) for index in range(count)],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(query()) + "\n")
