"""`selfhost plan DIR`: files that contradict the config, and architectures that are not known."""

from __future__ import annotations

import json

import pytest

from selfhost.app.plan import plan_for
from selfhost.errors import NoError
from selfhost.planner.bound import weight_bound
from selfhost.planner.plan import PlanRequest
from tests.models.header_sets import tensors
from tests.models.public_models import QWEN_HALF_B, arch, config


def write(directory, found, name: str = "model.safetensors") -> None:
    """A sparse file with the headers of these tensors."""
    header, end = {}, 0
    for tensor, entry in found.items():
        header[tensor] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [end, end + entry.bytes]}
        end += entry.bytes
    text = json.dumps(header).encode()
    with (directory / name).open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)


@pytest.fixture
def model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config(QWEN_HALF_B)))
    write(tmp_path, tensors(arch(QWEN_HALF_B)))
    return tmp_path


def files_of(plan) -> list[str]:
    return [reason for reason in plan.reasons if reason.startswith("files: ")]


def test_files_that_agree_are_no_reason(model):
    assert files_of(plan_for(str(model), on="1xL20", request=PlanRequest())) == []


def test_files_that_contradict_the_config_are_reasons(model):
    (model / "config.json").write_text(json.dumps(config(QWEN_HALF_B, num_hidden_layers=26, vocab_size=152064)))
    layers, vocabulary = files_of(plan_for(str(model), on="1xL20", request=PlanRequest()))
    assert layers == "files: the config has 26 layers, the files hold 24 of them: missing: 24, 25"
    assert vocabulary.startswith("files: `model.embed_tokens.weight` is [151936, 896] in the files, the config leads")


def test_a_header_that_cannot_be_read_is_a_reason_and_no_failure(model):
    (model / "model.safetensors").write_bytes(b"\x80\0\0\0\0\0\0\0{")
    plan = plan_for(str(model), on="1xL20", request=PlanRequest())
    assert plan.fits
    assert files_of(plan) == [
        "files: the header of `model.safetensors` could not be read: header of 128 bytes in a file of 9"
    ]


def refused(model, on: str) -> tuple[str, str]:
    with pytest.raises(NoError) as caught:
        plan_for(str(model), on=on, request=PlanRequest())
    return caught.value.message.what, caught.value.message.why


def test_an_unknown_architecture_gets_bounds_and_no_verdict(model):
    (model / "config.json").write_text(json.dumps(config(QWEN_HALF_B, architectures=["FalconForCausalLM"])))
    what, why = refused(model, "2xL20")
    assert what == "architecture `FalconForCausalLM` is not supported: its files allow a bound, no plan"
    assert why.startswith(
        "bound on 2xL20-48G: about 471.2 MiB of weights per device when all is divided, 942.3 MiB when nothing is; "
    )
    assert why.endswith("cannot be said\nthe engine itself has this architecture; selfhost has no figures for it")


def test_an_unknown_architecture_that_is_too_large_however_divided(model):
    (model / "config.json").write_text(json.dumps(config(QWEN_HALF_B, architectures=["NobodyForCausalLM"])))
    what, why = refused(model, "1xL20@0.9")
    assert what == "architecture `NobodyForCausalLM` is not supported, and its weights do not fit"
    assert why.endswith("\nthe engine does not have this architecture either")


def test_an_unknown_architecture_without_files_is_what_it_was(model):
    (model / "model.safetensors").unlink()
    (model / "config.json").write_text(json.dumps(config(QWEN_HALF_B, architectures=["NobodyForCausalLM"])))
    what, why = refused(model, "1xL20")
    assert what == "architecture `NobodyForCausalLM` is not supported"
    assert why.startswith("nearest known: ")


def test_bounds_are_even_shares_and_whole_copies():
    assert weight_bound(160, 8) == (20, 160)
    assert weight_bound(161, 8).low == 21
