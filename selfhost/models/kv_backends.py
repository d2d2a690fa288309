"""Attention backends: which one the engine takes, and what it makes of block size, KV dtype and layout.

As vLLM 0.32 chooses on its own: platforms/cuda.py (`_get_backend_priorities` and what each backend of
v1/attention/backends/ declares), platforms/cpu.py, and v1/attention/backends/utils.py (`resolve_kv_cache_layout`).
Derived from source, but for the CPU backends, which were run; Ascend's 128 is what its plugin logs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from selfhost.errors import NoError
from selfhost.hardware.types import Platform

_AMPERE, _HOPPER, _BLACKWELL, _BLACKWELL_RTX = 8, 9, 10, 12
_FLASHINFER_HEADS = (64, 128, 256, 512)
_MISREAD_HEAD = 64
_FLASHINFER_LATENT = (64, 128, 192)
_FLASHINFER_SPARSE = (128, 192)
_HALF = ("bfloat16", "float16")
_FP8 = ("fp8", "fp8_e4m3")


class Attention(StrEnum):
    """Kinds of attention that have backends of their own."""

    GROUPED = "grouped"
    LATENT = "latent"
    SPARSE_LATENT = "sparse_latent"
    COMPRESSED = "compressed"
    """DeepSeek-V4's."""


class AttentionNeeds(NamedTuple):
    """What decides about the backend, on the model's side."""

    attention: Attention
    dtype: str = "bfloat16"
    head_dim: int = 128
    """Of grouped attention."""
    qk_nope_head_dim: int = 128
    """Of latent attention."""
    fp8_on_blackwell: bool = False
    """GLM-5 keeps FP8 on compute capability 10 unless told otherwise (model_executor/models/config.py)."""


class Backend(NamedTuple):
    """A backend with what follows from it."""

    name: str
    block_size: int
    """Tokens in a block when `--block-size` is not given."""
    kernel_block_size: int
    """The smallest block its kernels take; larger ones are multiples of it."""
    kv_cache_dtype: str
    """What is stored, never `auto`."""
    fixed_block_size: bool = False
    """Whether `--block-size` is overruled."""
    block_outermost: bool = False
    """Whether a block holds the pages of all layers side by side: only DeepSeek-V4's indexer asks for that; all others
    take the first layout, which gives each layer a region of its own."""


def attention_backend(
    needs: AttentionNeeds,
    platform: Platform | None,
    compute_capability: tuple[int, int] | None = None,
    kv_cache_dtype: str = "auto",
    *,
    amx: bool = False,
) -> Backend:
    """The backend for an attention on a device; without a platform that of a GPU of unknown capability.

    `amx`: whether the CPU has AMX tiles, with which latent attention takes another backend.
    Raises NoError where no backend runs.
    Checks: DeepSeek-V3.2 on Hopper with `fp8` -> FLASHMLA_SPARSE, blocks of 64, `fp8_ds_mla`; DeepSeek-V3 on
    compute capability 10 -> FLASHINFER_MLA, blocks of 32; grouped attention on a CPU -> CPU_ATTN, blocks of 128.
    """
    major = compute_capability[0] if compute_capability else 0
    default = "fp8_e4m3" if needs.fp8_on_blackwell and major == _BLACKWELL else needs.dtype
    dtype = default if kv_cache_dtype == "auto" else kv_cache_dtype
    if needs.attention is Attention.COMPRESSED:
        return _compressed(kv_cache_dtype, platform)
    if platform is Platform.CPU:
        return _on_cpu(needs.attention, dtype, amx=amx)
    if platform is Platform.ASCEND:
        return Backend("ASCEND", 128, 128, dtype)
    if needs.attention is Attention.SPARSE_LATENT:
        return _sparse(needs, major, dtype)
    if needs.attention is Attention.LATENT:
        return _latent(needs, major, dtype)
    return Backend(_grouped(needs, major, dtype), 16, 16, dtype)


def _compressed(kv_cache_dtype: str, platform: Platform | None) -> Backend:
    """Its vectors are FP8 with scales whatever FP8 dtype is asked for (`_resolve_dsv4_kv_cache_dtype`)."""
    if kv_cache_dtype != "auto" and not kv_cache_dtype.startswith("fp8"):
        raise NoError("kv.compressed_dtype", dtype=kv_cache_dtype)
    block = 128 if platform is Platform.ASCEND else 256
    on_cpu = platform is Platform.CPU
    return Backend(
        "SPARSE_DSV4", block, block, "fp8_ds_mla", fixed_block_size=on_cpu, block_outermost=platform != Platform.ASCEND
    )


