"""What the pinned engine or the device refuses, however much memory there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.planner import ascend
from selfhost.planner.speculation import speculation_refusals
from selfhost.quant.schemes import runs_on

if TYPE_CHECKING:
    from selfhost.hardware.types import Device, Hardware
    from selfhost.planner.plan import EngineFacts, ModelToPlan, PlanRequest, Settings

_SPARSE_ATTENTION_MAJORS = (9, 10, 12)
_CHANGES_CONTEXT = ("--hf-overrides", "--rope-scaling", "--rope-parameters")


def refusals(model: ModelToPlan, hardware: Hardware, engine: EngineFacts) -> list[str]:
    """Why this model cannot run on this device at all; empty when nothing is known against it."""
    device, arch = hardware.device, model.arch
    if not device.supported or device.platform is None:
        return [text("plan.device_unsupported", device=device.name, reason=device.reason or text("plan.no_engine"))]
    found = []
    if not engine.architectures.intersection(arch.architectures):
        names = ", ".join(arch.architectures) or "none"
        found.append(text("plan.architecture", names=names, engine=engine.ref.name, version=engine.ref.version))
    if device.platform is Platform.ASCEND:
        return found + ascend.refusals(model, device)
    if arch.quantization is not None:
        runs, why = runs_on(arch.quantization, device)
        if not runs and why is not None:
            found.append(": ".join(part for part in (why.what, why.why) if part))
    if arch.indexer and not _runs_sparse_attention(device):
        found.append(text("plan.sparse_attention", model=model.name, device=device.name))
    if arch.family.gpu_only and device.platform is Platform.CPU:
        found.append(text("plan.gpu_only", model=model.name, device=device.name))
    return found


def _runs_sparse_attention(device: Device) -> bool:
    """Kernels exist for compute capability 9, 10 and 12 (vLLM 0.32 v1/attention/backends/mla); none on a CPU."""
    if device.platform is Platform.CPU:
        return False
    return device.compute_capability is None or device.compute_capability[0] in _SPARSE_ATTENTION_MAJORS


def setting_refusals(model: ModelToPlan, hardware: Hardware, request: PlanRequest, settings: Settings) -> list[str]:
    """Settings the engine would refuse for this model: a context beyond what it was made for, drafting it cannot."""
    found = []
    longest = model.arch.max_position_embeddings
    extended = any(arg.startswith(_CHANGES_CONTEXT) for arg in (*model.engine_args, *request.engine_args))
    if longest and settings.max_model_len > longest and not extended:
        found.append(text("plan.context_too_long", length=settings.max_model_len, longest=longest))
    if settings.kv_cache_dtype.startswith("fp8") and not runs_fp8_kv(model, hardware):
        found.append(text("plan.fp8_kv", device=hardware.device.name))
    return [*found, *speculation_refusals(model.arch, model.name, request.speculation)]


def runs_fp8_kv(model: ModelToPlan, hardware: Hardware) -> bool:
    """Whether the engine has an attention kernel for an FP8 KV cache.

    On CUDA from compute capability 8.9 on, where the GPU converts FP8 itself; tried on the CPU build for GQA only.
    Sparse attention makes a format of its own of it, whose size is not modelled. vllm-ascend takes a smaller KV cache
    only from a checkpoint that was made for it (C8), which is not modelled either.
    """
    device = hardware.device
    if model.arch.indexer or device.platform is Platform.ASCEND:
        return False
    if device.platform is Platform.CPU:
        return not model.arch.is_mla
    return device.compute_capability is None or device.compute_capability >= (8, 9)
