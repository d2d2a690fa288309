"""`selfhost quantize` as a user types it, with a stand-in for the script that does the work."""

from __future__ import annotations

import json
import shutil

import pytest

from selfhost.home import Home
from selfhost.recipe.load import load_recipe

pytestmark = pytest.mark.slow


def test_a_variant_is_served_planned_listed_and_removed_like_any_other(quantize, selfhost, home):
    code, out, err = quantize("--scheme", "fp8", "--json")
    assert code == 0, err
    made = json.loads(out)
    directory = home / "models" / "smollm2-135m" / "fp8"
    assert (made["path"], made["variant"], made["from"]) == (str(directory), "fp8", "bf16")
    assert made["recipe"] == str(home / "recipes" / "smollm2-135m.toml")
    assert made["loss"]["mean_kl"] == 0.0123
    assert made["provenance"]["peak_rss_bytes"] == 12345678
    assert made["provenance"]["seconds"] >= 0
    assert "selfhost" in made["provenance"]["tools"]
    assert "serve it: `selfhost serve smollm2-135m --variant fp8`" in err
    recipe = load_recipe("smollm2-135m", Home(home))
    variant = recipe.variant("fp8")
    assert [one.name for one in recipe.variants] == ["bf16", "fp8"]
    assert (variant.scheme, variant.sources[0].id) == ("fp8", "smollm2-135m/bf16")
    assert variant.bytes_on_disk == sum(path.stat().st_size for path in directory.glob("*.safetensors"))
    assert variant.notes == ("How it was made: selfhost-quantize.json beside its files",)

    plan = json.loads(selfhost("plan", "smollm2-135m", "--variant", "fp8", "--on", "H20", "--json")[1])
    assert (plan["fits"], plan["variant"]) == (True, "fp8")
    assert plan["argv"][2] == str(directory)
    listed = {one["variant"]: one for one in json.loads(selfhost("ls", "--json")[1])["models"]}
    assert listed["fp8"]["state"] == "whole"
    assert listed["fp8"]["source"]["kind"] == "quantized"
    assert selfhost("verify", "smollm2-135m", "--variant", "fp8")[0] == 0
    shown = selfhost("recipe", "show", "smollm2-135m")[1]
    assert "from smollm2-135m/bf16 by `selfhost quantize`" in shown
    assert "0.0123" in shown
    assert selfhost("pull", "smollm2-135m", "--variant", "fp8")[0] == 0

    assert selfhost("rm", "smollm2-135m", "--variant", "fp8", "--yes")[0] == 0
    assert [one.name for one in load_recipe("smollm2-135m", Home(home)).variants] == ["bf16"]
    assert not (home / "recipes" / "smollm2-135m.toml").exists()


def test_once_more_makes_nothing(quantize, faults):
    assert quantize("--scheme", "fp8")[0] == 0
    faults(crash_after=0, crash=9)
    code, out, err = quantize("--scheme", "fp8", "--json")
    assert code == 0, err
    assert json.loads(out)["already"] is True
    assert "is there already" in err


def test_a_recipe_that_did_not_get_to_know_it_does(quantize, home):
    """As when a run is killed between the last file and the recipe."""
    assert quantize("--scheme", "fp8")[0] == 0
    path = home / "recipes" / "smollm2-135m.toml"
    text = path.read_text()
    path.unlink()
    code, out, _ = quantize("--scheme", "fp8", "--json")
    assert (code, json.loads(out)["already"]) == (0, True)
    assert path.read_text() == text


def test_a_gate_holds_for_what_is_there_already(quantize):
    assert quantize("--scheme", "fp8")[0] == 0
    code, _, err = quantize("--scheme", "fp8", "--max-kl", "0.001")
    assert code == 3
    assert "mean KL divergence 0.0123, at most 0.001 was allowed" in err


def test_a_script_that_the_kernel_killed_is_told_as_that(quantize, faults):
    faults(crash_after=1, crash=-9)
    code, _, err = quantize("--scheme", "fp8")
    assert code == 4
    assert "was killed, as the kernel does where memory runs out" in err


