"""Memory of one rank, term by term, as the engine accounts for it; bytes throughout.

vLLM 0.32 (v1/worker/gpu_worker.py `determine_available_memory`, worker/utils.py `request_memory`):

    budget  = ceil(visible memory * gpu_memory_utilization)
    KV      = budget - weights - persistent buffers - activation peak - non-torch growth - CUDA graph estimate
    blocks  = floor(KV / bytes per block), the smallest over all ranks

What the CUDA context and NCCL hold before the model is built is not taken from KV: it has to fit into what
`gpu_memory_utilization` leaves out.

vllm-ascend 0.23 (worker/worker.py) counts from before the communicators are opened and does not subtract graphs: they
come on top and have to fit in beside the budget.

Weights, the KV layout and the buffers follow from the engine's source. Non-torch memory and graphs do not: they have a
range, and the low and high bounds of KV carry it together with the error of the other terms. So does what a vision
tower holds while it is profiled (`planner.encoder`), which comes before the language model's own peak.
Not covered: LoRA, encoders of sound, what images take on the host.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.models.kv_plan import CacheLaunch, plan_caches
from selfhost.models.kv_pool import (
    RequestTerms,
    growth,
    max_in_flight_tokens,
    most_requests_with_graphs,
    request_blocks,
)
from selfhost.planner import ascend_terms, encoder, terms
from selfhost.planner.held import as_loaded, held_by, rank_sizes
from selfhost.planner.plan import KVCache, MemoryPerRank, Verdict

if TYPE_CHECKING:
    from selfhost.hardware.types import Device, Hardware
    from selfhost.models.arch import ModelArch
    from selfhost.models.kv_plan import CachePlan
    from selfhost.planner.held import RankSize
    from selfhost.planner.plan import Layout
    from selfhost.planner.terms import Setup


class Sizes(NamedTuple):
    """What does not depend on lengths and batch sizes: the weights of all stages, and how the KV cache is laid out.

    Computed once: a search over lengths asks for the same ones again and again.
    """

    ranks: tuple[RankSize, ...]
    caches: CachePlan


class Estimate(NamedTuple):
    """What a layout with its settings comes to on the rank with the fewest KV blocks."""

    memory: MemoryPerRank
    kv_cache: KVCache
    blocks: int
    blocks_low: int
    blocks_per_request: int
    """For one request of `max_model_len`."""
    bytes_per_block: int
    usable_bytes: int
    """What the rank may use; the budget, except on a CPU, where only what is needed is taken."""
    left_bytes: int = 0
    """On Ascend: what is left beside the budget when graphs are captured."""
    left_bytes_low: int = 0

    @property
    def holds(self) -> bool:
        """Whether the KV cache holds one request of full length; the engine keeps a block back (core/block_pool.py)."""
        return self.blocks - 1 >= self.blocks_per_request

    @property
    def surely_holds(self) -> bool:
        """The same at the low bound."""
        return self.blocks_low - 1 >= self.blocks_per_request

    @property
    def verdict(self) -> Verdict:
        """Whether one request of full length fits, and the engine starts."""
        if self.surely_holds and self.left_bytes_low >= 0:
            return Verdict.FITS
        return Verdict.TIGHT if self.holds and self.left_bytes >= 0 else Verdict.DOES_NOT_FIT

    @property
    def request_bytes(self) -> int:
        """KV cache that one request of full length takes on this rank, with the engine's spare block."""
        return (self.blocks_per_request + 1) * self.bytes_per_block


class _Rest(NamedTuple):
    """Bytes left for KV."""

    low: int
    likely: int
    high: int


def measure(
    arch: ModelArch, hardware: Hardware, layout: Layout, kv_cache_dtype: str, num_speculative_tokens: int = 0
) -> Sizes:
    """Weights and KV layout of every stage of a layout.

    Raises NoError where the device has no attention backend for the KV dtype, UsageError for one of unknown size.
    """
    device = hardware.device
    arch = as_loaded(arch, device.platform)
    launch = _launch(device, layout, kv_cache_dtype, num_speculative_tokens)
    return Sizes(ranks=rank_sizes(arch, layout, held_by(device, arch)), caches=plan_caches(arch, launch))


def sizes_of(setup: Setup) -> Sizes:
    """The same for a whole setup."""
    settings = setup.settings
    return measure(setup.arch, setup.hardware, setup.layout, settings.kv_cache_dtype, settings.num_speculative_tokens)


def launch_of(setup: Setup) -> CacheLaunch:
    """What a setup decides about the KV cache."""
    settings = setup.settings
    return _launch(setup.hardware.device, setup.layout, settings.kv_cache_dtype, settings.num_speculative_tokens)


