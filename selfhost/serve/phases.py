"""The engine's log, read: which phase a start is in, how far, and what the engine measured.

Line formats: vLLM 0.32.0, files named at each pattern; older spellings where public logs show them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from selfhost.messages import Message
from selfhost.serve.lifecycle import Phase
from selfhost.units import GIB

_PREFIX = re.compile(r"^\([\w:.\- ]+ pid=\d+\) ")
_LEVEL = re.compile(r"^(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] ")


def split_lines(text: str) -> list[str]:
    """Lines of a log; progress bars end theirs with a carriage return."""
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


def strip_prefix(line: str) -> str:
    """A log line without `(EngineCore pid=1) ERROR 11-22 04:08:47 [core.py:1510] `."""
    return _LEVEL.sub("", _PREFIX.sub("", line))


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What one log line says about the start."""

    phase: Phase
    message: Message
    fraction: float | None = None
    """Of this step, 0..1, where the line tells."""


_SHARDS = re.compile(r"Loading (?:safetensors|pt|bin) checkpoint shards.*\| (\d+)/(\d+) \[")
_GRAPHS = re.compile(r"Capturing CUDA graphs.*\| (\d+)/(\d+) \[")

_STEPS: tuple[tuple[re.Pattern[str], Phase, str], ...] = (
    # v1/engine/core.py
    (re.compile(r"Initializing a V1 LLM engine"), Phase.LOADING, "serve.step_engine"),
    # v1/worker/{gpu,cpu}_model_runner.py
    (re.compile(r"Starting to load model"), Phase.LOADING, "serve.step_weights"),
    # model_executor/model_loader/default_loader.py
    (re.compile(r"Loading weights took"), Phase.WARMING, "serve.step_profiling"),
    # compilation/monitor.py, v1/worker/cpu_model_runner.py
    (
        re.compile(r"Starting torch\.compile|Warming up model for the compilation"),
        Phase.WARMING,
        "serve.step_compiling",
    ),
    # v1/core/kv_cache_utils.py
    (re.compile(r"KV cache size: "), Phase.WARMING, "serve.step_kv_cache"),
    # entrypoints/launchers/api_server/entry.py; older releases name the version in between
    (re.compile(r"Starting vLLM (?:API )?server"), Phase.WARMING, "serve.step_http"),
)


def read_line(line: str) -> Progress | None:
    """What a line of the engine's log says about its start; None for most lines.

    >>> read_line("Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01,  1.00s/it]").fraction
    0.5
    """
    if match := _SHARDS.search(line):
        return _counted(Phase.LOADING, "serve.step_shards", match)
    if match := _GRAPHS.search(line):
        return _counted(Phase.WARMING, "serve.step_graphs", match)
    for pattern, phase, message_id in _STEPS:
        if pattern.search(line):
            return Progress(phase=phase, message=Message(message_id))
    return None


def _counted(phase: Phase, message_id: str, match: re.Match[str]) -> Progress:
    done, total = int(match[1]), int(match[2])
    return Progress(
        phase=phase,
        message=Message(message_id, {"done": done, "total": total}),
        fraction=done / total if total else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What the engine logged about memory and time; per rank, the largest rank where ranks differ. None: not logged."""

    visible_memory_bytes: int | None = None
    free_at_start_bytes: int | None = None
    weight_bytes: int | None = None
    consumed_bytes: int | None = None
    """Weights, persistent buffers and non-torch memory."""
    peak_activation_bytes: int | None = None
    """With the graph estimate in it, as vLLM 0.32 counts."""
    cudagraph_bytes: int | None = None
    cudagraph_estimate_bytes: int | None = None
    kv_cache_bytes: int | None = None
    """The smallest rank."""
    kv_cache_tokens: int | None = None
    max_concurrency: float | None = None
    weight_load_s: float | None = None
    compile_s: float | None = None
    engine_init_s: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """For the boot record."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


_N = r"(-?[\d.]+)"
_BYTES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("weight_bytes", re.compile(rf"Model loading took {_N} (?:GiB|GB)")),  # v1/worker/gpu/model_runner.py
    ("kv_cache_bytes", re.compile(rf"Available KV cache memory: {_N} GiB")),  # v1/worker/gpu_worker.py
    (
        "kv_cache_bytes",
        re.compile(rf"(?:Explicitly|Auto) set \({_N}/{_N}\) GiB for KV cache"),
    ),  # v1/worker/cpu_worker.py
    # v1/worker/gpu_worker.py, compile_or_warm_up_model
    ("free_at_start_bytes", re.compile(rf"Free memory on device \({_N}/{_N} GiB\) on startup\. Desired")),
    ("visible_memory_bytes", re.compile(rf"Free memory on device \([\d.]+/{_N} GiB\) on startup\. Desired")),
    ("consumed_bytes", re.compile(rf"Actual usage is {_N} GiB for consumed memory")),
    ("peak_activation_bytes", re.compile(rf"{_N} GiB for peak activation")),
    ("cudagraph_bytes", re.compile(rf"Graph capturing finished in \d+ secs, took {_N} GiB")),
    ("cudagraph_bytes", re.compile(rf"CUDA graph pool memory: {_N} GiB \(actual\)")),
    ("cudagraph_estimate_bytes", re.compile(rf"CUDA graph pool memory: .*?{_N} GiB \(estimated\)")),
)
_SECONDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("weight_load_s", re.compile(rf"Loading weights took {_N} seconds")),
    ("engine_init_s", re.compile(rf"init engine \(profile, create kv cache, warmup model\) took {_N} s")),
    ("compile_s", re.compile(rf"init engine .*\(compilation: {_N} s")),
)
_KV_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens")
_CONCURRENCY = re.compile(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x")


def read_measured(text: str) -> Measured:
    """Everything a start logged about memory and time.

    Check: "CPU KV cache size: 46,592 tokens, Maximum concurrency for 1,024 tokens per request: 45.50x" -> 46592, 45.5.
    """
    found: dict[str, float] = {}
    for line in split_lines(text):
        for name, pattern in _BYTES:
            if match := pattern.search(line):
                value = float(match[1]) * GIB
                keep = min if name in ("kv_cache_bytes", "free_at_start_bytes") else max
                found[name] = int(keep(found.get(name, value), value))
        for name, pattern in _SECONDS:
            if match := pattern.search(line):
                found[name] = max(found.get(name, 0.0), float(match[1]))
        # Data-parallel engines log one line each; the smallest decides what fits.
        if match := _KV_TOKENS.search(line):
            tokens = int(match[1].replace(",", ""))
            found["kv_cache_tokens"] = int(min(found.get("kv_cache_tokens", tokens), tokens))
        if match := _CONCURRENCY.search(line):
            times = float(match[1])
            found["max_concurrency"] = min(found.get("max_concurrency", times), times)
    return Measured(**found)  # type: ignore[arg-type]  # the integer fields get integers above
