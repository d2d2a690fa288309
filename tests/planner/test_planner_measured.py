"""Boot records of this machine: which one speaks for a plan, what it changes, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.engines import known
from selfhost.hardware.spec import parse
from selfhost.planner.boots import Boot, BootRecord, Measured, Outcome, subject_of
from selfhost.planner.choose import make_plan
from selfhost.planner.logged import GRAPH_NOISE, NOISE_BYTES
from selfhost.planner.picture import draw
from selfhost.planner.plan import Layout, PlanRequest
from selfhost.units import format_bytes
from tests.planner.conftest import a_model

GIB = 1 << 30
WHEN = "2026-10-06T08:00:00+00:00"
TERMS = ("weight_bytes", "buffer_bytes", "activation_bytes", "non_torch_bytes", "cudagraph_bytes", "kv_cache_bytes")


def gib(value: float) -> int:
    return int(value * GIB)


def planned(name="llama-3.1-8b", on="A100-80G@79.25", boots=(), *, remedies=False, **request):
    engines = {"cpu": "vllm-cpu", "910": "vllm-ascend"}
    engine = known.load(engines.get(on[:3], "vllm")).for_planner
    hardware = replace(parse(on), assumed=False)
    facts = replace(engine, boots=tuple(boots))
    return make_plan(a_model(name), hardware, PlanRequest(**request), engine=facts, with_remedies=remedies)


# A public log of vLLM 0.31.0: Llama-3.1-8B on an A100-80GB with the engine's defaults (2048 tokens, 256 requests).
LLAMA = Measured(
    visible_memory_bytes=gib(79.25),
    requested_memory_bytes=gib(72.91),
    free_at_start_bytes=gib(78.84),
    weight_bytes=gib(14.99),
    consumed_bytes=gib(15.26),
    peak_activation_bytes=gib(1.44),
    cudagraph_bytes=gib(0.23),
    cudagraph_estimate_bytes=gib(1.23),
    kv_cache_bytes=gib(56.21),
    kv_cache_tokens=460_496,
    max_concurrency=3.51,
)
ITS_SETTINGS = {"max_num_seqs": 256, "max_num_batched_tokens": 2048}


def record(name="llama-3.1-8b", on="A100-80G@79.25", measured=LLAMA, *, outcome=Outcome.STARTED, **request):
    plan = planned(name, on, **request)
    boot = Boot(started_at=WHEN, outcome=outcome, measured=measured, ready_s=61.0)
    return BootRecord(subject=subject_of(plan, a_model(name).arch), boots=(boot,), path="/home/boots/a.json")


def adds_up(plan) -> bool:
    return sum(getattr(plan.memory, term) for term in TERMS) == plan.memory.budget_bytes


def test_exactly_this_plan_is_measured():
    """Budget 72.91 - consumed 15.26 - peak 1.44 = 56.21; of what was consumed 14.99 is weights."""
    plan = planned(boots=[record(**ITS_SETTINGS)], **ITS_SETTINGS)
    memory = plan.memory
    assert plan.confidence.value == "measured"
    assert memory.weight_bytes == planned(**ITS_SETTINGS).memory.weight_bytes, "rounds to what was logged: more digits"
    assert memory.buffer_bytes + memory.non_torch_bytes == pytest.approx(gib(0.27), abs=gib(0.02))
    assert memory.activation_bytes == pytest.approx(gib(0.21), abs=gib(0.02))
    assert memory.cudagraph_bytes == gib(1.23)
    assert memory.kv_cache_bytes == pytest.approx(gib(56.21), abs=gib(0.005))
    assert memory.kv_cache_bytes // (16 * 131_072) == 460_496 // 16
    noise = NOISE_BYTES + int(GRAPH_NOISE * gib(1.23))
    assert memory.kv_cache_bytes_low == memory.kv_cache_bytes - noise
    assert memory.kv_cache_bytes_high == memory.kv_cache_bytes + noise
    assert (plan.kv_cache.tokens, plan.kv_cache.max_concurrency) == (460_496, 3.51)
    assert adds_up(plan)
    assert plan.reasons[-1] == (
        f"measured: started on this machine with exactly this plan ({WHEN}), the engine had 56.21 GiB per GPU for the"
        f" KV cache; {format_bytes(planned(**ITS_SETTINGS).memory.kv_cache_bytes, 2)} was computed"
    )


def test_on_ascend_records_change_nothing():
    # Graphs lie beside the budget there: what is measured does not add up as on CUDA.
    on, measured = "910B3", replace(LLAMA, weight_bytes=gib(15.5), visible_memory_bytes=gib(61.3))
    settings = {**ITS_SETTINGS, "max_model_len": 8192}
    bare = planned(on=on, **settings)
    for other in (settings, {**settings, "max_model_len": 4096}, {**settings, "max_num_seqs": 16}):
        known_starts = [record(on=on, measured=measured, **other)]
        assert known_starts[0].subject.device == planned(on=on, **settings).hardware.device.id
        assert planned(on=on, boots=known_starts, **settings) == bare


def test_predicted_against_actual():
    plan = planned(boots=[record(**ITS_SETTINGS)], **ITS_SETTINGS)
    computed = planned(**ITS_SETTINGS)
    said = plan.as_dict()["measured"]
    assert {name: said[name] for name in ("record", "started_at", "outcome", "starts")} == {
        "record": "/home/boots/a.json",
        "started_at": WHEN,
        "outcome": "started",
        "starts": 1,
    }
    assert said["predicted"]["kv_cache_bytes"] == computed.memory.kv_cache_bytes
    assert said["predicted"]["kv_cache_tokens"] == computed.kv_cache.tokens
    assert said["predicted"]["ready_s"] is None
    assert said["actual"]["kv_cache_tokens"] == 460_496
    assert said["actual"]["ready_s"] == 61.0
    assert computed.as_dict()["measured"] is None
    table = draw(plan, width=80).split("\n\n")[3].splitlines()
    assert table == [
        f"predicted against actual: start of {WHEN}, 1 kept",
        "                   predicted        actual",
        "  weights, GiB         14.99         14.99",
        f"  KV, GiB              {computed.memory.kv_cache_bytes / GIB:.2f}         56.21",
        f"  tokens             {computed.kv_cache.tokens:,}       460,496",
        "  ready after              -     1 min 1 s",
    ]


def test_the_time_of_the_start_before_is_the_prediction():
    one = record(**ITS_SETTINGS)
    earlier = replace(one.boots[0], started_at="2026-10-05T08:00:00+00:00", ready_s=75.0)
    plan = planned(boots=[replace(one, boots=(*one.boots, earlier))], **ITS_SETTINGS)
    assert plan.measured.earlier_ready_s == 75.0
    assert draw(plan, width=80).split("\n\n")[3].endswith("  ready after     1 min 15 s     1 min 1 s")


def test_several_starts_span_the_range():
    one = record(**ITS_SETTINGS)
    less = replace(LLAMA, kv_cache_bytes=gib(55.9), kv_cache_tokens=457_936)
    earlier = replace(one.boots[0], measured=less)
    plan = planned(boots=[replace(one, boots=(*one.boots, earlier))], **ITS_SETTINGS)
    assert plan.memory.kv_cache_bytes == pytest.approx(gib(56.21), abs=gib(0.005))
    assert plan.memory.kv_cache_bytes_low < gib(55.9) - NOISE_BYTES
    assert plan.memory.kv_cache_bytes_high > gib(56.21)


@pytest.mark.parametrize(
    "other",
    [
        {"name": "qwen2.5-7b"},
        {"on": "A800-80G@79.25"},
        {"on": "A100-80G@79.2"},
        {"enforce_eager": True},
        {"kv_cache_dtype": "fp8_e5m2"},
        {"on": "2xA100-80G@79.25", "tensor_parallel_size": 2},
    ],
    ids=["another model", "another device", "another size", "eager", "another KV dtype", "another layout"],
)
def test_a_record_of_something_else_says_nothing(other):
    wanted = {**ITS_SETTINGS, **other}
    assert planned(boots=[record(**ITS_SETTINGS)], **wanted) == planned(**wanted)


def test_another_engine_version_says_nothing():
    one = record(**ITS_SETTINGS)
    old = replace(one, subject=replace(one.subject, engine=replace(one.subject.engine, version="0.31.0")))
    assert planned(boots=[old], **ITS_SETTINGS) == planned(**ITS_SETTINGS)


def test_another_length_takes_over_what_was_measured():
    plan = planned(boots=[record(**ITS_SETTINGS)], max_model_len=32_768, **ITS_SETTINGS)
    assert plan.confidence.value == "calibrated"
    assert plan.measured is None
    # The length enters no term of a dense model: the same bytes, in other portions.
    assert plan.memory.kv_cache_bytes == pytest.approx(gib(56.21), abs=gib(0.005))
    assert plan.kv_cache.tokens == 460_496
    assert plan.kv_cache.max_concurrency == pytest.approx(14.05, abs=0.01)
    assert plan.memory.kv_cache_bytes_high - plan.memory.kv_cache_bytes_low < gib(0.25)
    assert adds_up(plan)
    assert plan.reasons[-1] == (
        f"calibrated: started on this machine with `--max-model-len 131072` ({WHEN}), the engine had 56.21 GiB per GPU"
        f" for the KV cache where {format_bytes(planned(**ITS_SETTINGS).memory.kv_cache_bytes, 2)} was computed; what"
        " differs is carried over (boot record /home/boots/a.json)"
    )


def test_another_share_of_the_memory_takes_over_what_was_measured():
    plan = planned(boots=[record(**ITS_SETTINGS)], gpu_memory_utilization=0.5, **ITS_SETTINGS)
    assert plan.memory.kv_cache_bytes == pytest.approx(gib(0.5 * 79.25 - 15.26 - 1.44), abs=gib(0.02))
    assert "--gpu-memory-utilization 0.92" in plan.reasons[-1]
    assert adds_up(plan)


def test_the_size_of_the_device_that_the_engine_sees_counts():
    """79.25 GiB seen, 79.5 supposed: 0.92 of them are 72.91."""
    one = record(on="A100-80G@79.5", **ITS_SETTINGS)
    plan = planned(on="A100-80G@79.5", boots=[one], **ITS_SETTINGS)
    assert plan.memory.budget_bytes == gib(72.91)
    assert adds_up(plan)
    half = planned(on="A100-80G@79.5", boots=[one], gpu_memory_utilization=0.46, **ITS_SETTINGS)
    assert half.memory.budget_bytes == pytest.approx(gib(72.91 / 2), abs=gib(0.001))
    assert half.memory.kv_cache_bytes == pytest.approx(gib(72.91 / 2 - 15.26 - 1.44), abs=gib(0.02))
    assert adds_up(half)


def test_where_the_length_enters_a_term_its_change_is_uncertain():
    """MLA makes its up-projection for min(65536, 8 * max_model_len) tokens in the profiling run: 4 GiB at TP1."""
    on, request = "8xH200", {"tensor_parallel_size": 8, "max_num_seqs": 64}
    computed = {length: planned("deepseek-v3", on, max_model_len=length, **request) for length in (4096, 65_536)}
    measured = Measured(kv_cache_bytes=computed[65_536].memory.kv_cache_bytes + gib(1))
    one = record("deepseek-v3", on, measured, max_model_len=65_536, **request)
    plan = planned("deepseek-v3", on, boots=[one], max_model_len=4096, **request)
    change = computed[65_536].memory.activation_bytes - computed[4096].memory.activation_bytes
    assert change == pytest.approx(gib(0.25), rel=0.01)
    more = plan.memory.kv_cache_bytes - computed[4096].memory.kv_cache_bytes
    assert more == pytest.approx(gib(1), abs=GIB // 1000)
    assert plan.memory.kv_cache_bytes - plan.memory.kv_cache_bytes_low > change
    assert adds_up(plan)


def test_other_batch_sizes_take_over_the_weights_only():
    measured = replace(LLAMA, weight_bytes=gib(15.2))
    plan = planned(boots=[record(measured=measured, **ITS_SETTINGS)], max_num_seqs=64, max_num_batched_tokens=2048)
    computed = planned(max_num_seqs=64, max_num_batched_tokens=2048)
    assert plan.confidence.value == "derived"
    assert plan.memory.weight_bytes == gib(15.2)
    more = gib(15.2) - computed.memory.weight_bytes
    assert plan.memory.kv_cache_bytes == computed.memory.kv_cache_bytes - more
    assert plan.memory.kv_cache_bytes_low == computed.memory.kv_cache_bytes_low - more
    assert plan.kv_cache.tokens < computed.kv_cache.tokens
    assert adds_up(plan)
    assert plan.reasons[-2:] == (
        (
            "weights: 15.20 GiB per GPU was loaded when this model was started on this machine with other settings"
            f" ({WHEN})"
        ),
        (
            "weights: the engine loaded 15.20 GiB per GPU, 14.99 GiB was computed: 1.4% apart, which is more than it"
            " should be"
        ),
    )


def test_a_contradiction_of_tokens_is_told_and_what_was_logged_counts():
    """Half the tokens that the logged bytes would hold by our arithmetic."""
    measured = replace(LLAMA, kv_cache_tokens=230_248, max_concurrency=1.76)
    plan = planned(boots=[record(measured=measured, **ITS_SETTINGS)], **ITS_SETTINGS)
    assert plan.memory.kv_cache_bytes == gib(56.21)
    assert (plan.kv_cache.tokens, plan.kv_cache.max_concurrency) == (230_248, 1.76)
    assert plan.reasons[-1] == (
        f"KV cache: 56.21 GiB held 230,248 tokens when this model was started on this machine ({WHEN}), 460,464 were"
        " computed for it"
    )


def test_the_rank_with_least_decides_the_tokens_but_need_not_have_logged_its_bytes():
    """0.02 GiB between ranks is no contradiction: the tokens are those of the smallest."""
    measured = replace(LLAMA, kv_cache_bytes=gib(56.23))
    plan = planned(boots=[record(measured=measured, **ITS_SETTINGS)], **ITS_SETTINGS)
    assert plan.memory.kv_cache_bytes // (16 * 131_072) == 460_496 // 16
    assert plan.reasons[-1].startswith("measured:")


@pytest.mark.parametrize(
    ("more", "takes_up"),
    [
        ((), "non_torch_bytes"),
        (("non_torch_bytes",), "cudagraph_bytes"),
        (("non_torch_bytes", "cudagraph_bytes"), "activation_bytes"),
    ],
    ids=["less was left", "more was left", "much more was left"],
)
def test_what_takes_up_the_difference(more, takes_up):
    """more: terms that would have to be zero, and another 50 MiB."""
    computed = planned(**ITS_SETTINGS).memory
    change = sum(getattr(computed, term) for term in more) + gib(0.05) if more else -gib(3)
    measured = Measured(kv_cache_bytes=computed.kv_cache_bytes + change)
    plan = planned(boots=[record(measured=measured, **ITS_SETTINGS)], **ITS_SETTINGS)
    assert plan.memory.kv_cache_bytes == measured.kv_cache_bytes
    changed = {term for term in TERMS[:-1] if getattr(plan.memory, term) != getattr(computed, term)}
    assert changed == {*more, takes_up}
    assert adds_up(plan)


@given(
    consumed=st.none() | st.integers(gib(15), gib(30)),
    peak=st.none() | st.integers(0, gib(20)),
    estimate=st.none() | st.integers(0, gib(5)),
    non_torch=st.none() | st.integers(0, gib(3)),
    kv=st.integers(-gib(10), gib(60)),
    tokens=st.none() | st.integers(0, 600_000),
    length=st.sampled_from([131_072, 4096]),
)
def test_the_terms_add_up_whatever_was_logged(  # noqa: PLR0917 - hypothesis names them
    consumed, peak, estimate, non_torch, kv, tokens, length
):
    measured = Measured(
        weight_bytes=gib(14.99),
        consumed_bytes=consumed,
        peak_activation_bytes=peak,
        cudagraph_estimate_bytes=estimate,
        non_torch_bytes=non_torch,
        kv_cache_bytes=kv,
        kv_cache_tokens=tokens,
    )
    one = record(measured=measured, outcome=Outcome.FAILED, **ITS_SETTINGS)
    plan = planned(boots=[one], max_model_len=length, **ITS_SETTINGS)
    assert adds_up(plan)
    assert all(getattr(plan.memory, term) >= 0 for term in TERMS[:-1])
    assert plan.memory.kv_cache_bytes_low <= plan.memory.kv_cache_bytes <= plan.memory.kv_cache_bytes_high


# Starts that failed


def test_a_start_that_left_too_little_does_not_fit_when_it_is_planned_again():
    """DeepSeek-V3 on eight H20 with the whole context: 10.72 GiB are needed."""
    measured = Measured(kv_cache_bytes=gib(2.3), kv_needed_bytes=gib(10.72), weight_bytes=gib(79.55))
    request = {"tensor_parallel_size": 8, "max_model_len": 163_840}
    one = record("deepseek-v3", "8xH20-96G", measured, outcome=Outcome.KV_TOO_SMALL, **request)
    plan = planned("deepseek-v3", "8xH20-96G", boots=[one], remedies=True, **request)
    assert (plan.verdict.value, plan.confidence.value) == ("does_not_fit", "measured")
    assert plan.memory.kv_cache_bytes == gib(2.3)
    assert plan.kv_cache.tokens == pytest.approx(gib(2.3) / 70_272, abs=64)
    # The remedy of a shorter context is planned with the same record.
    shorter = next(remedy for remedy in plan.remedies if remedy.change.startswith("--max-model-len"))
    again = planned("deepseek-v3", "8xH20-96G", boots=[one], **{**request, "max_model_len": shorter.max_model_len})
    assert (again.fits, again.confidence.value) == (True, "calibrated")


def test_nothing_left_is_negative():
    measured = Measured(kv_cache_bytes=gib(-0.87), weight_bytes=gib(14.99))
    plan = planned(boots=[record(measured=measured, outcome=Outcome.KV_TOO_SMALL, **ITS_SETTINGS)], **ITS_SETTINGS)
    assert plan.memory.kv_cache_bytes == gib(-0.87)
    assert (plan.kv_cache.tokens, plan.verdict.value, adds_up(plan)) == (0, "does_not_fit", True)


def test_what_started_fits_although_it_is_computed_otherwise():
    """One request of 131,072 tokens takes 16.002 GiB by our arithmetic."""
    measured = Measured(kv_cache_bytes=gib(15.9), kv_cache_tokens=131_072, max_concurrency=1.0)
    plan = planned(boots=[record(measured=measured, **ITS_SETTINGS)], **ITS_SETTINGS)
    assert plan.verdict.value == "tight"
    assert plan.kv_cache.tokens == 131_072


def test_a_start_that_ran_out_of_memory_later_is_told_and_is_tight():
    one = record(outcome=Outcome.OUT_OF_MEMORY, **ITS_SETTINGS)
    plan = planned(boots=[one], **ITS_SETTINGS)
    assert plan.verdict.value == "tight"
    assert plan.reasons[-1] == f"out of memory: so ended the last start of exactly this plan on this machine ({WHEN})"


def test_figures_of_the_last_start_that_has_them_count():
    """The newest ended while it loaded; the one before had come as far as the KV cache."""
    one = record(**ITS_SETTINGS)
    newest = Boot(started_at="2026-10-07T08:00:00+00:00", outcome=Outcome.FAILED, measured=Measured())
    plan = planned(boots=[replace(one, boots=(newest, *one.boots))], **ITS_SETTINGS)
    assert plan.confidence.value == "measured"
    assert plan.measured.boot.started_at == WHEN


def test_a_start_that_ended_while_it_loaded_tells_the_weights():
    one = record(measured=Measured(weight_bytes=gib(15.2)), outcome=Outcome.OUT_OF_MEMORY, **ITS_SETTINGS)
    plan = planned(boots=[one], **ITS_SETTINGS)
    assert plan.confidence.value == "derived"
    assert plan.memory.weight_bytes == gib(15.2)


def test_a_start_that_told_nothing_changes_nothing():
    one = record(measured=Measured(engine_init_s=1.0), outcome=Outcome.FAILED, **ITS_SETTINGS)
    assert planned(boots=[one], **ITS_SETTINGS) == planned(**ITS_SETTINGS)


# Several ranks and stages


def test_with_pipeline_stages_the_tokens_alone_decide():
    """Bytes that are logged may be another stage's: of two stages of 80 layers one has as many as the other here."""
    layout = {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}
    computed = planned("qwen2.5-72b", "4xA800-80G", **layout)
    measured = Measured(weight_bytes=gib(30), kv_cache_bytes=gib(99), kv_cache_tokens=400_000, max_concurrency=12.21)
    one = record("qwen2.5-72b", "4xA800-80G", measured, **layout)
    plan = planned("qwen2.5-72b", "4xA800-80G", boots=[one], **layout)
    assert plan.layout == Layout(**layout)
    assert plan.memory.kv_cache_bytes == pytest.approx(400_000 * computed.kv_cache.bytes_per_token, rel=0.001)
    assert plan.memory.weight_bytes == computed.memory.weight_bytes
    assert plan.reasons[-1].startswith("measured:")
    assert adds_up(plan)
    other = planned("qwen2.5-72b", "4xA800-80G", boots=[one], max_num_seqs=64, **layout)
    assert other == planned("qwen2.5-72b", "4xA800-80G", max_num_seqs=64, **layout)


