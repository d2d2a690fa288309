"""Containers of Ascend plans: which devices they get, by family, and which of them the engine uses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from selfhost.app.model import resolve
from selfhost.app.plan import plan_model
from selfhost.hardware.spec import parse
from selfhost.planner.plan import PlanRequest
from selfhost.render.lint import lint
from selfhost.render.resolve import Choices, deploy
from selfhost.render.targets import TARGETS
from tests.render.lint.lint_support import GATEWAY

MANAGERS = ["/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc"]


def rendered(target: str, on: str, indices: tuple[int, ...] = ()):
    """Files of a small model on hardware whose devices are numbered so."""
    hardware = replace(
        parse(on), device_indices=indices, physical_ids=indices, logical_ids=indices, assumed=not indices
    )
    plan = plan_model(resolve("qwen2.5-7b").to_plan(), hardware, PlanRequest(host="127.0.0.1"))
    assert plan.argv, plan.reasons
    made = deploy(plan, Choices(store="/srv/selfhost", gateway=GATEWAY, version="0.1.0"))
    return {file.path: file.text for file in TARGETS[target](made)}


def engine(files):
    return yaml.safe_load(files["compose.yaml"])["services"]["engine"]


def devices(files):
    return [device.partition(":")[0] for device in engine(files)["devices"]]


@pytest.mark.parametrize(
    ("on", "indices", "nodes", "visible"),
    [
        ("910B3", (), ["davinci0"], None),
        ("910B3", (5,), ["davinci5"], None),
        # A card of A3 is two dies, and a container gets both; inside, they are 0 and 1.
        ("910C", (), ["davinci0", "davinci1"], "0"),
        ("910C", (5,), ["davinci4", "davinci5"], "1"),
        ("310P3", (3,), ["davinci3"], None),
        ("950PR", (2,), ["davinci2"], None),
    ],
)
def test_a_container_gets_the_devices_by_their_physical_number(on, indices, nodes, visible):
    files = rendered("compose", on, indices)
    assert devices(files) == [*(f"/dev/{node}" for node in nodes), *MANAGERS]
    assert engine(files)["environment"].get("ASCEND_RT_VISIBLE_DEVICES") == visible
    assert engine(files)["group_add"] == ["1000"]
    assert not [finding for finding in lint(files) if finding.severity.value == "error"]


def test_a_950dt_gets_the_devices_of_its_fabric():
    assert devices(rendered("compose", "950DT"))[-2:] == ["/dev/ummu", "/dev/uburma"]
    # Quadlet and systemd have ways of their own to say it.
    assert "AddDevice=/dev/uburma" in rendered("quadlet", "950DT")["qwen2-5-7b.container"]
    assert "DeviceAllow=char-* rw" in rendered("systemd", "950DT")["qwen2-5-7b.service"]


def test_on_the_machine_itself_the_engine_is_bound_to_what_was_found():
    unit = rendered("systemd", "910C", (5,))["qwen2-5-7b.service"]
    assert "Environment=ASCEND_RT_VISIBLE_DEVICES=5" in unit
    assert "DeviceAllow=/dev/davinci4 rw" in unit


def test_a_cluster_is_asked_for_whole_cards():
    files = rendered("k8s", "910C")
    limits = yaml.safe_load(files["deployment.yaml"])["spec"]["template"]["spec"]["containers"][0]["resources"][
        "limits"
    ]
    assert limits["huawei.com/Ascend910"] == 2
    assert not [finding for finding in lint(files) if finding.severity.value == "error"]


def test_fewer_ranks_than_visible_devices_are_found():
    files = rendered("compose", "910C")
    changed = files | {"compose.yaml": files["compose.yaml"].replace("ASCEND_RT_VISIBLE_DEVICES: '0'", "A: b")}
    assert changed != files
    assert "render_lint.r10_devices" in {finding.message.id for finding in lint(changed)}


def test_the_files_for_several_nodes_of_950_bring_its_routes():
    hardware = parse("2x8x950DT")
    plan = plan_model(resolve("deepseek-v3").to_plan(), hardware, PlanRequest(host="127.0.0.1"))
    assert plan.node_argv
    made = deploy(plan, Choices(store="/srv/selfhost", gateway=GATEWAY, version="0.1.0"))
    text = {file.path: file.text for file in TARGETS["compose"](made)}["node1/compose.yaml"]
    assert "/etc/hccl_rootinfo.json" in str(yaml.safe_load(text)["services"]["engine"]["volumes"])
