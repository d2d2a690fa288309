"""`selfhost render`: what is written, what is told, what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from selfhost.cli import complete
from selfhost.recipe.load import builtin_directory
from selfhost.render.targets import TARGETS
from selfhost.weights.lock import LOCK_NAME

PLAN = ("smollm2-135m", "--on", "cpu@8")
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def render(selfhost, tmp_path):
    def run(*words, target="compose"):
        return selfhost("render", "--output", tmp_path / "deploy", target, *words)

    run.output = tmp_path / "deploy"
    return run


def engine(render):
    return yaml.safe_load((render.output / "compose.yaml").read_text())["services"]["engine"]


def test_paths_go_to_stdout_and_what_is_left_to_do_to_stderr(render):
    code, out, err = render(*PLAN)
    assert code == 0
    names = ["compose.yaml", "README.md", "LEAVING.md", "prometheus.yml", "alerts.yaml", "dashboard.json"]
    assert [Path(line).name for line in out.splitlines()] == names
    assert all(Path(line).is_file() for line in out.splitlines())
    assert "`selfhost pull smollm2-135m --variant bf16`" in err


def test_one_json_object_says_what_was_written(render):
    code, out, _ = render(*PLAN, "--json")
    said = json.loads(out)
    assert (code, said["schema_version"], said["target"], said["name"]) == (0, 1, "compose", "smollm2-135m")
    assert said["images"] == [engine(render)["image"]]
    assert said["plan"] == engine(render)["labels"]["selfhost.plan"]
    assert all(Path(path).is_file() for path in said["files"])


def test_check_says_yes_to_files_as_rendered_and_shows_what_was_changed(render):
    render(*PLAN)
    assert render(*PLAN, "--check")[:2] == (0, "")
    path = render.output / "compose.yaml"
    path.write_text(path.read_text().replace("read_only: true", "read_only: false"))
    code, out, _ = render(*PLAN, "--check")
    assert code == 3
    assert "\n-    read_only: false\n+    read_only: true\n" in out
    assert "read_only: false" in path.read_text()
    (render.output / "README.md").unlink()
    code, out, _ = render(*PLAN, "--check", "--json")
    assert (code, json.loads(out)["same"]) == (3, False)
    assert "--- /dev/null\n+++ README.md (rendered)" in json.loads(out)["diff"]


def test_another_plan_is_another_fingerprint(render):
    render(*PLAN)
    before = engine(render)["labels"]["selfhost.plan"]
    code, out, _ = render(*PLAN, "--max-num-seqs", "8", "--check")
    assert code == 3
    assert f"-      selfhost.plan: {before}\n" in out


def test_the_digest_of_a_stored_model_is_in_the_files(render, home):
    directory = home / "models" / "smollm2-135m" / "bf16"
    directory.mkdir(parents=True)
    (directory / LOCK_NAME).write_text("{}")
    _, _, err = render(*PLAN)
    assert "not in the store" not in err
    assert engine(render)["labels"]["selfhost.model-sha256"] == hashlib.sha256(b"{}").hexdigest()


def test_images_are_named_as_they_were_given(render):
    render(
        "qwen2.5-72b", "--on", "8x910B3", "--image", f"quay.io/a/b:v1@{DIGEST}", "--gateway-image", f"r:5000/n@{DIGEST}"
    )
    services = yaml.safe_load((render.output / "compose.yaml").read_text())["services"]
    assert services["engine"]["image"] == f"quay.io/a/b@{DIGEST}"
    assert services["gateway"]["image"] == f"r:5000/n@{DIGEST}"


@pytest.mark.parametrize(
    "image",
    [
        "nginx",
        "docker.io/n@sha256:abc",
        "docker.io/n:",
        "-x/y",
        "a/b c",
        "a/B",
        "a/b@md5:" + "a" * 64,
        "http://a/b",
        "",
    ],
)
def test_what_is_no_name_of_an_image_is_refused(render, image):
    code, _, err = render("qwen2.5-72b", "--on", "8x910B3", "--gateway-image", image or " ")
    assert code == 2
    assert "not the name of an image" in err
    assert not render.output.exists()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--name", "vllm"), 2, "`--name vllm-server`"),
        (("--name", "Big Model"), 2, "`--name big-model`"),
        (("--store", "srv/selfhost"), 2, "not an absolute path: `srv/selfhost`"),
        (("--port", "0"), 2, "files need a port"),
        (("--", "--no-such-option"), 2, "--no-such-option"),
    ],
)
def test_values_that_no_file_can_have_are_refused(render, words, code, said):
    result = render(*PLAN, *words)
    assert result[0] == code
    assert said in result[2]
    assert not render.output.exists()


def test_an_unknown_target_is_refused_before_anything_is_planned(render):
    code, _, err = render("no-such-model", target="helm")
    assert code == 2
    assert "unknown target: `helm`" in err
    assert "compose" in err


def test_a_plan_that_does_not_fit_is_rendered_only_when_forced(render):
    wanted = ("qwen2.5-72b", "--variant", "bf16", "--on", "2xRTX4090", "--tensor-parallel-size", "2")
    code, _, err = render(*wanted)
    assert code == 3
    assert "`--force`" in err
    assert not render.output.exists()
    code, _, err = render(*wanted, "--force")
    assert code == 0
    assert "does not fit" in err


def test_a_recipe_of_ones_own_travels_with_the_files(render, home, tmp_path):
    text = next(builtin_directory().rglob("smollm2-135m.toml")).read_text()
    (home / "recipes").mkdir(parents=True)
    (home / "recipes" / "smollm2-135m.toml").write_text(text + "\n# ours\n")
    render(*PLAN)
    assert (render.output / "recipes" / "smollm2-135m.toml").read_text().endswith("# ours\n")
    assert "./recipes:/var/lib/selfhost/recipes:ro" in engine(render)["volumes"]


def test_a_directory_is_mounted_where_it_lies_and_of_a_hubs_cache_all_that_its_links_need(render, tmp_path):
    data = Path(__file__).parent.parent / "data" / "render" / "models" / "tiny-qwen"
    snapshot = tmp_path / "hub" / "models--Qwen--Tiny" / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text((data / "config.json").read_text())
    assert render(snapshot, "--on", "2xA800-80G")[0] == 0
    assert engine(render)["command"][0] == "/models/models--Qwen--Tiny/snapshots/0a1b"
    assert f"{tmp_path}/hub/models--Qwen--Tiny:/models/models--Qwen--Tiny:ro" in engine(render)["volumes"]


def test_an_address_that_others_reach_is_told(render):
    code, _, err = render(*PLAN, "--host", "::", "--port", "9000")
    assert code == 0
    assert "published on ::, port 9000" in err
    assert engine(render)["ports"] == ["[::]:9000:8000"]


def test_targets_are_offered():
    assert complete.targets("") == list(TARGETS)
    assert complete.targets("q") == ["quadlet"]
