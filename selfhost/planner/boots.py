"""Boot records: what the engine measured when it started a plan on this machine, to correct later plans.

A record is about a subject: everything that decides memory. Starts of one subject are kept together, the newest first.
Reading and writing files is `serve.boots`; which records speak for a plan, and how, is `planner.measured`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, fields, is_dataclass, replace
from enum import Enum, StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from selfhost.hardware.types import Platform
from selfhost.models.media import ANY_MEDIA
from selfhost.planner.plan import EngineRef, Layout, Settings
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfhost.models.arch import ModelArch
    from selfhost.planner.plan import Plan

SCHEMA_VERSION = 1
_DIGITS = 12


class Outcome(StrEnum):
    """How a start ended, as far as it says something about memory."""

    STARTED = "started"
    KV_TOO_SMALL = "kv_too_small"
    """The engine had measured what is left, and one request of full length did not fit into it."""
    OUT_OF_MEMORY = "out_of_memory"
    """Something was allocated that was not there: by the engine, or by the host."""
    FAILED = "failed"
    """For a reason that says nothing about memory; what was measured before it holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What the engine logged about memory and time; per rank, the largest rank where ranks differ. None: not logged."""

    visible_memory_bytes: int | None = None
    requested_memory_bytes: int | None = None
    """The engine's budget: visible memory * gpu_memory_utilization."""
    free_at_start_bytes: int | None = None
    weight_bytes: int | None = None
    consumed_bytes: int | None = None
    """Weights, persistent buffers and non-torch memory."""
    non_torch_bytes: int | None = None
    """Logged apart by engines before 0.21 and by vllm-ascend, which count buffers to the activation."""
    peak_activation_bytes: int | None = None
    """With the graph estimate in it, as vLLM counts since 0.21."""
    cudagraph_bytes: int | None = None
    """What capture took."""
    cudagraph_estimate_bytes: int | None = None
    """What was subtracted from the KV cache for it; 0 where the engine was told not to."""
    kv_cache_bytes: int | None = None
    """The smallest rank that told; negative when nothing was left."""
    kv_needed_bytes: int | None = None
    """For one request of full length, where that did not fit."""
    kv_cache_tokens: int | None = None
    """Of the smallest rank and engine."""
    gpu_blocks: int | None = None
    max_concurrency: float | None = None
    fitted_max_model_len: int | None = None
    """With `--max-model-len auto`."""
    longest_max_model_len: int | None = None
    """The engine's own estimate of what would fit, where the length asked for did not."""
    model_load_s: float | None = None
    """Weights and what is made of them after loading."""
    weight_load_s: float | None = None
    compile_s: float | None = None
    profile_s: float | None = None
    capture_s: float | None = None
    engine_init_s: float | None = None
    """Profiling, KV cache, warm-up and capture together."""

    def as_dict(self) -> dict[str, float | None]:
        """For the boot record."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def has_kv(self) -> bool:
        """Whether it says what was left for the KV cache."""
        return self.kv_cache_bytes is not None or self.kv_cache_tokens is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """Everything that decides a rank's memory. Two plans with equal subjects start alike, up to noise."""

    engine: EngineRef
    fingerprint: str
    """Of the architecture: two checkpoints of one shape and format are one subject."""
    device: str
    visible_memory_bytes: int | None
    """None for a CPU: what its host has free changes by the minute, and `kv_cache_memory_bytes` decides."""
    layout: Layout
    settings: Settings
    kv_cache_memory_bytes: int | None = None
    """Where the engine is told the size of the KV cache instead of measuring what is left (CPU)."""
    extras: tuple[str, ...] = ()
    """Further options and variables of the engine that may change memory, sorted."""

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits, equal for equal subjects."""
        return _digest(asdict(self))


@dataclass(frozen=True, kw_only=True, slots=True)
class Boot:
    """One start."""

    started_at: str
    """ISO 8601, UTC."""
    outcome: Outcome
    measured: Measured
    ready_s: float | None = None
    """Seconds until it answered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BootRecord:
    """The starts of one subject."""

    subject: Subject
    boots: tuple[Boot, ...]
    """The newest first; at least one."""
    path: str
    """Where it is kept."""


def subject_of(plan: Plan, arch: ModelArch, extras: tuple[str, ...] = ()) -> Subject:
    """The subject of a plan of a model."""
    cpu = plan.hardware.device.platform is Platform.CPU
    return Subject(
        engine=plan.engine,
        fingerprint=fingerprint(arch),
        device=plan.hardware.device.id,
        visible_memory_bytes=None if cpu else plan.hardware.visible_memory_bytes,
        layout=plan.layout,
        settings=plan.settings,
        kv_cache_memory_bytes=max(plan.memory.kv_cache_bytes, plan.request_bytes) if cpu else None,
        extras=extras,
    )


@lru_cache(maxsize=64)
def fingerprint(arch: ModelArch) -> str:
    """Twelve hexadecimal digits of an architecture, quantization included.

    Parts that have their default value are left out, so that a later version, which knows more of them, makes the same
    of a model that has none of what it learned. What options say of drafting and of images is no part of it: they are
    among the extras.
    """
    return _digest(_plain(replace(arch, drafting=False, media=ANY_MEDIA)))


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        named = ((field, getattr(value, field.name)) for field in fields(value))
        return [type(value).__name__, {f.name: _plain(v) for f, v in named if f.default is MISSING or v != f.default}]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, frozenset | set):
        return sorted(str(_plain(item)) for item in value)
    return value


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def subject_from_dict(value: Mapping[str, Any]) -> Subject:
    """A subject as `dataclasses.asdict` wrote it. Raises KeyError, TypeError for what is none."""
    return Subject(
        **{
            **value,
            "engine": EngineRef(**value["engine"]),
            "layout": Layout(**value["layout"]),
            "settings": Settings(**value["settings"]),
            "extras": tuple(value["extras"]),
        }
    )


def record_from_dict(value: Mapping[str, Any], path: str) -> BootRecord:
    """A record as its file holds it: `schema_version`, `subject`, `boots`.

    Figures that this version does not know are left out. Raises KeyError, TypeError, ValueError for what is no record.
    """
    boots = tuple(_boot_from_dict(boot) for boot in value["boots"])
    if not boots:
        msg = "no boots"
        raise ValueError(msg)
    return BootRecord(subject=subject_from_dict(value["subject"]), boots=boots, path=path)


def _boot_from_dict(value: Mapping[str, Any]) -> Boot:
    known = {field.name: field.type for field in fields(Measured)}
    figures = {name: figure for name, figure in value["measured"].items() if name in known and figure is not None}
    for name, figure in figures.items():
        if isinstance(figure, bool) or not isinstance(figure, int if "int" in known[name] else int | float):
            msg = f"{name}: {figure!r}"
            raise TypeError(msg)
    ready = value["phases_s"].get("serving")
    return Boot(
        started_at=str(value["started_at"]),
        outcome=Outcome(value["outcome"]),
        measured=Measured(**figures),
        ready_s=None if ready is None else float(ready),
    )
