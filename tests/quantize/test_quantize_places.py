"""Where a result goes, and what is in the way there; with a stand-in for the script that does the work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from selfhost import files

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


def test_one_that_waits_for_nothing_is_told_who_is_at_work(quantize, home):
    with files.hold_lock(home / "quantize" / "smollm2-135m" / "fp8.lock"):
        code, _, err = quantize("--scheme", "fp8")
    assert (code, "another process makes this variant" in err) == (3, True)
    assert quantize("--scheme", "fp8")[0] == 0


@pytest.fixture
def overtaken(quantize, monkeypatch):
    """Have the same command run to its end just before this one takes its lock."""
    hold, answers = files.hold_lock, []

    def once(path, **how):
        if path.name.endswith(("fp8.lock", "quantize.lock")) and how.get("blocking") is False and not answers:
            answers.append(None)
            answers[0] = again()
        return hold(path, **how)

    def run(*arguments, **more):
        nonlocal again
        again = lambda: quantize(*arguments, **more)  # noqa: E731
        monkeypatch.setattr(files, "hold_lock", once)
        return quantize(*arguments, **more), answers[0]

    again = None
    return run


def test_what_another_run_made_meanwhile_is_not_made_again(overtaken, home):
    (code, _, err), other = overtaken("--scheme", "fp8", "--no-loss")
    assert (code, other[0]) == (0, 0), err
    assert "made `smollm2-135m (fp8)`" in other[2]
    assert "is there already" in err
    assert list((home / "quantize" / "smollm2-135m").iterdir()) == []


def test_a_directory_that_another_run_filled_meanwhile_stays(overtaken, tmp_path, model):
    (code, _, err), other = overtaken("--scheme", "fp8", "--no-loss", "--output", tmp_path / "out", name=model)
    assert (code, other[0]) == (2, 0), err
    assert "is there and not empty" in err


def test_a_gate_is_not_open_where_nothing_was_measured(quantize):
    assert quantize("--scheme", "fp8", "--no-loss")[0] == 0
    code, _, err = quantize("--scheme", "fp8", "--max-kl", "0.1")
    assert code == 3
    assert "`selfhost rm smollm2-135m --variant fp8`" in err


def test_halves_of_files_are_not_gone_on_with_nor_counted(quantize, faults, home):
    faults(crash_after=0, crash=11)
    quantize("--scheme", "fp8")
    halves = home / "quantize" / "smollm2-135m" / "fp8" / "model" / ".selfhost-quantize"
    halves.mkdir()
    with (halves / "model-00001-of-00003.safetensors").open("wb") as stream:
        stream.truncate(1 << 40)
    faults()
    code, _, err = quantize("--scheme", "fp8")
    assert (code, "going on" in err) == (0, False), err


def test_another_model_of_the_same_sizes_is_not_gone_on_with(quantize, faults, model, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(model, tmp_path / name)
    faults(crash_after=2, crash=11)
    assert quantize("--scheme", "fp8", "--output", tmp_path / "out", name=tmp_path / "one")[0] == 1
    faults()
    code, _, err = quantize("--scheme", "fp8", "--output", tmp_path / "out", name=tmp_path / "two")
    assert (code, "going on" in err) == (0, False), err