def _launch(device: Device, layout: Layout, kv_cache_dtype: str, num_speculative_tokens: int) -> CacheLaunch:
    return CacheLaunch(
        platform=device.platform,
        compute_capability=device.compute_capability,
        kv_cache_dtype=kv_cache_dtype,
        tensor_parallel_size=layout.tensor_parallel_size,
        pipeline_parallel_size=layout.pipeline_parallel_size,
        num_speculative_tokens=num_speculative_tokens,
    )


def estimate(setup: Setup, sizes: Sizes) -> Estimate:
    """The estimate of the rank with the fewest KV blocks; the first stage when several have as few."""
    one = _RANKS.get(setup.hardware.device.platform or Platform.CUDA, _gpu_rank)
    if len(sizes.ranks) == 1:
        return one(setup, sizes.ranks[0], sizes.caches)
    last, block_bytes = setup.layout.pipeline_parallel_size - 1, sizes.caches.groups.bytes_per_block
    # Nothing else tells stages apart, but that the first one runs what sees images: of those that are alike the first
    # stands for all, and none has fewer blocks.
    alike: dict[tuple[int, int, bool], RankSize] = {}
    for rank in sizes.ranks:
        alike.setdefault((rank.weight_bytes, block_bytes[rank.pp_rank], rank.pp_rank == last), rank)
    return min((one(setup, rank, sizes.caches) for rank in alike.values()), key=lambda stage: stage.blocks)


def _gpu_rank(setup: Setup, rank: RankSize, caches: CachePlan) -> Estimate:
    hardware, settings = setup.hardware, setup.settings
    first, last = rank.pp_rank == 0, rank.pp_rank == setup.layout.pipeline_parallel_size - 1
    buffers = terms.buffers(setup, last_stage=last) + encoder.buffers(setup, first_stage=first)
    peak = activation_peak(setup, rank.pp_rank, caches.block_size)
    activation = peak.likely
    non_torch = terms.non_torch(setup)
    graphs = terms.cuda_graphs(setup.arch, settings)
    budget = math.ceil(hardware.visible_memory_bytes * settings.gpu_memory_utilization)
    budget_low = math.ceil(visible_low(hardware) * settings.gpu_memory_utilization)
    fixed = rank.weight_bytes + buffers + activation
    slack = int(rank.weight_bytes * terms.WEIGHT_ERROR) + min(terms.SCRATCH_ERROR_BYTES, buffers + activation)
    more = settings.max_num_batched_tokens * terms.STREAMS_ERROR_BYTES if setup.arch.connections else 0
    rest = _Rest(
        low=budget_low - fixed - slack - more - (peak.high - activation) - non_torch.high - graphs.high,
        likely=budget - fixed - non_torch.likely - graphs.likely,
        high=budget - fixed + slack + (activation - peak.low) - non_torch.low - graphs.low,
    )
    memory = MemoryPerRank(
        budget_bytes=budget,
        weight_bytes=rank.weight_bytes,
        buffer_bytes=buffers,
        activation_bytes=activation,
        non_torch_bytes=non_torch.likely,
        cudagraph_bytes=graphs.likely,
        kv_cache_bytes=rest.likely,
        kv_cache_bytes_low=rest.low,
        kv_cache_bytes_high=rest.high,
    )
    return _with_blocks(memory, setup, rank, caches, usable=budget)


def activation_peak(setup: Setup, pp_rank: int, block_size: int) -> terms.Range:
    """Peak of the profiling run of a stage: of the language model, or of what sees images."""
    last = pp_rank == setup.layout.pipeline_parallel_size - 1
    language = terms.activation(setup, last_stage=last, block_size=block_size)
    # The ranks of a CPU count no such workspace among their buffers.
    cpu = setup.hardware.device.platform is Platform.CPU
    alone, workspace = terms.Range(language, language, language), 0 if cpu else terms.workspace(setup)
    return encoder.peak(setup, alone, first_stage=pp_rank == 0, workspace_bytes=workspace)


def _npu_rank(setup: Setup, rank: RankSize, caches: CachePlan) -> Estimate:
    low = visible_low(setup.hardware)
    memory, left, left_low = ascend_terms.memory(setup, rank.weight_bytes, visible_low_bytes=low, pp_rank=rank.pp_rank)
    found = _with_blocks(memory, setup, rank, caches, usable=memory.budget_bytes)
    return found._replace(left_bytes=left, left_bytes_low=left_low)


