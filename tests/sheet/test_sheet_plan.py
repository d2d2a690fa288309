"""A plan as SVG and as HTML: well-formed, nothing from a name is markup, and the figures are those of `--json`."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from selfhost.app.detect import hardware_for
from selfhost.app.model import resolve
from selfhost.app.plan import plan_model
from selfhost.home import find_home
from selfhost.planner.contract import memory_dict
from selfhost.planner.plan import PlanRequest
from selfhost.sheet.drawn import plan_svg
from selfhost.sheet.figures import Made, facts, places, ranks
from selfhost.sheet.markup import element, escaped
from selfhost.sheet.plan_page import plan_page
from selfhost.units import GIB

SVG = "{http://www.w3.org/2000/svg}"
MADE = Made("1.2.3", "2026-11-28")
EVIL = "<script>alert(1)</script>\"' onload=x &amp;\x00\x1b[1m\ud800\uffff"
TERMS = {
    "weights": "weight_bytes",
    "buffers": "buffer_bytes",
    "activation": "activation_bytes",
    "non_torch": "non_torch_bytes",
    "graphs": "cudagraph_bytes",
    "kv_cache": "kv_cache_bytes",
}
CASES = [
    ("deepseek-v3", "2x8xH100", {}),
    ("deepseek-v3", "2x8x910B3", {}),
    ("qwen2.5-72b", "2xRTX4090", {}),
    ("qwen2.5-7b", "3xH20", {}),
    ("smollm2-135m", "cpu@16", {}),
    ("qwen2.5-7b", "4xMLU370-X8", {}),
    ("qwen2.5-7b", "8xH20", {"data_parallel_size": 4, "tensor_parallel_size": 2}),
]


def plan_of(name: str, on: str, **request):
    return plan_model(resolve(name).to_plan(), hardware_for(on, find_home()), PlanRequest(**request))


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]} on {case[1]}")
def plan(request):
    name, on, asked = request.param
    return plan_of(name, on, **asked)


def rows_of(plan) -> list[dict[str, int]]:
    """Bytes of the terms of each bar, as its elements have them."""
    root = ET.fromstring(plan_svg(plan, MADE))
    bars = [group for group in root.iter(f"{SVG}g") if group.get("class") == "rank"]
    found = []
    for bar in bars:
        sizes = {x.get("data-term"): int(x.get("data-bytes")) for x in bar.iter() if x.get("data-term")}
        budgets = [int(x.get("data-budget-bytes")) for x in bar.iter() if x.get("data-budget-bytes")]
        assert len(budgets) == 1
        found.append({TERMS[name]: size for name, size in sizes.items()} | {"budget_bytes": budgets[0]})
    return found


def test_the_bars_are_the_ranks_of_the_json(plan):
    told = plan.as_dict()
    rows = rows_of(plan)
    if not plan.memory.budget_bytes:
        assert rows == []
        return
    assert told["per_rank"] in rows
    names = told["per_rank"].keys()
    stages = [{name: stage[name] for name in names} for stage in told["stages"]]
    assert all(stage in rows for stage in stages)
    assert all(row in stages for row in rows)
    assert len(rows) == len({tuple(row.items()) for row in rows})


def test_blocks_are_as_wide_as_their_bytes():
    plan = plan_of("deepseek-v3", "2x8xH100")
    root = ET.fromstring(plan_svg(plan, MADE))
    blocks = [x for x in root.iter(f"{SVG}rect") if x.get("data-term")]
    assert len(blocks) == 12
    per_byte = 912 / plan.hardware.visible_memory_bytes
    for block in blocks:
        assert float(block.get("width")) == pytest.approx(int(block.get("data-bytes")) * per_byte, abs=0.6)
    bar = blocks[:6]
    ends = [float(x.get("x")) + float(x.get("width")) for x in bar]
    assert [float(x.get("x")) for x in bar[1:]] == pytest.approx(ends[:-1], abs=0.1)
    (line, *_) = (x for x in root.iter(f"{SVG}line") if x.get("data-budget-bytes"))
    assert float(line.get("x1")) == pytest.approx(ends[-1], abs=0.1)


def test_the_whisker_spans_the_range_of_the_kv_cache():
    plan = plan_of("qwen2.5-72b", "4xA800-80G")
    root = ET.fromstring(plan_svg(plan, MADE))
    (whisker,) = (x for x in root.iter(f"{SVG}line") if x.get("class") == "range")
    low, high = plan.as_dict()["per_rank_range"]["kv_cache_bytes"]
    length = float(whisker.get("x2")) - float(whisker.get("x1"))
    assert length == pytest.approx((high - low) * 912 / plan.hardware.visible_memory_bytes, abs=0.1)


def test_what_is_missing_reaches_beyond_the_budget():
    plan = plan_of("qwen2.5-72b", "RTX4090")
    root = ET.fromstring(plan_svg(plan, MADE))
    (box,) = (x for x in root.iter(f"{SVG}rect") if x.get("data-needed-bytes"))
    assert int(box.get("data-needed-bytes")) == plan.request_bytes
    (line,) = (x for x in root.iter(f"{SVG}line") if x.get("data-budget-bytes"))
    scale = 912 / (plan.memory.budget_bytes + plan.missing_bytes)
    beyond = float(box.get("x")) + float(box.get("width")) - float(line.get("x1"))
    assert beyond == pytest.approx(plan.missing_bytes * scale, abs=1)
    assert plan.missing_bytes > 20 * GIB
    fitting = ET.fromstring(plan_svg(plan_of("qwen2.5-72b", "4xA800-80G"), MADE))
    assert not [x for x in fitting.iter(f"{SVG}rect") if x.get("data-needed-bytes")]


def texts(svg: str) -> list[str]:
    return [x.text or "" for x in ET.fromstring(svg).iter(f"{SVG}text")]


def test_a_picture_says_what_the_plan_says(plan):
    words = texts(plan_svg(plan, MADE))
    joined = "\n".join(words)
    assert any(plan.verdict.value in word for word in words)
    assert any("1.2.3" in word and "2026-11-28" in word for word in words)
    if not plan.memory.budget_bytes:
        assert any(plan.reasons[0] in word for word in words)
        return
    kv, length = plan.kv_cache, plan.settings.max_model_len
    assert f"{length:,} tokens" in joined
    assert f"{plan.tokens_all_engines:,} tokens" in joined
    assert f"{plan.max_concurrency_all_engines:.2f} of {length:,} tokens" in joined
    assert kv.tokens * plan.layout.data_parallel_size == plan.tokens_all_engines
    assert {f"{size / GIB:,.2f}" for size in memory_dict(plan.memory).values()} <= {*words}


class Read(HTMLParser):
    """The elements and texts of a page; every element that was opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.words, self.addresses = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(page: str) -> Read:
    reader = Read()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def test_a_page_is_one_file_and_has_every_figure_of_the_json(plan):
    page = plan_page(plan, MADE)
    found = read(page)
    assert not {"script", "link", "img", "iframe", "object"} & {*found.tags}
    assert found.addresses == []
    assert "url(" not in page
    assert "@import" not in page
    words = "\n".join(found.words)
    told = plan.as_dict()
    assert all(reason in words for reason in told["reasons"])
    assert all(remedy["change"] in words for remedy in told["remedies"])
    if plan.memory.budget_bytes:
        sizes = [*told["per_rank"].values(), *told["per_rank_range"]["kv_cache_bytes"], told["weight_bytes_total"]]
        assert all(f"{size:,}" in words for size in sizes)
        assert all(f"{load['requests_per_engine']:,}" in words for load in told["capacity"]["requests"])
        assert "svg" in found.tags
    if plan.fits:
        assert all(word in words for word in told["argv"] if " " not in word and not word.startswith("{"))
        assert "rooflines, not measurements" in words or told["speed"] is None
    assert told["engine"]["version"] in words