def test_older_engines_count_buffers_to_the_activation():
    """0.11: weights 74.28, peak 5.58, non-torch 1.38 of 125.83 leave 44.59 GiB."""
    measured = Measured(
        weight_bytes=gib(14.99), peak_activation_bytes=gib(5.58), non_torch_bytes=gib(1.38), kv_cache_bytes=gib(50.96)
    )
    plan = planned(boots=[record(measured=measured, **ITS_SETTINGS)], **ITS_SETTINGS)
    memory = plan.memory
    assert memory.cudagraph_bytes == 0
    assert memory.buffer_bytes + memory.activation_bytes == gib(5.58)
    assert memory.non_torch_bytes == pytest.approx(gib(1.38), abs=gib(0.02))
    assert adds_up(plan)


# CPU


def cpu_record(name="smollm2-135m", tokens=131_200, **request):
    plan = planned(name, "cpu@16", **request)
    measured = Measured(kv_cache_bytes=gib(2.82), kv_cache_tokens=tokens, max_concurrency=16.02)
    boot = Boot(started_at=WHEN, outcome=Outcome.STARTED, measured=measured, ready_s=27.0)
    return BootRecord(subject=subject_of(plan, a_model(name).arch), boots=(boot,), path="/home/boots/c.json")


def test_a_cpu_is_measured_by_the_tokens_it_counts():
    plan, computed = planned("smollm2-135m", "cpu@16", boots=[cpu_record()]), planned("smollm2-135m", "cpu@16")
    assert plan.confidence.value == "measured"
    assert plan.memory == computed.memory
    assert plan.memory.kv_cache_bytes_low == plan.memory.kv_cache_bytes == plan.memory.kv_cache_bytes_high
    assert plan.kv_cache == computed.kv_cache
    assert plan.reasons[-1] == (
        f"measured: started on this machine with exactly this plan ({WHEN}), the engine counted 131,200 tokens of KV"
        " cache; 131,200 were computed"
    )


