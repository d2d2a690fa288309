"""Lets the CPU build of vLLM choose and prepare kernels as it would on a GPU of some compute capability.

What is real: the platform class of CUDA, the registries of kernels and their conditions, and every line of Python that
repacks, pads and widens weights after loading. What is pretended: the answers of compiled code about what it supports
(as `csrc/libtorch_stable/quantization/w8a8/cutlass/scaled_mm_entry.cu` gives them for CUDA 13), and compiled or
generated functions that rearrange weights, for which a tensor of the right shape comes back on the meta device. The
packages of the CUDA engine's lock that are not in the CPU engine (FlashInfer, DeepGEMM, Triton) count as installed;
Humming has to be there, since its own Python decides shapes: `pip install --no-deps --target DIR humming-kernels==...`.

Import this module and call `pretend_gpu` before anything else of vLLM is imported.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import math
import os
import sys
import types
from typing import Any
from unittest.mock import MagicMock

PRETENDED_MODULES = (
    "vllm._C_stable_libtorch",
    "vllm._moe_C_stable_libtorch",
    "vllm.vllm_flash_attn",
    "vllm.vllm_flash_attn.flash_attn_interface",
    "vllm.third_party.deep_gemm",
    "deep_gemm",
    "flashinfer",
    "flashinfer.comm",
    "flashinfer.fused_moe",
    "flashinfer.fused_moe.core",
    "flashinfer.quantization",
    "flashinfer.quantization.fp4_quantization",
    "flashinfer.utils",
    "flashinfer_cubin",
)


def pretend_gpu(capability: tuple[int, int]) -> None:
    """From here on vLLM sees one GPU of this compute capability."""
    os.environ["TORCHDYNAMO_DISABLE"] = "1"
    for name in PRETENDED_MODULES:
        module = MagicMock(name=name)
        module.__path__, module.__spec__ = [], importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module
    _platform(capability)
    _triton()
    _operators()
    _custom_operators(sys.modules["vllm._custom_ops"])
    _deep_gemm(capability[0])
    _flashinfer()
    _humming(capability)
    _values()


def _values() -> None:
    """Values that are read while loading: tensors on the meta device have none."""
    import torch

    for name, value in {"item": 1.0, "__bool__": False, "__float__": 1.0, "__int__": 1}.items():
        read = getattr(torch.Tensor, name)
        setattr(torch.Tensor, name, lambda self, read=read, value=value: value if self.is_meta else read(self))
    torch.allclose = lambda *_, **__: True
    torch.unique = lambda tensor, *_, **__: tensor.flatten()[:1]
    torch.distributed.all_reduce = lambda *_, **__: None
    _remembered_sums()
    _packing()


def _remembered_sums() -> None:
    """Whole numbers that a tensor was made of: how often to repeat something is asked of it later."""
    import torch

    # Remembers the makers of tensors by what they are: before they are replaced.
    torch.utils._device._device_constructors()
    repeat, to = torch.Tensor.repeat_interleave, torch.Tensor.to

    def remembering(make: Any) -> Any:
        def made(*args: Any, **options: Any) -> Any:
            tensor, data = make(*args, **options), args[-1]
            if tensor.is_meta and isinstance(data, list) and all(isinstance(item, int) for item in data):
                tensor.sum_of_items = sum(data)
            return tensor

        return made

    def repeated(self: Any, repeats: Any, dim: int | None = None, **options: Any) -> Any:
        if isinstance(repeats, torch.Tensor) and repeats.is_meta:
            options["output_size"] = repeats.sum_of_items
        return repeat(self, repeats, dim=dim, **options)

    def moved(self: Any, *args: Any, **options: Any) -> Any:
        return self if hasattr(self, "sum_of_items") else to(self, *args, **options)

    torch.Tensor.to, torch.Tensor.repeat_interleave = moved, repeated
    torch.tensor, torch.Tensor.new_tensor = remembering(torch.tensor), remembering(torch.Tensor.new_tensor)


def _packing() -> None:
    """Functions that pack numbers, which look at them."""
    import torch
    from vllm.model_executor.layers.quantization.utils import mxfp4_utils, quant_utils

    def packed(weight: Any, bits: int, rows: int, columns: int) -> Any:
        return weight.new_empty((rows, columns * bits // 32), dtype=torch.int32)

    def unpacked(weight: Any, bits: int, rows: int, columns: int) -> Any:
        return weight.new_empty((rows, columns), dtype=torch.int32)

    def fp8_scales(quant: Any, scales: Any) -> Any:
        made = torch.empty_like(scales, dtype=torch.float8_e4m3fn)
        return made, scales.new_empty((*scales.shape[:-1], 1), dtype=torch.float32)

    def to_mxfp(weight: Any, *_: Any, **__: Any) -> Any:
        rows, columns = weight.shape[:-1], weight.shape[-1]
        made = [weight.new_empty((*rows, columns // size), dtype=torch.uint8) for size in (2, 32)]
        return *made, None

    quant_utils.pack_cols, quant_utils.unpack_cols = packed, unpacked
    quant_utils.convert_bf16_scales_to_fp8 = fp8_scales
    quant_utils.convert_packed_uint4b8_to_signed_int4_inplace = lambda weight: weight
    mxfp4_utils.downcast_to_mxfp = to_mxfp


def _platform(capability: tuple[int, int]) -> None:
    import torch

    torch.version.cuda = "13.0"
    torch.cuda.Stream = torch.cuda.Event = torch.cuda.device = MagicMock()
    torch.accelerator.synchronize = lambda *_: None
    torch.accelerator.current_device_index = torch.cuda.current_device = lambda: 0
    import vllm.platforms
    from vllm.platforms.cuda import NonNvmlCudaPlatform
    from vllm.platforms.interface import DeviceCapability

    answers = {
        "get_device_capability": DeviceCapability(*capability),
        "get_device_name": "pretended",
        "get_device_total_memory": 80 << 30,
        "num_compute_units": 132,
        "is_integrated_gpu": False,
        "is_arch_support_pdl": capability >= (9, 0),
        "device_count": 8,
    }

    def answering(value: Any) -> Any:
        return classmethod(lambda cls, *args, **options: value)

    platform = type("Pretended", (NonNvmlCudaPlatform,), {name: answering(value) for name, value in answers.items()})
    vllm.platforms._current_platform = platform()
    # As the import of vLLM's own operators goes: first, so that they are not taken for missing ones.
    import vllm._custom_ops


def _triton() -> None:
    """Triton counts as there; its place holders take whatever is decorated or called at import."""
    import vllm.triton_utils
    import vllm.triton_utils.importing

    vllm.triton_utils.HAS_TRITON = vllm.triton_utils.importing.HAS_TRITON = True


def _operators() -> None:
    """Compiled operators that are only remembered while a model is built."""
    from torch._ops import _OpNamespace

    get = _OpNamespace.__getattr__

    def lenient(self: Any, name: str) -> Any:
        try:
            return get(self, name)
        except AttributeError:
            if name.startswith("__") or self.name not in ("_C", "_moe_C", "_C_cache_ops", "_C_custom_ar", "vllm"):
                raise
            return MagicMock(name=name)

    _OpNamespace.__getattr__ = lenient


def _custom_operators(ops: Any) -> None:
    import torch

    ops.cutlass_scaled_mm_supports_fp8 = lambda found: found >= 89
    ops.cutlass_scaled_mm_supports_block_fp8 = lambda found: found >= 90
    ops.cutlass_group_gemm_supported = lambda found: 90 <= found < 110
    ops.cutlass_scaled_mm_supports_fp4 = lambda found: found >= 100
    ops.mxfp4_experts_quant_supported = lambda found: found >= 100

    def repacked(b_q_weight: Any, size_k: int, size_n: int, num_bits: int, **_: Any) -> Any:
        return b_q_weight.new_empty((*b_q_weight.shape[:-2], size_k // 16, size_n * num_bits // 2))

    for name in ("gptq_marlin_repack", "awq_marlin_repack", "gptq_marlin_moe_repack", "awq_marlin_moe_repack"):
        setattr(ops, name, repacked)
    ops.machete_prepack_B = lambda weight, *_, **__: torch.empty_like(weight, memory_format=torch.contiguous_format)
    ops.machete_mm = lambda *, a, b_group_scales, **_: a.new_empty((a.shape[0], b_group_scales.shape[-1]))
    ops.cutlass_encode_and_reorder_int4b = torch.empty_like
    ops.cutlass_encode_and_reorder_int4b_grouped = lambda weight: (torch.empty_like(weight), weight.new_empty(0))
    # Every scale eight times (csrc/.../cutlass_w4a8/w4a8_mm_entry.cu `pack_scale_fp8`).
    ops.cutlass_pack_scale_fp8 = lambda scales: scales.new_empty(8 * scales.numel())

    def quantized(tensor: Any, scale: Any = None, *, use_per_token_if_dynamic: bool = False, **_: Any) -> Any:
        made = (tensor.shape[0], 1) if use_per_token_if_dynamic else (1,)
        scales = scale if scale is not None else tensor.new_empty(made, dtype=torch.float32)
        return torch.empty_like(tensor, dtype=torch.float8_e4m3fn), scales

    ops.scaled_fp8_quant = quantized


def _deep_gemm(major: int) -> None:
    """Scales of blocks stay as they are on Hopper; on Blackwell each row gets its own, four to an int32, rows aligned
    to 16 bytes (github.com/deepseek-ai/DeepGEMM csrc/apis/layout.hpp, csrc/jit_kernels/impls/smxx_layout.hpp)."""
    import torch
    from vllm.utils import deep_gemm

    def laid_out(*, sf: Any, mn: int, num_groups: int, **_: Any) -> Any:
        if major < 10:
            return sf
        return torch.empty((num_groups, -(-mn // 4) * 4, math.ceil(sf.shape[-1] / 4)), dtype=torch.int32)

    deep_gemm.transform_sf_into_required_layout = laid_out
    deep_gemm.get_mk_alignment_for_contiguous_layout = lambda: [128, 128]
    deep_gemm._lazy_init = lambda: None
    deep_gemm._fp8_gemm_nt_impl = MagicMock()


def pretend_products() -> None:
    """Products with the identity that tell what a quantized matrix is: W_UK and W_UV of latent attention."""
    import torch
    import vllm.model_executor.kernels.linear.scaled_mm.deep_gemm  # noqa: F401

    torch.library.impl("vllm::fp8_gemm_nt_op", "Meta")(lambda *_: None)


def pretend_groups() -> None:
    """Exchanges of tokens between ranks that share experts, which no tensor of a rank depends on."""
    from vllm.model_executor.layers.fused_moe import all2all_utils

    all2all_utils.get_ep_all2all_manager = MagicMock()


def _flashinfer() -> None:
    """Its functions only permute rows and blocks."""
    import torch

    package, core, utils = (sys.modules[f"flashinfer{name}"] for name in ("", ".fused_moe.core", ".utils"))

    def rows(tensor: Any, *_: Any, **__: Any) -> Any:
        return torch.arange(tensor.shape[0])

    utils.get_shuffle_matrix_a_row_indices = rows
    core.get_reorder_rows_for_gated_act_gemm_row_indices = rows
    core._maybe_get_cached_w3_w1_permute_indices = lambda cache, tensor, *_, **__: rows(tensor)
    core.get_w2_permute_indices_with_cache = lambda cache, tensor, *_, **__: rows(tensor)
    package.reorder_rows_for_gated_act_gemm = package.shuffle_matrix_a = lambda tensor, *_: tensor
    package.shuffle_matrix_sf_a = lambda tensor, *_, **__: tensor
    from vllm.utils import flashinfer

    flashinfer.nvfp4_block_scale_interleave = torch.flatten
    for name in ("", ".quantization.fp4_quantization"):
        module = sys.modules[f"flashinfer{name}"]
        module.block_scale_interleave = module.nvfp4_block_scale_interleave = torch.flatten


def _humming(capability: tuple[int, int]) -> None:
    """The real package with its generated functions replaced; without it, one that cannot be used."""
    import torch

    if importlib.util.find_spec("humming") is None:
        _no_humming()
        return
    ops = types.ModuleType("humming.ops")
    ops.pack_weight = lambda weight, bits: weight.new_empty((*weight.shape[:-1], weight.shape[-1] * bits // 32))
    ops.unpack_weight = lambda weight, bits: weight.new_empty((*weight.shape[:-1], weight.shape[-1] * 32 // bits))

    def repack_weight(*, inputs: Any, activation_bits: int, weight_bits: int, **_: Any) -> Any:
        n, k = inputs.shape[-2], inputs.shape[-1] * 32 // weight_bits
        size = 256 // activation_bits
        return inputs.new_empty((*inputs.shape[:-2], k // size, n * size * weight_bits // 32))

    ops.repack_weight = repack_weight
    ops.__getattr__ = lambda name: MagicMock(name=name)  # type: ignore[method-assign]
    sys.modules["humming.ops"] = ops
    sys.modules["triton"] = sys.modules.get("triton") or MagicMock(name="triton")
    import humming.utils.device

    info = types.SimpleNamespace(
        index=0,
        sm_major=capability[0],
        sm_minor=capability[1],
        sm_version=capability[0] * 10 + capability[1],
        is_ppu=False,
    )
    extension = types.SimpleNamespace(_DeviceInfo=lambda index: info)
    humming.utils.device._get_device_info_extension = lambda: extension
    for name in ("humming.jit", "humming.jit.runtime"):
        sys.modules[name] = MagicMock(name=name)
    import humming.config.config
    import humming.device
    import humming.tune

    humming.tune.get_heuristics_config = lambda *_, **__: {}
    humming.config.config._cuda_compiler_version = lambda compiler: (13, 0)
    humming.device.DeviceInfo.__init__ = lambda self, index=None: (
        (
            setattr(self, "_index", 0),
            setattr(self, "_value", info),
        )[:0]
        or None
    )
    torch.Tensor.cuda = lambda self, *_: self


def _no_humming() -> None:
    from vllm.utils import import_utils

    import_utils.has_humming = lambda: True
    for name in ("humming", "humming.dtypes", "humming.config", "humming.schema", "humming.transform"):
        module = MagicMock(name=name)
        module.__path__, module.__spec__ = [], importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module
    message = "a Humming kernel was chosen: its package is needed for the shapes"
    sys.modules["humming.schema"].BaseWeightSchema.from_config.side_effect = RuntimeError(message)
