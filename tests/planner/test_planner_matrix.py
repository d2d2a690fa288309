"""Many plans at once: what a cell says, and the two tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.engines import known
from selfhost.hardware import catalog
from selfhost.hardware.spec import parse
from selfhost.planner import matrix
from selfhost.planner.choose import holds_weights
from selfhost.planner.plan import Layout, PlanRequest
from selfhost.planner.tables import draw_list, draw_matrix, tokens_text
from tests.planner.conftest import a_model

ENGINE = known.load("vllm").for_planner


def cell(name: str, on: str, **request) -> matrix.Cell:
    return matrix.cell_of(a_model(name), parse(on), PlanRequest(**request), engine=ENGINE)


def table(name: str, *on: str, **request) -> matrix.Matrix:
    hardware = [parse(one) for one in on]
    return matrix.matrix_of(a_model(name), hardware, PlanRequest(**request), engine_of=lambda _: ENGINE)


@pytest.mark.parametrize(
    ("device", "count", "nodes"),
    [("H20", 1, 1), ("H20", 8, 1), ("H20", 16, 2), ("910C", 16, 1), ("GB200", 8, 2), ("GB10", 4, 4)],
)
def test_devices_come_in_nodes_of_the_usual_kind(device, count, nodes):
    hardware = matrix.hardware_of(catalog.lookup(device), count)
    assert (hardware.nodes, hardware.device_count) == (nodes, count)


@pytest.mark.parametrize(
    ("on", "mark", "longest"),
    [("H20", "+", 32768), ("L20@20", "~", 32768), ("RTX4090@12", "-", None), ("MLU370-X8", "x", None)],
)
def test_a_cell_has_a_mark_and_the_longest_context(on, mark, longest):
    found = cell("qwen2.5-7b", on)
    assert (found.mark, found.longest) == (mark, longest)


def test_where_it_does_not_fit_the_longest_context_is_that_which_fits_and_no_block_more():
    found = cell("qwen2.5-7b", "L20@18.3")
    assert found.mark == "<"
    assert 8192 < found.longest < 16384
    assert cell("qwen2.5-7b", "L20@18.3", max_model_len=found.longest).plan.fits
    assert not cell("qwen2.5-7b", "L20@18.3", max_model_len=found.longest + 16).plan.fits
    assert cell("qwen2.5-7b", "L20@18.3", max_model_len=16384).longest == found.longest
    assert cell("qwen2.5-7b", "L20@18.3", max_model_len=4096).longest == 4096


def test_json_of_a_cell_tells_what_is_asked_for_apart_from_what_would_do():
    found = cell("qwen2.5-7b", "L20@18.3").as_dict()
    assert (found["fits"], found["verdict"], found["max_model_len"]) == (False, "does_not_fit", 32768)
    assert found["missing_bytes_per_rank"] > 0
    assert found["shorter"]["max_model_len"] == found["longest_max_model_len"] < 16384
    fits = cell("qwen2.5-7b", "2xH20", data_parallel_size=2).as_dict()
    assert (fits["missing_bytes_per_rank"], fits["shorter"]) == (None, None)
    assert fits["layout"]["data_parallel_size"] == 2
    one = cell("qwen2.5-7b", "H20").as_dict()
    assert fits["tokens_all_engines"] == pytest.approx(2 * one["tokens_all_engines"], rel=0.01)


def test_devices_that_are_alike_are_planned_once_and_named_each():
    found = table("qwen2.5-72b", "4xH100-80G", "4xH800-80G", "4xA100-80G")
    assert [one.plan.hardware.text for one in found.cells] == ["4xH100-80G", "4xH800-80G", "4xA100-80G"]
    first, second, other = (one.plan.memory for one in found.cells)
    assert first is second
    assert other is not first


@pytest.mark.parametrize(
    ("first", "then"),
    [("H100-80G", "H100-PCIe-80G"), ("A100-40G", "A800-40G"), ("V100-32G", "V100-PCIe-32G")],
)
def test_a_cell_says_what_one_plan_says_though_a_board_with_other_links_came_first(first, then):
    _, found = table("qwen2.5-7b", f"4x{first}", f"4x{then}").cells
    assert found.as_dict() == cell("qwen2.5-7b", f"4x{then}").as_dict()


def test_rows_are_devices_and_columns_their_numbers():
    found = table("qwen2.5-7b", "H20", "8xH20", "2x4xH20", "8xH20@90", "L20")
    assert found.counts == (1, 8)
    assert [name for name, _ in found.rows] == ["H20-96G", "H20-96G in nodes of 4", "H20-96G@90", "L20-48G"]
    assert [[one is not None for one in row] for _, row in found.rows] == [
        [True, True],
        [False, True],
        [False, True],
        [True, False],
    ]


def test_the_matrix_as_text():
    found = table("qwen2.5-7b", "H20", "8xH20", "L20@18.3", "MLU370-X8", "8xMLU370-X8", "RTX4090@12", "16xGB200")
    shorter, lacks = found.rows[1][1][0].longest, found.rows[3][1][0].plan.missing_bytes
    assert draw_matrix(found, width=100).splitlines() == [
        "qwen2.5-7b, 32,768 tokens of context, by device and number of devices",
        "",
        "DEVICE                     1                8                     16",
        "H20-96G                    + directory 32K  + directory TP=4 32K",
        f"L20-48G@18.3               < directory {shorter // 1024}K",
        "MLU370-X8-48G              x MLU370-X8 is not supported: Cambricon: none of the engines that selfho…",
        f"RTX4090-24G@12             - {lacks / (1 << 30):.1f} GiB",
        "GB200-186G in nodes of 16                                         + directory TP=4 32K",
        "",
        "+ fits: variant and context (K: 1024 tokens)",
        "< does not fit, but would with the context that is named",
        "- does not fit, with any context worth having; memory that is missing per device",
        "x does not run; `--json` has the reason",
        "layout: TP over the devices of a node and PP over the nodes, where none is named",
    ]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_matrix_keeps_to_the_width(width):
    hardware = [matrix.hardware_of(device, count) for device in catalog.DEVICES for count in (1, 8, 16)]
    hardware = [one for one in hardware if one.device is not catalog.CPU]
    found = matrix.matrix_of(a_model("deepseek-v3"), hardware, PlanRequest(), engine_of=lambda _: ENGINE)
    assert max(map(len, draw_matrix(found, width=width).splitlines())) <= width


def test_only_what_fits_leaves_out_cells_and_then_rows():
    found = table("qwen2.5-7b", "L20@18.3", "2xL20@18", "RTX4090@12").only_fitting()
    assert [(name, [one is not None for one in row]) for name, row in found.rows] == [("L20-48G@18", [False, True])]


@pytest.mark.parametrize(("length", "said"), [(163840, "160K"), (8300, "8K"), (1024, "1K"), (1000, "1000")])
def test_contexts_are_told_in_thousands_of_1024(length, said):
    assert tokens_text(length) == said


def test_the_list_has_what_fits_first_and_the_largest_first_among_it():
    names = ["qwen2.5-7b", "qwen2.5-72b", "qwen3-14b", "deepseek-v3", "qwen2.5-72b-awq"]
    parameters = {"qwen2.5-7b": 7, "qwen2.5-72b": 72, "qwen3-14b": 14, "deepseek-v3": 671, "qwen2.5-72b-awq": 71}
    cells = matrix.by_use([cell(name, "L20@42") for name in names], parameters)
    assert [(one.plan.model, one.mark) for one in cells] == [
        ("qwen3-14b", "+"),
        ("qwen2.5-7b", "+"),
        ("deepseek-v3", "-"),
        ("qwen2.5-72b", "-"),
        ("qwen2.5-72b-awq", "-"),
    ]
    lines = draw_list(matrix.Models(parse("L20@42"), cells, [], 5), width=100).splitlines()
    assert lines[:3] == [
        "L20-48G@42: 2 of 5 models fit",
        "",
        "  MODEL            VARIANT    LAYOUT  CONTEXT  REQUESTS   TOKENS",
    ]
    assert lines[3].startswith("+ qwen3-14b        directory  TP=1        40K")
    assert lines[5].startswith("- deepseek-v3      directory  TP=1       160K  lacks ")


def test_where_nothing_runs_for_one_reason_it_is_said_once():
    cells = [cell(name, "MLU370-X8") for name in ("qwen2.5-7b", "qwen3-14b")]
    assert draw_list(matrix.Models(parse("MLU370-X8"), cells, [], 2), width=100).splitlines()[2:] == [
        "x MLU370-X8 is not supported: Cambricon: none of the engines that selfhost drives has a backend for",
        "  it",
    ]


def test_memory_that_others_hold_is_the_reason_where_nothing_is_missing():
    hardware = parse("L20")
    busy = replace(hardware, assumed=False, device_indices=(0,), free_memory_bytes=(20 << 30,))
    found = matrix.cell_of(a_model("qwen2.5-7b"), busy, PlanRequest(), engine=ENGINE)
    assert (found.mark, found.as_dict()["missing_bytes_per_rank"]) == ("-", 0)
    line = draw_list(matrix.Models(busy, [found], [], 1), width=200).splitlines()[3]
    assert "in use: other processes hold 24.5 GiB of GPU 0;" in line


def test_the_default_layout_goes_without_saying():
    hardware = parse("2x8xH20")
    assert matrix.is_default(Layout(tensor_parallel_size=8, pipeline_parallel_size=2), hardware)
    assert not matrix.is_default(Layout(tensor_parallel_size=4, pipeline_parallel_size=2), hardware)
    assert not matrix.is_default(
        Layout(tensor_parallel_size=8, pipeline_parallel_size=2, enable_expert_parallel=True), hardware
    )


@pytest.mark.parametrize("name", ["qwen2.5-72b", "deepseek-v3"])
def test_a_search_that_is_left_out_would_have_found_nothing(name, monkeypatch):
    devices = ("V100-16G", "RTX4090", "L20", "A100-40G", "H20", "910B3", "310P3")
    hardware = [matrix.hardware_of(device, count) for device in map(catalog.lookup, devices) for count in (1, 2, 8)]
    engine = {"cuda": ENGINE, "ascend": known.load("vllm-ascend").for_planner}

    def found():
        request, model = PlanRequest(), a_model(name)
        return [matrix.cell_of(model, on, request, engine=engine[on.device.platform]) for on in hardware]

    left_out: list[bool] = []
    monkeypatch.setattr(matrix, "holds_weights", lambda *args: left_out.append(not holds_weights(*args)) or True)
    everywhere = [one.as_dict() for one in found()]
    monkeypatch.undo()
    assert any(left_out)
    assert [one.as_dict() for one in found()] == everywhere
