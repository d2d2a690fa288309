"""Terms of memory under vllm-ascend 0.23.0 beside weights and KV cache; bytes on one rank.

Worker and profile run: vllm_ascend/worker/worker.py, worker/model_runner_v1.py; experts: ops/fused_moe/; communicators:
distributed/parallel_state.py, utils.py `get_hccl_config_for_pg_options`. What cannot be derived is a `Range` from
public logs, which are few: the tests name them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from selfhost.planner import encoder
from selfhost.planner.plan import MemoryPerRank
from selfhost.planner.terms import WEIGHT_ERROR, Range
from selfhost.units import GIB, MIB, round_up

if TYPE_CHECKING:
    from selfhost.hardware.types import Hardware
    from selfhost.models.arch import ModelArch
    from selfhost.models.feed import Experts
    from selfhost.planner.plan import Layout
    from selfhost.planner.terms import Setup

SMALL_FAMILY = "310P"
_DTYPE_BYTES = 2
_DEFAULT_MIB, _DATA_PARALLEL_MIB = 200, 50
"""HCCL buffers that the plugin sets for its groups, whatever the environment says."""
_MOST_CAPTURED, _MOST_DISPATCHED = 512, 512
_BUFFER_STEP_MIB, _BUFFER_MARGIN = 100, 1.25


class Dispatch(NamedTuple):
    """How tokens reach their experts: (ops/fused_moe/moe_comm_method.py)."""

    decode_by_kernel: bool
    """MC2: kernels that dispatch and combine, for as many tokens as graphs are captured for."""
    prefill_all_to_all: bool
    """Else the tokens of all data-parallel ranks are gathered on each."""


def dispatch(family: str, arch: ModelArch, layout: Layout) -> Dispatch:
    """The choice of `select_moe_comm_method` in ascend_forward_context.py, by chip family and layout.

    A2 uses the kernels from 16 ranks on, with at most 24 experts each; A3 and 950 whenever experts are spread.
    """
    ranks = layout.tensor_parallel_size * layout.data_parallel_size
    if arch.experts is None or not layout.enable_expert_parallel or ranks == 1 or family == SMALL_FAMILY:
        return Dispatch(decode_by_kernel=False, prefill_all_to_all=False)
    if family == "A2":
        few = arch.experts.num_experts // ranks <= 24  # noqa: PLR2004
        return Dispatch(decode_by_kernel=few and ranks >= 16, prefill_all_to_all=False)  # noqa: PLR2004
    return Dispatch(
        decode_by_kernel=True, prefill_all_to_all=family == "A3" or ranks > arch.experts.num_experts_per_tok
    )


def buffer_mib(setup: Setup) -> int | None:
    """HCCL_BUFFSIZE that the dispatch kernels need; None where they are not used and the default does.

    2 * (tokens * A * ranks * local experts + tokens * B * (chosen + shared)), where A and B are the bytes of one token
    sent and returned, aligned to 512 (vllm-project/vllm-ascend PR 5287); a quarter more, in whole hundreds.
    Check: 512 tokens, hidden 2048, 2 ranks of 64 experts, 8 chosen -> 608 MiB, so 800.
    """
    arch, layout = setup.arch, setup.layout
    if arch.experts is None or not dispatch(setup.hardware.device.family, arch, layout).decode_by_kernel:
        return None
    tp = layout.tensor_parallel_size
    captured = min(setup.settings.max_num_seqs, _MOST_CAPTURED)
    tokens = min(math.ceil(captured / tp), _MOST_DISPATCHED)
    needed = dispatch_bytes(arch.experts, arch.hidden_size, tokens, tp * layout.data_parallel_size)
    step = _BUFFER_STEP_MIB
    return max(_DEFAULT_MIB, math.ceil(needed * _BUFFER_MARGIN / MIB / step) * step)


def dispatch_bytes(experts: Experts, hidden_size: int, tokens: int, ranks: int) -> int:
    """Bytes of the buffer by the formula of `buffer_mib`, for `tokens` of each rank."""
    sent = round_up(round_up(2 * hidden_size, 32) + 64, 512)
    returned = round_up(2 * hidden_size, 512)
    shared = -(-experts.shared_expert_intermediate_size // experts.moe_intermediate_size)
    local = math.ceil(experts.num_experts / ranks)
    return 2 * tokens * (sent * ranks * local + returned * (experts.num_experts_per_tok + shared))


def communicators(setup: Setup) -> dict[str, int]:
    """MiB of the buffers that HCCL keeps for each group of ranks in use: one to send and one to receive.

    A group is opened at its first collective; groups of the same ranks share one, but for `mc2`, whose size is that of
    HCCL_BUFFSIZE. The ranks of dense models exchange nothing across data parallelism.
    Check: DeepSeek-V3 on A2 at TP4 DP4 EP with 64 requests -> tp 400, dp 100, mc2 400.
    """
    layout, arch = setup.layout, setup.arch
    found = {}
    if layout.tensor_parallel_size > 1:
        found["tp"] = 2 * _DEFAULT_MIB
    if layout.pipeline_parallel_size > 1:
        found["pp"] = 2 * _DEFAULT_MIB
    if arch.is_moe and layout.data_parallel_size > 1:
        found["dp"] = 2 * _DATA_PARALLEL_MIB
        if dispatch(setup.hardware.device.family, arch, layout).prefill_all_to_all:
            found["ep"] = 2 * _DEFAULT_MIB
    if size := buffer_mib(setup):
        found["mc2"] = 2 * size
    return found


def non_torch(setup: Setup) -> Range:
    """Growth outside the allocator since before the communicators were opened: their buffers, streams, kernels.

    Unlike on CUDA everything counts, since the first snapshot is taken before (worker.py `_init_device`).
    """
    buffers = sum(communicators(setup).values()) * MIB
    low, likely, high = (0.1, 0.25, 0.5) if setup.layout.world_size > 1 else (0.01, 0.1, 0.2)
    if setup.hardware.device.family == SMALL_FAMILY:
        low, likely, high = low + 0.2, likely + 0.4, high + 0.5
    return Range(int(low * GIB) + buffers, int(likely * GIB) + buffers, int(high * GIB) + buffers)


def graphs(arch: ModelArch, layout: Layout, *, eager: bool) -> Range:
    """What graph capture takes beside the budget; the engine does not subtract it from the KV cache.

    Public logs: 0.04 and 0.09 GiB for 28 layers, 0.47 for 48; with experts 0.79 and 1.97 for 43.
    """
    if eager:
        return Range(0, 0, 0)
    layers = math.ceil(arch.num_hidden_layers / layout.pipeline_parallel_size)
    low, likely, high = (0.005, 0.03, 0.05) if arch.is_moe else (0.001, 0.01, 0.02)
    return Range(int(low * layers * GIB), int(likely * layers * GIB), int((high * layers + 0.3) * GIB))


def buffers(setup: Setup) -> int:
    """What is loaded beside the weights: places of the tokens that an indexer chose, one table for all layers.

    Check: DeepSeek-V3.2, 2048 tokens -> 16 MiB (2048 * 2048 * 4).
    """
    indexer = setup.arch.indexer
    return setup.settings.max_num_batched_tokens * indexer.index_topk * 4 if indexer else 0


def beside(arch: ModelArch, hardware: Hardware, layout: Layout, *, eager: bool) -> Range:
    """What has to find room beside the budget: what is taken before the engine starts, and graphs."""
    before, captured = at_start(hardware.device.family), graphs(arch, layout, eager=eager)
    return Range(*(one + other for one, other in zip(before, captured, strict=True)))


def at_start(family: str) -> Range:
    """Of the visible memory, what is taken before the engine starts.

    Public logs: 60.61 of 60.96 GiB free on A2, 60.86 to 61.13 of 61.28 on A3, 42.24 of 43.24 on 310P.
    """
    low, likely, high = (0.7, 1.0, 1.2) if family == SMALL_FAMILY else (0.15, 0.35, 0.45)
    return Range(int(low * GIB), int(likely * GIB), int(high * GIB))


def cleared_310p() -> Range:
    """What a 310P takes off once more before it halves: all that is outside the allocator, but for the growth.

    That is what was there before, and workspaces that are freed when the profile run is over
    (_310p/worker_310p.py `determine_available_memory`). In the one public log: 1.49 GiB, where 1.0 was there before.
    """
    return Range(int(0.7 * GIB), int(1.4 * GIB), int(1.9 * GIB))


def memory(setup: Setup, weight_bytes: int, *, visible_low_bytes: int, pp_rank: int) -> tuple[MemoryPerRank, int, int]:
    """The terms of a rank; what is left beside the budget when graphs are captured, likely and at the low bound.

    KV = budget - weights - activation peak - all growth outside the allocator; on 310P half of that.
    """
    visible, settings = setup.hardware.visible_memory_bytes, setup.settings
    budget = math.floor(visible * settings.gpu_memory_utilization)
    kept, peak, outside = buffers(setup), activation_peak(setup, pp_rank), non_torch(setup)
    kept += encoder.buffers(setup, first_stage=pp_rank == 0)
    fixed, slack = weight_bytes + kept, int(weight_bytes * WEIGHT_ERROR)
    low = int(visible_low_bytes * settings.gpu_memory_utilization) - fixed - slack - peak.high - outside.high
    rest = Range(low, budget - fixed - peak.likely - outside.likely, budget - fixed + slack - peak.low - outside.low)
    if setup.hardware.device.family == SMALL_FAMILY:
        less = cleared_310p()
        halved = Range(*map(_half, (rest.low - less.high, rest.likely - less.likely, rest.high - less.low)))
        kept, rest = kept + rest.likely - halved.likely, halved
    found = MemoryPerRank(
        budget_bytes=budget,
        weight_bytes=weight_bytes,
        buffer_bytes=kept,
        activation_bytes=peak.likely,
        non_torch_bytes=outside.likely,
        cudagraph_bytes=graphs(setup.arch, setup.layout, eager=settings.enforce_eager).likely,
        kv_cache_bytes=rest.likely,
        kv_cache_bytes_low=rest.low,
        kv_cache_bytes_high=rest.high,
    )
    more = beside(setup.arch, setup.hardware, setup.layout, eager=settings.enforce_eager)
    return found, visible - budget - more.likely, visible - budget - more.high


def _half(rest: int) -> int:
    """Of what is there; what is missing is missing whole."""
    return rest // 2 if rest > 0 else rest


def activation_peak(setup: Setup, pp_rank: int) -> Range:
    """Peak of the profile run of a stage: of the language model, or of what sees images."""
    last = pp_rank == setup.layout.pipeline_parallel_size - 1
    return encoder.peak(setup, activation(setup, last_stage=last), first_stage=pp_rank == 0)


def activation(setup: Setup, *, last_stage: bool) -> Range:
    """Peak of the profile run: one forward with `max_num_batched_tokens` without attention, then the logits.

    A dense layer holds its widest intermediate and five times the hidden state. Experts hold a row for each token and
    chosen expert, on the way in and on the way out. Logits stay in 16 bits.
    Checks: Qwen3-0.6B, 8192 tokens -> 0.219 GiB (0.22 in logs); Qwen2.5-14B, 2048 tokens -> 0.256 GiB (0.26).
    """
    arch, settings, tp = setup.arch, setup.settings, setup.layout.tensor_parallel_size
    tokens = settings.max_num_batched_tokens
    attention = max(mixer.width_per_token(tp) for mixer in arch.mixers)
    dense = tokens * (max(3 * arch.intermediate_size // tp, attention) + 5 * arch.hidden_size) * _DTYPE_BYTES
    rows = min(settings.max_num_seqs, tokens) if last_stage else 0
    logits = rows * (arch.vocab_size + arch.vocab_size // tp) * _DTYPE_BYTES
    experts = _experts(setup)
    likely = max(dense, logits, experts)
    # The figures of dense models were met within a few hundredths; there is none to compare with for experts.
    error = 0.35 if likely == experts and experts else 0.1
    return Range(int(likely * (1 - error)), likely, int(likely * (1 + error)))


def _experts(setup: Setup) -> int:
    """Source: ops/fused_moe/token_dispatcher.py and moe_mlp.py; with W8A8 rows come in quantized and are let go."""
    arch, layout = setup.arch, setup.layout
    if arch.experts is None:
        return 0
    tp, dp, hidden, experts = layout.tensor_parallel_size, layout.data_parallel_size, arch.hidden_size, arch.experts
    tokens = setup.settings.max_num_batched_tokens
    width = experts.moe_intermediate_size
    width = width if layout.enable_expert_parallel else width // (tp * dp) or 1
    if dispatch(setup.hardware.device.family, arch, layout).prefill_all_to_all:
        here, incoming = math.ceil(tokens / tp), 2
    else:
        here, incoming = tokens * dp, 1
    rows = here * experts.num_experts_per_tok
    if arch.quantization is not None and arch.quantization.bits <= 8:  # noqa: PLR2004
        each = max(incoming * hidden + width, width + 2 * hidden)
    else:
        each = 2 * incoming * hidden + 2 * width + 2 * hidden
    return rows * each + (here + 5 * tokens) * hidden * _DTYPE_BYTES
