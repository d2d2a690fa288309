"""Which variant is planned when none is named, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.engines import known
from selfhost.hardware.spec import parse
from selfhost.planner import variants
from selfhost.planner.plan import PlanRequest, Verdict
from selfhost.planner.variants import plan_variant, quality
from selfhost.quant.schemes import Format, Quantization

INT8 = Quantization(method="gptq", format=Format.INT_GROUP, bits=8, group_size=128)


@pytest.fixture
def qwen(model):
    """Qwen2.5-72B with its AWQ sibling and a GPTQ of 8 bits."""
    own = replace(model("qwen2.5-72b"), variant="bf16")
    awq = replace(model("qwen2.5-72b-awq"), name=own.name, variant="awq-int4")
    int8 = replace(own, variant="gptq-int8", arch=replace(awq.arch, quantization=INT8))
    return replace(own, variants=(own, awq, int8))


@pytest.fixture
def glm(model):
    own = replace(model("glm-4.5-air-bf16"), name="glm-4.5-air", variant="bf16")
    return replace(own, variants=(own, replace(model("glm-4.5-air-fp8"), name="glm-4.5-air", variant="fp8")))


def planned(model, on: str, **request):
    return plan_variant(model, parse(on), PlanRequest(**request), engine=known.load("vllm").for_planner).plan


def named(model, variant: str):
    found = next(v for v in model.variants if v.variant == variant)
    return replace(found, variants=model.variants, variant_asked=True)


@pytest.mark.parametrize(
    ("on", "variant", "verdict"),
    [
        ("4xA800-80G", "bf16", Verdict.FITS),
        ("2xA800-80G", "gptq-int8", Verdict.FITS),
        ("2xL20", "awq-int4", Verdict.FITS),
        ("RTX4090", "awq-int4", Verdict.DOES_NOT_FIT),
    ],
)
def test_the_best_format_that_fits(qwen, on, variant, verdict):
    made = planned(qwen, on)
    assert (made.variant, made.verdict) == (variant, verdict)


def test_why_not_a_better_one_with_its_numbers(qwen):
    made = planned(qwen, "2xL20")
    assert made.reasons[:3] == (
        "variant: awq-int4, the best format that fits",
        "not bf16: 75.0 GiB per GPU needed with one request of 32,768 tokens, 41.0 GiB usable: 34.1 GiB missing",
        made.reasons[2],
    )
    assert made.reasons[2].startswith("not gptq-int8: 42.9 GiB per GPU needed with one request of 32,768 tokens")
    assert "; it fits with `--variant gptq-int8 --max-model-len " in made.reasons[2]


def test_the_own_format_needs_no_argument(qwen):
    assert planned(qwen, "8xH200").reasons[0] == "variant: bf16, the format the model was released in"


def test_fp8_before_nothing_and_what_the_device_cannot_run_is_out(glm):
    assert planned(glm, "2xH100-80G").variant == "fp8"
    assert planned(glm, "8xA100-80G").variant == "bf16"
    assert planned(glm, "8xMLU370").verdict is Verdict.UNSUPPORTED
    cannot = planned(named(glm, "fp8"), "8xV100-32G")
    assert cannot.verdict is Verdict.UNSUPPORTED
    assert "fp8" in cannot.reasons[1]


def test_the_order_of_formats(qwen, glm):
    fp8 = glm.variants[1]
    listed = (qwen.variants[1], qwen.variants[0], fp8, qwen.variants[2], replace(qwen.variants[1], variant="other"))
    assert [quality(v, listed) for v in listed] == [0, 1, 2, 3, 4]


def test_a_named_variant_stands_and_another_is_offered(qwen):
    made = planned(named(qwen, "bf16"), "2xA800-80G")
    assert (made.variant, made.verdict) == ("bf16", Verdict.DOES_NOT_FIT)
    assert made.reasons[0] == "variant: bf16, as asked for"
    assert made.remedies[0].change == "--variant gptq-int8"
    assert made.remedies[0].max_model_len == 32768


def test_auto_does_not_prefer_a_format_that_holds_hardly_any_context(qwen):
    made = planned(qwen, "2xA800-80G", auto_max_model_len=True)
    assert (made.variant, made.settings.max_model_len) == ("gptq-int8", 32768)


def test_a_shorter_context_that_was_asked_for_is_not_a_cut_one(qwen):
    """The order of formats holds: bf16 fits only just there, 8 bits fit with margin."""
    made = planned(qwen, "2xA800-80G", max_model_len=14000)
    assert (made.variant, made.verdict) == ("gptq-int8", Verdict.FITS)
    made = planned(qwen, "8xA800-80G", max_model_len=16384)
    assert made.reasons[0] == "variant: bf16, the format the model was released in"


def test_layouts_that_no_variant_allows_name_the_rule(qwen):
    made = planned(qwen, "4xA800-80G", tensor_parallel_size=3)
    assert made.verdict is Verdict.UNSUPPORTED
    assert "64 attention heads cannot be divided by tensor parallel size 3" in made.reasons


def test_another_layout_takes_back_what_was_asked_for(plan):
    made = plan("qwen2.5-72b", "4xA800-80G", remedies=True, enable_expert_parallel=True, data_parallel_size=2)
    assert [remedy.change for remedy in made.remedies] == [
        "--tensor-parallel-size 4 --no-enable-expert-parallel --data-parallel-size 1"
    ]
    again = {"tensor_parallel_size": 4, "enable_expert_parallel": False, "data_parallel_size": 1}
    assert plan("qwen2.5-72b", "4xA800-80G", **again).fits


def test_every_remedy_holds_when_it_is_planned(qwen):
    for remedy in planned(named(qwen, "bf16"), "2xA800-80G").remedies:
        flag, value = remedy.change.split()[:2]
        if flag == "--variant":
            assert planned(named(qwen, value), "2xA800-80G").fits
        elif flag == "--on":
            assert planned(named(qwen, "bf16"), value).fits
        elif flag == "--max-model-len":
            assert planned(named(qwen, "bf16"), "2xA800-80G", max_model_len=int(value)).fits


def test_fp8_without_fp8_arithmetic_takes_more_for_its_scales(plan):
    """Marlin: 2 bytes per output and 128 inputs instead of 4 per 128 x 128: 1/64 - 1/4096 of the quantized weights."""
    fast, slow = (plan("deepseek-v3", on, max_model_len=1024) for on in ("16xH100-80G@80", "16xA800-80G@80"))
    assert slow.memory.weight_bytes / fast.memory.weight_bytes == pytest.approx(1 + 1 / 64, abs=0.003)
    assert any("w8a16" in reason for reason in slow.reasons)
    assert not any("w8a16" in reason for reason in fast.reasons)


# -- memory in use


def test_memory_that_others_use_is_not_there(plan, model):
    gib = 1 << 30
    free = parse("2xL20-48G")
    visible = free.visible_memory_bytes
    here = replace(free, assumed=False, free_memory_bytes=(visible, visible - 30 * gib))
    engine = known.load("vllm").for_planner
    made = plan_variant(model("qwen2.5-72b-awq"), here, PlanRequest(), engine=engine).plan
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert made.reasons[0] == (
        "in use: other processes hold 30.0 GiB of GPU 1; 14.5 GiB is free, less than the 41.0 GiB that the engine takes"
        " at its start. `nvidia-smi` lists them with their pids, `selfhost ps` the servers of selfhost"
    )
    small = plan_variant(model("smollm2-135m"), here, PlanRequest(), engine=engine).plan
    assert small.fits, "it runs on the first, which is free"
    busy = replace(here, free_memory_bytes=(visible - 30 * gib, visible - 30 * gib))
    small = plan_variant(model("smollm2-135m"), busy, PlanRequest(), engine=engine).plan
    assert small.verdict is Verdict.DOES_NOT_FIT
    assert small.remedies[0].change == "--gpu-memory-utilization 0.31"
    asked = PlanRequest(gpu_memory_utilization=0.31)
    assert plan_variant(model("smollm2-135m"), busy, asked, engine=engine).plan.fits


# -- several nodes


def test_two_nodes_say_what_the_other_one_runs(plan):
    made = plan("deepseek-v3", "2x8xA800-80G")
    assert (made.layout.tensor_parallel_size, made.layout.pipeline_parallel_size) == (8, 2)
    assert list(made.reasons[-2:]) == [
        (
            "nodes: the command is that of the first node; replace `NODE0` by its address, which all nodes must reach"
            " at port 29501, and set VLLM_HOST_IP on each node to its own address"
        ),
        "nodes: node 1 of 2 runs the same command with its number as `--node-rank` and with `--headless`",
    ]


@pytest.mark.parametrize(
    ("sizes", "why"),
    [
        ({"tensor_parallel_size": 3, "pipeline_parallel_size": 3}, "cannot be divided over 2 nodes"),
        (
            {"tensor_parallel_size": 3, "data_parallel_size": 5},
            "TP=3 DP=5 has 5 engines, which cannot be divided over 2 nodes: each must lie within one",
        ),
    ],
)
def test_what_the_engine_does_not_start_over_nodes(plan, sizes, why):
    made = plan("deepseek-v3", "2x8xA800-80G", pipeline_parallel_size=sizes.pop("pipeline_parallel_size", 1), **sizes)
    assert made.verdict is Verdict.UNSUPPORTED
    assert why in made.reasons[0]


def test_a_variant_is_only_looked_at_when_a_better_one_does_not_fit(qwen, monkeypatch):
    seen = []
    real = variants.make_plan
    monkeypatch.setattr(variants, "make_plan", lambda m, *a, **k: seen.append(m.variant) or real(m, *a, **k))
    planned(qwen, "8xH200")
    assert seen == ["bf16"]
