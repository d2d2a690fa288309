"""`selfhost render k8s|k8s-lws`, and what `--cluster` takes."""

from __future__ import annotations

import json

import pytest
import yaml

from selfhost.app.render_cluster import parse_cluster
from selfhost.errors import UsageError
from selfhost.render.kubernetes import Kubernetes, Storage

DIGEST = "sha256:" + "5" * 64
MODEL = f"registry.example:5000/models/qwen@{DIGEST}"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], Kubernetes()),
        (["version=1.29"], Kubernetes(minor=29)),
        (["version=v1.34.2+k3s1"], Kubernetes(minor=34)),
        (["namespace=llm", "storage=host"], Kubernetes(namespace="llm", storage=Storage.HOST)),
        (["claim=models.shared", "interface=net1"], Kubernetes(claim="models.shared", interface="net1")),
        (["resource=huawei.com/Ascend910B3"], Kubernetes(resource="huawei.com/Ascend910B3")),
        (["uid=any"], Kubernetes(any_user=True)),
        ([f"image={MODEL}", "version=1.31"], Kubernetes(minor=31, storage=Storage.IMAGE, image=MODEL)),
        (
            ["version=1.35", "storage=image", f"image=registry.example:5000/models/qwen:v1@{DIGEST}"],
            Kubernetes(minor=35, storage=Storage.IMAGE, image=MODEL),
        ),
    ],
)
def test_a_cluster_is_read(words, wanted):
    assert parse_cluster(words) == wanted


@pytest.mark.parametrize(
    "word",
    [
        *("namespace", "namespace=", "namespace=Upper", "namespace=a b", "storage=nfs", "claim=-a", "colour=blue"),
        *("uid=0", "uid=", "image=", "image"),
        *("resource=gpu", "resource=nvidia.com/gpu: 8", "interface=$(x)", "minor=30", "=", "interface=eth0\nx"),
    ],
)
def test_what_no_cluster_can_have_is_refused(word):
    with pytest.raises(UsageError) as error:
        parse_cluster([word])
    assert error.value.message.id == "render.bad_cluster"


@pytest.mark.parametrize("value", ["1.28", "2.0", "1", "1.x", "", "1.30\n"])
def test_a_version_that_files_are_not_rendered_for_is_refused(value):
    with pytest.raises(UsageError) as error:
        parse_cluster([f"version={value}"])
    assert error.value.message.id == "render.bad_version"
    assert "1.29" in error.value.message.why


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["storage=image", "version=1.35"], "render.no_model_image"),
        (["image=registry.example/models/qwen:v1", "version=1.35"], "render.model_by_tag"),
        (["image=qwen", "version=1.35"], "render.bad_image"),
        ([f"image={MODEL}", "version=1.35", "claim=models"], "render.two_places"),
        ([f"image={MODEL}", "version=1.35", "storage=host"], "render.two_places"),
        (["storage=claim", f"image={MODEL}", "version=1.35"], "render.two_places"),
        ([f"image={MODEL}"], "render.no_image_volumes"),
        ([f"image={MODEL}", "version=1.30"], "render.no_image_volumes"),
    ],
)
def test_an_image_is_the_only_place_of_a_model_is_named_by_digest_and_needs_a_cluster_that_mounts_it(words, wanted):
    with pytest.raises(UsageError) as error:
        parse_cluster(words)
    assert error.value.message.id == wanted
    assert error.value.message.hint


@pytest.mark.parametrize(("version", "told"), [("1.31", True), ("1.34", True), ("1.35", False)])
def test_a_model_in_an_image_needs_no_store_and_on_older_clusters_a_feature_gate(selfhost, tmp_path, version, told):
    place = ("--cluster", f"image={MODEL}", "--cluster", f"version={version}", "--output", tmp_path)
    code, out, _ = selfhost("render", "k8s", "smollm2-135m", "--on", "cpu@8", *place, "--json")
    said = json.loads(out)
    assert code == 0
    assert MODEL in said["images"]
    assert any("ImageVolume" in note for note in said["notes"]) is told
    assert not [note for note in said["notes"] if "selfhost pull" in note]
    readme = (tmp_path / "README.md").read_text()
    assert ("ImageVolume" in readme) is told
    assert MODEL in readme


def test_a_model_in_an_image_lies_in_no_directory_of_the_machines(selfhost, tmp_path):
    image = ("--cluster", f"image={MODEL}", "--cluster", "version=1.35")
    words = ("qwen2.5-72b", "--on", "8xH20", "--directory", "/srv/x", *image)
    code, _, err = selfhost("render", "k8s", *words, "--output", tmp_path / "out")
    assert (code, (tmp_path / "out").exists()) == (2, False)
    assert f"two places for one model: `--directory /srv/x` and `image={MODEL}`" in err


