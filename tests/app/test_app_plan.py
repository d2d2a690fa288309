"""`selfhost plan` of recipes on named hardware: each verdict with its figures and reasons."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from selfhost.app import serve
from selfhost.app.detect import choose_hardware
from selfhost.app.model import resolve
from selfhost.app.plan import plan_for, plan_model
from selfhost.cli.main import app
from selfhost.errors import NoError
from selfhost.hardware.types import Accelerator, HardwareSnapshot, Host
from selfhost.planner.plan import PlanRequest

GIB = 1 << 30


def plan(name: str, on: str, variant: str | None = None, **request):
    return plan_for(name, on=on, request=PlanRequest(**request), variant=variant)


@pytest.mark.parametrize(
    ("name", "on", "expected"),
    [
        ("qwen2.5-72b", "4xA800-80G", ("bf16", "fits", (4, 1), 33.98, 460_096)),
        ("qwen2.5-72b", "2xA800-80G", ("gptq-int8", "fits", (2, 1), 35.7, 221_000)),
        ("qwen2.5-72b", "2xL20", ("awq-int4", "fits", (2, 1), 19.38, 129_136)),
        ("qwen2.5-72b", "1xRTX4090", ("gptq-int4", "does_not_fit", (1, 1), 38.5, 0)),
        ("deepseek-v3", "8xH200", ("fp8", "fits", (8, 1), 79.55, 668_624)),
        ("deepseek-v3", "8xH20", ("awq-int4", "fits", (8, 1), 43.3, 596_000)),
        ("deepseek-v3", "2x8xA800-80G", ("fp8", "fits", (8, 2), 41.4, 794_160)),
        ("deepseek-v3", "8xMLU370", ("fp8", "unsupported", (1, 1), 0, 0)),
        ("glm-4.5-air", "2xH100", ("fp8", "fits", (2, 1), 50.55, 201_328)),
        ("qwen2.5-72b", "1x910B3", ("bf16", "does_not_fit", (1, 1), 135.45, 0)),
        ("qwen2.5-72b", "2x910B3", ("bf16", "does_not_fit", (2, 1), 67.74, 0)),
        ("qwen2.5-72b", "4x910B3", ("bf16", "fits", (4, 1), 33.88, 279_424)),
        ("deepseek-v3", "2x8x910B3", ("w8a8", "tight", (4, 1), 44.35, 142_976)),
        ("deepseek-v3", "8x910B3", ("w8a8", "does_not_fit", (4, 1), 82.46, 0)),
        ("deepseek-v3", "16x910C", ("w8a8", "fits", (4, 1), 44.35, 157_312)),
        ("glm-4.5-air", "8x910C", ("bf16", "fits", (8, 1), 25.01, 1_376_640)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_verdicts(name, on, expected):
    variant, verdict, layout, weights, tokens = expected
    made = plan(name, on)
    assert (made.variant, made.verdict.value) == (variant, verdict)
    assert (made.layout.tensor_parallel_size, made.layout.pipeline_parallel_size) == layout
    assert made.memory.weight_bytes / GIB == pytest.approx(weights, rel=0.01)
    assert made.kv_cache.tokens == pytest.approx(tokens, rel=0.02)


def test_the_own_format_of_deepseek_v3_on_eight_h20_and_what_makes_it_fit():
    """The engine fails this start: 163,840 tokens need 10.7 GiB."""
    made = plan("deepseek-v3", "8xH20", "fp8", max_model_len=163_840)
    assert made.verdict.value == "does_not_fit"
    assert made.reasons[0] == "variant: fp8, as asked for"
    assert made.reasons[1] == (
        "memory: 96.1 GiB per GPU needed with one request of 163,840 tokens, 87.6 GiB usable: 8.5 GiB missing"
    )
    changes = [remedy.change for remedy in made.remedies]
    assert changes[0] == "--variant awq-int4"
    assert "--gpu-memory-utilization 0.95 --max-num-seqs 128 --max-num-batched-tokens 2048" in changes
    small = {"gpu_memory_utilization": 0.95, "max_num_seqs": 128, "max_num_batched_tokens": 2048}
    assert plan("deepseek-v3", "8xH20", "fp8", max_model_len=163_840, **small).fits


@pytest.mark.parametrize(("on", "several"), [("16xH20", "2x8xH20-96G"), ("2x16xH20", "4x8xH20-96G"), ("8xH20", None)])
def test_more_devices_in_a_server_than_is_usual_are_pointed_out(on, several):
    (found,) = [reason for reason in plan("qwen2.5-72b", on).reasons if "in one server" in reason] or [None]
    assert (found is None) if several is None else (f"`--on {several}`" in found)


def test_the_command_of_two_nodes():
    made = plan("deepseek-v3", "2x8xA800-80G")
    at = made.argv.index("--nnodes")
    assert made.argv[at : at + 6] == ("--nnodes", "2", "--node-rank", "0", "--master-addr", "NODE0")
    assert "VLLM_HOST_IP" not in made.env
    assert (
        "format: FP8 weights with 16-bit arithmetic (w8a16, Marlin), since NVIDIA A800-SXM4-80GB computes no FP8"
        in (made.reasons)
    )
    with pytest.raises(NoError) as caught:
        serve.check_fits(serve.ServeRequest(target="deepseek-v3", plan=PlanRequest()), made)
    assert caught.value.message.id == "serve.several_nodes"
    assert "--master-addr NODE0" in caught.value.message.hint


def test_deepseek_v3_on_two_servers_of_ascend_says_why_and_what_helps():
    made = plan("deepseek-v3", "2x8x910B3")
    assert (made.confidence.value, made.engine.name, made.engine.version) == ("derived", "vllm-ascend", "0.23.0")
    assert made.reasons[:3] == (
        "variant: w8a8, the best format that fits",
        "not fp8: weights in fp8-block do not run on 910B3: it takes bf16, and W8A8 or W4A8 made for it",
        "layout: TP=4 DP=4 EP, all devices of 2x8x910B3-64G",
    )
    told = " ".join(made.reasons)
    for words in (
        "graphs of latent attention (MLA) want 32 query heads or more per NPU",
        "its buffers take 900.0 MiB per NPU (tp 400.0 MiB, dp 100.0 MiB, mc2 400.0 MiB)",
        "not subtracted from the KV cache by the engine; 4.5 GiB is left beside the budget",
        "runs the same command with `--headless` and `--data-parallel-start-rank` 2",
        "set HCCL_IF_IP on each node",
    ):
        assert words in told
    assert [remedy.change for remedy in made.remedies] == [
        "--max-num-seqs 16 --max-num-batched-tokens 1024",
        "--on 4x8x910B3-64G",
    ]


def test_a_layout_that_ascend_refuses_is_told_of_the_variant_that_runs_there():
    made = plan("deepseek-r1", "16x910C", tensor_parallel_size=16)
    assert (made.verdict.value, made.variant) == ("unsupported", "w8a8")
    assert [reason.partition(":")[0] for reason in made.reasons[:3]] == ["variant", "not fp8", "not awq-int4"]
    assert made.reasons[-1].startswith("TP=16 leaves 8 query heads per NPU")
    changes = [remedy.change for remedy in made.remedies]
    assert changes == ["--tensor-parallel-size 4 --data-parallel-size 4 --enable-expert-parallel"]


@pytest.mark.parametrize(("on", "force"), [("4x910B3", False), ("2x910B3", True)])
def test_serve_starts_what_fits_on_ascend_or_is_forced(on, force):
    asked = serve.ServeRequest(target="qwen2.5-72b", plan=PlanRequest(), force=force)
    serve.check_fits(asked, plan("qwen2.5-72b", on))


def test_serve_tells_first_that_something_does_not_fit_on_ascend():
    asked = serve.ServeRequest(target="qwen2.5-72b", plan=PlanRequest())
    with pytest.raises(NoError) as caught:
        serve.check_fits(asked, plan("qwen2.5-72b", "2x910B3"))
    assert caught.value.message.id == "serve.does_not_fit"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("qwen2.5-72b", "--tensor-parallel-size", "3"), 3, "64 attention heads cannot be divided by"),
        (("qwen2.5-72b", "--enable-expert-parallel"), 3, "expert"),
        (("qwen2.5-72b", "--tensor-parallel-size", "8"), 3, "TP=8 needs 8 devices, there are 4"),
        (("qwen2.5-72b", "--variant", "awq4"), 2, "has no variant `awq4`"),
        (("qwen2.5-72b", "--max-num-seqs", "64", "--max-num-batched-tokens", "32"), 2, "is more than"),
    ],
    ids=["heads", "experts of a dense model", "too few devices", "no such variant", "more requests than tokens"],
)
def test_what_contradicts_itself_is_refused(arguments, code, words):
    done = CliRunner().invoke(app, ["plan", *arguments, "--on", "4xA800-80G"])
    told = done.output if not done.exception or isinstance(done.exception, SystemExit) else str(done.exception)
    assert words in " ".join(told.split())
    assert code == (done.exit_code if isinstance(done.exception, SystemExit) else done.exception.code)


def test_json_of_a_chosen_variant():
    done = CliRunner().invoke(app, ["plan", "qwen2.5-72b", "--on", "2xL20", "--json"])
    found = json.loads(done.stdout)
    assert (done.exit_code, found["variant"], found["fits"]) == (0, "awq-int4", True)
    assert found["reasons"][0] == "variant: awq-int4, the best format that fits"
    assert found["argv"][2].endswith("/qwen2.5-72b/awq-int4")


# -- hardware that was found


def gpu(index: int, used: int) -> Accelerator:
    return Accelerator(
        vendor="nvidia",
        name="NVIDIA L20",
        index=index,
        memory_bytes=46068 << 20,
        visible_memory_bytes=int(44.5 * GIB),
        used_bytes=used,
        supported=True,
        device_id="L20-48G",
    )


def snapshot(*accelerators: Accelerator) -> HardwareSnapshot:
    host = Host(
        hostname="h",
        os="o",
        kernel="k",
        glibc=None,
        architecture="x86_64",
        python="3.11",
        cpu_name=None,
        cpu_count=8,
        memory_bytes=64 * GIB,
        available_memory_bytes=60 * GIB,
    )
    return HardwareSnapshot(captured_at="2026-01-01T00:00:00Z", accelerators=accelerators, host=host)


def test_free_memory_is_that_of_each_device_in_the_engines_order():
    found = choose_hardware(snapshot(gpu(1, 5 * GIB), gpu(0, 0)), None)
    assert found.free_memory_bytes == (int(44.5 * GIB), int(39.5 * GIB))
    assert found.device_indices == (0, 1)


def test_the_engine_is_given_the_devices_that_were_planned_for():
    """Two L20 behind a smaller card: the engine would take the first it sees."""
    small = replace(gpu(0, 0), name="NVIDIA T4", device_id="T4-16G", visible_memory_bytes=15 * GIB)
    found = choose_hardware(snapshot(small, gpu(1, 0), gpu(2, 40 * GIB)), None)
    made = plan_model(resolve("qwen2.5-7b").to_plan(), found, PlanRequest())
    assert made.layout.world_size == 1
    assert (made.env["CUDA_VISIBLE_DEVICES"], made.env["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")
    both = plan_model(resolve("qwen2.5-7b").to_plan(), found, PlanRequest(tensor_parallel_size=2))
    assert both.reasons[0].startswith("variant: ")
    assert any(reason.startswith("in use: other processes hold 40.0 GiB of GPU 2;") for reason in both.reasons)


def test_without_an_accelerator_it_is_said_what_is_needed():
    here = choose_hardware(snapshot(), None)
    made = plan_model(resolve("qwen2.5-72b").to_plan(), replace(here), PlanRequest())
    assert made.verdict.value in ("fits", "does_not_fit")
    assert "hardware: no accelerator that an engine here drives was found; planned for the CPU" in made.reasons
    small = choose_hardware(snapshot(), None)
    made = plan_model(resolve("qwen2.5-72b").to_plan(), replace(small, visible_memory_bytes=16 * GIB), PlanRequest())
    with pytest.raises(NoError) as caught:
        serve.check_fits(serve.ServeRequest(target="qwen2.5-72b", plan=PlanRequest()), made)
    assert caught.value.message.hint.startswith("try `selfhost plan qwen2.5-72b --on A800-80G`")
    assert "14.4 GiB usable" in (caught.value.message.why or "")


def test_memory_in_use_does_not_make_a_worse_format_the_nearest():
    """One L20, half of it held by others: nothing is missing but that memory, so the model's own format is kept."""
    found = choose_hardware(snapshot(gpu(0, 22 * GIB)), None)
    made = plan_model(resolve("qwen2.5-7b").to_plan(), found, PlanRequest())
    assert made.verdict.value == "does_not_fit"
    assert made.variant == "bf16"
    assert any(reason.startswith("in use: other processes hold 22.0 GiB of GPU 0;") for reason in made.reasons)
    assert not any("missing" in reason for reason in made.reasons)


def test_what_detection_could_not_tell_is_among_the_reasons():
    unclear = replace(snapshot(), notes=("`nvidia-smi` did not answer within 5 s",))
    made = plan_model(resolve("qwen2.5-0.5b").to_plan(), choose_hardware(unclear, None), PlanRequest())
    assert made.reasons[-1] == "detection could not tell everything: `nvidia-smi` did not answer within 5 s"
