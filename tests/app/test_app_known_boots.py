"""Whether boot records speak for a plan: those of its engine, device and options, and only when the device is here."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest

from selfhost.app import detect
from selfhost.app.known_boots import find, with_subject
from selfhost.app.model import resolve
from selfhost.app.overview import models_on
from selfhost.app.plan import Here, plan_for, plan_model
from selfhost.engines import known
from selfhost.hardware.spec import parse
from selfhost.hardware.types import Accelerator, HardwareSnapshot, Host
from selfhost.home import Home
from selfhost.planner.boots import Measured
from selfhost.planner.plan import PlanRequest
from selfhost.serve import boots

GIB = 1 << 30
HOST = Host(
    hostname="h",
    os="Debian",
    kernel="6.1",
    glibc="2.36",
    architecture="x86_64",
    python="3.11.7",
    cpu_name="EPYC",
    cpu_count=2,
    memory_bytes=24 * GIB,
    available_memory_bytes=16 * GIB,
)
MODEL, ON = "qwen2.5-72b", "4xA800-80G"
ASKED = PlanRequest(max_model_len=32_768)


def machine(count: int, device: str = "A800-80G"):
    visible = parse(device).visible_memory_bytes
    gpus = tuple(
        Accelerator(
            vendor="nvidia",
            name=device,
            index=index,
            memory_bytes=visible,
            visible_memory_bytes=visible,
            used_bytes=0,
            supported=True,
            device_id=device,
        )
        for index in range(count)
    )
    return lambda _home: HardwareSnapshot(captured_at="2026-11-22T00:00:00Z", accelerators=gpus, host=HOST)


def never(_home):
    pytest.fail("this machine was asked")


@pytest.fixture
def here(home) -> Home:
    return Home(home)


def planned(here, on=ON, *, look=never, asked=ASKED, assumed=True):
    hardware = replace(parse(on), assumed=assumed)
    model = resolve(MODEL).to_plan()
    plan = plan_model(model, hardware, asked, here=Here(here, on if assumed else None, look))
    return with_subject(plan, model, asked) if plan.argv else plan


@pytest.fixture
def started(here):
    """A start on four A800 that had 30 GiB for the KV cache."""
    plan = planned(here, assumed=False)
    boot = {
        "started_at": "2026-10-06T08:00:00+00:00",
        "outcome": "started",
        "measured": Measured(kv_cache_bytes=30 * GIB, weight_bytes=plan.memory.weight_bytes).as_dict(),
        "phases_s": {"serving": 90.0},
    }
    boots.add(here, asdict(plan.subject), boot)
    return plan


def test_found_here_and_planned_again(here, started):
    plan = planned(here, assumed=False)
    assert plan.confidence.value == "measured"
    assert plan.memory.kv_cache_bytes == 30 * GIB
    assert plan.variant == started.variant


@pytest.mark.parametrize(
    ("count", "confidence"), [(4, "measured"), (8, "measured"), (2, "derived"), (0, "derived")], ids=str
)
def test_hardware_that_is_named_must_be_here(here, started, count, confidence):
    assert planned(here, look=machine(count)).confidence.value == confidence


def test_other_devices_here_do_not_count(here, started):
    assert planned(here, look=machine(8, "A100-80G")).confidence.value == "derived"


@pytest.mark.parametrize("on", ["8xH20-96G", "4xA100-80G", "4xA800-80G@79"])
def test_this_machine_is_not_asked_for_hardware_without_records(here, started, on):
    assert planned(here, on).confidence.value != "measured"


def test_two_nodes_are_not_this_machine(here, started):
    assert planned(here, "2x4xA800-80G", look=machine(8)).confidence.value == "derived"


def test_no_records_no_questions(here):
    assert planned(here).confidence.value == "derived"
    assert not here.boots.exists()


def test_options_that_may_change_memory_are_another_subject(here, started):
    for options, confidence in ((("--seed", "7"), "measured"), (("--enable-lora",), "derived")):
        asked = replace(ASKED, engine_args=options)
        assert planned(here, asked=asked, assumed=False).confidence.value == confidence


def test_options_of_a_measured_plan_are_in_its_figures(here, started):
    counted = planned(here, asked=replace(ASKED, engine_args=("--seed", "7")), assumed=False)
    assert not any(reason.startswith("handed to the engine, not counted") for reason in counted.reasons)


def test_variables_that_may_change_memory_are_another_subject(here, started, monkeypatch):
    monkeypatch.setenv("VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS", "0")
    assert planned(here, assumed=False).confidence.value == "derived"


def test_secrets_of_the_environment_do_not_get_into_a_record(here, monkeypatch):
    monkeypatch.setenv("VLLM_API_KEY", "s3cret")
    monkeypatch.setenv("VLLM_SOME_TOKEN", "s3cret")
    assert "s3cret" not in str(asdict(planned(here, assumed=False).subject))


def test_all_variants_of_a_recipe_are_looked_for(here, started):
    """The record is of the variant that was chosen then; another one that is asked for has none."""
    engine = known.load("vllm")
    model = resolve(MODEL, variant="awq-int4").to_plan()
    hardware = replace(parse(ON), assumed=False)
    (record,), _ = find(Here(here, None, never), model, hardware, ASKED, engine)
    assert record.subject == started.subject
    plan = plan_model(model, hardware, ASKED, here=Here(here, None, never))
    assert (plan.variant, plan.confidence.value) == ("awq-int4", "derived")


def test_what_is_supposed_elsewhere_is_planned_as_ever(here, started):
    """`plan --on` of the same devices on a machine without them: this one."""
    plan = plan_for(MODEL, on=ON, request=ASKED)
    assert (plan.confidence.value, plan.measured) == ("derived", None)


def test_the_list_of_what_runs_here_knows_them_too(started, monkeypatch):
    found_here = replace(parse(ON), assumed=False)
    monkeypatch.setattr(detect, "hardware_for", lambda *_: found_here)
    cells = models_on("here", request=ASKED).cells
    (cell,) = (cell for cell in cells if cell.plan.model == MODEL)
    assert cell.plan.confidence.value == "measured"
    assert cell.plan.memory.kv_cache_bytes == 30 * GIB
    supposed = models_on(ON, request=ASKED).cells
    assert all(cell.plan.confidence.value != "measured" for cell in supposed)
    assert started.fits
