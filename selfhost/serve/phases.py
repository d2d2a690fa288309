"""The engine's log, read: which phase a start is in, and how far. What it measured is read by `figures`.

Line formats: vLLM 0.32.0, files named at each pattern; older spellings where public logs show them.
"""

from __future__ import annotations

import re

from selfhost.messages import Message
from selfhost.records import dataclass
from selfhost.serve.lifecycle import Phase

# `(EngineCore pid=7) `, several where a launcher puts its own in front, `[rank1]: ` of torch, colours of Ray.
_PREFIX = re.compile(r"^(?:\x1b\[[\d;]*m|\([\w:.\-= ]+ pid=\d+(?:, ip=[\d.]+)?\)(?:\x1b\[[\d;]*m)? |\[rank\d+\]: ?)+")
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
NEEDLES = (
    *("checkpoint shards", "Capturing CUDA graphs", "Initializing a V1", "Starting to load model"),
    *("Loading weights took", "Starting torch.compile", "Warming up model", "KV cache size: ", "Starting vLLM "),
)
"""One of them is in every line that `read_line` knows."""


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
