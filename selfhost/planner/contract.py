"""What `selfhost plan --json` prints. Other people's scripts read it: keys are added, never renamed or removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfhost.hardware.types import Hardware
    from selfhost.planner.plan import KVCache, Layout, MemoryPerRank, Plan, Settings

SCHEMA_VERSION = 1


def as_dict(plan: Plan) -> dict[str, object]:
    """A whole plan."""
    memory, capacity = plan.memory, plan.capacity
    return {
        "schema_version": SCHEMA_VERSION,
        "model": plan.model,
        "variant": plan.variant,
        "model_path": plan.model_path,
        "served_model_name": plan.served_model_name,
        "fits": plan.fits,
        "verdict": plan.verdict.value,
        "confidence": plan.confidence.value,
        "engine": {"name": plan.engine.name, "version": plan.engine.version},
        "hardware": hardware_dict(plan.hardware),
        "layout": layout_dict(plan.layout),
        "settings": settings_dict(plan.settings),
        "weight_bytes_total": plan.weight_bytes_total,
        "per_rank": memory_dict(memory),
        "per_rank_range": {"kv_cache_bytes": [memory.kv_cache_bytes_low, memory.kv_cache_bytes_high]},
        "kv_cache": _kv_cache_dict(plan.kv_cache),
        "measured": plan.measured.as_dict() if plan.measured else None,
        "reasons": list(plan.reasons),
        "remedies": [{"change": r.change, "fits": r.fits, "max_model_len": r.max_model_len} for r in plan.remedies],
        "argv": list(plan.argv),
        "env": dict(plan.env),
        "goal": plan.goal and plan.goal.value,
        "devices": list(plan.hardware.device_names[: plan.layout.world_size]),
        "blocked_by": list(plan.blocked_by),
        "nodes": [{"node": node, "argv": list(argv)} for node, argv in enumerate(plan.node_argv)],
        **(capacity.as_dict() if capacity else {"capacity": None, "stages": [], "speed": None}),
        **(plan.explanation.as_dict() if plan.explanation else {}),
    }


def hardware_dict(hardware: Hardware) -> dict[str, object]:
    """What a plan is for."""
    return {
        "device": hardware.device.id,
        "nodes": hardware.nodes,
        "devices_per_node": hardware.devices_per_node,
        "visible_memory_bytes": hardware.visible_memory_bytes,
    }


def layout_dict(layout: Layout) -> dict[str, object]:
    """How the model is spread."""
    return {
        "tensor_parallel_size": layout.tensor_parallel_size,
        "pipeline_parallel_size": layout.pipeline_parallel_size,
        "data_parallel_size": layout.data_parallel_size,
        "enable_expert_parallel": layout.enable_expert_parallel,
        "decode_context_parallel_size": layout.decode_context_parallel_size,
    }


def memory_dict(memory: MemoryPerRank) -> dict[str, int]:
    """The terms of a rank, without the range."""
    return {
        "budget_bytes": memory.budget_bytes,
        "weight_bytes": memory.weight_bytes,
        "buffer_bytes": memory.buffer_bytes,
        "activation_bytes": memory.activation_bytes,
        "non_torch_bytes": memory.non_torch_bytes,
        "cudagraph_bytes": memory.cudagraph_bytes,
        "kv_cache_bytes": memory.kv_cache_bytes,
    }


def settings_dict(settings: Settings) -> dict[str, object]:
    """What decides memory besides the layout."""
    return {
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "kv_cache_dtype": settings.kv_cache_dtype,
        "enforce_eager": settings.enforce_eager,
        "num_speculative_tokens": settings.num_speculative_tokens,
    }


def _kv_cache_dict(kv: KVCache) -> dict[str, object]:
    return {
        "bytes_per_token": kv.bytes_per_token,
        "bytes_per_request_fixed": kv.bytes_per_request_fixed,
        "block_size": kv.block_size,
        "bytes_per_block": kv.bytes_per_block,
        "blocks_per_request": kv.blocks_per_request,
        "tokens": kv.tokens,
        "max_concurrency": kv.max_concurrency,
    }