def _cpu_rank(setup: Setup, rank: RankSize, caches: CachePlan) -> Estimate:
    """The KV cache is given to the engine in bytes and takes its memory at once: as much as `max_num_seqs` requests of
    full length need, at most half of what is left beside the rest, and never less than one request if that is there.

    All ranks share the host. With an explicit size the engine does not check `gpu_memory_utilization` at the start
    (vLLM 0.32 v1/worker/cpu_worker.py); here it is the part of the host's available memory that may be used.
    """
    layout, settings = setup.layout, setup.settings
    last = rank.pp_rank == layout.pipeline_parallel_size - 1
    buffers = terms.sampler_state(setup.arch, settings) if last else 0
    buffers += encoder.buffers(setup, first_stage=rank.pp_rank == 0)
    activation = activation_peak(setup, rank.pp_rank, caches.block_size).likely
    processes = terms.cpu_processes(layout)
    usable = int(setup.hardware.visible_memory_bytes * settings.gpu_memory_utilization) // layout.world_size
    fixed = rank.weight_bytes + buffers + activation

    block_bytes = caches.groups.bytes_per_block[rank.pp_rank]
    per_request = request_blocks(caches.groups, settings.max_model_len, request_terms(setup))
    one = (per_request + 1) * block_bytes
    wanted = (settings.max_num_seqs * per_request + 1) * block_bytes
    free = usable - fixed - processes.likely
    size = min(wanted, free, max(one, free // 2))
    # Whole blocks: the flag then says what the engine makes of it.
    size -= size % block_bytes if size > 0 else 0
    slack = int(rank.weight_bytes * terms.WEIGHT_ERROR) + min(terms.SCRATCH_ERROR_BYTES, activation)
    memory = MemoryPerRank(
        budget_bytes=fixed + processes.likely + size,
        weight_bytes=rank.weight_bytes,
        buffer_bytes=buffers,
        activation_bytes=activation,
        non_torch_bytes=processes.likely,
        cudagraph_bytes=0,
        kv_cache_bytes=size,
        kv_cache_bytes_low=min(size, usable - fixed - slack - processes.high),
        kv_cache_bytes_high=size,
    )
    return _with_blocks(memory, setup, rank, caches, usable=usable)


_RANKS = {Platform.CPU: _cpu_rank, Platform.ASCEND: _npu_rank}


def request_terms(setup: Setup) -> RequestTerms:
    """What decides how many blocks a request takes, beside its length."""
    platform, layout = setup.hardware.device.platform, setup.layout
    in_flight = max_in_flight_tokens(
        setup.settings.max_num_batched_tokens,
        layout.pipeline_parallel_size,
        async_scheduling=platform is not Platform.CPU,
    )
    return RequestTerms(in_flight, layout.decode_context_parallel_size)


def most_requests(setup: Setup, sizes: Sizes, estimate: Estimate) -> int | None:
    """The largest `max_num_seqs` with which a model that keeps states surely starts; None where nothing limits it."""
    if setup.settings.enforce_eager or setup.hardware.device.platform is not Platform.CUDA:
        return None
    return most_requests_with_graphs(sizes.caches.groups, estimate.blocks_low)


def _with_blocks(memory: MemoryPerRank, setup: Setup, rank: RankSize, caches: CachePlan, *, usable: int) -> Estimate:
    length, asked = setup.settings.max_model_len, request_terms(setup)
    block_bytes = caches.groups.bytes_per_block[rank.pp_rank]
    each = request_blocks(caches.groups, length, asked)
    grown = growth(caches.groups, rank.pp_rank, length, asked)
    blocks = max(0, memory.kv_cache_bytes // block_bytes)
    return Estimate(
        memory=memory,
        kv_cache=KVCache(
            bytes_per_token=grown.bytes_per_token,
            bytes_per_request_fixed=grown.bytes_per_request_fixed,
            block_size=caches.block_size,
            tokens=int(blocks / each * length),
            max_concurrency=round(blocks / each, 2),
            bytes_per_block=block_bytes,
            blocks_per_request=each,
        ),
        blocks=blocks,
        blocks_low=max(0, memory.kv_cache_bytes_low // block_bytes),
        blocks_per_request=each,
        bytes_per_block=block_bytes,
        usable_bytes=usable,
    )


def visible_low(hardware: Hardware) -> int:
    """The lowest figure seen for a device that is only supposed; what was measured or given with `@` stands."""
    device = hardware.device
    supposed = hardware.assumed and hardware.visible_memory_bytes == device.visible_memory_bytes
    return (
        device.visible_memory_low_bytes or hardware.visible_memory_bytes if supposed else hardware.visible_memory_bytes
    )
