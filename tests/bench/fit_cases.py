"""Measured boots of public logs: `tests/data/fit/cases.jsonl`, one a line, and the configs of their models.

Fields of a line: what a plan needs (`model`, `device`, `layout`, `settings`), what the engine logged (`measured`,
`log`) and two remarks of our own. `identified` says why a row is taken for a model that its log does not name, or for
another layout than its command: `inferred` when numbers decided; `quantization_config` how it is then taken to be
stored. `not_compared` names the checks that a row is left out
of (`all` for every one) with a reason of the closed set below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from selfhost.errors import SelfhostError
from selfhost.hardware import catalog
from selfhost.hardware.types import Device, Platform
from selfhost.models.arch import ModelArch
from tests.models.public_models import DATA, MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping


class Reason(StrEnum):
    """Why a row, or one check of it, is not compared."""

    MODEL_UNKNOWN = "model_unknown"
    """The source names no model, and the numbers fit several or none."""
    MODEL_OUTSIDE = "model_outside"
    """A model of a family that selfhost does not plan."""
    CONFIG_UNKNOWN = "config_unknown"
    """The model is named, but its config, or how its weights are stored, is not at hand."""
    ARCHITECTURE_UNKNOWN = "architecture_unknown"
    """`ModelArch.from_config` refuses it; the row becomes active when it no longer does."""
    FORK = "fork"
    UNIFIED_MEMORY = "unified_memory"
    DEVICE_OUTSIDE = "device_outside"
    """No engine of selfhost drives it."""
    NOT_PLANNED = "not_planned"
    """The planner gives no figures: an engine or a setting that it does not know yet."""
    SETTING_NOT_PLANNED = "setting_not_planned"
    SETTINGS_UNKNOWN = "settings_unknown"
    """Not in the source, and no default of the engine stands in."""
    RANKS_DIFFER = "ranks_differ"
    """Figures of different ranks."""
    OLD_HYBRID_COUNT = "old_hybrid_count"
    """Before 0.20 the engine divided the tokens of a hybrid model by its groups."""
    OLD_HYBRID_CACHE = "old_hybrid_cache"
    """vllm-ascend 0.12 and 0.13 allocated the KV cache of hybrid models twice, for states and for attention
    (worker/model_runner_v1.py `_allocate_kv_cache_tensors`: "REFACTOR ME to sharing hybrid cache")."""
    OLD_NEED_COUNT = "old_need_count"
    """In 0.27 the message of what a request of DeepSeek-V4 needs counted larger blocks than the pool has: the layers of
    the widest group, each with a page of every size (kv_cache_utils.py `_max_memory_usage_bytes_from_groups`)."""
    NOTHING_MEASURED = "nothing_measured"
    """No figure that a plan could be held against."""


CHECKS = ("weights", "rate", "kv", "blocks", "verdict")
FITS = {
    "started": True,
    "sized": True,
    "no_kv_room": False,
    "needs_more_kv": False,
    "out_of_memory": False,
    "other_failure": None,
}
"""What an outcome says of memory. `sized`: the KV cache was, the end of the start was not in what was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """A check that is not made."""

    reason: Reason
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One boot."""

    id: str
    source: str
    model: str | None
    config: str | None
    """Whose config is read when it is not the model's own: one with the same dimensions."""
    engine: str
    version: tuple[int, int, int] | None
    version_text: str
    device: Device | None
    device_name: str | None
    visible_gib: float | None
    """As logged; None: the catalogue's."""
    device_count: int | None
    layout: Mapping[str, Any]
    quantization: Mapping[str, Any] | None
    """How the weights are stored, where that is not in the config: made by msModelSlim for Ascend."""
    settings: Mapping[str, Any]
    measured: Mapping[str, Any]
    left: Mapping[str, Left]
    inferred: bool

    def left_out(self, check: str) -> Left | None:
        """Why the row says not to make this check."""
        return self.left.get(check) or self.left.get("all")

    @property
    def on_ascend(self) -> bool:
        """Whether vllm-ascend logged it."""
        return self.engine == "vllm-ascend"

    @property
    def fits(self) -> bool | None:
        """Whether the engine found enough memory; None when it failed for something else."""
        return FITS[self.measured["outcome"]]


def read_cases() -> list[Case]:
    """All of them, in the order of the file."""
    lines = (DATA / "fit" / "cases.jsonl").read_text().splitlines()
    return [_case(json.loads(line)) for line in lines]


def _case(row: dict[str, Any]) -> Case:
    version = row["engine"]["version"]
    left = row.get("not_compared", {})
    if unknown := set(left) - {*CHECKS, "all"}:
        msg = f"{row['id']}: {unknown}"
        raise ValueError(msg)
    return Case(
        id=row["id"],
        source=row["source"],
        model=row["model"],
        config=row.get("config"),
        engine=row["engine"]["name"],
        version=version_of(version),
        version_text=version or "?",
        device=_device(row),
        device_name=row["device_name"],
        visible_gib=row["device_memory_gib"],
        device_count=row["device_count"],
        layout=row["layout"],
        quantization=row.get("quantization_config"),
        settings=row["settings"],
        measured=row["measured"],
        left={check: Left(reason=Reason(x["reason"]), why=x["why"]) for check, x in left.items()},
        inferred=row.get("identified", {}).get("inferred", False),
    )


def version_of(text: str | None) -> tuple[int, int, int] | None:
    """Release numbers of a version, without what follows them.

    >>> version_of("0.26.1rc1.dev1108"), version_of("0.16"), version_of(None)
    ((0, 26, 1), (0, 16, 0), None)
    """
    if text is None:
        return None
    numbers = []
    for part in text.split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits or 0))
    major, minor, patch = (*numbers, 0, 0)[:3]
    return major, minor, patch


def _device(row: dict[str, Any]) -> Device | None:
    """The catalogue's; one without a name when the log tells nothing but its memory."""
    if row["device"] is None:
        known = row["engine"]["name"] == "vllm" and row["device_memory_gib"] is not None
        return Device(id="unnamed", name="unnamed", vendor="nvidia", platform=Platform.CUDA) if known else None
    return next(device for device in catalog.DEVICES if device.id == row["device"])


def entry_of(case: Case) -> Mapping[str, Any] | None:
    """The public config's entry: parameters, bytes on disk, config; None when there is none here."""
    name = case.config or case.model
    return next((x for key, x in MODELS.items() if name == key or name in x.get("also", ())), None)


def arch_of(case: Case) -> ModelArch | Left:
    """The architecture, or why there is none."""
    if case.model is None and case.config is None:
        return Left(reason=Reason.MODEL_UNKNOWN, why="the source names no model")
    entry = entry_of(case)
    if entry is None:
        return Left(reason=Reason.CONFIG_UNKNOWN, why=f"no config of {case.config or case.model} in tests/data/configs")
    changed = {} if case.quantization is None else {"quantization_config": case.quantization}
    try:
        return ModelArch.from_config({**entry["config"], **changed})
    except SelfhostError as error:
        return Left(reason=Reason.ARCHITECTURE_UNKNOWN, why=str(error).splitlines()[0])
