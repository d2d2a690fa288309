"""Many plans at once: one model on all kinds of hardware, or many models on one. Verdicts, no reasons in prose."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Hardware, Platform
from selfhost.messages import text
from selfhost.planner.choose import holds_weights
from selfhost.planner.contract import SCHEMA_VERSION, hardware_dict, layout_dict
from selfhost.planner.plan import Verdict
from selfhost.planner.reasons import short_of
from selfhost.planner.terms import NVLINK, has_nvlink
from selfhost.planner.variants import plan_briefly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from selfhost.hardware.types import Device
    from selfhost.planner.plan import EngineFacts, Layout, ModelToPlan, Plan, PlanRequest

COUNTS = (1, 2, 4, 8, 16)
"""Devices in the columns of a matrix."""
WORTH_HAVING_TOKENS = 1024
"""A shorter context than this is not told: hardly a chat fits."""


class Cell(NamedTuple):
    """One model on one hardware."""

    plan: Plan
    shorter: Plan | None = None
    """Where it does not fit: with the longest context that does, in the variant that has it."""

    def on(self, hardware: Hardware) -> Cell:
        """The same, for hardware that is alike."""
        if self.plan.hardware is hardware:
            return self
        shorter = self.shorter and replace(self.shorter, hardware=hardware)
        return Cell(replace(self.plan, hardware=hardware), shorter)

    @property
    def mark(self) -> str:
        """One character for tables that are read without colour: `+ ~ < - x`."""
        if self.plan.verdict is Verdict.DOES_NOT_FIT:
            return "<" if self.shorter else "-"
        return {Verdict.FITS: "+", Verdict.TIGHT: "~"}.get(self.plan.verdict, "x")

    @property
    def best(self) -> Plan:
        """The plan with which it would run, if any does; else the one that comes nearest."""
        return self.shorter or self.plan

    @property
    def reason(self) -> str | None:
        """What stands against it; None where it fits as asked."""
        if self.plan.fits:
            return None
        return self.plan.reasons[0] if self.plan.reasons else text("plan.memory", missing=short_of(self.plan))

    @property
    def longest(self) -> int | None:
        """The longest context that fits, at most the one that was asked for; None when there is none."""
        return self.best.settings.max_model_len if self.best.fits else None

    def as_dict(self) -> dict[str, object]:
        """For `--json`: the verdict is on the context that was asked for, `shorter` on what would do."""
        plan = self.plan
        lacks = plan.verdict is Verdict.DOES_NOT_FIT and plan.memory.budget_bytes > 0
        return {
            "on": plan.hardware.text,
            **hardware_dict(plan.hardware),
            "model": plan.model,
            "fits": plan.fits,
            "verdict": plan.verdict.value,
            "confidence": plan.confidence.value,
            **_what_runs(plan),
            "missing_bytes_per_rank": max(0, plan.missing_bytes) if lacks else None,
            "longest_max_model_len": self.longest,
            "shorter": None if self.shorter is None else _what_runs(self.shorter),
            "reason": self.reason,
        }


def _what_runs(plan: Plan) -> dict[str, object]:
    return {
        "variant": plan.variant,
        "layout": layout_dict(plan.layout),
        "max_model_len": plan.settings.max_model_len,
        "kv_cache_bytes_per_rank": plan.memory.kv_cache_bytes,
        "tokens_all_engines": plan.tokens_all_engines,
        "max_concurrency_all_engines": plan.max_concurrency_all_engines,
    }


class Matrix(NamedTuple):
    """One model on devices (rows) in numbers (columns); None where a row does not have a column."""

    model: str
    max_model_len: int
    """The context that was asked for, or the model's whole one."""
    counts: tuple[int, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    """Name of the device, and a cell per number of devices."""

    @property
    def cells(self) -> list[Cell]:
        """All of them, row by row."""
        return [cell for _, row in self.rows for cell in row if cell]

    def only_fitting(self) -> Matrix:
        """The rows in which something fits as asked, with those cells only."""
        rows = [(name, tuple(cell if cell and cell.plan.fits else None for cell in row)) for name, row in self.rows]
        return self._replace(rows=tuple((name, row) for name, row in rows if any(row)))

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "max_model_len": self.max_model_len,
            "counts": list(self.counts),
            "cells": [cell.as_dict() for cell in self.cells],
        }


class Models(NamedTuple):
    """Many models on one hardware."""

    hardware: Hardware
    cells: list[Cell]
    """The most useful first."""
    skipped: list[str]
    """A line for each recipe that could not be planned."""
    planned: int
    """Models that were planned, before any were left out."""

    def only_fitting(self) -> Models:
        """Without those that do not fit as asked."""
        return self._replace(cells=[cell for cell in self.cells if cell.plan.fits])

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "hardware": {"on": self.hardware.text, **hardware_dict(self.hardware)},
            "planned": self.planned,
            "fitting": sum(cell.plan.fits for cell in self.cells),
            "models": [cell.as_dict() for cell in self.cells],
            "skipped": self.skipped,
        }


