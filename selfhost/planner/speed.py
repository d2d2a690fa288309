"""How fast a plan could be at most: a roofline from memory bandwidth and FLOPs of the data sheet.

A step of the engine reads the weights of a rank once and the KV cache of its requests, and multiplies each token with
the active parameters; it takes at least the longer of both times. Left out: communication between ranks, launches,
sampling, queues, kernels below the peak. Real figures are lower, for one request much lower.

Of the experts only those are read that some token of the step is sent to: with E experts of which a token takes k, and
b tokens, E * (1 - (1 - k / E) ** b) are expected to differ. With data parallelism the tokens of all engines meet there.
What the catalogue does not know is not guessed: the figure is then None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.models.kv_pool import growth
from selfhost.planner import dimensions, memory
from selfhost.quant.schemes import Format, is_weight_only
from selfhost.records import dataclass

if TYPE_CHECKING:
    from selfhost.hardware.types import Device
    from selfhost.models.arch import ModelArch
    from selfhost.planner.terms import Setup

_SIXTEEN_BITS = ("bfloat16", "float16")


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Tokens per second of the whole deployment, upper bounds; None where a figure of the device is not known."""

    context_tokens: int
    """Length of each request while it decodes: half of the context."""
    decode_one: float | None
    """One request alone."""
    requests: int
    """At once, in all engines: as many as the KV cache holds with the whole context."""
    decode_all: float | None
    """All of them together."""
    prompt_tokens: int
    """Of each prompt: what one step takes."""
    prefill: float | None
    """Prompts read by all engines."""

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "basis": "roofline",
            "context_tokens": self.context_tokens,
            "decode_one_request_tokens_per_s": _rounded(self.decode_one),
            "requests": self.requests,
            "decode_all_requests_tokens_per_s": _rounded(self.decode_all),
            "prompt_tokens": self.prompt_tokens,
            "prefill_tokens_per_s": _rounded(self.prefill),
        }


def _rounded(value: float | None) -> float | None:
    """Three digits: more would be a claim."""
    return None if value is None else float(f"{value:.3g}")


class _Stage(NamedTuple):
    """What a rank of one pipeline stage reads in a step."""

    dense_bytes: int
    expert_bytes: int
    kv_bytes_per_token: int


class _Step(NamedTuple):
    """A step of one engine."""

    tokens: float
    """Computed in the step."""
    tokens_of_all: float
    """Of all engines, where they meet at the experts."""
    context: float
    """Earlier tokens that each of them looks at."""
    requests: float
    """Whose KV cache is read."""


def speed(setup: Setup, requests: int) -> Speed:
    """The bounds for a layout with its settings; `requests`: at once in one engine, at least one.

    Check: Qwen2.5-72B in bf16 on 4 x A800 reads 36.1 GB a step at 2039 GB/s: at most 56 tokens/s for one request.
    """
    layout, settings = setup.layout, setup.settings
    pp, dp = layout.pipeline_parallel_size, layout.data_parallel_size
    context = settings.max_model_len // 2
    prompt = min(settings.max_num_batched_tokens, settings.max_model_len)
    stages = _stages(setup)
    # Stages work at the same time, each on its part of the requests.
    group = max(1.0, requests / pp)
    one = _seconds(setup, stages, _Step(1, 1, context, 1), decode=True)
    many = _seconds(setup, stages, _Step(group, group * dp, context, group), decode=True)
    read = _seconds(setup, stages, _Step(prompt, prompt * dp, prompt / 2, 1), decode=False)
    return Speed(
        context_tokens=context,
        decode_one=None if one is None else 1 / sum(one),
        requests=requests * dp,
        decode_all=None if many is None else dp * min(requests / sum(many), group / max(many)),
        prompt_tokens=prompt,
        prefill=None if read is None else dp * prompt / max(read),
    )


def _stages(setup: Setup) -> list[_Stage]:
    layout = setup.layout
    sizes, terms = memory.sizes_of(setup), memory.request_terms(setup)
    found = []
    for rank in sizes.ranks:
        last = rank.pp_rank == layout.pipeline_parallel_size - 1
        read = dimensions.read_in_a_step(setup, rank.pp_rank, with_head=last)
        kv = growth(sizes.caches.groups, rank.pp_rank, setup.settings.max_model_len, terms)
        found.append(_Stage(read.dense_bytes, read.expert_bytes, kv.bytes_per_token))
    return found


def _seconds(setup: Setup, stages: list[_Stage], step: _Step, *, decode: bool) -> list[float] | None:
    """What each stage takes at least: the longer of reading and computing; None where too little is known.

    Decoding is bound by reading unless there are very many requests, so that alone is a bound for it.
    """
    bandwidth = setup.hardware.device.memory_bandwidth_bytes_per_s
    compute = _compute_seconds(setup, step)
    if bandwidth is None or (compute is None and not decode):
        return None
    sparse = [part.at_most for part in dimensions.attention(setup.arch) or () if part.at_most]
    seen = min([step.context, *sparse])
    share = _experts_read(setup.arch, step.tokens_of_all)
    read = [s.dense_bytes + share * s.expert_bytes + step.requests * seen * s.kv_bytes_per_token for s in stages]
    return [max(size / bandwidth, compute or 0.0) for size in read]


def _experts_read(arch: ModelArch, tokens: float) -> float:
    """The part of the experts that is expected to be read in a step.

    Check: 256 experts, 8 of them for a token: 3.1 % for one token, 64 % for 32.
    """
    found = dimensions.experts(arch)
    return 1.0 if found is None else 1 - (1 - found[1] / found[0]) ** tokens


def _compute_seconds(setup: Setup, step: _Step) -> float | None:
    """Of one rank of one stage, all being equally loaded; None where the device's FLOPs are not known."""
    arch, layout, device = setup.arch, setup.layout, setup.hardware.device
    ranks = layout.tensor_parallel_size * layout.pipeline_parallel_size
    work, parts = dimensions.work(arch), dimensions.attention(arch)
    sixteen = device.bf16_flops if arch.torch_dtype in _SIXTEEN_BITS else None
    of_format = _format_flops(arch, device)
    if parts is None or sixteen is None or (work.quantized and of_format is None):
        return None
    attention = sum(part.layers * part.width * min(step.context, part.at_most or step.context) for part in parts)
    seconds = 2 * (work.plain + attention) / sixteen + (2 * work.quantized / of_format if of_format else 0.0)
    return step.tokens * seconds / ranks


def _format_flops(arch: ModelArch, device: Device) -> int | None:
    """The peak at which quantized matrices are multiplied; weight-only formats compute in 16 bits."""
    quantization = arch.quantization
    if quantization is None:
        return device.bf16_flops
    if quantization.format is Format.MXFP4:
        # With FP8 activations where the GPU has them.
        return device.fp8_flops or device.bf16_flops
    if quantization.is_fp8:
        return device.bf16_flops if is_weight_only(quantization, device) else device.fp8_flops
    # The catalogue has no INT8 operations per second.
    return None if quantization.format is Format.INT8_CHANNEL else device.bf16_flops