def test_a_name_from_a_hub_is_never_markup():
    plan = plan_of("deepseek-v3", "2x8xH100")
    reasons = (*plan.reasons, f"variant: {EVIL}")
    device = replace(plan.hardware.device, name=EVIL)
    evil = replace(
        plan,
        **dict.fromkeys(("model", "variant", "model_path", "served_model_name"), EVIL),
        reasons=reasons,
        argv=(*plan.argv, EVIL),
        node_argv=((*plan.argv, EVIL),),
        env={EVIL: EVIL},
        hardware=replace(plan.hardware, device=device),
    )
    for drawn in (plan_svg(evil, MADE), plan_page(evil, MADE), plan_page(replace(evil, node_argv=()), MADE)):
        assert "<script" not in drawn
        assert "\x00" not in drawn
        assert "\x1b" not in drawn
        drawn.encode()
    root = ET.fromstring(plan_svg(evil, MADE))
    assert not [x for x in root.iter() if "script" in x.tag]
    found = read(plan_page(evil, MADE))
    assert "script" not in found.tags
    assert any("<script>alert(1)</script>" in word for word in found.words)
    # A picture in a page is well-formed by itself.
    ET.fromstring(re.search("<svg.*</svg>", plan_page(evil, MADE), re.DOTALL)[0])