def hardware_of(device: Device, count: int, visible_memory_bytes: int | None = None) -> Hardware:
    """`count` devices in as few nodes of the usual kind as hold them.

    Check: 16 x H20 -> 2 nodes of 8; 16 x 910C -> 1 node of 16.
    """
    per_node = min(count, device.devices_per_node)
    visible = visible_memory_bytes or device.visible_memory_bytes or 0
    return Hardware(device=device, nodes=-(-count // per_node), devices_per_node=per_node, visible_memory_bytes=visible)


def matrix_of(
    model: ModelToPlan,
    hardware: Sequence[Hardware],
    request: PlanRequest,
    *,
    engine_of: Callable[[Hardware], EngineFacts],
) -> Matrix:
    """The model on each hardware; rows in the order in which they come first, columns by the number of devices."""
    counts = tuple(sorted({one.device_count for one in hardware}))
    rows: dict[str, list[Cell | None]] = {}
    alike: dict[tuple[Device, int, int, int], Cell] = {}
    for one in hardware:
        plain = _plain(one.device), one.nodes, one.devices_per_node, one.visible_memory_bytes
        cell = alike.get(plain) or cell_of(model, one, request, engine=engine_of(one))
        if cell.plan.verdict is not Verdict.UNSUPPORTED:
            # A refusal names the device.
            alike[plain] = cell
        row = rows.setdefault(_row_name(one), [None] * len(counts))
        row[counts.index(one.device_count)] = cell.on(one)
    found = tuple((name, tuple(row)) for name, row in rows.items())
    return Matrix(model=model.name, max_model_len=_asked(model, request), counts=counts, rows=found)


@cache
def _plain(device: Device) -> Device:
    """Without what decides nothing about a plan: H100 and H800 are then one and the same, H100 with PCIe another."""
    return replace(
        device,
        id="",
        name="",
        aliases=(),
        family=device.family if device.platform is Platform.ASCEND else "",
        memory_bytes=None,
        memory_bandwidth_bytes_per_s=None,
        bf16_flops=None,
        fp8_flops=None,
        interconnect=NVLINK if has_nvlink(device) else "",
        source="",
    )


def _row_name(hardware: Hardware) -> str:
    """`H20-96G`, `H20-96G@90`; `H20-96G in nodes of 4` where they are not as full as they come."""
    usual, name = min(hardware.device_count, hardware.device.devices_per_node), hardware.device_text
    return name if hardware.devices_per_node == usual else f"{name} in nodes of {hardware.devices_per_node}"


def _asked(model: ModelToPlan, request: PlanRequest) -> int:
    return request.max_model_len or max([model.max_model_len, *(v.max_model_len for v in model.variants)])


def cell_of(model: ModelToPlan, hardware: Hardware, request: PlanRequest, *, engine: EngineFacts) -> Cell:
    """The plan of the best variant and, where it does not fit, the longest context that would."""
    plan = plan_briefly(model, hardware, request, engine=engine).plan
    if plan.verdict is not Verdict.DOES_NOT_FIT or not plan.memory.budget_bytes:
        return Cell(plan)
    variants = model.variants if len(model.variants) > 1 and not model.variant_asked else (model,)
    if not engine.boots and not any(holds_weights(variant, hardware, request) for variant in variants):
        return Cell(plan)
    asked = replace(request, auto_max_model_len=True, max_model_len=None)
    if request.max_model_len:
        model = _with_limit(model, request.max_model_len)
    shorter = plan_briefly(model, hardware, asked, engine=engine).plan
    worth = shorter.fits and WORTH_HAVING_TOKENS <= shorter.settings.max_model_len < plan.settings.max_model_len
    return Cell(plan, shorter if worth else None)


def _with_limit(model: ModelToPlan, limit: int) -> ModelToPlan:
    shorter = tuple(_with_limit(variant, limit) for variant in model.variants)
    return replace(model, max_model_len=min(model.max_model_len, limit), variants=shorter)


def by_use(cells: Iterable[Cell], parameters: Mapping[str, int]) -> list[Cell]:
    """What fits first, then what would with a shorter context; among these the largest models first."""

    def place(cell: Cell) -> tuple[int, int, str]:
        return "+~<-x".index(cell.mark), -parameters.get(cell.plan.model, 0), cell.plan.model

    return sorted(cells, key=place)


def is_default(layout: Layout, hardware: Hardware) -> bool:
    """Whether a layout is tensor parallel over all devices of a node and pipeline parallel over all nodes."""
    sizes = layout.tensor_parallel_size, layout.pipeline_parallel_size, layout.data_parallel_size
    return sizes == (hardware.devices_per_node, hardware.nodes, 1) and not layout.enable_expert_parallel
