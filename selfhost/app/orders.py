"""What a supervisor is told to do besides what the record of its server says."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost.engines import vllm
from selfhost.hardware.types import Platform
from selfhost.records import dataclass
from selfhost.serve import disk, logs, process
from selfhost.serve.times import start_deadline_s, stop_grace_s, wedge_s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.planner.plan import Plan

STARTING_GRACE_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Times of a supervisor, in seconds."""

    deadline_s: float
    """For the whole start; see `times.start_deadline_s`."""
    answer_s: float = 600.0
    """For each wait in the checked answer: the first one may compile kernels."""
    starting_poll_s: float = 0.25
    ready_poll_s: float = 5.0
    health_timeout_s: float = 5.0
    settle_s: float = 5.0
    """After a process of the tree is lost, the engine gets this long to end by itself, as vLLM does."""
    grace_s: float = 30.0
    """For the main process between TERM and KILL; see `times.stop_grace_s`."""
    starting_grace_s: float = STARTING_GRACE_S
    """The same before it was ever ready: nobody waits for an answer, and vLLM does not hear TERM while it builds."""
    follow_s: float = process.FOLLOW_S
    """For the others to follow it by themselves."""
    metrics_poll_s: float = 15.0
    idle_s: float = 60.0
    """Counters that do not move for this long are asked about: a server without requests once a minute."""
    wedge_s: float = 600.0
    """For the answer to that, while nothing moves; see `times.wedge_s`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What a supervisor has to do besides what the record says; handed to a detached one as a file."""

    mark: str
    env: Mapping[str, str]
    """The plan's variables."""
    prompt: str
    expect: str
    max_tokens: int
    limits: Limits
    subject: Mapping[str, Any] | None = None
    """What the boot record is kept under; None: it is not kept."""
    log_bytes: int = logs.LOG_BYTES
    """The size at which the engine's log is rolled."""

    def as_dict(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Orders:
        """The same, read back."""
        return cls(**{**value, "limits": Limits(**value["limits"])})


def limits_of(plan: Plan) -> Limits:
    """Times that fit the size of a plan's model and how long its requests may take to finish."""
    speed = disk.read_speed(Path(plan.model_path)) if plan.model_path else None
    return Limits(
        deadline_s=start_deadline_s(plan.weight_bytes_total, speed),
        grace_s=stop_grace_s(vllm.drain_s(plan.argv)),
        wedge_s=wedge_s(
            plan.settings.max_num_batched_tokens, accelerator=plan.hardware.device.platform is not Platform.CPU
        ),
    )


def now_text() -> str:
    """The time as records keep it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