def test_a_long_name_is_wrapped_and_cut():
    plan = replace(plan_of("qwen2.5-7b", "H20"), model="模" * 300)
    heading = [x for x in ET.fromstring(plan_svg(plan, MADE)).iter(f"{SVG}text") if "模" in (x.text or "")]
    assert 1 < len(heading) <= 4


@pytest.mark.parametrize("tokens", [10**12, 10**18])
def test_a_request_of_absurd_length_is_drawn(tokens):
    plan = plan_of("qwen2.5-7b", "1xL20", max_model_len=tokens)

    root = ET.fromstring(plan_svg(plan, MADE))

    assert plan.verdict == "unsupported"
    assert [node for node in root.iter(f"{SVG}text") if node.text and node.text.endswith(" GiB")]
    widths = [node.get("width", "0") for node in root.iter(f"{SVG}rect")]
    assert all(float(width.removesuffix("%")) >= 0 for width in widths)


def test_stages_that_are_alike_are_one_bar_and_name_their_nodes():
    plan = plan_of("deepseek-v3", "2x8xH100")
    assert [rank.label for rank in ranks(plan)] == [
        "stage 0: each of 8 GPUs, node 0",
        "stage 1: each of 8 GPUs, node 1",
    ]
    assert [rank.is_the_plans for rank in ranks(plan)] == [False, True]
    (one,) = ranks(plan_of("qwen2.5-72b", "4xA800-80G"))
    assert one.label == "each of 4 GPUs"
    even = plan_of("qwen2.5-72b", "4x8xH20", pipeline_parallel_size=4, tensor_parallel_size=8)
    labels = [rank.label for rank in ranks(even)]
    assert "stage 1-2: each of 16 GPUs, node 1-2" in labels
    assert sum(memory_dict(rank.memory) == even.as_dict()["per_rank"] for rank in ranks(even)) == 1


def test_what_was_measured_here_stands_before_the_stages():
    plan = plan_of("deepseek-v3", "2x8xH100")
    measured = replace(plan, memory=replace(plan.memory, kv_cache_bytes=1))
    first, *stages = ranks(measured)
    assert first.memory is measured.memory
    assert "as measured on this machine" in first.label
    assert [rank.is_the_plans for rank in stages] == [False, False]


def test_every_device_has_its_rank():
    plan = plan_of("qwen2.5-7b", "2x8xH20", data_parallel_size=4, tensor_parallel_size=2, pipeline_parallel_size=2)
    found = places(plan)
    assert len(found) == len({(place.node, place.device) for place in found}) == 16
    assert [place.engine for place in found if place.node == 1] == [2] * 4 + [3] * 4
    assert [place.stage for place in found[:4]] == [0, 0, 1, 1]


def test_facts_of_several_engines_are_of_all_and_of_each():
    told = dict(facts(plan_of("qwen2.5-7b", "8xH20", data_parallel_size=4, tensor_parallel_size=2)))
    assert re.fullmatch(r"[\d,]+ tokens in 4 engines, [\d,]+ in each", told["KV cache holds"])
    assert told["layout"] == "TP=2 DP=4, 8 of 8 devices"


def test_what_is_markup_and_what_is_not():
    assert element("a", "<b>", escaped("&"), x='"') == '<a x="&quot;">&lt;b&gt;&amp;</a>'
    assert element("p", element("b", "x"), y=None) == "<p><b>x</b></p>"
