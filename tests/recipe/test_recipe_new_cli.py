"""`selfhost recipe new`, as it is typed."""

from __future__ import annotations

import json
import tomllib

import pytest

from selfhost.cli import complete
from selfhost.cli.main import main
from tests.app.test_app_repository import write_model


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["recipe", *arguments])
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "Qwen2.5-Tiny-Instruct"
    write_model(path)
    return path


def test_new_tells_where_it_is_what_is_left_and_what_is_next(capsys, directory, home):
    code, out, err = run(capsys, "new", str(directory))
    path = home / "recipes" / "qwen2.5-tiny.toml"
    assert (code, out) == (0, f"{path}\n")
    lines = err.splitlines()
    assert lines[0].startswith("TODO family: ")
    assert f"{path}: warning: licence.id: the terms of `qwen2.5-tiny` are not known" in lines
    assert lines[-2:] == [f"next: selfhost recipe lint {path}", "next: selfhost plan qwen2.5-tiny"]
    assert sum(line.startswith("TODO ") for line in lines) == path.read_text().count("# TODO ")


def test_new_and_then_what_it_says_is_next(capsys, directory):
    run(capsys, "new", str(directory))
    code, out, _ = run(capsys, "lint", "qwen2.5-tiny")
    assert code == 3
    assert "licence.url: the licence `LicenseRef-unknown` has no address" in out
    code, out, _ = run(capsys, "show", "qwen2.5-tiny")
    assert code == 0
    assert out.startswith("qwen2.5-tiny: Qwen2.5-Tiny-Instruct (Qwen2.5)\n")
    with pytest.raises(SystemExit) as caught:
        main(["plan", "qwen2.5-tiny", "--on", "1xL20"])
    assert not caught.value.code


def test_new_to_stdout_is_a_recipe_and_nothing_else(capsys, directory, home):
    code, out, err = run(capsys, "new", str(directory), "--output", "-", "--name", "mine", "--family", "F")
    assert code == 0
    assert (tomllib.loads(out)["name"], tomllib.loads(out)["family"]) == ("mine", "F")
    assert "next: " not in err
    assert not home.exists()


def test_new_as_json_is_one_object(capsys, directory, home):
    code, out, err = run(capsys, "new", str(directory), "--json")
    body = json.loads(out)
    assert (code, err, body["schema_version"]) == (0, "", 1)
    assert (body["name"], body["variant"], body["readable"]) == ("qwen2.5-tiny", "bf16", True)
    assert body["path"] == str(home / "recipes" / "qwen2.5-tiny.toml")
    assert [finding["id"] for finding in body["findings"]] == [
        "lint.licence_reference",
        "lint.licence_unknown",
        "lint.no_facts",
    ]
    assert any(todo.startswith("hub_id: ") for todo in body["todo"])
    assert tomllib.loads(body["toml"])["title"] == "Qwen2.5-Tiny-Instruct"


def test_new_of_what_is_not_understood_is_written_all_the_same(capsys, directory, home):
    (directory / "config.json").write_text('{"architectures": ["NobodyForCausalLM"], "max_position_embeddings": 8}')
    code, out, err = run(capsys, "new", str(directory))
    assert code == 0
    assert tomllib.loads((home / "recipes" / "qwen2.5-tiny.toml").read_text())["context"] == 8
    assert "error: config.architectures: architecture NobodyForCausalLM is not in the registry" in err
    assert out.endswith("qwen2.5-tiny.toml\n")


def test_new_without_a_context_cannot_be_read_yet(capsys, directory):
    (directory / "config.json").write_text('{"architectures": ["NobodyForCausalLM"]}')
    code, _, err = run(capsys, "new", str(directory))
    assert code == 0
    assert "TODO context: " in err
    assert "is not valid: 1 to correct\n  context: missing" in err


def test_new_twice(capsys, directory):
    run(capsys, "new", str(directory))
    code, out, err = run(capsys, "new", str(directory))
    assert (code, out) == (2, "")
    assert "hint: write elsewhere with `--output FILE`" in err
    assert run(capsys, "new", str(directory), "--force")[0] == 0


@pytest.mark.parametrize("output", ["/proc/own.toml", f"/tmp/{'y' * 300}.toml"])
def test_new_where_no_file_can_be_says_so(capsys, directory, output):
    code, out, err = run(capsys, "new", str(directory), "--output", output)

    assert (code, out) == (4, "")
    assert err.startswith(f"error: cannot write to `{output}`\n")


def test_new_offline(capsys):
    code, out, err = run(capsys, "new", "Nobody/Nothing-1B", "--offline")
    assert (code, out) == (7, "")
    assert err.startswith("error: offline, so `Nobody/Nothing-1B` cannot be looked at\n")


def test_new_offline_as_json(capsys):
    code, out, _ = run(capsys, "new", "Nobody/Nothing-1B", "--offline", "--json")
    assert (code, json.loads(out)["error"]["id"]) == (7, "draft.offline")


def test_a_variant_that_is_new(capsys, tmp_path, home):
    directory = tmp_path / "copy"
    write_model(directory)
    run(capsys, "new", str(directory), "--name", "base")
    config = json.loads((directory / "config.json").read_text())
    section = {"quant_method": "fp8", "activation_scheme": "dynamic"}
    (directory / "config.json").write_text(json.dumps(config | {"quantization_config": section}))
    code, out, err = run(capsys, "new", str(directory), "--variant-of", "base")
    path = home / "recipes" / "base.toml"
    assert (code, out) == (0, f"{path}\n")
    assert err.splitlines()[-1] == "next: selfhost plan base --variant fp8"
    assert [one["name"] for one in tomllib.loads(path.read_text())["variant"]] == ["bf16", "fp8"]


def test_what_is_typed_after_new_is_completed(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert complete.directories("./mo") == ["./model"]
    assert complete.directories("mo") == ["model"]
