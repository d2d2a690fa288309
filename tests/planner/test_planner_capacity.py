"""What a plan holds: requests at once, the longest context, stages; and the roofline of its speed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from selfhost.engines import known
from selfhost.hardware.spec import parse
from selfhost.planner import dimensions
from selfhost.planner.capacity import capacity
from selfhost.planner.capacity_text import draw_capacity
from selfhost.planner.choose import make_plan
from selfhost.planner.plan import PlanRequest, Verdict
from selfhost.planner.speed import speed
from selfhost.planner.terms import Setup
from tests.planner.conftest import CONFIGS, a_model


def planned(name: str, on: str, **request):
    asked = PlanRequest(**request)
    engine = known.load("vllm-cpu" if on.startswith("cpu") else "vllm").for_planner
    model = a_model(name)
    plan = make_plan(model, parse(on), asked, engine=engine, with_remedies=False)
    return plan, capacity(model, plan, asked, engine=engine)


# -- capacity


def test_requests_of_several_lengths_are_whole_and_leave_the_spare_block():
    plan, found = planned("deepseek-v3", "8xH200")
    blocks = found.stages[0].blocks
    assert [load.tokens_each for load in found.loads] == [4096, 8192, 32768, 163840]
    assert [load.requests_per_engine for load in found.loads] == [
        (blocks - 1) // (length // 16) for length in (4096, 8192, 32768, 163840)
    ]
    assert found.loads[-1].requests_per_engine == int(plan.kv_cache.max_concurrency)


def test_no_more_requests_at_once_than_the_engine_takes():
    _, found = planned("qwen2.5-7b", "8xH20", max_num_seqs=100)
    assert found.loads[0].requests_per_engine == 100


def test_lengths_beyond_the_context_are_not_told():
    _, found = planned("qwen2.5-7b", "H20", max_model_len=6000)
    assert [load.tokens_each for load in found.loads] == [4096, 6000]


def test_a_length_that_the_engine_refuses_is_not_the_longest_that_fits():
    plan, found = planned("qwen2.5-7b", "8xH20", max_model_len=1_000_000)
    assert plan.verdict is Verdict.UNSUPPORTED
    assert found.longest_max_model_len == 32768
    stretched = ("--hf-overrides", '{"rope_parameters": {"rope_type": "yarn", "factor": 4}}')
    _, found = planned("qwen2.5-7b", "8xH20", max_model_len=65536, engine_args=stretched)
    assert found.longest_max_model_len == 65536


def test_engines_of_data_parallelism_are_added_up():
    plan, found = planned("deepseek-v3", "8xH200", data_parallel_size=8, enable_expert_parallel=True)
    assert found.engines == 8
    assert found.tokens_all_engines == 8 * plan.kv_cache.tokens
    assert all(load.requests_all_engines == 8 * load.requests_per_engine for load in found.loads)


@pytest.mark.parametrize("on", ["L20@18", "L20@22"])
def test_the_longest_context_is_that_which_fits_and_no_block_more(on):
    _, found = planned("qwen2.5-7b", on, max_model_len=4096)
    longest = found.longest_max_model_len
    assert planned("qwen2.5-7b", on, max_model_len=longest)[0].fits
    assert longest == 32768 or not planned("qwen2.5-7b", on, max_model_len=longest + 16)[0].fits


def test_the_longest_context_of_a_plan_that_does_not_fit():
    plan, found = planned("deepseek-v3", "8xH20")
    assert not plan.fits
    assert 1024 < found.longest_max_model_len < 163840
    assert found.speed is None
    _, found = planned("deepseek-v3", "RTX4090")
    assert found.longest_max_model_len is None
    assert [load.requests_per_engine for load in found.loads] == [0, 0, 0, 0]


def test_each_stage_has_its_own_memory_and_the_plan_is_the_one_with_fewest_blocks():
    plan, found = planned("deepseek-v3", "2x8xA800-80G")
    assert [stage.pipeline_rank for stage in found.stages] == [0, 1]
    fewest = min(found.stages, key=lambda stage: stage.blocks)
    assert fewest.memory == plan.memory
    assert found.stages[0].memory != found.stages[1].memory


def test_a_plan_without_figures_holds_nothing():
    assert planned("qwen2.5-7b", "MLU370")[1] is None


@pytest.mark.parametrize("on", ["8xH200", "2x8xA800-80G", "RTX4090", "cpu@1000", "8xV100-32G"])
@pytest.mark.parametrize("name", CONFIGS)
def test_json_and_text_of_every_plan(name, on):
    plan, found = planned(name, on)
    if found is None:
        return
    body = json.loads(json.dumps(found.as_dict()))
    assert set(body) == {"capacity", "stages", "speed"}
    assert (body["speed"] is None) is not plan.fits
    for width in (40, 100):
        assert max(map(len, draw_capacity(plan, found, width=width).splitlines())) <= width


def test_the_text_adds_up_engines():
    plan, found = planned(
        "deepseek-v3", "8xH200", data_parallel_size=8, enable_expert_parallel=True, max_model_len=65_536
    )
    one, every = found.loads[0].requests_per_engine, found.loads[0].requests_all_engines
    lines = draw_capacity(plan, found, width=100).splitlines()
    assert lines[0] == "requests at once, by tokens of each: in one engine, in all 8"
    assert lines[1].split() == ["4,096", f"{one:,}", f"{every:,}"]
    assert f"tokens in all 8 engines: {8 * plan.kv_cache.tokens:,}" in lines


# -- dimensions


@pytest.mark.parametrize(
    ("name", "billions"),
    [("deepseek-v3", 35.7), ("qwen2.5-72b", 70.2), ("glm-4.5-air-fp8", 12.2), ("qwen3-14b", 13.2)],
)
def test_active_parameters(name, billions):
    """GLM-4.5-Air is published with 12 billion active; the others are all layers without embedding and head."""
    assert dimensions.work(a_model(name).arch).parameters / 1e9 == pytest.approx(billions, abs=0.05)


def test_active_parameters_by_format():
    work = dimensions.work(a_model("deepseek-v3").arch)
    assert work.plain == 58 * 256 * 7168, "only the routers are not quantized"
    assert dimensions.work(a_model("qwen2.5-72b").arch).quantized == 0


@pytest.mark.parametrize(
    ("name", "layers", "width"), [("deepseek-v3", 61, 40_960), ("qwen2.5-72b", 80, 16_384)], ids=["MLA", "GQA"]
)
def test_the_width_of_attention(name, layers, width):
    assert dimensions.attention(a_model(name).arch) == (dimensions.Attention(layers, width, None),)


# -- speed


def of(name: str, on: str, requests: int = 1, **request):
    plan, _ = planned(name, on, **request)
    return speed(Setup(a_model(name).arch, plan.hardware, plan.layout, plan.settings), requests)


def test_decoding_is_bound_by_reading_the_weights():
    """72B on 4 x A800: 145.4 GB less the embedding's 2.5, a quarter each at 2039 GB/s, and a cache of 2048 tokens."""
    found = of("qwen2.5-72b", "4xA800-80G", max_model_len=4096)
    bytes_read = (145_412_407_296 - 152064 * 8192 * 2) / 4 + 2048 * 81_920
    assert found.decode_one == pytest.approx(2039e9 / bytes_read, rel=0.005)