def test_other_arguments_do_not_replace_it(quantize):
    assert quantize("--scheme", "w4a16-gptq")[0] == 0
    code, _, err = quantize("--scheme", "w4a16-gptq", "--group-size", "32")
    assert code == 3
    assert "selfhost rm smollm2-135m --variant w4a16-gptq" in err
    assert quantize("--scheme", "w4a16-gptq", "--group-size", "32", "--variant-name", "w4-g32")[0] == 0


def test_the_group_size_is_the_largest_that_divides(quantize, home):
    assert quantize("--scheme", "w4a16-gptq")[0] == 0
    provenance = json.loads((home / "models/smollm2-135m/w4a16-gptq/selfhost-quantize.json").read_text())
    assert provenance["job"]["group_size"] == 64
    config = load_recipe("smollm2-135m", Home(home)).variant("w4a16-gptq").quantization_config
    assert config["config_groups"]["group_0"]["weights"]["group_size"] == 64


def test_what_crashed_goes_on_where_it_was(quantize, faults, home):
    faults(crash_after=2, crash=11)
    code, _, err = quantize("--scheme", "fp8")
    assert code == 1
    assert "ended without a word: exit status 11\n  Segmentation something" in err
    work = home / "quantize" / "smollm2-135m" / "fp8"
    kept = work / "model" / "model-00001-of-00003.safetensors"
    before = kept.stat().st_ino
    assert not (home / "models/smollm2-135m/fp8").exists()
    faults()
    code, _, err = quantize("--scheme", "fp8")
    assert code == 0
    assert "going on with 9" in err
    assert (home / "models/smollm2-135m/fp8/model-00001-of-00003.safetensors").stat().st_ino == before
    assert not work.exists()


@pytest.mark.parametrize("left", ["half a file", "nothing yet"])
def test_a_calibrated_run_that_was_cut_off_starts_anew_and_says_so(quantize, faults, home, left):
    faults(crash_after=2, crash=11)
    assert quantize("--scheme", "w8a8")[0] == 1
    kept = home / "quantize" / "smollm2-135m" / "w8a8" / "model" / "model-00001-of-00003.safetensors"
    if left == "half a file":
        kept.write_bytes(b"half a file")
    else:
        shutil.rmtree(kept.parent)
    faults()
    code, _, err = quantize("--scheme", "w8a8")
    assert code == 0, err
    assert "from the beginning, since calibration keeps nothing of a run that was cut off" in err
    assert "going on with" not in err
    made = home / "models/smollm2-135m/w8a8/model-00001-of-00003.safetensors"
    assert made.stat().st_size > len(b"half a file")


@pytest.mark.parametrize("scheme", ["w8a8", "fp8"])
def test_files_that_are_made_are_not_made_again_to_be_compared(quantize, faults, home, scheme):
    """A comparison that was cut off goes on with what hours of calibration made."""
    faults(loss_crash=11)
    code, _, err = quantize("--scheme", scheme)
    assert code == 1, err
    faults(crash_after=0, crash=9)
    code, _, err = quantize("--scheme", scheme)
    assert code == 0, err
    assert "its files are there from an earlier run" in err
    provenance = json.loads((home / "models/smollm2-135m" / scheme / "selfhost-quantize.json").read_text())
    assert provenance["peak_rss_bytes"] == 12345678


def test_made_files_that_changed_are_made_again(quantize, faults, home):
    faults(loss_crash=11)
    assert quantize("--scheme", "w8a8")[0] == 1
    (home / "quantize/smollm2-135m/w8a8/model/model-00002-of-00003.safetensors").write_bytes(b"cut")
    faults()
    code, _, err = quantize("--scheme", "w8a8")
    assert code == 0, err
    assert "from the beginning" in err


def test_what_another_run_left_is_not_gone_on_with(quantize, faults):
    faults(crash_after=2, crash=11)
    quantize("--scheme", "w4a16-gptq")
    faults()
    code, _, err = quantize("--scheme", "w4a16-gptq", "--group-size", "32")
    assert code == 0
    assert "going on" not in err