def test_what_a_cpu_has_free_does_not_matter_as_long_as_the_kv_cache_is_the_same():
    assert planned("smollm2-135m", "cpu@20", boots=[cpu_record()]).confidence.value == "measured"
    less = planned("smollm2-135m", "cpu@4", boots=[cpu_record()])
    assert less.memory.kv_cache_bytes < planned("smollm2-135m", "cpu@16").memory.kv_cache_bytes
    assert less.confidence.value == "calibrated"


def test_another_length_on_a_cpu_is_confirmed_by_the_count():
    plan = planned("smollm2-135m", "cpu@16", boots=[cpu_record()], max_model_len=4096)
    assert plan.confidence.value == "calibrated"
    assert plan.reasons[-1] == (
        f"calibrated: on this machine the engine counted 131,200 tokens for this model with other settings ({WHEN}), as"
        " computed"
    )


def test_a_count_on_a_cpu_that_does_not_agree_is_told():
    plan = planned("smollm2-135m", "cpu@16", boots=[cpu_record(tokens=65_600)], max_model_len=4096)
    assert plan.reasons[-1] == (
        f"KV cache: 2.82 GiB held 65,600 tokens when this model was started on this machine ({WHEN}), 131,200 were"
        " computed for it"
    )
    exact = planned("smollm2-135m", "cpu@16", boots=[cpu_record(tokens=65_600)])
    assert exact.kv_cache.tokens == 65_600
    assert "counted 65,600 tokens of KV cache; 131,200 were computed" in exact.reasons[-1]


def test_auto_finds_the_length_with_what_was_measured():
    """Two GiB less were left than computed: the longest context that fits is that much shorter."""
    request = {"auto_max_model_len": True, "max_num_seqs": 64}
    computed = planned("qwen3-14b", "RTX4090-24G@36", **request)
    length = computed.settings.max_model_len
    measured = Measured(kv_cache_bytes=computed.memory.kv_cache_bytes - gib(2))
    tried = {"max_model_len": length, "max_num_seqs": 64}
    one = record("qwen3-14b", "RTX4090-24G@36", measured, outcome=Outcome.KV_TOO_SMALL, **tried)
    plan = planned("qwen3-14b", "RTX4090-24G@36", boots=[one], **request)
    assert plan.settings.max_model_len == pytest.approx(length - gib(2) / (40 * 4096), rel=0.01)
    assert (plan.fits, plan.confidence.value) == (True, "calibrated")
