"""Boot records as records: what a subject is, what of an architecture counts, and the way through a file."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from selfhost.models.arch import ModelArch
from selfhost.planner.boots import (
    Boot,
    BootRecord,
    Measured,
    Outcome,
    fingerprint,
    record_from_dict,
    subject_from_dict,
    subject_of,
)
from tests.planner.conftest import CONFIGS, a_model

LLAMA = ModelArch.from_config(CONFIGS["llama-3.1-8b"])


def stored(plan, **changes) -> dict:
    """As a file holds it."""
    subject = subject_of(plan("llama-3.1-8b", "A100-80G"), LLAMA, ("--enable-lora",))
    boot = {
        "started_at": "2026-10-06T08:00:00+00:00",
        "outcome": "started",
        "measured": Measured(kv_cache_bytes=5, max_concurrency=1.5).as_dict(),
        "phases_s": {"loading": 0.0, "serving": 61.5},
    }
    value = {"schema_version": 1, "subject": asdict(subject), "boots": [boot], **changes}
    return json.loads(json.dumps(value))


def test_a_record_comes_back_from_its_file(plan):
    found = record_from_dict(stored(plan), "/boots/a.json")
    subject = subject_of(plan("llama-3.1-8b", "A100-80G"), LLAMA, ("--enable-lora",))
    boot = Boot(
        started_at="2026-10-06T08:00:00+00:00",
        outcome=Outcome.STARTED,
        measured=Measured(kv_cache_bytes=5, max_concurrency=1.5),
        ready_s=61.5,
    )
    assert found == BootRecord(subject=subject, boots=(boot,), path="/boots/a.json")
    assert found.subject.key == subject.key
    assert hash(found) == hash(replace(found))


def test_figures_of_a_later_version_are_left_out(plan):
    value = stored(plan)
    value["boots"][0]["measured"]["of_tomorrow"] = [1]
    assert record_from_dict(value, "a").boots[0].measured.kv_cache_bytes == 5


def test_a_start_that_never_answered_has_no_time(plan):
    value = stored(plan)
    value["boots"][0] |= {"outcome": "kv_too_small", "phases_s": {"loading": 0.0}}
    assert record_from_dict(value, "a").boots[0].ready_s is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value.pop("boots"),
        lambda value: value.update(boots=[]),
        lambda value: value.update(boots=[7]),
        lambda value: value.update(subject=None),
        lambda value: value["subject"].pop("layout"),
        lambda value: value["subject"].update(more=1),
        lambda value: value["subject"]["settings"].update(more=1),
        lambda value: value["boots"][0].update(outcome="perhaps"),
        lambda value: value["boots"][0].update(measured=[1]),
        lambda value: value["boots"][0]["measured"].update(kv_cache_bytes="5"),
        lambda value: value["boots"][0]["measured"].update(kv_cache_bytes=5.5),
        lambda value: value["boots"][0]["measured"].update(kv_cache_bytes=True),
        lambda value: value["boots"][0].update(phases_s={"serving": "soon"}),
    ],
    ids=range(13),
)
def test_what_is_no_record(plan, damage):
    value = stored(plan)
    damage(value)
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        record_from_dict(value, "a")


def test_what_makes_another_subject(plan):
    of = lambda *arguments, **request: subject_of(plan(*arguments, **request), LLAMA).key  # noqa: E731
    subjects = [
        of("llama-3.1-8b", "A100-80G"),
        of("llama-3.1-8b", "A800-80G"),
        of("llama-3.1-8b", "A100-80G@79"),
        of("llama-3.1-8b", "A100-80G", max_model_len=8192),
        of("llama-3.1-8b", "A100-80G", gpu_memory_utilization=0.9),
        of("llama-3.1-8b", "A100-80G", enforce_eager=True),
        of("llama-3.1-8b", "2xA100-80G", tensor_parallel_size=2),
        subject_of(plan("llama-3.1-8b", "A100-80G"), LLAMA, ("--enable-lora",)).key,
        of("llama-3.1-8b", "cpu@64"),
    ]
    assert len(set(subjects)) == len(subjects)
    assert of("llama-3.1-8b", "A100-80G") == of("llama-3.1-8b", "A100-80G", served_model_name="x", port=9)
    # On a CPU the KV cache is given in bytes; what the host has free is not part of it.
    assert of("smollm2-135m", "cpu@16") == of("smollm2-135m", "cpu@20")
    assert of("smollm2-135m", "cpu@16") != of("smollm2-135m", "cpu@4")
    assert all(len(key) == 12 for key in subjects)


def test_a_subject_comes_back(plan):
    subject = subject_of(plan("smollm2-135m", "cpu@16"), LLAMA, ("--a", "B=1"))
    assert subject_from_dict(json.loads(json.dumps(asdict(subject)))) == subject


def test_fingerprints_tell_architectures_apart():
    prints = {name: fingerprint(a_model(name).arch) for name in CONFIGS}
    assert len(set(prints.values())) == len(CONFIGS)
    assert fingerprint(ModelArch.from_config(dict(CONFIGS["llama-3.1-8b"]))) == prints["llama-3.1-8b"]


def test_what_a_fingerprint_leaves_out_is_what_has_its_default():
    """A later version that reads another key, absent here, finds its old records again."""
    assert fingerprint(replace(LLAMA, num_nextn_predict_layers=0)) == fingerprint(LLAMA)
    assert fingerprint(replace(LLAMA, num_nextn_predict_layers=1)) != fingerprint(LLAMA)
    assert fingerprint(replace(LLAMA, hidden_size=8192)) != fingerprint(LLAMA)
    # Asked for by an option, which is among the extras of a subject.
    assert fingerprint(replace(LLAMA, drafting=True)) == fingerprint(LLAMA)
