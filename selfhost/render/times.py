"""How long a start, an answer and a stop may take, so that no supervisor kills what only needs longer.

Orchestrators come with defaults for web servers: 90 s to start (systemd), 10 s to stop (compose), 30 s (Kubernetes).
"""

from __future__ import annotations

import math

from selfhost.engines.patience import DISK_BYTES_PER_S, FLOOR_S, load_s, ready_s
from selfhost.engines.vllm import SHUTDOWN_TIMEOUT_S
from selfhost.records import dataclass
from selfhost.serve.times import start_deadline_s, stop_grace_s

PRE_STOP_S = 15
"""A load balancer gets this long to stop sending requests before the engine refuses them (kserve/kserve#5485)."""
_SPARE_S = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """Seconds."""

    load_s: int
    """Reading the weights, as estimated."""
    engine_ready_s: int
    """`VLLM_ENGINE_READY_TIMEOUT_S`: the engine's own limit for its start; twice the estimate at least."""
    distributed_s: int
    """`--distributed-timeout-seconds` of several nodes: the fast one waits for the slow one's disk."""
    start_s: int
    """Until the first answer; probes count failures only after it."""
    pre_stop_s: int = PRE_STOP_S
    drain_s: int = SHUTDOWN_TIMEOUT_S
    """`--shutdown-timeout`: running requests may finish."""

    @property
    def grace_s(self) -> int:
        """Between TERM and KILL of a container without a pre-stop wait; more than `selfhost serve` gives its engine."""
        return stop_grace_s(self.drain_s) + _SPARE_S

    @property
    def grace_with_pre_stop_s(self) -> int:
        """The same where the orchestrator's clock starts before the pre-stop wait (Kubernetes)."""
        return self.pre_stop_s + self.grace_s


def times(weight_bytes: int, disk_bytes_per_s: int = DISK_BYTES_PER_S, drain_s: int = SHUTDOWN_TIMEOUT_S) -> Times:
    """Times of a model on machines whose disks read that fast.

    Check: 689 GB at 200 MB/s -> 3445 s to load, 6890 s for the engine; 16 GB -> 80 s and the floor of 600 s.
    """
    load, limit = load_s(weight_bytes, disk_bytes_per_s), ready_s(weight_bytes, disk_bytes_per_s)
    start = max(math.ceil(start_deadline_s(weight_bytes)), limit + FLOOR_S)
    return Times(load_s=load, engine_ready_s=limit, distributed_s=limit, start_s=start, drain_s=drain_s)
