"""The terms beside weights and KV cache, each from the engine's source or from public logs; bytes on one rank.

Sources are files of vLLM 0.32 unless a log is named. Where a term cannot be derived it is a `Range`.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from selfhost.models.compressed import CompressedAttention
from selfhost.models.vision import TowerMode
from selfhost.quant.schemes import Format, is_weight_only
from selfhost.units import GIB, MIB

if TYPE_CHECKING:
    from selfhost.hardware.types import Device, Hardware
    from selfhost.models.arch import ModelArch
    from selfhost.models.latent import Indexer
    from selfhost.planner.plan import Layout, Settings

WEIGHT_ERROR = 0.003
"""Sums over the engine's own module tree against what it logs as loaded."""
SCRATCH_ERROR_BYTES = int(0.3 * GIB)
"""Of buffers and activation together."""
STREAMS_ERROR_BYTES = 195_000
"""More that the profiling run of DeepSeek-V4 may take, per token of a step: starts on two H200 with 8192 and 65,536
tokens, differ by 508 KB per token where the formulas here have 313. What takes it is not known."""

_BF16 = 2


class Setup(NamedTuple):
    """What an estimate is of: a model on hardware, with a layout and settings."""

    arch: ModelArch
    hardware: Hardware
    layout: Layout
    settings: Settings


class Range(NamedTuple):
    """Bytes of a term that was measured, not derived."""

    low: int
    likely: int
    high: int


def buffers(setup: Setup, *, last_stage: bool) -> int:
    """Tensors that stay beside the weights: sampler state, expert workspace, buffers of sparse attention."""
    arch, settings = setup.arch, setup.settings
    total = sampler_state(arch, settings) + draft_buffers(arch, settings) if last_stage else 0
    if arch.indexer:
        total += settings.max_num_batched_tokens * arch.indexer.index_topk * 4
    return total + workspace(setup)


def workspace(setup: Setup) -> int:
    """The buffer that grows while a model is profiled and stays.

    All users are views of one that only grows: the largest decides (v1/worker/workspace.py).
    """
    arch, settings = setup.arch, setup.settings
    experts = moe_workspace(arch, setup.layout, settings, marlin=_uses_marlin(arch, setup.hardware))
    return max(experts, *_sparse_attention_workspaces(arch, arch.indexer, settings)) if arch.indexer else experts


def sampler_state(arch: ModelArch, settings: Settings) -> int:
    """Token counts, prompt mask and grammar mask per request, on the last pipeline stage.

    The grammar mask has a row for each token that is drafted ahead too. Sources: v1/worker/gpu/sample/penalties.py,
    v1/worker/gpu/structured_outputs.py.
    Check: 1024 requests, vocabulary 152064 -> 661_782_528 bytes (594 + 18.6 + 18.6 MiB).
    """
    masks = 2 + settings.num_speculative_tokens
    return settings.max_num_seqs * (arch.vocab_size * 4 + masks * math.ceil(arch.vocab_size / 32) * 4)


def draft_buffers(arch: ModelArch, settings: Settings) -> int:
    """Hidden states handed to the layers of multi-token prediction, on the last pipeline stage; 0 without them.

    With several residual streams there is a copy of all of them on either side; a server that takes images hands its
    embeddings over too. Sources: v1/worker/gpu/spec_decode/target_dependent_ar/speculator.py, models/deepseek_v4/
    nvidia/model.py `_mtp_hidden_buffer`.
    Checks, 8192 tokens: DeepSeek-V3 -> 117_440_512 bytes (8192 * 7168 * 2); Qwen3.5-27B -> 167_772_160.
    """
    if not arch.loaded_draft:
        return 0
    streams = (
        2 * arch.connections.hc_mult if arch.connections else 1 + (arch.tower_mode not in (None, TowerMode.ABSENT))
    )
    return settings.max_num_batched_tokens * arch.hidden_size * streams * arch.dtype_bytes


