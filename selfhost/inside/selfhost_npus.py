"""Asks torch_npu which NPUs an engine sees, as one JSON object on stdout; for when npu-smi cannot tell.

Answers: {"torch_npu", "devices": [{"index", "name", "total", "free"}], "error"}; memory in bytes, null where it is not
told. Written from torch_npu's source; it has not been run on a device.
"""

from __future__ import annotations

import importlib
import json
import os
import sys


def main() -> int:
    """Print the answer; exit status 1 when torch_npu could not tell."""
    answer: dict[str, object] = {"torch_npu": None, "devices": [], "error": None}
    # The runtime logs to stdout: from here on that is stderr, and the answer goes out alone.
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # With it the runtime counts from 0 what is left: the numbers would not be those that the variable takes.
    os.environ.pop("ASCEND_RT_VISIBLE_DEVICES", None)
    try:
        torch = importlib.import_module("torch")
        answer["torch_npu"] = importlib.import_module("torch_npu").__version__
        answer["devices"] = [device(torch.npu, index) for index in range(torch.npu.device_count())]
    except BaseException as error:  # noqa: BLE001 (a SystemExit out of an import is a failure too)
        answer["error"] = f"{type(error).__name__}: {error}"
    json.dump(answer, stdout)
    stdout.write("\n")
    stdout.flush()
    return 1 if answer["error"] else 0


def device(npu: object, index: int) -> dict[str, object]:
    """Name and memory of one."""
    try:
        free, total = npu.mem_get_info(index)
    except RuntimeError:
        free, total = None, None
    return {"index": index, "name": npu.get_device_name(index), "total": total, "free": free}


if __name__ == "__main__":
    sys.exit(main())