def test_reading_prompts_is_bound_by_flops():
    """2 * 70.2 billion a token, and attention to 4096 earlier ones in 80 layers, on 4 * 312 TFLOPS."""
    found = of("qwen2.5-72b", "4xA800-80G")
    flops = 2 * 70_212_648_960 + 2 * 80 * 16_384 * 4096
    assert found.prompt_tokens == 8192
    assert found.prefill == pytest.approx(4 * 312e12 / flops, rel=0.001)


@pytest.mark.parametrize(("tokens", "share"), [(1, 0.03125), (32, 0.638), (8192, 1.0)])
def test_experts_that_are_read(tokens, share):
    from selfhost.planner.speed import _experts_read

    assert _experts_read(a_model("deepseek-v3").arch, tokens) == pytest.approx(share, abs=0.001)
    assert _experts_read(a_model("qwen2.5-7b").arch, tokens) == 1.0


def test_fp8_weights_are_multiplied_at_the_rate_the_device_has_for_them():
    native, wide = of("deepseek-v3", "16xH100-80G"), of("deepseek-v3", "16xA100-80G")
    assert native.prefill / wide.prefill > 4
    assert of("glm-4.5-air-fp8", "2xH100").prefill > 1.3 * of("glm-4.5-air-bf16", "4xH100").prefill / 2


def test_more_requests_at_once_are_faster_together_and_slower_each():
    one, many = of("qwen2.5-72b", "8xH20"), of("qwen2.5-72b", "8xH20", 50)
    assert one.decode_all == one.decode_one
    assert one.decode_one < many.decode_all < 50 * one.decode_one


def test_stages_do_not_make_one_request_faster():
    flat = of("qwen2.5-7b", "2xH20", tensor_parallel_size=1)
    staged = of("qwen2.5-7b", "2xH20", tensor_parallel_size=1, pipeline_parallel_size=2)
    assert staged.decode_one == pytest.approx(flat.decode_one, rel=0.02)
    busy = of("qwen2.5-7b", "2xH20", 32, tensor_parallel_size=1, pipeline_parallel_size=2)
    assert busy.decode_all > 1.4 * of("qwen2.5-7b", "2xH20", 32, tensor_parallel_size=1).decode_all


def test_engines_are_added_up():
    one = of("qwen2.5-7b", "H20", 8)
    two = of("qwen2.5-7b", "2xH20", 8, tensor_parallel_size=1, data_parallel_size=2)
    assert two.requests == 16
    assert two.decode_all == pytest.approx(2 * one.decode_all)
    assert two.prefill == pytest.approx(2 * one.prefill)


def test_what_the_catalogue_does_not_know_is_not_guessed():
    device = replace(parse("H20").device, memory_bandwidth_bytes_per_s=None)
    model, plan = a_model("qwen2.5-7b"), planned("qwen2.5-7b", "H20")[0]
    setup = Setup(model.arch, replace(plan.hardware, device=device), plan.layout, plan.settings)
    assert (speed(setup, 1).decode_one, speed(setup, 1).prefill) == (None, None)
    old = of("qwen2.5-7b", "V100-32G", max_model_len=4096)
    assert old.decode_one == pytest.approx(900e9 / 14.3e9, rel=0.05)
    assert old.prefill is None, "V100 has no bfloat16"
    assert of("smollm2-135m", "cpu@16").as_dict()["decode_all_requests_tokens_per_s"] is None
    plan, found = planned("qwen2.5-7b", "V100-32G", max_model_len=4096)
    assert "reading prompts: the catalogue has no FLOPs" in draw_capacity(plan, found, width=100)