def moe_workspace(arch: ModelArch, layout: Layout, settings: Settings, *, marlin: bool) -> int:
    """The two buffers of the fused experts, grown while profiling and kept (fused_moe/modular_kernel.py).

    Check: DeepSeek-V3, TP8, 8192 tokens -> 1_879_048_192 bytes (2 * 8192 * 8 * 7168 * 2).
    """
    dp, experts = layout.data_parallel_size, arch.experts
    if experts is None:
        return 0
    rows = settings.max_num_batched_tokens * dp * experts.num_experts_per_tok
    shards = 1 if layout.enable_expert_parallel else layout.tensor_parallel_size * dp
    width = 2 * experts.moe_intermediate_size // shards
    hidden = experts.routed_expert_hidden_size or arch.hidden_size
    if marlin:
        return rows * (max(width, hidden) + max(2 * width, hidden)) * _BF16
    return rows * (max(width // 2, hidden) + max(width, hidden)) * _BF16


def _uses_marlin(arch: ModelArch, hardware: Hardware) -> bool:
    """Whether the experts run as weight-only kernels: integer groups, and FP8 where the GPU has no such arithmetic."""
    if arch.quantization is None:
        return False
    return arch.quantization.format is Format.INT_GROUP or is_weight_only(arch.quantization, hardware.device)


def _sparse_attention_workspaces(arch: ModelArch, indexer: Indexer, settings: Settings) -> list[int]:
    """The indexer's gather buffer (v1/attention/backends/mla/indexer.py): 5 times the length, 2 times above 262144.

    With compressed attention it holds rows of several tokens, and prefill has a buffer of its own.
    """
    factor = 5 if settings.max_model_len <= 262_144 else 2  # noqa: PLR2004
    rows = 8 * factor * settings.max_model_len
    length, batch = settings.max_model_len, settings.max_num_batched_tokens
    compressed = [mixer for mixer in arch.mixers if isinstance(mixer, CompressedAttention)]
    ratio = next((mixer.compress_ratio for mixer in compressed if mixer.indexer), 1)
    prefill = [mixer.workspace_bytes(length, batch) for mixer in compressed]
    return [rows // ratio * (indexer.index_head_dim + 4), *prefill]


def activation(setup: Setup, *, last_stage: bool, block_size: int) -> int:
    """Peak of the profiling run: one forward with `max_num_batched_tokens`, then the logits of its requests.

    Attention is skipped in that run, but MLA makes its up-projection for as many tokens as a chunked prefill may take.
    Check: Qwen2.5-72B, TP4, 8192 tokens -> 765_984_768 bytes (8192 * (14784 + 7392 + 3 * 8192) * 2).
    """
    arch, settings = setup.arch, setup.settings
    tp, dtype = setup.layout.tensor_parallel_size, arch.dtype_bytes
    attention = max(mixer.width_per_token(tp) for mixer in arch.mixers)
    mlp = 3 * arch.intermediate_size // tp
    # What goes in, what comes out, and the residual: one stream of it, or several.
    streams = 2 + arch.residual_streams
    if last_stage and arch.loaded_draft:
        # The model's result, the embedding and both of them normed stay while a layer of multi-token prediction runs.
        streams += 3
    forward = settings.max_num_batched_tokens * (max(mlp, attention) + streams * arch.hidden_size) * dtype
    rows = min(settings.max_num_seqs, settings.max_num_batched_tokens)
    logits = rows * (arch.vocab_size + arch.vocab_size // tp) * dtype if last_stage else 0
    extra = 0
    if latent := arch.latent:
        length = min(65_536, max(8 * settings.max_model_len, 4 * settings.max_num_seqs * block_size))
        extra = length * (latent.num_attention_heads // tp) * (latent.qk_nope_head_dim + latent.v_head_dim) * dtype
    if arch.indexer:
        extra += 512 * MIB  # VLLM_SPARSE_INDEXER_MAX_LOGITS_MB
    return max(forward + extra, logits)


def non_torch(setup: Setup) -> Range:
    """Growth outside the allocator: loaded kernels, cuBLAS and communication workspaces.

    Public logs: 0.13 to 0.14 GiB on one GPU, 0.54 to 0.55 on two with NVLink, 0.95 on four of them with experts, 0.21
    on eight over PCIe (llm-d-incubation/llm-d-planner and others).
    """
    layout = setup.layout
    ranks = layout.tensor_parallel_size * layout.pipeline_parallel_size
    # Engines of a dense model run beside each other without exchanging anything.
    ranks *= layout.data_parallel_size if setup.arch.is_moe else 1
    if ranks == 1:
        low, likely, high = 0.07, 0.13, 0.35
    elif has_nvlink(setup.hardware.device):
        low, likely, high = 0.3, 0.5, 1.0
    else:
        low, likely, high = 0.15, 0.3, 0.8
    return Range(int(low * GIB), int(likely * GIB), int(high * GIB))


NVLINK = "NVLink"


def has_nvlink(device: Device) -> bool:
    """Whether all devices of a node reach each other over NVLink; a bridge joins only two."""
    return device.interconnect.startswith(NVLINK)


_HUGE_HIDDEN = 7168
"""Hidden size of DeepSeek-V3 and Kimi-K2, whose graphs are the larger class."""


def cuda_graphs(arch: ModelArch, settings: Settings) -> Range:
    """The engine's estimate of what graph capture will take; it is subtracted from KV whether or not it comes true.

    It captures the two largest full graphs and takes the second for all others (gpu/cudagraph_utils.py), so it grows
    with their number n, a step of the allocator each, mostly far beyond what capture then takes. A line through what
    public logs since 0.29 say: 0.38 to 0.64 GiB with few graphs, 1.23 and 1.74 to 1.84 with 35 (actual: 0.23, 0.3), and
    4.99 for one of the largest models.
    Check: 1024 requests, 51 graphs -> 0.25 + 0.036 * 51 = 2.09 GiB.
    """
    if settings.enforce_eager:
        return Range(0, 0, 0)
    count = _captured(settings.max_num_seqs * (1 + settings.num_speculative_tokens))
    high = 0.5 + 0.06 * count
    if arch.is_moe and arch.hidden_size >= _HUGE_HIDDEN:
        high += 0.03 * count
    return Range(int((0.1 + 0.003 * count) * GIB), int((0.25 + 0.036 * count) * GIB), int(high * GIB))


@cache
def _captured(rows: int) -> int:
    """Full graphs: the default capture sizes that are not larger; 35 up to 256, 51 from 512 on (config/vllm.py)."""
    return sum(size <= rows for size in (1, 2, 4, *range(8, 256, 8), *range(256, 513, 16)))


def cpu_processes(layout: Layout) -> Range:
    """Interpreters with their libraries: API server and engine core, shared by the ranks, and one worker per rank.

    Measured on the CPU build of 0.32.0 with a model of 3 MB: 886 MiB for the first two, 553 MiB for a worker (PSS).
    """
    likely = 900 * MIB // layout.world_size + 560 * MIB
    return Range(likely, likely, int(1.4 * likely))
