"""`--for`: the layout that is chosen for latency, throughput or context, and the reason that is told."""

from __future__ import annotations

import pytest

from selfhost.hardware.spec import parse
from selfhost.planner import layouts
from selfhost.planner.goals import decide
from selfhost.planner.plan import Goal, Layout, PlanRequest, Verdict
from tests.planner.conftest import CONFIGS, a_model

LATENCY, THROUGHPUT, CONTEXT = Goal.LATENCY, Goal.THROUGHPUT, Goal.CONTEXT


def sizes(layout: Layout) -> tuple[int, int, int, bool]:
    return (
        layout.tensor_parallel_size,
        layout.pipeline_parallel_size,
        layout.data_parallel_size,
        layout.enable_expert_parallel,
    )


@pytest.mark.parametrize(
    ("goal", "name", "on", "expected"),
    [
        (LATENCY, "deepseek-v3", "8xH200", (8, 1, 1, False)),
        (LATENCY, "qwen2.5-7b", "8xH20", (4, 1, 1, False)),
        (LATENCY, "qwen2.5-7b", "2x8xH20", (4, 1, 1, False)),
        (LATENCY, "deepseek-v3", "2x8xH20", (8, 2, 1, False)),
        (THROUGHPUT, "deepseek-v3", "8xH200", (1, 1, 8, True)),
        (THROUGHPUT, "deepseek-v3", "2x8xH20", (1, 1, 16, True)),
        (THROUGHPUT, "qwen2.5-7b", "8xH20", (1, 1, 8, False)),
        (THROUGHPUT, "qwen2.5-7b", "2x8xH20", (1, 1, 16, False)),
        (THROUGHPUT, "qwen2.5-72b", "8xH20", (4, 1, 2, False)),
        (THROUGHPUT, "qwen2.5-72b", "4xA800-80G", (4, 1, 1, False)),
        (THROUGHPUT, "glm-4.5-air-fp8", "8xH20", (8, 1, 1, False)),
        (CONTEXT, "qwen2.5-7b", "8xH20", (1, 1, 1, False)),
        (CONTEXT, "deepseek-v3", "8xH200", (8, 1, 1, False)),
    ],
    ids=[
        "latency: all of a node",
        "latency: 28 heads",
        "latency: a second node does not help",
        "latency: two nodes since one is too small",
        "throughput: latent attention is data parallel",
        "throughput: over two nodes",
        "throughput: a small model is replicated",
        "throughput: replicated over two nodes",
        "throughput: replicas keep half of the cache",
        "throughput: one engine where two would keep too little",
        "throughput: 8 KV heads are not held twice",
        "context: all of it fits on one",
        "context: all of it fits",
    ],
)
def test_layouts_by_goal(plan, goal, name, on, expected):
    assert sizes(plan(name, on, goal=goal).layout) == expected


def test_the_longest_context_takes_the_layout_that_holds_most(plan):
    """MLA keeps the same cache on all tensor-parallel ranks; stages divide it, so two of them hold more."""
    flat = plan("deepseek-v3", "8xH20", auto_max_model_len=True)
    assert sizes(flat.layout) == (8, 1, 1, False)
    best = plan("qwen2.5-72b", "8xRTX4090@22.2", goal=CONTEXT)
    usual = plan("qwen2.5-72b", "8xRTX4090@22.2", auto_max_model_len=True)
    assert best.settings.max_model_len >= usual.settings.max_model_len > 0
    for tp, pp in ((8, 1), (4, 2), (2, 4), (1, 8)):
        size = {"tensor_parallel_size": tp, "pipeline_parallel_size": pp}
        other = plan("qwen2.5-72b", "8xRTX4090@22.2", auto_max_model_len=True, **size)
        assert other.verdict is Verdict.DOES_NOT_FIT or other.settings.max_model_len <= best.settings.max_model_len


def test_for_context_means_as_long_as_fits_unless_a_length_is_asked_for(plan):
    assert PlanRequest(goal=CONTEXT).wants_longest
    assert not PlanRequest(goal=CONTEXT, max_model_len=4096).wants_longest
    assert not PlanRequest(goal=LATENCY).wants_longest
    short = plan("deepseek-v3", "8xH20", goal=CONTEXT)
    assert short.fits
    assert short.settings.max_model_len < 163840
    assert not plan("deepseek-v3", "8xH20", goal=CONTEXT, max_model_len=163840).fits


def test_throughput_is_more_cache_in_all_where_experts_are_shared(plan):
    one, many = plan("deepseek-v3", "8xH200"), plan("deepseek-v3", "8xH200", goal=THROUGHPUT)
    assert many.tokens_all_engines > 3 * one.tokens_all_engines
    reason = many.reasons[0]
    assert reason == (
        f"layout: DP=8 EP for throughput: 8 engines hold {many.tokens_all_engines:,} tokens in all;"
        f" TP=8 would hold {one.tokens_all_engines:,}"
    )


def test_the_batch_of_each_engine_is_smaller_where_all_meet_at_the_experts(plan):
    made = plan("deepseek-v3", "8xH200", goal=THROUGHPUT)
    assert made.settings.max_num_batched_tokens == 2048
    assert any(reason.startswith("batch: `--max-num-batched-tokens` 2048 in each engine") for reason in made.reasons)
    asked = plan("deepseek-v3", "8xH200", goal=THROUGHPUT, max_num_batched_tokens=4096)
    assert asked.settings.max_num_batched_tokens == 4096
    assert not any(reason.startswith("batch:") for reason in asked.reasons)
    by_hand = plan("deepseek-v3", "8xH200", data_parallel_size=8, enable_expert_parallel=True)
    assert by_hand.settings.max_num_batched_tokens == 8192
    assert plan("qwen2.5-7b", "8xH20", goal=THROUGHPUT).settings.max_num_batched_tokens == 8192


