"""`selfhost plan --matrix` and `--for-hardware`: the JSON, the exit codes, and options that contradict each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from selfhost.cli.main import app
from selfhost.errors import UsageError
from selfhost.hardware import catalog

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def run(*arguments):
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_the_matrix_has_every_supported_device_in_five_numbers():
    done = run("qwen2.5-72b", "--matrix", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["schema_version"], found["model"]) == (0, 1, "qwen2.5-72b")
    assert found["counts"] == [1, 2, 4, 8, 16]
    supported = {device.id for device in catalog.DEVICES if device.supported} - {"cpu"}
    assert {cell["device"] for cell in found["cells"]} == supported
    assert len(found["cells"]) == 5 * len(supported)
    (h20,) = (cell for cell in found["cells"] if cell["on"] == "2x8xH20-96G")
    assert (h20["fits"], h20["variant"], h20["layout"]["pipeline_parallel_size"]) == (True, "bf16", 2)


def test_on_narrows_the_matrix_to_the_devices_that_are_named():
    found = json.loads(run("qwen2.5-72b", "--matrix", "--json", "--on", "H20,L20", "--on", "2xA800").stdout)
    assert [cell["on"] for cell in found["cells"]] == [
        *("H20-96G", "2xH20-96G", "4xH20-96G", "8xH20-96G", "2x8xH20-96G"),
        *("L20-48G", "2xL20-48G", "4xL20-48G", "8xL20-48G", "2x8xL20-48G"),
        "2xA800-80G",
    ]


def test_settings_and_the_variant_hold_for_every_cell():
    done = run("qwen2.5-72b", "--matrix", "--json", "--on", "2xH20", "--variant", "awq-int4", "--max-model-len", "4096")
    (cell,) = json.loads(done.stdout)["cells"]
    assert (cell["variant"], cell["max_model_len"], cell["longest_max_model_len"]) == ("awq-int4", 4096, 4096)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("deepseek-v3", "--matrix", "--on", "RTX4090"), 3),
        (("deepseek-v3", "--matrix", "--on", "RTX4090", "--fits"), 3),
        (("deepseek-v3", "--matrix", "--on", "8x910B3"), 3),
        (("deepseek-v3", "--matrix", "--on", "H20"), 0),
        (("--for-hardware", "MLU370"), 3),
        (("--for-hardware", "RTX4090"), 0),
        (("--for-hardware", "cpu@1"), 3),
    ],
    ids=str,
)
def test_it_is_a_yes_when_something_fits(arguments, code):
    done = run(*arguments)
    assert done.exit_code == code
    assert done.stdout


def test_the_list_has_every_recipe():
    found = json.loads(run("--for-hardware", "8xH20", "--json").stdout)
    names = {path.stem for path in RECIPES.glob("*/*.toml")}
    assert {model["model"] for model in found["models"]} == names
    assert (found["planned"], found["skipped"]) == (len(names), [])
    assert found["hardware"]["on"] == "8xH20-96G"
    fits = [model["fits"] for model in found["models"]]
    assert fits == sorted(fits, reverse=True)
    assert found["fitting"] == sum(fits)


def test_only_what_fits_still_counts_all():
    found = json.loads(run("--for-hardware", "RTX4090", "--fits", "--json").stdout)
    assert all(model["fits"] for model in found["models"])
    assert len(found["models"]) == found["fitting"] < found["planned"]


def test_a_recipe_that_cannot_be_read_hides_no_other(tmp_path):
    (tmp_path / "broken.toml").write_text("schema_version = ")
    done = run("--for-hardware", "RTX4090", "--json", "--recipe-path", tmp_path)
    found = json.loads(done.stdout)
    assert (done.exit_code, len(found["skipped"])) == (0, 1)
    assert "broken.toml" in found["skipped"][0]
    assert "broken.toml" in done.stderr


def test_here_is_what_is_found_on_this_machine():
    found = json.loads(run("--for-hardware", "here", "--json", "--max-model-len", "1024").stdout)
    assert found["hardware"]["visible_memory_bytes"] > 0
    assert found["planned"] > 20


def test_what_the_figures_leave_out_is_said():
    done = run("--for-hardware", "RTX4090", "--fits", "--", "--enable-lora", "--max-model-len", "1024")
    assert done.exit_code == 0
    assert "not counted in these figures: --enable-lora\n" in done.stderr
    assert " 1K " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "plan.no_model"),
        (("--matrix",), "plan.no_model"),
        (("--", "--enable-lora"), "plan.no_model"),
        (("qwen2.5-7b", "--for-hardware", "H20"), "plan.for_hardware_alone"),
        (("--for-hardware", "H20", "--on", "H20"), "plan.for_hardware_alone"),
        (("--for-hardware", "H20", "--variant", "fp8"), "plan.for_hardware_alone"),
        (("--for-hardware", "H20", "--matrix"), "plan.for_hardware_alone"),
        (("--for-hardware", "8xH2O"), "hardware.device_unknown"),
        (("--for-hardware", "H20", "--max-num-seqs", "0"), "plan.not_positive"),
        (("--for-hardware", "H20", "--", "--no-such"), "owned.unknown"),
        (("qwen2.5-7b", "--on", "H20", "--on", "L20"), "plan.on_twice"),
        (("qwen2.5-7b", "--on", "H20", "--fits"), "plan.fits_of_one"),
        (("qwen2.5-7b", "--matrix", "--explain"), "plan.explain_many"),
        (("--for-hardware", "H20", "--explain"), "plan.explain_many"),
        (("qwen2.5-7b", "--matrix", "--on", "H20,H21"), "hardware.device_unknown"),
        (("qwen2.5-7b", "--matrix", "--on", ""), "hardware.spec_malformed"),
        (("qwen2.5-77b", "--matrix"), "recipe.unknown_near"),
    ],
    ids=str,
)
def test_options_that_contradict_each_other_are_usage_errors(arguments, message):
    done = run(*arguments)
    assert isinstance(done.exception, UsageError)
    assert done.exception.message.id == message
    assert done.stdout == ""
