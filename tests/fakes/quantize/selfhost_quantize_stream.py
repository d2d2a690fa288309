"""Stands in for the scripts that quantize: obeys the job and the events, needs nothing, and changes one bit of a file.

config.json says that it did more. What goes wrong is told by FAKE_QUANTIZE, a JSON object: `stop_after`
files it waits to be ended, `crash` is an exit status, `error` an event, `format` what config.json says instead,
`lies` a digest that is not that of the file, `kl` what was lost, `loss_crash` the exit status of what measures it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

FAULTS = json.loads(os.environ.get("FAKE_QUANTIZE", "{}"))
SECTIONS = {
    "fp8": ("float-quantized", {"num_bits": 8, "type": "float", "strategy": "channel"}, {"type": "float"}),
    "w8a8": ("int-quantized", {"num_bits": 8, "type": "int", "strategy": "channel"}, {"type": "int"}),
    "w4a16-gptq": ("pack-quantized", {"num_bits": 4, "type": "int", "strategy": "group"}, None),
}


def tell(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def section(job: dict) -> dict | None:
    scheme = FAULTS.get("format", job["scheme"])
    if scheme == "bf16":
        return None
    layout, weights, inputs = SECTIONS[scheme]
    more = {"num_bits": 8, "dynamic": True, "strategy": "token", "symmetric": True}
    group = {"targets": ["Linear"], "input_activations": inputs and {**inputs, **more}}
    group["weights"] = {**weights, "symmetric": True, "dynamic": False, "actorder": None}
    if job["group_size"]:
        group["weights"]["group_size"] = job["group_size"]
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
        "kv_cache_scheme": None,
    }


def fail_at(number: int) -> None:
    """Before this file."""
    if number == FAULTS.get("stop_after"):
        print("waiting", flush=True)
        time.sleep(60)
    if number == FAULTS.get("crash_after"):
        if FAULTS["crash"] < 0:
            os.kill(os.getpid(), -FAULTS["crash"])
        sys.stderr.write("Segmentation something\n")
        raise SystemExit(FAULTS["crash"])


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    source, target = Path(job["source"]), Path(job["target"])
    if "error" in FAULTS:
        tell("error", **FAULTS["error"])
        raise SystemExit(1)
    shards = sorted(source.glob("*.safetensors"))
    tell("plan", files=len(shards), bytes=sum(path.stat().st_size for path in shards))
    print("a library says hello", flush=True)
    done = 0
    for number, path in enumerate(shards):
        fail_at(number)
        if not (target / path.name).exists():
            data = bytearray(path.read_bytes())
            data[-1] ^= 1
            (target / f"{path.name}.part").write_bytes(data)
            (target / f"{path.name}.part").rename(target / path.name)
        done += path.stat().st_size
        tell("progress", done_bytes=done, file=path.name)
    for path in source.iterdir():
        if path.suffix != ".safetensors":
            shutil.copy(path, target / path.name)
    config = json.loads((source / "config.json").read_text())
    config.pop("quantization_config", None)
    if (made := section(job)) is not None:
        config["quantization_config"] = made
    (target / "config.json").write_text(json.dumps(config))
    files = [
        {"path": path.name, "size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in sorted(target.iterdir())
    ]
    if "lies" in FAULTS:
        files[0]["sha256"] = FAULTS["lies"]
    tell("done", files=files, peak_rss_bytes=12345678)


if __name__ == "__main__":
    main()