def test_replicas_say_what_they_give_up(plan):
    made = plan("qwen2.5-72b", "8xH20", goal=THROUGHPUT)
    most = plan("qwen2.5-72b", "8xH20").tokens_all_engines
    assert most > made.tokens_all_engines > most / 2
    assert made.reasons[0] == (
        f"layout: TP=4 DP=2 for throughput: 2 engines, which need not communicate, hold {made.tokens_all_engines:,}"
        f" tokens in all; TP=8 would hold {most:,}"
    )


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "smollm2-135m"])
@pytest.mark.parametrize("on", ["8xH200", "2x8xH20", "4xA800-80G", "RTX4090", "6xL20"])
@pytest.mark.parametrize("goal", Goal)
def test_a_goal_never_makes_a_model_not_fit(plan, name, on, goal):
    """What fits without a goal fits with one, with margin where that is possible; the layout is legal."""
    usual, made = plan(name, on), plan(name, on, goal=goal)
    assert made.fits or not usual.fits
    if usual.verdict is Verdict.FITS:
        assert made.verdict is Verdict.FITS
    hardware = parse(on)
    assert layouts.problems(a_model(name).arch, hardware, made.layout) == []
    assert made.layout.world_size <= hardware.device_count
    if goal is THROUGHPUT and usual.fits and a_model(name).arch.is_moe:
        assert made.tokens_all_engines >= usual.tokens_all_engines or usual.verdict is Verdict.TIGHT
    if goal is CONTEXT and usual.fits:
        assert made.settings.max_model_len == usual.settings.max_model_len


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"tensor_parallel_size": 2}, (2, 1, 4, False)),
        ({"data_parallel_size": 2}, (4, 1, 2, False)),
        ({"pipeline_parallel_size": 2}, (4, 2, 1, False)),
        ({"data_parallel_size": 1}, (4, 1, 1, False)),
    ],
    ids=str,
)
def test_sizes_that_were_asked_for_stand(plan, asked, expected):
    assert sizes(plan("qwen2.5-7b", "8xH20", goal=THROUGHPUT, **asked).layout) == expected


def test_whole_experts_only_when_they_are_wanted(plan):
    made = plan("deepseek-v3", "8xH200", goal=THROUGHPUT, enable_expert_parallel=False)
    assert not made.layout.enable_expert_parallel


def test_where_there_is_nothing_to_choose_it_is_said(plan):
    reasons = plan("qwen2.5-7b", "cpu@64", goal=THROUGHPUT).reasons
    assert reasons[0] == "layout: TP=1 on the host's CPU"
    assert reasons[1] == "layout: there is no other one to choose for throughput"
    made = plan("deepseek-v3", "8xRTX4090", goal=LATENCY)
    assert "layout: TP=8; none fits, so there was none to choose for latency" in made.reasons


def test_data_parallel_over_nodes_says_what_differs_by_node(plan):
    made = plan("deepseek-v3", "4x8xH20", goal=THROUGHPUT, tensor_parallel_size=1)
    assert made.layout.data_parallel_size == 32
    first, others = made.reasons[-2:]
    assert "with 8 of the 32 engines; replace `NODE0`" in first
    assert others == (
        "nodes: node 1 to 3 of 4 runs the same command with `--headless` and `--data-parallel-start-rank` 8, 16, 24"
    )


def test_what_was_found_here_is_used_whole_for_throughput_and_sparingly_otherwise(plan):
    assert plan("qwen2.5-7b", "8xH20", here=True).layout.world_size == 1
    assert sizes(plan("qwen2.5-7b", "8xH20", here=True, goal=THROUGHPUT).layout) == (1, 1, 8, False)
    assert sizes(plan("qwen2.5-7b", "8xH20", here=True, goal=LATENCY).layout) == (4, 1, 1, False)


def test_a_remedy_names_all_of_the_layout_it_offers(plan):
    made = plan("qwen2.5-7b", "8xH20", remedies=True, goal=THROUGHPUT, tensor_parallel_size=3)
    assert made.verdict is Verdict.UNSUPPORTED
    assert [remedy.change for remedy in made.remedies] == ["--tensor-parallel-size 1 --data-parallel-size 8"]
    assert plan("qwen2.5-7b", "8xH20", tensor_parallel_size=1, data_parallel_size=8).fits


def test_the_goal_is_part_of_the_plan(plan):
    assert plan("qwen2.5-7b", "H20", goal=LATENCY).as_dict()["goal"] == "latency"
    assert plan("qwen2.5-7b", "H20").as_dict()["goal"] is None


def test_stages_inside_a_node_only_where_nothing_else_fits():
    from types import SimpleNamespace

    def choice(tp: int, pp: int, tokens: int):
        layout = Layout(tensor_parallel_size=tp, pipeline_parallel_size=pp)
        arch, hardware = SimpleNamespace(is_moe=False), SimpleNamespace(nodes=1, device_count=8)
        kv = SimpleNamespace(tokens=tokens)
        estimate = SimpleNamespace(verdict=Verdict.FITS, kv_cache=kv)
        return SimpleNamespace(setup=SimpleNamespace(arch=arch, hardware=hardware, layout=layout), estimate=estimate)

    flat, staged = choice(8, 1, 10), choice(1, 8, 100)
    assert decide(THROUGHPUT, [flat, staged]).choice is flat
    assert decide(THROUGHPUT, [staged]).choice is staged
