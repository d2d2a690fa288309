"""`render --lint`: files on disk, exit codes, what is printed."""

from __future__ import annotations

import json
import os

import pytest

from selfhost.render.lint.rules import RULES

COMPOSE = """\
services:
  engine:
    image: docker.io/vllm/vllm-openai:latest
    command: [--model, org/model, --max-model-length, "8"]
    ports: ["8000:8000"]
"""


@pytest.fixture
def compose(tmp_path):
    path = tmp_path / "compose.yaml"
    path.write_text(COMPOSE)
    return path


def test_findings_are_printed_with_their_line_and_make_the_answer_no(selfhost, compose):
    code, out, err = selfhost("render", "--lint", compose)
    assert (code, err) == (3, "")
    assert f"{compose}:3: services.engine.image: error R1: a tag can be moved: docker.io/vllm/vllm-openai:latest" in out
    assert f"{compose}:4: services.engine.command: error R20: vllm 0.32.0 has no such option: --max-model-length" in out


def test_rules_that_are_left_out_are_silent_and_an_unknown_one_is_an_error(selfhost, compose):
    words = ("render", "--lint", compose, "--ignore", "R1,r2", "--ignore", "R20", "--ignore", "R3")
    code, out, _ = selfhost(*words)
    assert code == 0
    assert {line.split()[3].rstrip(":") for line in out.splitlines() if ": warning" in line} == {"R4", "R6"}
    assert selfhost(*words, "--strict")[0] == 3
    assert selfhost("render", "--lint", compose, "--ignore", "R21")[0] == 2


def test_json_has_rule_place_and_remedy_of_each(selfhost, compose):
    code, out, _ = selfhost("render", compose, "--json", "--lint")
    said = json.loads(out)
    assert (code, said["schema_version"], said["files"]) == (3, 1, [str(compose)])
    assert said["errors"] == sum(finding["severity"] == "error" for finding in said["findings"])
    first = next(finding for finding in said["findings"] if finding["rule"] == "R1")
    assert first["where"].endswith("compose.yaml:3: services.engine.image")
    assert first["fix"].startswith("name the digest")


def test_what_is_rendered_passes_as_a_directory_and_is_held_against_its_model(selfhost, tmp_path):
    assert selfhost("render", "compose", "smollm2-135m", "--on", "cpu@8", "--output", tmp_path)[0] == 0
    read = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in {".md", ".txt", ""}]
    code, out, err = selfhost("render", "--lint", tmp_path, "--model", "smollm2-135m", "--on", "cpu@8", "--strict")
    assert (code, out, err) == (0, "", f"{len(read)} files: nothing found\n")
    code, out, _ = selfhost("render", "--lint", tmp_path, "--model", "deepseek-v3")
    assert code == 3
    assert "R5: `engine` gives up before its weights are read" in out


def test_ascend_images_are_held_against_the_hardware(selfhost, tmp_path):
    path = tmp_path / "pod.yaml"
    path.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n"
        "  - {image: quay.io/ascend/vllm-ascend:v0.23.0-310p, command: [sleep, '1']}\n"
    )
    assert "R17" in selfhost("render", "--lint", path, "--on", "8x910B3")[1]
    assert "R17" not in selfhost("render", "--lint", path)[1]


@pytest.mark.parametrize(
    ("content", "code"), [(b"a: [", 5), (b"\xff\xfe\x00", 5), (b"a: 1\n", 2), (b"x" * (5 << 20), 5), (None, 7)]
)
def test_files_that_cannot_be_read_have_their_exit_codes(selfhost, tmp_path, content, code):
    path = tmp_path / "a.yaml"
    if content is not None:
        path.write_bytes(content)
    assert selfhost("render", "--lint", path)[0] == code


def test_a_secret_in_a_file_that_others_can_read_is_found_by_its_mode(selfhost, compose):
    path = compose.parent / "a.env"
    path.write_text("HF_TOKEN=abc\n")
    for mode, found in ((0o644, True), (0o600, False)):
        path.chmod(mode)
        assert ("others can read a secret: HF_TOKEN" in selfhost("render", "--lint", compose.parent)[1]) is found


def test_without_lint_the_words_are_those_of_render(selfhost):
    code, _, err = selfhost("render", "compose")
    assert code == 2
    assert "MODEL" in err


def test_images_are_held_against_the_driver_and_the_list_of_what_is_brought(selfhost, tmp_path):
    files, listed = tmp_path / "files", tmp_path / "images.txt"
    assert selfhost("render", "compose", "glm-4.5-air", "--on", "8xH100", "--output", files)[0] == 0
    assert selfhost("render", "images", "glm-4.5-air", "--on", "8xH100", "--output", tmp_path)[0] == 0
    words = ("render", "--lint", files, "--images", listed)
    assert selfhost(*words, "--cuda", "13.0")[0] == 0
    code, out, _ = selfhost(*words, "--cuda", "12.8")
    assert (code, "error R18" in out, "error R1:" in out) == (3, True, False)
    assert selfhost(*words, "--cuda", "new")[0] == 2
    listed.write_text("# none\n")
    assert "error R1: an image that the bundle does not bring" in selfhost(*words)[1]


def test_every_rule_is_listed(selfhost):
    names = [f"R{number}" for number, _ in RULES]
    code, out, err = selfhost("render", "--lint", "--rules")
    assert (code, [line.split()[0] for line in out.splitlines()], err) == (0, names, "")
    said = json.loads(selfhost("render", "--lint", "--rules", "--json")[1])
    assert [rule["rule"] for rule in said["rules"]] == names
    assert all(rule["text"] for rule in said["rules"])


def test_without_a_file_the_request_is_wrong(selfhost, tmp_path):
    assert selfhost("render", "--lint")[0] == 2
    code, _, err = selfhost("render", "--lint", tmp_path)
    assert (code, str(tmp_path) in err) == (2, True)


def test_a_pipe_is_not_waited_for_and_a_circle_of_links_is_no_crash(selfhost, tmp_path):
    pipe, loop = tmp_path / "a.yaml", tmp_path / "b.yaml"
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    assert selfhost("render", "--lint", pipe)[0] == 5
    assert selfhost("render", "--lint", loop)[0] == 7


def test_a_directory_is_read_with_its_env_file_and_each_file_once(selfhost, compose, monkeypatch):
    (compose.parent / ".env").write_text("HF_TOKEN=abc\n")
    (compose.parent / ".env").chmod(0o644)
    monkeypatch.chdir(compose.parent)
    _, out, _ = selfhost("render", "--lint", ".", "compose.yaml", compose)
    assert out.count("a tag can be moved") == 1
    assert "others can read a secret: HF_TOKEN" in out
