"""What a benchmark asks of a server and what it makes of the answers: tables, worked numbers, a small scheduler."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.serve import load, series
from selfhost.serve.load import Holds, Promise
from selfhost.serve.series import Load, Peak

PLAN = {
    "settings": {"max_num_seqs": 32, "max_model_len": 1024, "max_num_batched_tokens": 2048},
    "kv_cache": {"max_concurrency": 7.9},
    "layout": {"data_parallel_size": 2},
}


def promise(concurrency=8, max_model_len=1024) -> Promise:
    return Promise(concurrency=concurrency, max_model_len=max_model_len, source="measured")


def event(**changes):
    figures = {
        "completed": 3,
        "failed": 1,
        "duration": 2.0,
        "total_input_tokens": 300,
        "total_output_tokens": 90,
        "request_throughput": 1.5,
        "output_throughput": 45.0,
        "total_token_throughput": 195.0,
        **{
            f"{kind}_{name}_ms": 1000.0
            for kind in ("mean", "median", "p99")
            for name in ("ttft", "itl", "tpot", "e2el")
        },
        "median_ttft_ms": 250.0,
    }
    return {
        "concurrency": 2,
        "requests": 4,
        "truncated": 0,
        "errors": ["boom"],
        "figures": figures | changes,
    }


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(None, (14, "planned")), (45.5, (64, "measured")), (0.4, (2, "measured")), (8.0, (16, "measured"))],
    ids=["by the plan", "no more than the engine takes", "at least one each", "whole"],
)
def test_promise_is_the_engines_count_rounded_down_for_each_engine(measured, expected):
    found = load.promise_of(PLAN, measured)
    assert (found.concurrency, found.source) == expected
    assert found.max_model_len == 1024


def most_at_once(many: int, prompt: int, answer: int, step_tokens: int) -> int:
    """The most requests that run at once when a scheduler reads prompts in order, running ones first (vLLM's V1)."""
    left = [prompt] * many
    made = [0] * many
    most = 0
    while any(count < answer for count in made):
        budget = step_tokens
        running = 0
        for number in range(many):
            if made[number] >= answer:
                continue
            if left[number] == 0 and budget:
                budget -= 1
                made[number] += 1
                running += 1
            elif budget:
                read = min(left[number], budget)
                left[number] -= read
                budget -= read
                made[number] += left[number] == 0
                running += 1
        most = max(most, running)
    return most


@pytest.mark.parametrize(
    ("many", "length", "step_tokens"),
    [(8, 512, 2048), (8, 32768, 8192), (64, 4096, 2048), (3, 131072, 8192), (200, 1024, 512), (1, 512, 512)],
)
def test_requests_of_the_promise_are_of_full_length_and_run_all_at_once(many, length, step_tokens):
    prompt, answer = load.promise_lengths(promise(many, length), step_tokens, block_size=16)
    assert prompt + answer == length
    assert prompt >= length // 2
    assert most_at_once(many, prompt, answer, step_tokens) == many


def test_short_answers_would_not_run_all_at_once():
    assert most_at_once(64, 4080, 16, 2048) < 64


def test_worked_number_of_the_promise():
    assert load.promise_lengths(promise(8, 32768), 8192, 16) == (32768 - 96, 96)


@pytest.mark.parametrize(("block", "answer"), [(16, 96), (128, 256), (1056, 2112), (40_000, 16384)])
def test_answers_grow_beyond_the_blocks_that_their_prompts_took(block, answer):
    assert load.promise_lengths(promise(8, 32768), 8192, block) == (32768 - answer, answer)


@pytest.mark.parametrize(
    ("longest", "prompt", "answer", "expected"),
    [
        (8192, None, None, load.EVERYDAY),
        (512, None, None, ((64, 128), (256, 256))),
        (128, None, None, ((64, 64),)),
        (8192, 700, 30, ((700, 30),)),
        (512, 500, None, ((500, 12),)),
        (512, None, 500, ((12, 500),)),
        (1024, None, 100, ((64, 100), (256, 100))),
    ],
)
def test_lengths_fit_the_context(longest, prompt, answer, expected):
    found = load.lengths(longest, prompt, answer)
    assert found == expected
    assert all(sum(pair) <= longest for pair in found)


def test_a_round_is_the_generators_figures_in_seconds():
    level = load.level_of({**event(), "truncated": 1}, Peak(running=2, waiting=0, kv_cache_fraction=0.5, preemptions=0))
    assert level.time_to_first_token == load.Spread(mean_s=1.0, median_s=0.25, p99_s=1.0)
    assert (level.completed, level.failed, level.truncated, level.error_rate) == (3, 1, 1, 0.5)
    said = level.as_dict()
    assert said["peak"] == {"running": 2, "waiting": 0, "kv_cache_fraction": 0.5, "preemptions": 0}
    assert (said["error_rate"], said["output_tokens_per_s"]) == (0.5, 45.0)


def test_times_of_a_round_without_an_answer_are_not_zero():
    level = load.level_of(event(completed=0, median_ttft_ms=0.0), Peak())
    assert level.time_to_first_token == load.Spread(mean_s=None, median_s=None, p99_s=None)


def test_an_older_generator_does_not_count_what_failed():
    given = event()
    del given["figures"]["failed"]
    assert load.level_of(given, Peak()).failed == 1


GOOD = {"failed": 0, "completed": 4}
SEEN = Peak(running=8, waiting=0, kv_cache_fraction=1.0, preemptions=0)
QUEUED = Peak(running=5, waiting=3, kv_cache_fraction=0.9, preemptions=0)


@pytest.mark.parametrize(
    ("given", "seen", "ended", "holds", "reason"),
    [
        (event(**GOOD), SEEN, None, Holds.YES, None),
        (event(), SEEN, None, Holds.NO, "1 of 4 requests failed: boom"),
        ({**event(**GOOD), "truncated": 1}, SEEN, None, Holds.NO, "1 of 4 answers broke off"),
        (event(**GOOD), Peak(running=8, preemptions=3), None, Holds.NO, "3 preemptions: "),
        (event(**GOOD), SEEN, "`a` failed: out of memory", Holds.NO, "the server ended: `a` failed: out of memory"),
        (event(**GOOD), Peak(running=7, preemptions=0), None, Holds.NOT_SHOWN, "no more than 7 of 8 were seen"),
        (event(**GOOD), QUEUED, None, Holds.NO, "no more than 5 of 8 ran at once, the others waited: "),
        (event(**GOOD), replace(QUEUED, kv_cache_fraction=0.87), None, Holds.NOT_SHOWN, "no more than 5 of 8 were"),
        (event(**GOOD), replace(QUEUED, running=8), None, Holds.YES, None),
        (event(**GOOD), Peak(), None, Holds.NOT_SHOWN, "the engine did not tell "),
    ],
    ids=[
        "holds",
        "failed",
        "truncated",
        "preempted",
        "ended",
        "not seen",
        "queued",
        "not full",
        "all ran",
        "no metrics",
    ],
)
def test_verdict(given, seen, ended, holds, reason):
    verdict = load.judge(promise(), load.level_of(given, seen), ended)
    assert verdict.holds is holds
    assert len(verdict.reasons) == (reason is not None)
    assert reason is None or verdict.reasons[0].startswith(reason)


def test_verdict_without_a_round():
    assert load.judge(promise(), None, "gone").reasons == ("the server ended: gone",)
    assert load.judge(promise(), None, None).holds is Holds.NO


PAGE = """
# HELP vllm:num_requests_running Number of requests in model execution batches.
vllm:num_requests_running{engine="0",model_name="a} b"} 2.0
vllm:num_requests_running{engine="1",model_name="a"} 3.0
vllm:num_requests_waiting{engine="0",model_name="a"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
vllm:kv_cache_usage_perc{engine="0",model_name="a"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a"} 0.75
vllm:num_preemptions_total{engine="0",model_name="a"} 4.0
vllm:request_success_total{engine="0",finished_reason="stop"} 5.0
vllm:request_success_total{engine="0",finished_reason="abort"} 1e+01
vllm:num_preemptions_created{engine="0"} 1.7e+09
broken line
vllm:num_preemptions_total nonsense
"""


def test_metrics_of_several_engines_are_added_up_and_the_fullest_cache_counts():
    page = PAGE.replace("a} b", "a")
    assert series.read(page) == Load(running=5, waiting=1, kv_cache_fraction=0.75, preemptions=4, finished=15)
    assert series.read("") == Load()


def test_a_label_may_hold_a_brace():
    assert series.read(PAGE).running == 5


def test_peak_counts_preemptions_of_the_time_only():
    looks = [
        Load(running=0, preemptions=4),
        Load(running=3, waiting=2, kv_cache_fraction=0.9, preemptions=4),
        Load(running=2, waiting=0, kv_cache_fraction=0.1, preemptions=6),
    ]
    assert series.peak(looks) == Peak(running=3, waiting=2, kv_cache_fraction=0.9, preemptions=2)
    assert series.peak([]) == Peak()
