"""A log's figures -> the estimate of the same plan: what an engine measured in the place of what was computed.

The terms add up to the budget as everywhere. Logged figures have two decimals, and not every term is logged: non-torch
memory takes up the difference; what it cannot take the graphs do, then the activation, and what was logged comes last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.planner.boots import Outcome
from selfhost.units import GIB

if TYPE_CHECKING:
    from selfhost.planner.boots import Boot, BootRecord, Measured
    from selfhost.planner.memory import Estimate
    from selfhost.planner.plan import KVCache, MemoryPerRank
    from selfhost.planner.terms import Setup

RESOLUTION_BYTES = int(0.005 * GIB) + 1
"""Half of the last digit that the engine logs (vLLM 0.32 utils/mem_utils.py `format_gib`)."""
NOISE_BYTES = int(0.05 * GIB)
"""Between starts of one plan. Public logs of equal starts but for the decode-context-parallel size: 19.47 GiB each of
three times, 18.42 twice (github.com/local-inference-lab/rtx6kpro, glm51-v2-full-68b3569f-20260514); ranks of one start
differ by 0.02 (github.com/noonghunna/club-3090 issue 1087)."""
GRAPH_NOISE = 0.05
"""Of the graph estimate, which the same three starts put at 4.94, 4.98 and 5.1 GiB."""
CONTRADICTION = 0.01
"""A figure that differs from the computed one by more is told."""

TERMS = ("weight_bytes", "buffer_bytes", "activation_bytes", "non_torch_bytes", "cudagraph_bytes")
_TAKES_UP = ("non_torch_bytes", "cudagraph_bytes", "activation_bytes", "buffer_bytes", "weight_bytes")
"""Who takes up a difference, the least certain first."""


def telling(record: BootRecord) -> list[Boot]:
    """The starts that got as far as the KV cache."""
    return [boot for boot in record.boots if boot.measured.has_kv]


def as_measured(setup: Setup, computed: Estimate, record: BootRecord) -> Estimate:
    """The estimate with what the newest start measured; the range of KV spans all that are kept, and noise."""
    boots = telling(record)
    boot, length = boots[0], setup.settings.max_model_len
    stages = setup.layout.pipeline_parallel_size
    kv_bytes = _kv_bytes(boot.measured, computed, length, stages)
    all_kv = [_kv_bytes(each.measured, computed, length, stages) for each in boots]
    noise = noise_bytes(boot.measured)
    terms = _measured_terms(computed.memory, boot.measured, stages)
    budget = nearest(computed.memory.budget_bytes, boot.measured.requested_memory_bytes)
    found = replace(
        settled(replace(computed.memory, budget_bytes=budget, kv_cache_bytes=kv_bytes, **terms), tuple(terms)),
        kv_cache_bytes_low=min(all_kv) - noise,
        kv_cache_bytes_high=max(all_kv) + noise,
    )
    return with_blocks(computed._replace(memory=found, usable_bytes=budget), boot, length, record.boots[0].outcome)


def _kv_bytes(measured: Measured, computed: Estimate, length: int, stages: int) -> int:
    """KV of the rank with the fewest blocks: the blocks that the logged tokens are, at the size they were logged with.

    With pipeline stages the size that is logged may be another stage's: then the blocks alone decide.
    """
    logged, per_block = measured.kv_cache_bytes, computed.bytes_per_block
    if measured.kv_cache_tokens is None or not per_block:
        return logged or 0
    least = blocks_of(measured.kv_cache_tokens, computed, length) * per_block
    if stages > 1 or logged is None:
        return least
    if not agree(logged, least, per_block):
        return logged  # `measured` tells of the contradiction
    return min(max(logged, least), least + per_block - 1)


def blocks_of(tokens: int, computed: Estimate, length: int) -> int:
    """Blocks behind the tokens that are logged: int(blocks / blocks per request * max_model_len)."""
    return -(-tokens * computed.blocks_per_request // length)


def agree(logged: int, least: int, per_block: int) -> bool:
    """Whether a logged size and the size of the logged tokens are the same; a rank may have a little less."""
    return -RESOLUTION_BYTES <= logged - least <= per_block + RESOLUTION_BYTES + CONTRADICTION * abs(logged)


def _measured_terms(computed: MemoryPerRank, measured: Measured, stages: int) -> dict[str, int]:
    """The terms that were logged. With pipeline stages it is not known of which rank they are."""
    if stages > 1:
        return {}
    terms = {"weight_bytes": nearest(computed.weight_bytes, measured.weight_bytes)}
    graphs, peak = measured.cudagraph_estimate_bytes, measured.peak_activation_bytes
    buffers = computed.buffer_bytes
    if graphs is not None:
        terms["cudagraph_bytes"] = graphs
    if measured.consumed_bytes is not None:
        rest = max(0, measured.consumed_bytes - terms["weight_bytes"])
        buffers = min(buffers, rest)
        terms |= {"buffer_bytes": buffers, "non_torch_bytes": rest - buffers}
        if peak is not None:
            terms["cudagraph_bytes"] = min(graphs or 0, max(0, peak))
            terms["activation_bytes"] = max(0, peak) - terms["cudagraph_bytes"]
    elif measured.non_torch_bytes is not None and peak is not None:
        # Older engines: buffers grow in the profiling run, so they are in its peak; graphs are not counted.
        buffers = min(buffers, max(0, peak))
        terms |= {"non_torch_bytes": measured.non_torch_bytes, "buffer_bytes": buffers, "cudagraph_bytes": graphs or 0}
        terms["activation_bytes"] = max(0, peak) - buffers
    return terms


def nearest(computed: int, logged: int | None) -> int:
    """The logged figure; the computed one where it rounds to the same, for it has more digits."""
    return computed if logged is None or abs(computed - logged) <= RESOLUTION_BYTES else logged


def settled(found: MemoryPerRank, logged: tuple[str, ...] = ()) -> MemoryPerRank:
    """The same, with the terms adding up to the budget and none below zero; those that were logged change last."""
    terms = {name: max(0, getattr(found, name)) for name in TERMS}
    left = found.budget_bytes - found.kv_cache_bytes - sum(terms.values())
    for name in sorted(_TAKES_UP, key=lambda name: name in logged and name != _TAKES_UP[0]):
        taken = max(left, -terms[name])
        terms[name] += taken
        left -= taken
    return replace(found, **terms)


def noise_bytes(measured: Measured) -> int:
    """What KV may differ by at the next start of the same plan."""
    return NOISE_BYTES + int(GRAPH_NOISE * (measured.cudagraph_estimate_bytes or 0))


def with_blocks(found: Estimate, boot: Boot, length: int, last: Outcome) -> Estimate:
    """With tokens and concurrency as they were logged, and the verdict that the engine itself gave."""
    measured, needed = boot.measured, found.blocks_per_request + 1
    blocks = max(0, found.memory.kv_cache_bytes // found.bytes_per_block)
    if boot.outcome is Outcome.STARTED:
        blocks = max(blocks, needed)
    elif boot.outcome is Outcome.KV_TOO_SMALL:
        blocks = min(blocks, needed - 1)
    low = 0 if last is Outcome.OUT_OF_MEMORY else found.memory.kv_cache_bytes_low // found.bytes_per_block
    kv_cache = counted(found, blocks, length)
    if measured.kv_cache_tokens is not None:
        times = measured.max_concurrency
        kv_cache = replace(
            kv_cache,
            tokens=measured.kv_cache_tokens,
            max_concurrency=round(measured.kv_cache_tokens / length, 2) if times is None else times,
        )
    return found._replace(kv_cache=kv_cache, blocks=blocks, blocks_low=max(0, min(low, blocks)))


def counted(found: Estimate, blocks: int, length: int) -> KVCache:
    """Tokens and concurrency as the engine counts them (vLLM 0.32 kv_cache_utils.py `get_kv_cache_capacity`)."""
    times = blocks / found.blocks_per_request
    return replace(found.kv_cache, tokens=int(times * length), max_concurrency=round(times, 2))


def recounted(found: Estimate, length: int) -> Estimate:
    """With blocks, tokens and concurrency of its own KV bytes."""
    blocks = max(0, found.memory.kv_cache_bytes // found.bytes_per_block)
    low = max(0, found.memory.kv_cache_bytes_low // found.bytes_per_block)
    return found._replace(kv_cache=counted(found, blocks, length), blocks=blocks, blocks_low=low)
