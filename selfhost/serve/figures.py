"""What the engine measured at its start, read from its log.

Formats: vLLM 0.32.0 (files named at each pattern), older ones back to 0.6 and those of vllm-ascend as public logs show
them. All sizes are GiB of 2**30 bytes, also where the engine writes `GB`.

Who logs: with several ranks most lines come from the first rank of the node only (`logger.info_once`), some from all of
them; each data-parallel engine has its own KV line. Of several the largest counts, and the smallest of what is left.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from selfhost.planner.boots import Measured
from selfhost.serve.phases import split_lines
from selfhost.units import GIB

_N = r"(-?\d+(?:\.\d+)?)"
_G = r" ?(?:GiB|GB)\b"
_INT = r"(\d[\d,]*)"


class _Figure(NamedTuple):
    name: str
    pattern: re.Pattern[str]
    factor: int = GIB
    fallback: bool = False
    """Only where the log has nothing better."""


def _gib(name: str, *patterns: str, fallback: bool = False) -> list[_Figure]:
    return [_Figure(name, re.compile(pattern), GIB, fallback) for pattern in patterns]


def _plain(name: str, *patterns: str, fallback: bool = False) -> list[_Figure]:
    return [_Figure(name, re.compile(pattern), 1, fallback) for pattern in patterns]


_ON_DEVICE = r"Free memory on device (?:\S+ )?\("
_FIGURES: tuple[_Figure, ...] = (
    # v1/worker/gpu_worker.py compile_or_warm_up_model, v1/worker/utils.py request_memory
    *_gib("free_at_start_bytes", rf"{_ON_DEVICE}{_N}/"),
    *_gib(
        "visible_memory_bytes",
        rf"{_ON_DEVICE}[\d.]+/{_N} GiB\)",
        rf"total_gpu_memory[ =]\(?{_N}{_G}",  # 0.6 to 0.8
    ),
    *_plain("visible_memory_bytes", r"Available memory: -?\d+, total memory: (\d+)"),  # vllm-ascend before 0.11
    *_gib(
        "requested_memory_bytes",
        rf"Desired GPU memory utilization is \([\d.]+, {_N} GiB\)",
        rf"gpu_memory_utilization \([\d.]+\) = {_N}{_G}",
    ),
    *_gib(
        "weight_bytes",
        rf"Model loading took {_N}{_G}",  # v1/worker/gpu_model_runner.py, v1/worker/gpu/model_runner.py
        rf"Loading model weights took {_N}{_G}",  # before 0.9; vllm-ascend
    ),
    # The same with fewer digits: 0.10 to 0.20 and vllm-ascend, 0.6 to 0.9
    *_gib("weight_bytes", rf"{_N} GiB for weights?\b", rf"model weights take {_N}{_G}", fallback=True),
    *_gib(
        "consumed_bytes",
        rf"Actual usage is {_N} GiB for consumed memory",
        rf"{_N} GiB memory was consumed by non-kv usages",  # v1/worker/cpu_worker.py: resident memory of the worker
    ),
    *_gib(
        "non_torch_bytes",
        rf"{_N} GiB for non-torch memory",
        rf"non_torch_memory takes {_N}{_G}",
        rf"Memory profiling results:.* non_torch_memory={_N}{_G}",
    ),
    *_gib("peak_activation_bytes", rf"{_N} GiB for peak activation", rf"PyTorch activation peak memory takes {_N}{_G}"),
    *_gib(
        "cudagraph_bytes",
        rf"Graph capturing finished in [\d.]+ secs, took {_N} GiB",
        rf"CUDA graph pool memory: {_N} GiB \(actual\)",
        rf"{_N} GiB for (?:CUDAGraph|NPU graph) memory",
    ),
    *_gib(
        "cudagraph_estimate_bytes",
        rf"CUDA graph pool memory: .*?{_N} GiB \(estimated\)",
        rf"Estimated CUDA graph memory: {_N} GiB total",  # v1/worker/gpu_model_runner.py
    ),
    *_gib(
        "kv_cache_bytes",
        rf"Available KV cache memory: {_N} GiB",
        rf"(?:Explicitly|Auto) set \({_N}/{_N}\) GiB for KV cache",  # v1/worker/cpu_worker.py
        rf"reserved {_N} GiB memory for KV Cache as specified by",
        rf"memory reserved for KV Cache is {_N}{_G}",
        rf"Memory profiling results:.* kv_cache_size={_N}{_G}",
    ),
    *_plain("kv_cache_bytes", r"Available memory: (-?\d+), total memory: "),
    # The first is one block short of what is left, the others repeat it.
    *_gib(
        "kv_cache_bytes",
        rf"larger than the available KV cache memory \({_N} GiB\)",
        rf"Current (?:kv|KV) cache memory(?: in use is|:) {_N} GiB",
        fallback=True,
    ),
    *_plain("kv_cache_bytes", r"Current kv cache memory in use is (\d+) bytes", fallback=True),
    *_gib("kv_needed_bytes", rf"max seq len \(\d+\), \(?{_N} GiB KV cache is needed"),
)
_LEAST = frozenset({"kv_cache_bytes", "free_at_start_bytes", "kv_cache_tokens", "gpu_blocks", "max_concurrency"})

_COUNTS: tuple[_Figure, ...] = (
    *_plain("kv_cache_tokens", rf"KV cache size: {_INT} tokens"),
    *_plain("kv_cache_tokens", rf"can be stored in KV cache \({_INT}\)", fallback=True),
    *_plain("gpu_blocks", rf"(?i:# (?:gpu|cuda|npu|cpu) blocks|(?<!# )\bgpu blocks|num_gpu_blocks is): {_INT}"),
    *_plain(
        "fitted_max_model_len",
        r"Auto-fit max_model_len: reduced from \d+ to (\d+) ",
        r"Auto-fit max_model_len: full model context length (\d+) fits",
    ),
    *_plain("longest_max_model_len", r"[Ee]stimated maximum model length is (\d+)"),
)
_NUMBERS: tuple[_Figure, ...] = (
    *_plain("max_concurrency", rf"Maximum concurrency for [\d,]+ tokens per request: {_N}x"),
    *_plain("model_load_s", rf"Model loading took [\d.]+{_G}(?: memory)? and {_N} s"),
    *_plain("weight_load_s", rf"Loading weights took {_N} seconds"),  # model_executor/model_loader/default_loader.py
    # compilation/monitor.py, compilation/decorators.py
    *_plain("compile_s", rf"torch\.compile took {_N} s in total", rf"init engine .*\(compilation: {_N} s"),
    *_plain("compile_s", rf"torch\.compile and initial profiling/warmup run together took {_N} s", fallback=True),
    *_plain("profile_s", rf"Initial profiling/warmup run took {_N} s"),
    *_plain("capture_s", rf"Graph capturing finished in {_N} secs"),
    *_plain(
        "engine_init_s", rf"init engine \(profile, create kv cache, warmup model\) took {_N} s"
    ),  # v1/engine/core.py
)
_WORTH_LOOKING = re.compile(r"G(?:i)?B\b|tokens|took |blocks|max_model_len|maximum model length|total memory|KV cache")
"""In every line above, and in few others: a log of megabytes is read in a moment."""
_NOT_SUBTRACTED = "CUDA graph memory profiling is disabled"  # v1/worker/gpu_worker.py: estimated, but not subtracted


_VERSION = re.compile(r"Initializing a V1 LLM engine \(v(\d[\w.]*)")  # v1/engine/core.py


def read_version(text: str) -> str | None:
    """The engine's version as it says itself, without a local part; None when it does not.

    >>> read_version("Initializing a V1 LLM engine (v0.32.0+cpu) with config: model='/models/a'")
    '0.32.0'
    """
    found = _VERSION.search(text)
    return found[1] if found else None


def read_measured(text: str) -> Measured:
    """Everything a start logged about memory and time.

    Check: "CPU KV cache size: 46,592 tokens, Maximum concurrency for 1,024 tokens per request: 45.50x" -> 46592, 45.5.
    """
    found: dict[str, float] = {}
    second: dict[str, float] = {}
    for line in filter(_WORTH_LOOKING.search, split_lines(text)):
        for figure in (*_FIGURES, *_COUNTS, *_NUMBERS):
            if match := figure.pattern.search(line):
                value = float(match[1].replace(",", "")) * figure.factor
                into = second if figure.fallback else found
                keep = min if figure.name in _LEAST else max
                into[figure.name] = keep(into.get(figure.name, value), value)
    if _NOT_SUBTRACTED in text:
        found["cudagraph_estimate_bytes"] = 0
    whole = {figure.name for figure in (*_FIGURES, *_COUNTS)}
    merged = {**second, **found}
    return Measured(**{name: int(value) if name in whole else value for name, value in merged.items()})  # type: ignore[arg-type]