def test_what_nobody_goes_on_with_is_collected(quantize, faults, selfhost, home):
    faults(crash_after=2, crash=11)
    quantize("--scheme", "fp8")
    work = home / "quantize" / "smollm2-135m" / "fp8"
    assert selfhost("gc")[0] == 0
    assert work.is_dir()
    code, out, _ = selfhost("gc", "--partial", "--dry-run")
    assert (code, work.is_dir()) == (0, True)
    assert f"would remove `{work}`" in out
    assert f"removed `{work}`" in selfhost("gc", "--partial")[1]
    assert list((home / "quantize").rglob("*")) == [work.parent]


def test_without_the_environment_the_command_that_makes_it_is_told(selfhost, model):
    code, _, err = selfhost("quantize", "smollm2-135m", "--scheme", "fp8")
    assert code == 4
    assert "`selfhost engine install quantize`" in err


def test_a_line_tells_how_far_it_is():
    from selfhost.cli.following import Follower
    from selfhost.quantize.job import Planned, Progress

    lines, clock = [], iter([0.0, 10.0, 20.0])
    follower = Follower("fp8", lambda _phase, line: lines.append(line), lambda: next(clock))
    follower(Progress(done_bytes=1, file="before the plan"))
    follower(Planned(files=2, total_bytes=3 << 30))
    follower(Progress(done_bytes=1 << 30, file="a"))
    follower(Progress(done_bytes=2 << 30, file="b"))
    assert lines == [
        "fp8: 1.0 GiB of 3.0 GiB (33 %), a",
        "fp8: 2.0 GiB of 3.0 GiB (66 %), 102.4 MiB/s, 10 s left, b",
    ]
    lines.clear()
    clock = iter([0.0, 10.0])
    follower = Follower("comparing", lambda _phase, line: lines.append(line), lambda: next(clock), steps=True)
    follower(Planned(files=1, total_bytes=30))
    follower(Progress(done_bytes=10, file="layer 9"))
    follower(Progress(done_bytes=20, file="layer 19"))
    assert lines[-1] == "comparing: 20 of 30 (66 %), 10 s left, layer 19"


def test_a_report_that_is_none_is_no_measure(quantize, faults):
    faults(kl="nan")
    code, _, err = quantize("--scheme", "fp8")
    assert code == 5
    assert "nan is no measure" in err


def test_a_source_that_cannot_be_quantized_is_named(quantize, tmp_path, model):
    import shutil

    for name, change in (("odd", {"architectures": ["OddForCausalLM"]}), ("cut", {})):
        copy = tmp_path / name
        shutil.copytree(model, copy)
        config = json.loads((copy / "config.json").read_text()) | change
        (copy / "config.json").unlink()
        (copy / "config.json").write_text(json.dumps(config))
    shard = tmp_path / "cut" / "model-00002-of-00003.safetensors"
    data = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(data[:-7])
    code, _, err = quantize("--scheme", "fp8", "--output", tmp_path / "x", name=tmp_path / "odd")
    assert code == 3
    assert "OddForCausalLM" in err
    code, _, err = quantize("--scheme", "fp8", "--output", tmp_path / "x", name=tmp_path / "cut")
    assert code == 5
    assert "model-00002-of-00003.safetensors" in err


def test_a_gate_keeps_it_from_its_name_and_costs_nothing_to_open(quantize, faults, home):
    faults(kl=0.5)
    code, _, err = quantize("--scheme", "w8a8", "--max-kl", "0.1")
    assert code == 3
    assert "mean KL divergence 0.5000, at most 0.1 was allowed" in err
    assert not (home / "models/smollm2-135m/w8a8").exists()
    assert [one.name for one in load_recipe("smollm2-135m", Home(home)).variants] == ["bf16"]
    faults(crash_after=0, crash=9)
    assert quantize("--scheme", "w8a8", "--max-kl", "0.6")[0] == 0


def test_a_directory_becomes_a_directory(quantize, model, tmp_path, selfhost):
    target = tmp_path / "out"
    code, out, err = quantize("--scheme", "fp8", "--output", target, "--no-loss", name=model)
    assert (code, out) == (0, f"{target}\n"), err
    plan = json.loads(selfhost("plan", str(target), "--on", "H20", "--json")[1])
    assert plan["fits"]
    assert not (target / "selfhost-loss.json").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".out")) == []


