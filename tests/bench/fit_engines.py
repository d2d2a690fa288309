"""How older engines differ from the pinned one in what they take from the KV cache. Switches by version, none by row.

Read in the sources of vLLM 0.8.5, 0.10.2, 0.11.2, 0.12.0, 0.19.1, 0.20.1, 0.21.0, 0.23.0, 0.26.0, 0.27.1, 0.28.0,
0.29.0, 0.31.0 and 0.32.0 (Python files of the CPU builds); "since" is the first of these that has it.

| since | what | where |
|---|---|---|
| 0.8   | V1 engine for GPUs of compute capability 8 and above; V0 before, and on a T4 to 0.10.1 | engine/arg_utils.py |
| 0.19  | top-k and top-p of the V1 runner without a sort | v1/sample/ops/topk_topp_sampler.py |
| 0.20  | `gpu_memory_utilization` is 0.92 by default, 0.9 before | config/cache.py |
| 0.20  | the V1 runner's estimate of CUDA graphs is subtracted, though the log says 0.21 | envs.py |
| 0.21  | while weights are loaded, the allocator splits nothing off blocks of 20 MiB and more: they take whole |
|       | segments of 2 MiB, where a rest above 1 MiB was used before | v1/worker/gpu_worker.py |
| 0.23  | V2 runner for Llama, Mistral and Qwen3, dense and not quantized | config/vllm.py |
| 0.26  | V2 runner for every dense model that is not hybrid, and a few with experts | config/vllm.py |
| 0.27  | everything the process holds counts: free memory before less free memory after (utils/mem_utils.py). Before, |
|       | weights + growth of the peak + memory outside torch: what the V2 runner made before profiling did not count |
| 0.29  | V2 runner for every model; it estimates CUDA graphs, where it had returned 0 | gpu/cudagraph_utils.py |

Versions between those read (0.13 to 0.18 above all) are taken to be as the read one before them.

The V1 runner's sampler is what its profiling run peaks in. With the sort a logit takes 38.4 bytes: measured, not read
(the logits in two precisions, sorted values, int64 indices and the sort's own buffers come to about that). It was set
by the 5.56 GiB that 0.11 logs for 1024 requests of Qwen3-0.6B, a row of these cases whose forward pass is small; the
others agree within 2 %, and the KV cache that 0.16 logs fits no smaller peak. Without the sort 14 (logits of 2 + 4,
probabilities and noise of 4 each) is derived from the source; no row checks it yet. That V0 sorts alike is concluded
from the peaks it logs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from selfhost.units import GIB

if TYPE_CHECKING:
    from selfhost.hardware.types import Device
    from selfhost.models.arch import ModelArch

SORTED_BYTES_PER_LOGIT = 38.4
UNSORTED_BYTES_PER_LOGIT = 14.0
DENSE_V2_FIRST = ("LlamaForCausalLM", "Qwen3ForCausalLM")
EXPERTS_V2 = {(0, 26): ("DeepseekV2ForCausalLM",), (0, 28): ("DeepseekV2ForCausalLM", "DeepseekV4ForCausalLM")}
LARGE_GIB, LARGEST_GIB = 70, 160


class Line(NamedTuple):
    """What a version does with a model."""

    runner: str
    """`v0`, `v1`, `v2`, or `ascend`."""
    utilization: float
    estimates_graphs: bool
    counts_state: bool
    """Whether tensors made before profiling are taken from the KV cache."""
    rounds_weights: bool
    """Whether large tensors always take whole segments."""
    sampler_bytes_per_logit: float
    """0: the sampler of the profiling run keeps no copies (V2)."""


def ascend_line(version: tuple[int, int, int]) -> Line:
    """What a version of vllm-ascend does: the planner's own terms, which are that engine's.

    Source: vllm_ascend/worker/worker.py `determine_available_memory` of 0.11.0, 0.18.0 and 0.23.0; the part of the
    memory is vLLM's default. What was in torchair graphs before 0.12 is not modelled.
    """
    return Line(
        runner="ascend",
        utilization=0.92 if version >= (0, 20, 0) else 0.9,
        estimates_graphs=True,
        counts_state=True,
        rounds_weights=True,
        sampler_bytes_per_logit=0.0,
    )


def line_of(version: tuple[int, int, int], arch: ModelArch, device: Device) -> Line:
    """The switches for a version."""
    runner = _runner(version, arch, device)
    estimates = version >= (0, 29, 0) if runner == "v2" else version >= (0, 20, 0)
    sampler = 0.0 if runner == "v2" else SORTED_BYTES_PER_LOGIT if version < (0, 19, 0) else UNSORTED_BYTES_PER_LOGIT
    return Line(
        runner=runner,
        utilization=0.92 if version >= (0, 20, 0) else 0.9,
        estimates_graphs=estimates,
        rounds_weights=version >= (0, 21, 0),
        counts_state=runner == "v2" and version >= (0, 27, 0),
        sampler_bytes_per_logit=sampler,
    )


def _runner(version: tuple[int, int, int], arch: ModelArch, device: Device) -> str:
    if version < (0, 8, 0) or (version < (0, 10, 2) and (device.compute_capability or (8, 0)) < (8, 0)):
        return "v0"
    if version >= (0, 29, 0):
        return "v2"
    if arch.is_moe:
        known = [names for since, names in EXPERTS_V2.items() if version[:2] >= since]
        return "v2" if known and arch.architecture in known[-1] else "v1"
    if is_hybrid(arch) or version < (0, 23, 0):
        return "v1"
    early = version < (0, 26, 0)
    return "v1" if early and (arch.architecture not in DENSE_V2_FIRST or arch.quantization) else "v2"


def is_hybrid(arch: ModelArch) -> bool:
    """Whether layers of different kinds keep different things: full attention beside a state of fixed size."""
    return len({type(mixer) for mixer in arch.mixers}) > 1


def default_batch(line: Line, device: Device, visible_gib: float, max_model_len: int) -> tuple[int, int]:
    """(max_num_batched_tokens, max_num_seqs) of `vllm serve` when neither is given.

    V1: engine/arg_utils.py `get_batch_defaults`, the same from 0.10.2 to 0.32 but for the class of 160 GiB.
    V0 (0.8.5 config.py, for the older ones too): a prompt is one step up to 32K of context, and above it 2048 tokens
    by chunked prefill.
    """
    if line.runner == "v0":
        return (2048 if max_model_len > 32_768 else max(2048, max_model_len)), 256
    reported_gib = (device.memory_bytes or 0) / GIB or visible_gib
    if reported_gib >= LARGEST_GIB:
        return 16384, 1024
    if reported_gib >= LARGE_GIB and "a100" not in device.name.lower():
        return 8192, 1024
    return 2048, 256


def sampler_state(arch: ModelArch, max_num_seqs: int) -> int:
    """What the V2 runner keeps for each request beside the weights, in bytes (v1/worker/gpu/sample/penalties.py)."""
    return max_num_seqs * (arch.vocab_size * 4 + 2 * math.ceil(arch.vocab_size / 32) * 4)


def sampler_peak(line: Line, arch: ModelArch, *, max_num_seqs: int, max_num_batched_tokens: int) -> int:
    """Peak of the V0 and V1 runners' sampler in the profiling run, with the hidden states it is called with.

    Check: Qwen3-0.6B, 1024 requests, 8192 tokens, before 0.19 -> 5.58 GiB (logged by 0.11: 5.56).
    """
    rows = min(max_num_seqs, max_num_batched_tokens)
    logits = int(rows * arch.vocab_size * line.sampler_bytes_per_logit)
    return logits + max_num_batched_tokens * arch.hidden_size * arch.dtype_bytes
