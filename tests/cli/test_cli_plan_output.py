"""`selfhost plan --output FILE`: what is written, what is refused; and colours of many plans on a terminal."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

import pytest

from selfhost import __version__
from selfhost.cli import output

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    "words",
    [
        ("qwen2.5-7b", "--on", "2xL20"),
        ("qwen2.5-7b", "--matrix", "--on", "L20,RTX4090"),
        ("--for-hardware", "RTX4090"),
    ],
    ids=["one", "matrix", "list"],
)
@pytest.mark.parametrize("name", ["plan.svg", "plan.html", "PLAN.SVG"])
def test_a_file_is_written_beside_the_answer(selfhost, tmp_path, words, name):
    path = tmp_path / name
    code, out, err = selfhost("plan", *words, "--json", "--output", path)
    assert code == 0, err
    assert f"written: {path} (" in err
    content = path.read_text()
    assert __version__ in content
    if name.lower().endswith("svg"):
        assert ET.fromstring(content).tag == f"{SVG}svg"
    else:
        assert content.startswith("<!DOCTYPE html>\n")
    told = json.loads(out)
    assert told["schema_version"] == 1
    assert [path] == list(tmp_path.iterdir())


def test_the_figures_are_those_of_the_json(selfhost, tmp_path):
    path = tmp_path / "plan.svg"
    _, out, _ = selfhost("plan", "deepseek-v3", "--on", "2x8xH100", "--json", "--output", path)
    told, root = json.loads(out), ET.parse(path).getroot()
    drawn = [int(x.get("data-bytes")) for x in root.iter() if x.get("data-term")]
    terms = ("weight", "buffer", "activation", "non_torch", "cudagraph", "kv_cache")
    assert drawn == [stage[f"{term}_bytes"] for stage in told["stages"] for term in terms]
    budgets = {int(x.get("data-budget-bytes")) for x in root.iter() if x.get("data-budget-bytes")}
    assert budgets == {told["per_rank"]["budget_bytes"]}
    words = [x.text for x in root.iter(f"{SVG}text")]
    assert f"{told['kv_cache']['tokens']:,} tokens" in words


def test_what_does_not_fit_is_written_too(selfhost, tmp_path):
    path = tmp_path / "plan.html"
    code, _, _ = selfhost("plan", "qwen2.5-72b", "--on", "RTX4090", "--output", path)
    assert code == 3
    assert "does_not_fit" in path.read_text()


def test_the_name_of_a_directory_is_no_markup(selfhost, tmp_path):
    directory = tmp_path / "<script>alert(1)<"
    directory.mkdir()
    config = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 896, "vocab_size": 151936}
    config |= {"intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2}
    config |= {"max_position_embeddings": 32768, "tie_word_embeddings": True, "torch_dtype": "bfloat16"}
    (directory / "config.json").write_text(json.dumps(config))
    for name in ("a.svg", "a.html"):
        code, _, err = selfhost("plan", directory, "--on", "L20", "--output", tmp_path / name)
        assert code == 0, err
        content = (tmp_path / name).read_text()
        assert "<script" not in content
        assert "&lt;script&gt;alert(1)&lt;" in content


@pytest.mark.parametrize("name", ["plan.pdf", "plan", "plan.html.txt"])
def test_another_suffix_is_refused_with_the_two_there_are(selfhost, tmp_path, name):
    code, out, err = selfhost("plan", "qwen2.5-7b", "--on", "L20", "--output", tmp_path / name)
    assert (code, out) == (2, "")
    assert ".html or .svg" in err
    assert not [*tmp_path.iterdir()]


def test_a_file_that_is_there_is_not_overwritten(selfhost, tmp_path):
    path = tmp_path / "plan.svg"
    path.write_text("mine")
    code, _, err = selfhost("plan", "qwen2.5-7b", "--on", "L20", "--output", path)
    assert code == 2
    assert "will not overwrite" in err
    assert path.read_text() == "mine"
    (tmp_path / "dangling.svg").symlink_to(tmp_path / "nowhere")
    code, _, err = selfhost("plan", "qwen2.5-7b", "--on", "L20", "--output", tmp_path / "dangling.svg")
    assert code == 2


def test_where_there_is_no_folder_none_is_made(selfhost, tmp_path):
    code, _, err = selfhost("plan", "qwen2.5-7b", "--on", "L20", "--output", tmp_path / "a b" / "plan.svg")
    assert code == 2
    assert f"mkdir -p '{tmp_path}/a b'" in err
    assert not [*tmp_path.iterdir()]


def test_a_target_is_looked_at_before_anything_is_planned(selfhost, tmp_path):
    code, _, err = selfhost("plan", "no-such-model", "--on", "L20", "--output", tmp_path / "plan.pdf")
    assert (code, ".html or .svg" in err) == (2, True)


MATRIX = ("plan", "qwen2.5-72b", "--matrix", "--on", "H20,RTX4090,MLU370-X8")
COLOUR = re.compile("\x1b\\[[0-9;]*m")


@pytest.mark.parametrize(
    ("environment", "terminal", "colours"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": ""}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
    ids=str,
)
def test_when_a_heat_map_has_colours(selfhost, monkeypatch, environment, terminal, colours):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    for words in (MATRIX, ("plan", "--for-hardware", "RTX4090")):
        _, out, _ = selfhost(*words)
        assert bool(COLOUR.search(out)) is colours
        assert "\x1b" not in COLOUR.sub("", out)


def test_without_colour_a_heat_map_reads_the_same(selfhost, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    _, plain, _ = selfhost(*MATRIX)
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, heat, _ = selfhost(*MATRIX)
    assert heat != plain
    assert [line.rstrip() for line in COLOUR.sub("", heat).splitlines()] == plain.splitlines()


def test_json_has_no_colours(selfhost, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, out, _ = selfhost(*MATRIX, "--json")
    assert "\x1b" not in out
    assert output.on_mark("?", "x") == "x"
