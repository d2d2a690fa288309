"""From npu-smi's words to the engine's environment: a machine that replays captures, CANN's scripts in its folder."""

from __future__ import annotations

import pytest
import yaml

from selfhost.app.detect import choose_hardware
from selfhost.app.doctor import examine_here
from selfhost.app.doctor.nodes import read_nodes
from selfhost.app.doctor.report import write_report
from selfhost.app.engine_env import cann_env
from selfhost.app.model import resolve
from selfhost.app.plan import plan_model
from selfhost.errors import MissingError, UsageError
from selfhost.findings import Severity
from selfhost.hardware import hccn
from selfhost.hardware.system import System
from selfhost.home import Home
from selfhost.planner.plan import PlanRequest
from selfhost.render.resolve import Choices, deploy
from selfhost.render.targets import TARGETS
from tests.ascend_support import install
from tests.fakes.machine import Machine

A2 = {"info": "910B3_8npu_info_24.1.rc1.b030", "m": "910A_8npu_info-m"}


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    made.npu_smi(**A2)
    made.nodes(*range(8))
    return made


def planned(machine, model: str = "qwen2.5-72b"):
    return plan_model(resolve(model).to_plan(), choose_hardware(machine.probe(), None), PlanRequest(host="127.0.0.1"))


def test_the_engine_is_bound_to_what_the_environment_leaves_of_the_npus(machine):
    machine.environ["ASCEND_RT_VISIBLE_DEVICES"] = "4,5,6,7"
    plan = planned(machine)
    assert (plan.hardware.device.id, plan.hardware.devices_per_node) == ("910B3-64G", 4)
    assert plan.fits
    assert plan.env["ASCEND_RT_VISIBLE_DEVICES"] == "4,5,6,7"
    made = deploy(plan, Choices(store="/srv/selfhost", version="0.1.0"))
    files = {file.path: file.text for file in TARGETS["compose"](made)}
    engine = yaml.safe_load(files["compose.yaml"])["services"]["engine"]
    assert [device.partition(":")[0] for device in engine["devices"]][:4] == [f"/dev/davinci{n}" for n in (4, 5, 6, 7)]
    # Inside it gets four, which are counted from 0 there.
    assert "ASCEND_RT_VISIBLE_DEVICES" not in engine["environment"]


def test_one_npu_is_enough_for_a_small_model(machine):
    plan = planned(machine, "qwen2.5-7b")
    used = plan.env["ASCEND_RT_VISIBLE_DEVICES"].split(",")
    assert len(used) == plan.layout.world_size
    assert used == [str(number) for number in range(len(used))]


def test_canns_variables_come_from_the_same_machine(machine):
    system = install(machine.root)
    env = cann_env(system, machine.root / "engine/bin/python")
    assert env["ASCEND_HOME_PATH"] == f"{machine.root}/usr/local/Ascend/cann-9.1.0"
    assert f"{machine.root}/usr/local/Ascend/driver/lib64/driver" in env["LD_LIBRARY_PATH"]


def test_doctor_tells_of_the_npus_network_and_reports_it_for_other_nodes(machine, tmp_path):
    machine.tool(
        "hccn_tool",
        'case "$*" in\n*" -link "*) echo "link status: DOWN";;\n'
        '*" -ip "*) echo "ipaddr:192.0.2.1$2"; echo "netmask:255.255.255.0";;\n'
        '*" -tls "*) echo "dev_id:$2, tls switch[0](0:disable, 1:enable)";;\n*) echo "not supported";;\nesac',
    )
    home = Home(tmp_path / "home")
    system = System(root=machine.root, environ=machine.environ, nvml_argv=machine.nvml)
    examined = examine_here(home, system=system)
    told = {finding.message.id: finding for finding in examined.findings if finding.message.id.startswith("hccn.")}
    assert set(told) == {"hccn.link_down", "hccn.not_told"}
    assert (told["hccn.link_down"].where, told["hccn.link_down"].severity) == ("here: NPU 0-7", Severity.NOTE)

    write_report(tmp_path / "node.json", examined, home, keep_addresses=True)
    devices = hccn.from_saved((tmp_path / "node.json").read_text())
    assert devices == examined.facts.ascend.network
    assert [device.ip for device in devices] == [f"192.0.2.1{index}" for index in range(8)]
    # Another node with TLS on: what only two nodes together show.
    other = (
        (tmp_path / "node.json").read_text().replace('"tls": false', '"tls": true').replace("192.0.2.1", "192.0.2.2")
    )
    (tmp_path / "other.json").write_text(other)
    found = examine_here(home, system=system, nodes=read_nodes([tmp_path / "other.json"])).findings
    differs = next(finding for finding in found if finding.message.id == "hccn.tls_differs")
    assert differs.severity is Severity.ERROR
    assert differs.message.why == "on: other.json: NPU 0-7\noff: here: NPU 0-7"

    write_report(tmp_path / "given.json", examined, home)
    assert {device.ip for device in hccn.from_saved((tmp_path / "given.json").read_text())} == {None}


def test_a_file_that_tells_of_no_port_is_refused(tmp_path):
    (tmp_path / "empty").write_text("{}")
    with pytest.raises(UsageError) as caught:
        read_nodes([tmp_path / "empty"])
    assert caught.value.message.id == "doctor.node_empty"
    with pytest.raises(MissingError):
        read_nodes([tmp_path / "absent"])