def test_a_dry_run_tells_what_it_takes(quantize, home):
    code, out, _ = quantize("--scheme", "w8a8", "--dry-run", "--no-loss")
    assert code == 0
    assert "would make `smollm2-135m` (w8a8) of smollm2-135m (bf16): w8a8" in out
    assert "what goes through a layer" in out
    told = json.loads(quantize("--scheme", "fp8", "--dry-run", "--json", "--no-loss")[1])
    assert told["memory_bytes"] < (1 << 30) + 20_000
    assert not (home / "quantize").exists()


BAD = {
    "no scheme": ((), 2, "no scheme is named"),
    "unknown scheme": (("--scheme", "fp9"), 2, "did you mean `--scheme fp8`?"),
    "nothing to convert": (("--scheme", "bf16"), 3, "is not quantized: `bf16` is made of FP8"),
    "a name of the recipe": (("--scheme", "fp8", "--variant-name", "bf16"), 2, "`--variant-name bf16-local`"),
    "a bad name": (("--scheme", "fp8", "--variant-name", "A b"), 2, "cannot be the name of a variant"),
    "groups that do not divide": (
        ("--scheme", "w4a16-awq", "--group-size", "128"),
        3,
        "self_attn.k_proj (576 inputs)",
    ),
    "blocks that do not divide": (("--scheme", "fp8-block"), 3, "blocks of 128 x 128 do not fit the layers"),
    "odd groups": (("--scheme", "w4a16-awq", "--group-size", "48"), 2, "known: 128, 64, 32"),
    "groups for none": (("--scheme", "fp8", "--group-size", "64"), 2, "has no groups"),
    "text for none": (("--scheme", "fp8", "--calibration", "/x.txt"), 2, "needs no calibration text"),
    "no text": (("--scheme", "w8a8", "--calibration", "/nowhere/x.txt"), 2, "No such file"),
    "on alone": (("--scheme", "fp8", "--on", "8xH20"), 2, "add `--advise`"),
    "a limit that is none": (("--scheme", "fp8", "--max-kl", "nan"), 2, "wanted: a number from 0 on"),
    "a limit below nothing": (("--scheme", "fp8", "--max-kl", "-0.1"), 2, "wanted: a number from 0 on"),
    "no thread at all": (("--scheme", "fp8", "--jobs", "0"), 2, "--jobs"),
    "a name for a directory": (
        ("--scheme", "fp8", "--output", "x", "--variant-name", "y"),
        2,
        "leave `--variant-name`",
    ),
    "advice that makes": (("--advise", "--max-kl", "1"), 2, "`--advise` makes no files, `--max-kl`"),
    "advice from a variant": (("--advise", "--from", "bf16"), 2, "`--advise` makes no files, `--from`"),
    "no files with a limit": (
        ("--scheme", "nf4", "--in-flight", "--max-kl", "1"),
        2,
        "`--in-flight` makes no files, `--max-kl`",
    ),
    "no files, dry": (("--scheme", "nf4", "--in-flight", "--dry-run"), 2, "`--in-flight` makes no files, `--dry-run`"),
    "a check of a scheme": (("--check", "--scheme", "fp8"), 2, "`--check` makes no files, `--scheme`"),
    "no such variant": (("--scheme", "fp8", "--from", "bf17"), 2, "has no variant `bf17`"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_what_makes_no_sense_is_refused_before_anything_is_written(quantize, home, case):
    arguments, expected, words = BAD[case]
    code, _, err = quantize(*arguments)
    assert code == expected, err
    assert words in err
    assert not (home / "quantize").exists()


TEXTS = {
    "pickle": ("x.bin", b"abc", "its name ends with .bin"),
    "empty": ("x.txt", b"\n \n", "it is empty"),
    "not text": ("x.txt", b"\xff\xfe", "it is no UTF-8 text"),
    "not json": ("x.jsonl", b'{"text": "a"}\nnope\n', "line 2 is no JSON"),
    "not text at all": ("x.txt", b"a\0b\n", "it holds NUL characters"),
    "UTF-16": ("x.jsonl", '{"text": "a"}'.encode("utf-16"), "it is no UTF-8 text"),
    "no turns": ("x.jsonl", b'{"messages": [{"role": "user"}]}\n', "line 1 has none of the keys"),
    "a number": ("x.jsonl", b'\n{"text": 5}\n', "line 2 has none of the keys"),
    "no text in it": ("x.jsonl", b'{"text": "a"}\n{"label": 3}\n', "line 2 has none of the keys"),
}


@pytest.mark.parametrize("case", TEXTS, ids=str)
def test_a_wrong_calibration_file_is_told_with_its_line(quantize, tmp_path, case):
    name, data, words = TEXTS[case]
    (tmp_path / name).write_bytes(data)
    code, _, err = quantize("--scheme", "w8a8", "--calibration", tmp_path / name)
    assert code == 2
    assert words in err


def test_another_text_is_another_variant(quantize, tmp_path, home):
    own = tmp_path / "own.txt"
    own.write_text("一\ntwo\n")
    assert quantize("--scheme", "w8a8", "--calibration", own, "--samples", "2")[0] == 0
    job = json.loads((home / "models/smollm2-135m/w8a8/selfhost-quantize.json").read_text())["job"]
    assert job["calibration"]["samples"] == 2
    own.write_text("三\nfour\n")
    assert quantize("--scheme", "w8a8", "--calibration", own, "--samples", "2")[0] == 3


def test_what_a_script_says_gets_its_class(quantize, faults):
    faults(error={"id": "quantize.bad_calibration", "params": {"path": "x", "detail": "seven lines"}})
    code, _, err = quantize("--scheme", "w8a8")
    assert code == 2
    assert "seven lines" in err
    faults(error={"id": "quantize.never_heard_of", "params": {"a": 1}})
    code, _, err = quantize("--scheme", "w8a8")
    assert code == 1
    assert "quantize.never_heard_of a: 1" in err


@pytest.mark.parametrize(
    ("fault", "words"),
    [({"format": "w8a8"}, "says w8a8-int8 of quantization"), ({"lies": "0" * 64}, "read back, these differ")],
    ids=["another format", "another digest"],
)
def test_a_result_that_is_not_what_was_asked_for_is_not_used(quantize, faults, home, fault, words):
    faults(**fault)
    code, _, err = quantize("--scheme", "fp8")
    assert code == 5
    assert words in err
    assert not (home / "models/smollm2-135m/fp8").exists()


def test_a_disk_or_a_memory_that_is_too_small_is_told_in_numbers(quantize, monkeypatch):
    from selfhost import files
    from selfhost.app.quantize import preflight

    monkeypatch.setattr(files, "free_bytes", lambda _path: 1 << 20)
    code, _, err = quantize("--scheme", "fp8")
    assert code == 8
    assert "MiB needed, 1.0 MiB free" in err
    monkeypatch.setattr(files, "free_bytes", lambda _path: 1 << 40)
    monkeypatch.setattr(preflight, "_available", lambda _home: 1 << 29)
    code, _, err = quantize("--scheme", "w8a8", "--no-loss")
    assert code == 4
    assert "512.0 MiB available" in err
    assert "the model 14.9 KiB + what goes through a layer 153.0 MiB" in err
    assert "what is compared with the source at a time" in quantize("--scheme", "fp8")[2]


def test_a_model_that_is_not_here_is_told_how_to_get(quantize):
    code, _, err = quantize("--scheme", "fp8", name="qwen2.5-0.5b")
    assert code == 7
    assert "`selfhost pull qwen2.5-0.5b --variant bf16`" in err


def test_a_quantized_source_is_refused_with_the_way_out(quantize):
    code, _, err = quantize("--scheme", "w8a8", "--from", "awq-int4", name="qwen2.5-7b")
    assert code == 3
    assert "is quantized already\n  by awq, in int-group" in err
    assert "`selfhost quantize qwen2.5-7b --from bf16 --scheme w8a8`" in err
    code, _, err = quantize("--scheme", "w8a8", name="deepseek-v3")
    assert code == 3
    assert "`selfhost quantize deepseek-v3 --scheme bf16`" in err


def test_a_model_in_whole_numbers_only_is_not_sent_to_a_command_that_refuses_it(quantize):
    code, _, err = quantize("--scheme", "w8a8", name="kimi-k3")
    assert code == 3
    assert "what it lost does not come back" in err
    assert "selfhost quantize" not in err
