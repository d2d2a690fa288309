"""The bench of the fit verdict: all measured rows are there, each is compared or left out for a known reason, and the
figures that do not depend on calibration hold."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost.hardware import catalog
from tests.bench.fit_accuracy import KV_TARGET, RATE_TARGET, WEIGHTS_TARGET, ascend, since_estimate, targets
from tests.bench.fit_cases import CHECKS, FITS, Reason, read_cases, version_of
from tests.bench.fit_engines import default_batch, line_of, sampler_peak
from tests.bench.fit_predict import compare
from tests.bench.fit_rules import Question, accelerate, gpustack, hf_mem
from tests.models.public_models import DATA, DEEPSEEK_V3, MODELS, QWEN_72B, arch

ROOT = Path(__file__).resolve().parents[2]
ROWS = [compare(case) for case in read_cases()]
H100, A100, T4, L40S = (catalog.lookup(name) for name in ("H100", "A100-80G", "T4", "L40S"))
GIB = 1 << 30


def test_every_measured_row_is_there_once():
    assert len({row.case.id for row in ROWS}) == len(ROWS) == 115


def test_rows_hold_what_was_logged():
    for line in (DATA / "fit" / "cases.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert row["source"].startswith(("https://", "public document, address not known: "))
        assert row["log"], row["id"]
        assert row["measured"]["outcome"] in FITS
        # A model that the log does not name, or a layout that the command does not, is argued.
        assert "identified" in row or not row.get("config"), row["id"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.case.id)
def test_a_row_is_compared_or_left_out_with_a_reason(row):
    assert set(row.left) <= {*CHECKS, "all"}
    assert all(left.reason in Reason and left.why for left in row.left.values())
    if not row.active:
        assert row.left
    for check in set(row.left) - {"all"}:
        assert getattr(row, check) is None


@pytest.mark.parametrize("row", [row for row in ROWS if row.weights], ids=lambda row: row.case.id)
def test_weights_are_what_the_engine_logged(row):
    assert abs(row.weights.error) <= WEIGHTS_TARGET


@pytest.mark.parametrize("row", [row for row in ROWS if row.rate], ids=lambda row: row.case.id)
def test_a_token_takes_what_the_engine_logged(row):
    assert abs(row.rate.error) <= RATE_TARGET


@pytest.mark.parametrize("row", [row for row in ROWS if row.blocks], ids=lambda row: row.case.id)
def test_tokens_are_those_of_whole_blocks(row):
    assert row.blocks.predicted == row.blocks.measured


@pytest.mark.parametrize("row", [row for row in ROWS if row.case.on_ascend and row.kv], ids=lambda row: row.case.id)
def test_the_kv_cache_on_ascend_is_within_the_range_and_the_target(row):
    assert row.kv.in_range
    assert abs(row.kv.error) <= KV_TARGET


def test_what_ascend_rows_are_compared_by():
    weights, rates, caches = ascend(ROWS)
    assert (weights.rows, rates.rows, caches.rows) == (8, 6, 2)
    assert all(target.met for target in (weights, rates, caches))
    quantized = [row for row in ROWS if row.case.quantization is not None]
    assert [row.case.id for row in quantized] == ["vllm-ascend-2191-01"]


def test_weights_that_msmodelslim_made_are_not_those_of_the_base_model():
    case = next(case for case in read_cases() if case.id == "vllm-ascend-2191-01")
    plain = compare(replace(case, quantization=None))
    assert not plain.weights


def test_a_request_with_another_number_of_blocks_is_noticed():
    drafting = next(case for case in read_cases() if case.id == "club-3090-91-01")
    none = {name: value for name, value in drafting.settings.items() if name != "speculative"}
    two = {**none, "speculative": {"method": "mtp", "num_speculative_tokens": 2}}
    for settings in (none, two):
        found = compare(replace(drafting, settings=settings)).blocks
        assert found is not None
        assert found.predicted != found.measured


def test_there_are_rows_for_every_target():
    assert all(target.rows >= 4 for target in targets(ROWS) if not target.name.startswith("Ascend: KV"))
    assert sum(since_estimate(row) for row in ROWS) >= 4


def test_the_bench_says_whether_targets_are_met():
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.fit_accuracy", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(done.stdout)
    assert len(told["rows"]) == 115
    assert done.returncode == (0 if all(target["met"] for target in told["targets"]) else 1)


@pytest.mark.parametrize(
    ("version", "name", "device", "runner", "estimates"),
    [
        ("0.6.6.post1", "Qwen/Qwen3-8B", L40S, "v0", False),
        ("0.10.0", "Qwen/Qwen3-8B", T4, "v0", False),
        ("0.19.1", "Qwen/Qwen3-8B", H100, "v1", False),
        ("0.20.2", "Qwen/Qwen3-8B", H100, "v1", True),
        ("0.23.0", "Qwen/Qwen3-8B", H100, "v2", False),
        ("0.23.0", QWEN_72B, H100, "v1", True),
        ("0.26.0", QWEN_72B, H100, "v2", False),
        ("0.28.0", DEEPSEEK_V3, H100, "v1", True),
        ("0.29.0", DEEPSEEK_V3, H100, "v2", True),
    ],
)
def test_what_a_version_does_with_a_model(version, name, device, runner, estimates):
    line = line_of(version_of(version), arch(name), device)
    assert (line.runner, line.estimates_graphs) == (runner, estimates)
    assert line.utilization == (0.9 if version_of(version) < (0, 20, 0) else 0.92)


def test_batches_when_none_are_given():
    v1 = line_of((0, 21, 0), arch(QWEN_72B), H100)
    assert default_batch(v1, H100, 79.2, 32_768) == (8192, 1024)
    assert default_batch(v1, A100, 79.2, 32_768) == (2048, 256)
    assert default_batch(v1, L40S, 44.4, 32_768) == (2048, 256)
    v0 = line_of((0, 6, 6), arch(QWEN_72B), H100)
    assert default_batch(v0, H100, 79.2, 20_000) == (20_000, 256)
    assert default_batch(v0, H100, 79.2, 131_072) == (2048, 256)


def test_the_sampler_of_older_runners():
    """Logged by 0.11 with 1024 requests and 8192 tokens: 5.56 GiB for Qwen3-0.6B, 5.64 for Qwen3-32B."""
    for name, logged in (("Qwen/Qwen3-0.6B", 5.56), ("Qwen/Qwen3-32B", 5.64)):
        line = line_of((0, 11, 0), arch(name), H100)
        peak = sampler_peak(line, arch(name), max_num_seqs=1024, max_num_batched_tokens=8192)
        assert peak / GIB == pytest.approx(logged, rel=0.01)


def question(name: str, devices: int, **changes: object) -> Question:
    asked = Question(
        arch=arch(name),
        entry=MODELS[name],
        visible_bytes=79.19 * GIB,
        devices=devices,
        utilization=0.9,
        max_model_len=32_768,
        kv_cache_dtype=None,
    )
    return asked._replace(**changes)


def test_rules_of_other_tools():
    """A 72B in bfloat16: GPUStack's own documentation gives 164.5 GiB; two devices of 80 GB have 142.5."""
    large = MODELS[QWEN_72B]["checkpoint_bytes"]
    assert (large * 1.2 + 2 * GIB) / GIB == pytest.approx(164.5, abs=0.1)
    assert not gpustack(question(QWEN_72B, 2)).fits
    assert gpustack(question(QWEN_72B, 4)).fits
    assert accelerate(question(QWEN_72B, 2)).weight_bytes == large - 152_064 * 8192 * 2
    assert hf_mem(question(QWEN_72B, 4)).bytes_per_token == 80 * 2 * 8 * 128 * 2


def test_a_rule_that_does_not_know_latent_attention():
    assert hf_mem(question(DEEPSEEK_V3, 8)).bytes_per_token == 2 * 61 * 128 * (7168 // 128)
    assert hf_mem(question("Qwen/Qwen2.5-72B-Instruct-AWQ", 2)).fits is None
    assert hf_mem(question("Qwen/Qwen2.5-72B-Instruct-AWQ", 2, kv_cache_dtype="fp8")).bytes_per_token == 163_840
