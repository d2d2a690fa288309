"""Settings that decide memory, always chosen here and written out as flags.

The engine's own defaults depend on the device's name and on the kind of start (vLLM 0.32
`EngineArgs.get_batch_defaults`), so a plan that relied on them would change with the card; these do not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.hardware.types import Platform
from selfhost.planner import ascend_terms
from selfhost.planner.plan import Goal, Settings
from selfhost.units import GIB

if TYPE_CHECKING:
    from selfhost.hardware.types import Hardware
    from selfhost.models.arch import ModelArch
    from selfhost.planner.plan import Layout, PlanRequest

GPU_MEMORY_UTILIZATION = 0.92
"""Of a GPU's visible memory; the rest holds the CUDA context, NCCL and what graph capture took beyond its estimate."""
LEAST_ASCEND_UTILIZATION = 0.5
"""On Ascend it is lower where graphs, which come on top, would not find room; but not below this."""
MAX_GPU_MEMORY_UTILIZATION = 0.95
"""Highest value a remedy offers: context and communication buffers must fit into what is left."""
CPU_MEMORY_UTILIZATION = 0.90
"""Of the host memory that is available; the engine shares it with everything else on the host."""

LARGEST = (1 << 63) - 1
"""What a setting can be at most: a number of 64 bits, as engines count with."""

LARGE_DEVICE_BYTES = 70 * GIB
LARGE_DEVICE_BATCH = (8192, 1024)
SMALL_DEVICE_BATCH = (2048, 256)
ASCEND_BATCH = (2048, 256)
ASCEND_EXPERTS_BATCH = (2048, 64)
"""The engine's own 256 requests would ask four times the buffer of the kernels that send tokens to experts; the
tutorials of vllm-ascend take 16 to 128."""
CPU_BATCH = (2048, 16)
"""Sixteen, where the engine would take 128: on a CPU each request at a time slows the others down, and the KV cache is
made for that many requests of full length, in memory that the host needs for other things too."""


def choose_settings(
    arch: ModelArch, hardware: Hardware, layout: Layout, request: PlanRequest, *, max_model_len: int
) -> Settings:
    """The settings of a plan: what was asked for, else the defaults above.

    Two rules of the engine are applied beforehand, so that the flags say what it will do: a step never holds more
    tokens than `max_num_seqs * max_model_len`, and never more requests than tokens.
    """
    cpu = hardware.device.platform is Platform.CPU
    batched, seqs = _batch(arch, hardware)
    if shares_experts(arch, layout, request):
        batched = max(SMALL_DEVICE_BATCH[0], batched // layout.data_parallel_size)
    seqs = request.max_num_seqs or min(seqs, request.max_num_batched_tokens or seqs)
    if request.max_num_batched_tokens:
        batched = request.max_num_batched_tokens
    elif cpu and arch.is_mla:
        # The CPU's MLA kernel has no chunked prefill: a prompt is one step (vLLM 0.32 platforms/cpu.py).
        batched = max(max_model_len, batched)
    else:
        batched = max(seqs, min(batched, seqs * max_model_len))
    return Settings(
        gpu_memory_utilization=request.gpu_memory_utilization or _utilization(arch, hardware, layout, request),
        max_model_len=max_model_len,
        max_num_seqs=seqs,
        max_num_batched_tokens=batched,
        kv_cache_dtype=request.kv_cache_dtype or "auto",
        # Compiled bfloat16 gives wrong text in the CPU build of vLLM 0.32: eager there, but for pipeline stages, which
        # fail without the warm-up that eager skips (engines/vllm.py has the compilation that neither breaks).
        enforce_eager=layout.pipeline_parallel_size == 1 if cpu else bool(request.enforce_eager),
        num_speculative_tokens=drafted(request),
    )


def drafted(request: PlanRequest) -> int:
    """Tokens drafted ahead, where that is counted."""
    asked = request.speculation
    return (asked.num_speculative_tokens or 0) if asked is not None and asked.is_counted else 0


def _utilization(arch: ModelArch, hardware: Hardware, layout: Layout, request: PlanRequest) -> float:
    if hardware.device.platform is Platform.CPU:
        return CPU_MEMORY_UTILIZATION
    if hardware.device.platform is Platform.ASCEND:
        beside = ascend_terms.beside(arch, hardware, layout, eager=bool(request.enforce_eager))
        part = 1 - beside.high / hardware.visible_memory_bytes
        return min(GPU_MEMORY_UTILIZATION, max(LEAST_ASCEND_UTILIZATION, math.floor(100 * part) / 100))
    return GPU_MEMORY_UTILIZATION


def shares_experts(arch: ModelArch, layout: Layout, request: PlanRequest) -> bool:
    """Whether the batch of each engine is chosen smaller, since the tokens of all engines meet at the experts.

    There the workspace is as large as all their batches together; the memory is better spent on the KV cache. Only for
    a layout that was chosen for throughput; with one that was asked for the usual batch stands.
    """
    engines = layout.data_parallel_size > 1 and arch.is_moe
    return engines and request.goal is Goal.THROUGHPUT and request.max_num_batched_tokens is None


def _batch(arch: ModelArch, hardware: Hardware) -> tuple[int, int]:
    if hardware.device.platform is Platform.CPU:
        return CPU_BATCH
    if hardware.device.platform is Platform.ASCEND:
        return ASCEND_EXPERTS_BATCH if arch.is_moe else ASCEND_BATCH
    return LARGE_DEVICE_BATCH if hardware.visible_memory_bytes >= LARGE_DEVICE_BYTES else SMALL_DEVICE_BATCH


def check_request(request: PlanRequest) -> None:
    """Raises UsageError for values no engine takes."""
    utilization = request.gpu_memory_utilization
    if utilization is not None and not 0 < utilization <= 1:
        raise UsageError("plan.utilization", value=utilization)
    for name in (
        "tensor_parallel_size",
        "pipeline_parallel_size",
        "data_parallel_size",
        "decode_context_parallel_size",
        "max_model_len",
        "max_num_seqs",
        "max_num_batched_tokens",
    ):
        value = getattr(request, name)
        if value is not None and value < 1:
            raise UsageError("plan.not_positive", flag="--" + name.replace("_", "-"), value=value)
        if value is not None and value > LARGEST:
            raise UsageError("plan.too_large", flag="--" + name.replace("_", "-"), most=LARGEST)
    served = request.served_model_name
    if served is not None and (not served or served.startswith("-")):
        raise UsageError("plan.served_model_name", value=served)
    seqs, batched = request.max_num_seqs, request.max_num_batched_tokens
    if seqs and batched and seqs > batched:
        raise UsageError("plan.more_seqs_than_tokens", max_num_seqs=seqs, max_num_batched_tokens=batched)