def _on_cpu(attention: Attention, dtype: str, *, amx: bool) -> Backend:
    if attention is Attention.SPARSE_LATENT:
        raise NoError("kv.sparse_on_cpu")
    if attention is Attention.LATENT:
        return Backend("AMX_MLA", 128, 32, dtype) if amx else Backend("CPU_MLA", 16, 16, dtype, fixed_block_size=True)
    return Backend("CPU_ATTN", 128, 32, dtype)


def _grouped(needs: AttentionNeeds, major: int, dtype: str) -> str:
    """All take blocks of 16 tokens. FlashAttention keeps FP8 only in its versions for Hopper and Blackwell."""
    old = 0 < major < _AMPERE
    flashinfer = needs.head_dim in _FLASHINFER_HEADS and not old
    if dtype.startswith("nvfp4"):
        # FlashInfer's other kernels misread it at this head size (flashinfer.py).
        if not flashinfer or (needs.head_dim == _MISREAD_HEAD and major != _BLACKWELL):
            raise NoError("kv.no_backend", dtype=dtype)
        return "FLASHINFER"
    if dtype.endswith("_per_token_head") or needs.dtype not in _HALF or old:
        return "TRITON_ATTN"
    if major == _BLACKWELL and flashinfer:
        return "FLASHINFER"
    if dtype in _HALF or (dtype in _FP8 and major in (_HOPPER, _BLACKWELL)):
        return "FLASH_ATTN"
    return "FLASHINFER" if flashinfer else "TRITON_ATTN"


def _latent(needs: AttentionNeeds, major: int, dtype: str) -> Backend:
    if dtype not in (*_HALF, *_FP8):
        raise NoError("kv.no_backend", dtype=dtype)
    if major == _HOPPER:
        return Backend("FLASH_ATTN_MLA", 16, 16, dtype) if dtype in _HALF else Backend("FLASHMLA", 64, 64, dtype)
    if major == _BLACKWELL:
        if needs.qk_nope_head_dim in _FLASHINFER_LATENT:
            return Backend("FLASHINFER_MLA", 32, 32, dtype)
        return Backend("CUTLASS_MLA", 128, 128, dtype)
    return Backend("TRITON_MLA", 16, 16, dtype)


def _sparse(needs: AttentionNeeds, major: int, dtype: str) -> Backend:
    """The indexer takes blocks of 64 tokens on all of them. On Hopper `fp8` and `fp8_e4m3` are not the same."""
    plain, stored = dtype in _HALF, dtype
    if major == _BLACKWELL_RTX and (plain or dtype in (*_FP8, "fp8_ds_mla")):
        name, stored = "FLASHINFER_MLA_SPARSE_SM120", "fp8_ds_mla"
    elif major == _BLACKWELL and (plain or dtype in _FP8) and needs.qk_nope_head_dim in _FLASHINFER_SPARSE:
        name = "FLASHINFER_MLA_SPARSE"
    elif major == _BLACKWELL and (plain or dtype in ("fp8", "fp8_ds_mla", "nvfp4_ds_mla")):
        name, stored = "FLASHMLA_SPARSE", "fp8_ds_mla" if dtype == "fp8" else dtype
    elif major == _HOPPER and plain:
        name = "FLASH_ATTN_MLA_SPARSE"
    elif major == _HOPPER and dtype in ("fp8", "fp8_ds_mla"):
        name, stored = "FLASHMLA_SPARSE", "fp8_ds_mla"
    elif major == _HOPPER and dtype == "fp8_e4m3":
        name = "FLASHINFER_MLA_SPARSE_SM90"
    elif major == 0 and plain:
        name = "FLASH_ATTN_MLA_SPARSE"
    else:
        raise NoError("kv.no_backend", dtype=dtype)
    return Backend(name, 64, 64, stored)


def block_size(backend: Backend, requested: int | None = None) -> int:
    """Tokens in a block, before it is enlarged for a model with states (`kv_hybrid`)."""
    return backend.block_size if requested is None or backend.fixed_block_size else requested
