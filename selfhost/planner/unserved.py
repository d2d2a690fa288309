"""The plan of a model that no engine here serves: its verdict and why, and no figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.messages import text
from selfhost.planner import layouts
from selfhost.planner.plan import NO_MEMORY, Confidence, KVCache, Plan, Settings, Verdict
from selfhost.planner.settings import GPU_MEMORY_UTILIZATION
from selfhost.recipe.unserved import instead, is_about, reasons, unserved

if TYPE_CHECKING:
    from selfhost.hardware.types import Hardware
    from selfhost.planner.plan import EngineRef, PlanRequest
    from selfhost.recipe.schema import Recipe


def plan_unserved(
    recipe: Recipe, variant: str | None, hardware: Hardware, request: PlanRequest, engine: EngineRef
) -> Plan:
    """The verdict `unsupported`, with what the recipe says of it and of what can serve the model.

    Settings are those that were asked for; sizes of a batch that nobody chose are 0. Raises UsageError for a variant
    that the recipe does not have.
    """
    records, chosen = unserved(recipe), recipe.variant(variant)
    why = reasons([record for record in records if is_about(record, engine.name)])
    if not why:
        names = {"engine": engine.name, "version": engine.version, "model": recipe.name}
        why = [text("plan.unserved_untried", **names), *reasons(records)]
    return Plan(
        model=recipe.name,
        variant=chosen.name,
        model_path="",
        served_model_name=request.served_model_name or recipe.name,
        verdict=Verdict.UNSUPPORTED,
        confidence=Confidence.DERIVED,
        engine=engine,
        hardware=hardware,
        layout=layouts.explicit(request),
        settings=Settings(
            gpu_memory_utilization=request.gpu_memory_utilization or GPU_MEMORY_UTILIZATION,
            max_model_len=request.max_model_len or recipe.serving.max_model_len or recipe.context,
            max_num_seqs=request.max_num_seqs or 0,
            max_num_batched_tokens=request.max_num_batched_tokens or 0,
            kv_cache_dtype=request.kv_cache_dtype or "auto",
            enforce_eager=bool(request.enforce_eager),
        ),
        memory=NO_MEMORY,
        kv_cache=KVCache(bytes_per_token=0, bytes_per_request_fixed=0, block_size=0, tokens=0, max_concurrency=0.0),
        weight_bytes_total=chosen.bytes_on_disk or 0,
        reasons=(*why, *(text("plan.instead", way=way) for way in instead(records))),
        host=request.host,
        port=request.port,
        goal=request.goal,
    )
