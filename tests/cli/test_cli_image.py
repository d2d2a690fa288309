"""`image build --dry-run` and `image ls` as a user types them."""

from __future__ import annotations

import json
import shlex

import pytest

from selfhost import __version__
from selfhost.images.kinds import CUDA

DIGEST = f"sha256:{'0123' * 16}"
PINNED = f"r.example/vllm@{DIGEST}"


@pytest.fixture
def only(monkeypatch, tmp_path):
    """`only("podman", says)`: one builder is installed, and prints this."""

    def install(name: str, says: str = "") -> None:
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\nprintf %s {shlex.quote(says)}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setattr("shutil.which", lambda wanted: str(tool) if wanted == name else None)

    return install


def test_a_dry_run_prints_the_command_and_makes_nothing(selfhost, only, home):
    only("podman")
    code, out, err = selfhost("image", "build", "cuda", "--dry-run", "--base", PINNED, "--tag", "r.example/mine:1")
    argv = shlex.split(out)
    assert (code, argv[:2], argv[-1], err) == (0, ["podman", "build"], "CONTEXT", "")
    assert argv[argv.index("--tag") + 1] == "r.example/mine:1"
    assert f"BASE={PINNED}" in argv
    assert f"BASE_DIGEST={DIGEST}" in argv
    assert f"VERSION={__version__}" in argv
    assert not home.exists()


@pytest.mark.parametrize(("name", "engine"), [("quantize", "quantize-cuda"), ("quantize-cpu", "quantize-cpu")])
def test_the_image_that_quantizes_is_told_which_build_goes_in(selfhost, only, name, engine):
    only("podman")
    code, out, _ = selfhost("image", "build", name, "--dry-run", "--base", PINNED, "--json")
    told = json.loads(out)
    assert (code, told["reference"]) == (0, f"localhost/selfhost-{name}:{__version__}")
    assert f"ENGINE={engine}" in told["argv"]
    assert told["context"] == ["Containerfile", "sbom.cdx.json", "wheels/own/", "wheels/engine/"]


def test_a_base_by_tag_is_warned_of_and_one_of_this_machine_is_not(selfhost, only):
    only("docker")
    code, out, err = selfhost("image", "build", "cuda", "--dry-run", "--json")
    assert (code, json.loads(out)["reference"]) == (0, f"localhost/selfhost-cuda:{__version__}")
    assert CUDA.base in err
    assert selfhost("image", "build", "cuda", "--dry-run", "--base", "localhost/base:1")[2] == ""


def test_the_images_of_a_store_are_listed(selfhost, only):
    only("podman", "[]")
    code, out, err = selfhost("image", "ls")
    assert (code, out) == (0, "")
    assert "selfhost image build cpu" in err
    assert json.loads(selfhost("image", "ls", "--json")[1]) == {"schema_version": 1, "builder": "podman", "images": []}


def test_a_builder_that_says_something_else_is_quoted(selfhost, only):
    only("podman", "what?")
    code, _, err = selfhost("image", "ls")
    assert code == 4
    assert "podman images --format json" in err


def test_an_unknown_image_and_an_unknown_builder_are_exit_code_2(selfhost, only):
    only("podman")
    assert selfhost("image", "build", "cude", "--dry-run")[0] == 2
    assert selfhost("image", "build", "cuda", "--with", "kaniko", "--dry-run")[0] == 2
