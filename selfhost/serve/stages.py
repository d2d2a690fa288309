"""What a start has proven, stage by stage, read from the engine's log.

Line formats: vLLM 0.32.0, files named at each pattern. A stage is reached when its line is there or that of a later
one: random weights, for instance, are made without a word on a CPU.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Stage(StrEnum):
    """Stages of a smoke run, in order."""

    ENGINE = "engine"
    """The engine's process is up: its environment, and the driver's libraries, can be loaded."""
    RANKS = "ranks"
    """All ranks met and made their groups: devices, collective library, shared memory."""
    WEIGHTS = "weights"
    """The weights are on the devices."""
    MEMORY = "memory"
    """Memory was measured and the KV cache allocated."""
    SERVER = "server"
    """The API server listens."""
    ANSWER = "answer"
    """Answers came, a long prompt's among them."""
    STOP = "stop"
    """Every process ended and the port is closed."""


_LINES = {
    # v1/engine/core.py
    Stage.ENGINE: re.compile(r"Initializing a V1 LLM engine"),
    # distributed/parallel_state.py `initialize_model_parallel`, at its end; the first rank of a machine says so
    Stage.RANKS: re.compile(r"rank \d+ in world size \d+ is assigned as"),
    # v1/worker/gpu_model_runner.py, model_executor/model_loader/default_loader.py
    Stage.WEIGHTS: re.compile(r"Model loading took|Loading weights took"),
    # v1/core/kv_cache_utils.py
    Stage.MEMORY: re.compile(r"KV cache size: "),
    # entrypoints/launchers/api_server/entry.py
    Stage.SERVER: re.compile(r"Starting vLLM (?:API )?server"),
}


def reached(log: str) -> tuple[Stage, ...]:
    """The stages a start has behind it, in order; those after `SERVER` are not in a log."""
    order = tuple(Stage)
    seen = [order.index(stage) for stage, line in _LINES.items() if line.search(log)]
    return order[: 1 + max(seen, default=-1)]
