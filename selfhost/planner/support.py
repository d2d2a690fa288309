"""What the pinned engine or the device refuses, however much memory there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.errors import NoError
from selfhost.hardware.types import Platform
from selfhost.messages import text, word
from selfhost.models.kv_plan import CacheLaunch, backend_of, plan_caches
from selfhost.planner import ascend, encoder
from selfhost.planner.speculation import speculation_refusals
from selfhost.quant.schemes import Format, runs_on

if TYPE_CHECKING:
    from selfhost.hardware.types import Device, Hardware
    from selfhost.models.arch import ModelArch
    from selfhost.planner.plan import EngineFacts, ModelToPlan, PlanRequest, Settings

_SPARSE_ATTENTION_MAJORS = (9, 10, 12)
_CHANGES_CONTEXT = ("--hf-overrides", "--rope-scaling", "--rope-parameters")


def refusals(model: ModelToPlan, hardware: Hardware, engine: EngineFacts, *, kv_cache_dtype: str = "auto") -> list[str]:
    """Why this model cannot run on this device at all; empty when nothing is known against it.

    Raises UsageError for a KV dtype the engine does not have, or of unknown size.
    """
    device, arch = hardware.device, model.arch
    if not device.supported or device.platform is None:
        return [text("plan.device_unsupported", device=device.name, reason=device.reason or text("plan.no_engine"))]
    found = []
    if not engine.architectures.intersection(arch.architectures):
        names = ", ".join(arch.architectures) or word("none")
        found.append(text("plan.architecture", names=names, engine=engine.ref.name, version=engine.ref.version))
    if device.platform is Platform.ASCEND:
        if kv_cache_dtype.startswith("fp8"):
            # vllm-ascend takes a smaller cache only from a checkpoint made for it (C8), which is not modelled.
            found.append(text("plan.fp8_kv", device=device.name))
        return found + ascend.refusals(model, device)
    if arch.quantization is not None:
        runs, why = runs_on(arch.quantization, device)
        if not runs and why is not None:
            found.append(": ".join(part for part in (why.what, why.why) if part))
    if device.platform is Platform.CPU:
        found += _on_cpu(model)
    if arch.indexer and not _runs_sparse_attention(device):
        found.append(text("plan.sparse_attention", model=model.name, device=device.name))
    if arch.family.gpu_only and device.platform is Platform.CPU:
        found.append(text("plan.gpu_only", model=model.name, device=device.name))
    return found or _backend_refusals(arch, device, kv_cache_dtype)


def _on_cpu(model: ModelToPlan) -> list[str]:
    """What the CPU engine lacks packages or kernels for."""
    found = []
    if model.arch.family.needs_torchvision:
        found.append(text("plan.cpu_torchvision", name=model.arch.architecture))
    if not model.arch.family.cpu_router:
        found.append(text("plan.cpu_router", name=model.arch.architecture))
    quantization = model.arch.quantization
    if model.arch.is_moe and quantization is not None and quantization.format is Format.INT_GROUP:
        # fused_moe/experts/cpu_moe.py `CPUExpertsInt4`: AMX, and neither DeepSeek's routing nor GLM's.
        found.append(text("plan.cpu_experts", method=quantization.method))
    return found


def _backend_refusals(arch: ModelArch, device: Device, kv_cache_dtype: str) -> list[str]:
    """Why no attention backend runs; also when the KV dtype is one for other models."""
    launch = CacheLaunch(device.platform, device.compute_capability, kv_cache_dtype)
    try:
        plan_caches(arch, launch)
    except NoError as error:
        return [error.message.what]
    return []


def _runs_sparse_attention(device: Device) -> bool:
    """Kernels exist for compute capability 9, 10 and 12 (vLLM 0.32 v1/attention/backends/mla); none on a CPU."""
    if device.platform is Platform.CPU:
        return False
    return device.compute_capability is None or device.compute_capability[0] in _SPARSE_ATTENTION_MAJORS


def setting_refusals(model: ModelToPlan, request: PlanRequest, settings: Settings) -> list[str]:
    """Settings the engine would refuse for this model: a context beyond what it was made for, drafting it cannot."""
    found = []
    longest = model.arch.max_position_embeddings
    extended = any(arg.startswith(_CHANGES_CONTEXT) for arg in (*model.engine_args, *request.engine_args))
    if longest and settings.max_model_len > longest and not extended:
        found.append(text("plan.context_too_long", length=settings.max_model_len, longest=longest))
    found += encoder.refusals(model.arch, settings)
    return [*found, *speculation_refusals(model.arch, model.name, request.speculation)]


def halves_with_fp8(model: ModelToPlan, hardware: Hardware) -> bool:
    """Whether `--kv-cache-dtype fp8` is a change to offer: the engine has a backend for it, seen to run, and it saves.

    Not on a CPU, whose kernels for it take AVX-512 or AMX, and not below compute capability 8.0, where no public log
    shows it. GLM-5 on compute capability 10 and DeepSeek-V4 have an FP8 cache anyway.
    """
    device, arch = hardware.device, model.arch
    if device.platform is not Platform.CUDA or (device.compute_capability or (8, 0)) < (8, 0):
        return False
    launch = CacheLaunch(device.platform, device.compute_capability)
    if _backend_refusals(arch, device, "fp8"):
        return False
    return (
        backend_of(arch, launch).kv_cache_dtype
        != backend_of(arch, launch._replace(kv_cache_dtype="fp8")).kv_cache_dtype
    )