def test_who_leaves_is_told_where_the_model_is_in_its_image(selfhost, tmp_path):
    words = ("qwen2.5-72b", "--on", "8xH20", "--cluster", f"image={MODEL}", "--cluster", "version=1.35")
    assert selfhost("render", "k8s", *words, "--output", tmp_path / "out")[0] == 0
    said = (tmp_path / "out" / "LEAVING.md").read_text()
    assert f"where a pod mounts `{MODEL}`; in that image it is `/models`." in said


def test_how_a_key_of_a_pods_gateway_ends_is_said(selfhost, tmp_path):
    """nginx reads the file of keys when it is told to, not when the secret changes."""
    words = ("qwen2.5-72b", "--on", "8x910B3", "--name", "q")
    assert selfhost("render", "k8s", *words, "--output", tmp_path / "out")[0] == 0
    said = (tmp_path / "out" / "README.md").read_text()
    assert "`kubectl -n selfhost delete secret q-keys`, the same again" in said
    assert "`kubectl -n selfhost exec POD -c gateway -- nginx -e stderr -s reload`" in said


def test_the_list_of_images_has_the_models(selfhost, tmp_path):
    place = ("--cluster", f"image={MODEL}", "--cluster", "version=1.35", "--output", tmp_path)
    assert selfhost("render", "images", "smollm2-135m", "--on", "cpu@8", *place)[0] == 0
    assert MODEL in (tmp_path / "images.txt").read_text().splitlines()


@pytest.mark.parametrize("target", ["compose", "quadlet", "systemd"])
def test_other_targets_mount_no_image(selfhost, tmp_path, target):
    place = ("--cluster", f"image={MODEL}", "--cluster", "version=1.35", "--output", tmp_path)
    code, _, err = selfhost("render", target, "smollm2-135m", "--on", "cpu@8", *place)
    assert code == 2
    assert f"`{target}` mounts no image" in err
    assert not list(tmp_path.iterdir())


def test_a_recipes_options_and_the_users_go_to_an_engine_that_opens_a_directory(selfhost, tmp_path):
    place = ("--cluster", f"image={MODEL}", "--cluster", "version=1.35", "--output", tmp_path)
    more = ("--", "--reasoning-parser", "deepseek_r1", "--max-num-seqs", "7")
    assert selfhost("render", "k8s", "glm-4.5-air", "--on", "8xH100", *place, *more)[0] == 0
    deployment = yaml.safe_load((tmp_path / "deployment.yaml").read_text())
    args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[:3] == ["selfhost", "serve", "/models/image/models"]
    assert args[args.index("--max-num-seqs") + 1] == "7"
    assert args[args.index("--name") + 1] == "glm-4-5-air"
    after = args[args.index("--") + 1 :]
    assert after[after.index("--tool-call-parser") + 1] == "glm45"
    assert [after[place + 1] for place, word in enumerate(after) if word == "--reasoning-parser"] == ["deepseek_r1"]
    assert "--max-num-seqs" not in after
    # The command line of `serve` reads all of it; the directory is in the pod only.
    code, _, err = selfhost("serve", *args[2:])
    assert (code, "/models/image/models" in err) == (2, True)


def test_files_are_written_and_found_the_same(selfhost, tmp_path):
    command = ("render", "k8s", "smollm2-135m", "--on", "cpu@8", "--output", tmp_path, "--cluster", "namespace=llm")
    code, out, _ = selfhost(*command)
    assert code == 0
    assert f"{tmp_path}/deployment.yaml" in out.splitlines()
    assert yaml.safe_load((tmp_path / "namespace.yaml").read_text())["metadata"]["name"] == "llm"
    assert selfhost(*command, "--check")[:2] == (0, "")
    code, out, _ = selfhost(*command[:-2], "--check")
    assert code == 3
    assert "-  name: llm\n+  name: selfhost\n" in out


def test_notes_are_about_clusters_not_about_hosts(selfhost, tmp_path):
    command = ("render", "k8s-lws", "deepseek-v3", "--on", "2x8xH20", "--output", tmp_path, "--json")
    code, out, _ = selfhost(*command)
    said = json.loads(out)
    assert code == 0
    assert not [note for note in said["notes"] if "--host" in note]
    assert len(said["images"]) == 2


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("k8s", "deepseek-v3", "--on", "2x8xH20"), "selfhost render k8s-lws deepseek-v3"),
        (("k8s-lws", "qwen2.5-7b", "--on", "1xRTX4090"), "selfhost render k8s qwen2.5-7b"),
    ],
)
def test_the_other_target_is_named_where_one_does_not_do(selfhost, tmp_path, words, hint):
    code, _, err = selfhost("render", *words, "--output", tmp_path)
    assert code == 2
    assert hint in err
    assert not list(tmp_path.iterdir())
