"""`selfhost render k8s|k8s-lws`, and what `--cluster` takes."""

from __future__ import annotations

import json

import pytest
import yaml

from selfhost.app.render import parse_cluster
from selfhost.errors import UsageError
from selfhost.render.kubernetes import Kubernetes, Storage


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], Kubernetes()),
        (["version=1.29"], Kubernetes(minor=29)),
        (["version=v1.34.2+k3s1"], Kubernetes(minor=34)),
        (["namespace=llm", "storage=host"], Kubernetes(namespace="llm", storage=Storage.HOST)),
        (["claim=models.shared", "interface=net1"], Kubernetes(claim="models.shared", interface="net1")),
        (["resource=huawei.com/Ascend910B3"], Kubernetes(resource="huawei.com/Ascend910B3")),
    ],
)
def test_a_cluster_is_read(words, wanted):
    assert parse_cluster(words) == wanted


@pytest.mark.parametrize(
    "word",
    [
        *("namespace", "namespace=", "namespace=Upper", "namespace=a b", "storage=nfs", "claim=-a", "colour=blue"),
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
