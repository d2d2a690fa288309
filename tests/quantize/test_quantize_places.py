"""Where a result goes, and what is in the way there; with a stand-in for the script that does the work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_a_result_goes_where_a_directory_can_be_put_at_the_end(quantize, model, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    (tmp_path / "dangling").symlink_to("beyond")
    for name, target in (("link", "empty"), ("dangling", "beyond")):
        code, out, err = quantize("--scheme", "fp8", "--output", tmp_path / name, "--no-loss", name=model)
        assert (code, out) == (0, f"{tmp_path / target}\n"), err
        assert (tmp_path / name / "config.json").is_file()
    for path, words in (
        (tmp_path / "file", "is there and no directory"),
        (model / "inner", "lies in what it is made of"),
        (Path("/proc"), "is there and not empty"),
        (tmp_path / "file" / "x", "there is no folder"),
    ):
        code, _, err = quantize("--scheme", "fp8", "--output", path, "--no-loss", name=model)
        assert (code, words in err) == (2, True), err


def test_a_mount_point_is_no_place_for_a_result(quantize, model, tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda self: self.name == "disk")
    code, _, err = quantize("--scheme", "fp8", "--output", tmp_path / "disk", name=model)
    assert code == 2
    assert f"`--output {tmp_path / 'disk'}/bf16`" in err


def test_a_directory_of_a_recipes_model_is_no_variant(quantize, tmp_path):
    told = json.loads(quantize("--scheme", "fp8", "--output", tmp_path / "out", "--no-loss", "--json")[1])
    assert (told["model"], told["variant"], told["recipe"]) == ("smollm2-135m", None, None)
