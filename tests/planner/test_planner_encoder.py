"""Images and videos in a plan: options, memory at start, refusals, remedies, and what is said about them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from selfhost.app.plan import plan_model
from selfhost.hardware.spec import parse
from selfhost.models.media import Media
from selfhost.models.vision import TowerMode
from selfhost.planner import encoder, memory, terms
from selfhost.planner.boots import fingerprint
from selfhost.planner.explain_text import draw_explanation
from selfhost.planner.plan import Layout, ModelToPlan, Plan, PlanRequest, Settings, Verdict
from selfhost.planner.terms import Range, Setup
from selfhost.units import GIB
from tests.models.public_models import arch

QWEN25, QWEN3, QWEN35 = "Qwen/Qwen2.5-VL-7B-Instruct", "Qwen/Qwen3-VL-32B-Instruct", "Qwen/Qwen3.5-27B"
GLM = "zai-org/GLM-4.5V-FP8"


def model(name: str) -> ModelToPlan:
    known = arch(name)
    return ModelToPlan(
        name=name,
        variant="directory",
        arch=known,
        model_path="/models/it",
        served_model_name="it",
        max_model_len=known.max_position_embeddings,
    )


def plan(name: str, on: str, *options: str, explained: bool = False, **request) -> Plan:
    return plan_model(model(name), parse(on), PlanRequest(engine_args=options, **request), explained=explained)


def setup(name: str, *, tp: int = 1, pp: int = 1, on: str = "8xH100", media: Media | None = None, **sizes) -> Setup:
    settings = {"max_model_len": 32_768, "max_num_seqs": 256, "max_num_batched_tokens": 8192, **sizes}
    known = arch(name) if media is None else replace(arch(name), media=media)
    layout = Layout(tensor_parallel_size=tp, pipeline_parallel_size=pp)
    return Setup(known, parse(on), layout, Settings(gpu_memory_utilization=0.9, **settings))


def test_rows_beside_the_weights():
    plain = setup(QWEN3)
    assert encoder.buffers(plain, first_stage=True) == 335_544_320
    assert encoder.buffers(plain, first_stage=False) == 8192 * 3 * 5120 * 2
    assert encoder.buffers(setup(QWEN3, media=Media(text_only=True)), first_stage=True) == 0
    assert encoder.buffers(setup("Qwen/Qwen2.5-0.5B-Instruct"), first_stage=True) == 0
    assert encoder.buffers(setup(QWEN25), first_stage=True) == 8192 * 3584 * 2


def test_the_larger_of_two_peaks_counts():
    alone = Range(GIB, GIB, GIB)
    found = encoder.peak(setup(QWEN25), alone, first_stage=True)
    assert [round(part / GIB, 2) for part in found] == [3.45, 4.67, 5.69]
    kept = 32_768 * 3584 * 2
    large = Range(*[9 * GIB] * 3)
    assert encoder.peak(setup(QWEN25), large, first_stage=True) == Range(*[9 * GIB + kept] * 3)
    assert encoder.peak(setup(QWEN25), alone, first_stage=False) == alone
    assert encoder.peak(setup(QWEN25, media=Media(profiled=False)), alone, first_stage=True) == alone
    # What the experts take comes later, and is counted elsewhere.
    less = encoder.peak(setup(QWEN25), alone, first_stage=True, workspace_bytes=GIB)
    assert less == Range(*(part - GIB for part in found))


@pytest.mark.parametrize(
    ("sizes", "logged"),
    [
        # tests/data/fit, ghfile-61652519493-01: Qwen3.8-27B, one RTX 5090.
        ({"max_model_len": 196_608, "max_num_seqs": 1, "max_num_batched_tokens": 2048}, 2.22),
        # vllm-project/vllm-ascend, issue 10122: Qwen3.6-27B on two 310P.
        ({"tp": 2, "max_num_batched_tokens": 2048}, 1.71),
    ],
)
def test_peaks_in_public_logs(sizes, logged):
    found = setup(QWEN35, **sizes)
    run = encoder.runs(found, first_stage=True)
    assert run is not None
    peak = encoder.tower_peak(found, run)
    assert peak.low / GIB < logged < peak.high / GIB
    assert peak.likely / GIB == pytest.approx(logged, rel=0.04)


def test_a_plan_counts_where_the_tower_is():
    cut = plan(QWEN3, "4xH100", tensor_parallel_size=4)
    whole = plan(QWEN3, "4xH100", "--mm-encoder-tp-mode", "data", tensor_parallel_size=4)
    absent = plan(QWEN3, "4xH100", "--language-model-only", tensor_parallel_size=4)
    weights = [found.memory.weight_bytes for found in (absent, cut, whole)]
    assert weights == sorted(set(weights))
    kv = [found.memory.kv_cache_bytes for found in (absent, cut, whole)]
    assert kv == sorted(set(kv), reverse=True)
    assert whole.argv[-2:] == ("--mm-encoder-tp-mode", "data")
    assert absent.argv[-1] == "--language-model-only"
    assert not any("not counted" in reason for found in (cut, whole, absent) for reason in found.reasons)
    assert "images: none, the vision tower is not loaded" in absent.reasons
    for found in (cut, whole):
        parts = found.memory
        fixed = parts.weight_bytes + parts.buffer_bytes + parts.activation_bytes
        assert fixed + parts.non_torch_bytes + parts.cudagraph_bytes + parts.kv_cache_bytes == parts.budget_bytes


def test_options_of_a_recipe_count_too():
    served = replace(model(QWEN3), engine_args=("--limit-mm-per-prompt", '{"image": 0, "video": 0}'))
    found = plan_model(served, parse("4xH100"), PlanRequest())
    assert "images: none, the vision tower is not loaded" in found.reasons


def test_only_the_first_stage_runs_the_tower():
    staged = setup(QWEN3, pp=2)
    first, last = (memory.activation_peak(staged, rank, 16) for rank in (0, 1))
    assert first.low < first.likely < first.high
    language = terms.activation(staged, last_stage=True, block_size=16)
    assert last == Range(language, language, language)


def test_what_images_cost_is_said():
    reason = next(reason for reason in plan(QWEN25, "H100", max_model_len=32_768).reasons if "images" in reason)
    assert reason == (
        "images: the vision tower is whole on every rank; at start the engine makes room for 32,768 tokens of images "
        "and encodes 1 x video of 32,768 tokens, for which it holds 4.7 GiB (3.5 GiB to 5.7 GiB)"
    )
    unprofiled = plan(QWEN3, "4xH100", "--skip-mm-profiling", tensor_parallel_size=4)
    assert any("is cut over the ranks" in x and "`--skip-mm-profiling` leaves" in x for x in unprofiled.reasons)


def test_heads_that_do_not_divide_are_refused_with_the_flag_that_helps():
    refused = plan(GLM, "8xH100", tensor_parallel_size=8)
    assert refused.verdict is Verdict.UNSUPPORTED
    assert refused.reasons[0].startswith("12 heads of the vision tower cannot be divided by tensor parallel size 8")
    assert [remedy.change for remedy in refused.remedies] == [
        "-- --mm-encoder-tp-mode data",
        "--tensor-parallel-size 4",
    ]
    helped = plan(GLM, "8xH100", "--mm-encoder-tp-mode", "data", tensor_parallel_size=8)
    assert helped.fits
    assert helped.layout.tensor_parallel_size == 8
    assert plan(GLM, "8xH100").layout.tensor_parallel_size == 4


def test_videos_are_offered_up_for_memory():
    short = plan(QWEN25, "RTX4090", max_model_len=34_000)
    assert short.verdict is Verdict.DOES_NOT_FIT
    offered = "-- --limit-mm-per-prompt '{\"video\": 0}'"
    assert offered in [remedy.change for remedy in short.remedies]
    assert plan(QWEN25, "RTX4090", "--limit-mm-per-prompt", '{"video": 0}', max_model_len=34_000).fits


def test_an_item_that_does_not_go_into_a_step():
    refused = plan(QWEN3, "4xH100", "--disable-chunked-mm-input")
    assert refused.verdict is Verdict.UNSUPPORTED
    assert refused.reasons[0] == (
        "`--disable-chunked-mm-input`: an item of 16,384 tokens is larger than `--max-num-batched-tokens` 8,192; raise "
        "that to 16384"
    )
    assert plan(QWEN3, "4xH100", "--disable-chunked-mm-input", max_num_batched_tokens=16_384).fits


def test_an_explanation_has_the_steps():
    found = plan(QWEN25, "H100", explained=True, max_model_len=32_768).explanation
    assert found is not None
    steps = {quantity.name: quantity for quantity in found.encoder}
    assert steps["tokens of the largest video"].value == 32_768
    peak = steps["elements at the peak of the tower"]
    assert peak.formula is not None
    assert "hidden_size" in peak.formula
    assert eval(str(peak.in_numbers)) == peak.value
    terms_by_name = {term.name: term for term in found.terms}
    assert terms_by_name["activation"].low < terms_by_name["activation"].value_bytes < terms_by_name["activation"].high
    assert "images: what the engine encodes at start" in draw_explanation(found, width=100)
    assert json.dumps(found.as_dict()).count("explain_encoder") == 1
    blind = plan("Qwen/Qwen2.5-0.5B-Instruct", "H100", explained=True).explanation
    assert blind is not None
    assert blind.encoder == ()


def test_what_was_said_of_images_is_no_part_of_a_fingerprint():
    known = arch(QWEN3)
    assert fingerprint(replace(known, media=Media(mode=TowerMode.DATA))) == fingerprint(known)


def test_on_ascend_the_tower_counts_as_well():
    seen, blind = (
        memory.estimate(one, memory.sizes_of(one)).memory
        for one in (setup(QWEN3, tp=8, on="8x910B3"), setup(QWEN3, tp=8, on="8x910B3", media=Media(text_only=True)))
    )
    assert seen.activation_bytes > blind.activation_bytes
    assert seen.buffer_bytes == blind.buffer_bytes + 335_544_320
