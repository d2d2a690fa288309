"""Asking about NPUs against a fake npu-smi that replays captures, and against its failures."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from selfhost.cli import detect as command
from selfhost.hardware.probe_ascend import EnginePython
from selfhost.units import MIB
from tests.fakes.machine import ASCEND, Machine

A2 = {
    "info": "910B3_8npu_info_24.1.rc1.b030",
    "m": "910A_8npu_info-m",
    "board": "910B_A2_info-t-board_i0_25.5.1",
    "topo": "910B3_8npu_info-t-topo",
}
A3 = {
    "info": "A3_2card_4die_info_25.2.0",
    "m": "A3_info-m_with-Mcu-row_fixture",
    "chip": "A3_info-t-board_i0_c0_excerpt",
    "topo": "A3_4die_info-t-topo_first-rows-fixture",
}
PRO = {"info": "310P3_300I-Pro_8card_info_24.1.0.1_noncontiguous-ids"}
OF_950 = {"info": "950_doc_info_placeholder-names", "board": "950PR_info-t-board_i0_25.7.rc1.6_excerpt"}
VERSION = "Version=24.1.rc1\ncompatible_version_fw=[7.0.0,7.8.99]\n"


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def begins(snapshot) -> list[str]:
    return [note.partition(";")[0].partition(":")[0] for note in snapshot.notes]


@pytest.mark.parametrize(
    ("answers", "name", "count", "total", "used"),
    [
        (A2, "910B3", 8, 65536, (3314, 3318)),
        (A3, "910C", 4, 65536, (2876, 10568)),
        (PRO, "310P3", 8, 21527, (1843, 1846)),
        (OF_950, "950PR", 1, 86016, (4439, 4439)),
    ],
)
def test_detect_json_with_a_fake_on_the_path(machine, monkeypatch, capsys, answers, name, count, total, used):  # noqa: PLR0917 - a table's row
    machine.npu_smi(**answers)
    monkeypatch.setenv("PATH", str(machine.bin))
    monkeypatch.setenv("SELFHOST_HOME", str(machine.root))
    command._detect(as_json=True)
    body = json.loads(capsys.readouterr().out)
    found = [one for one in body["accelerators"] if one["vendor"] == "huawei"]
    assert [one["name"] for one in found] == [name] * count
    assert {one["memory_bytes"] for one in found} == {total * MIB}
    in_use = [one["used_bytes"] // MIB for one in found]
    assert (min(in_use), max(in_use)) == used
    state = {(one["supported"], one["npu"]["utilization_percent"], one["npu"]["health"]) for one in found}
    assert state == {(True, 0, "OK")}


def test_every_question_is_asked_once(machine):
    machine.npu_smi(**A2)
    machine.nodes(*range(8))
    machine.file("usr/local/Ascend/driver/version.info", VERSION)
    machine.file(
        "etc/ascend_install.info", "Driver_Install_Path_Param=/usr/local/Ascend\nDriver_Install_Status=complete\n"
    )
    snapshot = machine.probe()
    assert machine.calls() == [
        "npu-smi info",
        "npu-smi info -m",
        "npu-smi info -t board -i 0",
        "npu-smi info -t topo",
    ]
    assert snapshot.notes == ()
    assert [(a.npu.card_id, a.npu.physical_id, a.npu.logical_id) for a in snapshot.accelerators] == [
        (i, i, i) for i in range(8)
    ]
    host = snapshot.host
    assert (host.ascend_driver, host.ascend_firmware, host.soc_family) == ("24.1.rc1.b030", "7.8.0.6.201", "A2")
    assert (host.ascend_firmware_wanted, host.ascend_install_status) == ("7.0.0 to 7.8.99", "complete")
    assert host.ascend_links == ("HCCS",)


def test_a_die_has_the_name_of_its_chip(machine):
    machine.npu_smi(**A3)
    snapshot = machine.probe()
    assert "npu-smi info -t board -i 0 -c 0" in machine.calls()
    assert {a.npu.soc_version for a in snapshot.accelerators} == {"ascend910_9392"}
    assert snapshot.host.ascend_links == ("HCCS_SW", "SIO")


def test_firmware_of_a_host_is_in_a_file(machine):
    machine.file("usr/local/Ascend/firmware/version.info", "Version=7.5.0.1.129\nfirmware_version=1.0\n")
    assert machine.probe().host.ascend_firmware == "7.5.0.1.129"


def test_what_a_failing_question_prints_does_not_count(machine):
    mapping = ASCEND / "910A_8npu_info-m.txt"
    machine.tool("npu-smi", f'case "$*" in info) cat {ASCEND}/{A2["info"]}.txt;; *) cat {mapping}; exit 1;; esac')
    assert {a.npu.logical_id for a in machine.probe().accelerators} == {None}


def test_a_question_that_hangs_is_the_last(machine):
    machine.tool("npu-smi", f'case "$*" in info) cat {ASCEND}/{A2["info"]}.txt;; *) exec sleep 60;; esac')
    began = time.monotonic()
    snapshot = machine.probe(limit_s=1.5)
    assert time.monotonic() - began < 10
    assert len(snapshot.accelerators) == 8
    assert len(machine.calls()) == 2
    assert "`npu-smi info -m` did not answer in time" in begins(snapshot)


@pytest.mark.parametrize(
    ("body", "note"),
    [
        ("exec sleep 60", "npu-smi did not answer within 0."),
        (f"cat {ASCEND}/error_container_dcmi_-8020.txt; exit 1", "another container or process holds the NPUs (-8020)"),
        (f"head -c 700 {ASCEND}/{A2['info']}.txt", "cannot read npu-smi"),
        ("echo '没有找到设备'", "cannot read npu-smi"),
    ],
)
def test_devices_that_npu_smi_does_not_tell_are_told_by_their_nodes(machine, body, note):
    machine.tool("npu-smi", body)
    machine.nodes(2, 3)
    machine.pci("0x19e5", "0xd802", 8)
    snapshot = machine.probe(limit_s=0.4 if "sleep" in body else 5)
    assert [said.startswith(note) for said in begins(snapshot)] == [True]
    assert [(a.name, a.index, a.npu.physical_id, a.supported) for a in snapshot.accelerators] == [
        ("Ascend A2", 2, 2, False),
        ("Ascend A2", 3, 3, False),
    ]
    assert {a.reason.partition(":")[0] for a in snapshot.accelerators} == {"its kind and memory are not known"}
    assert {a.visible_memory_bytes for a in snapshot.accelerators} == {None}


def test_the_bus_tells_of_what_no_engine_drives(machine):
    machine.nodes(0)
    machine.pci("0x19e5", "0xd801")
    (npu,) = machine.probe().accelerators
    assert npu.reason.startswith("first-generation Ascend 910")


def test_npus_without_a_driver_are_counted(machine):
    machine.pci("0x19e5", "0xd803", 16)
    assert begins(machine.probe()) == ["16 Ascend NPUs (A3) are on the PCI bus, but no driver is here"]


def test_a_driver_without_devices_is_not_loaded(machine):
    machine.pci("0x19e5", "0xd802", 8)
    machine.file("usr/local/Ascend/driver/version.info", VERSION)
    assert begins(machine.probe())[0].startswith("8 Ascend NPUs are on the PCI bus and a driver is installed, but")


@pytest.mark.parametrize(
    ("version", "install", "noted"),
    [
        ("Version=24.1.rc1\n", "Driver_Install_Status=complete\n", []),
        ("", "Driver_Install_Type=full\n", []),
        ("", "Driver_Install_Status=installing\n", ["the Ascend driver was not installed to the end"]),
        ("Version=25.2.0\n", "", ["the running Ascend driver is 24.1.rc1.b030, its files are of 25.2.0"]),
        (
            "Version=24.1.rc1\ncompatible_version_fw=[7.0.0,7.2.99]\n",
            "",
            ["firmware 7.8.0.6.201 does not go with driver 24.1.rc1, which takes 7.0.0 to 7.2.99"],
        ),
    ],
)
def test_what_of_a_driver_does_not_go_together_is_noted(machine, version, install, noted):
    machine.npu_smi(**A2)
    machine.nodes(*range(8))
    machine.file("usr/local/Ascend/driver/version.info", version)
    machine.file("etc/ascend_install.info", install)
    assert begins(machine.probe()) == noted


def test_files_are_where_the_installation_says(machine):
    machine.file("etc/ascend_install.info", "Driver_Install_Path_Param=/opt/hdk\n")
    machine.file("opt/hdk/driver/version.info", "Version=25.5.1\n")
    machine.file("opt/hdk/firmware/version.info", "Version=7.8.0.6.201\n")
    host = machine.probe().host
    assert (host.ascend_driver, host.ascend_firmware) == ("25.5.1", "7.8.0.6.201")


def test_a_toolkit_of_a_user_is_in_the_home_folder(machine):
    machine.environ["HOME"] = "/home/me"
    machine.file("home/me/Ascend/ascend-toolkit/latest/x86_64-linux/ascend_toolkit_install.info", "version=8.3.RC2\n")
    assert machine.probe().host.cann == "8.3.RC2"


def test_faults_of_a_sick_npu_are_asked_for(machine):
    table, health = ASCEND / "950DT_3of8npu_info_25.6.rc1.b218_trimmed-fixture.txt", "Health Status : Warning"
    machine.tool(
        "npu-smi", f"case \"$*\" in info) cat {table};; *health*) echo '{health}'; echo 'Error Code : 80E01801';; esac"
    )
    snapshot = machine.probe()
    assert [a.npu.fault_codes for a in snapshot.accelerators] == [(), (), ("80E01801",)]
    assert "npu-smi info -t health -i 7" in machine.calls()
    assert begins(snapshot)[0] == "NPU 7 (950DT) reports health `Warning`, faults 80E01801"


def test_a_table_counts_even_when_its_tool_does_not_end(machine):
    machine.tool("npu-smi", f"cat {ASCEND}/{A2['info']}.txt; exec sleep 60")
    snapshot = machine.probe(limit_s=1.5)
    assert len(snapshot.accelerators) == 8
    assert [said.partition(" within")[0] for said in begins(snapshot)] == ["npu-smi did not answer"]
    assert machine.calls() == ["npu-smi info"]


TORCH = """import os, types
def device_count(): return 1 if "ASCEND_RT_VISIBLE_DEVICES" in os.environ else 2
def get_device_name(index): return "Ascend910B4"
def mem_get_info(index):
    if index: raise RuntimeError("busy")
    return 30 << 30, 31 << 30
npu = types.SimpleNamespace(**{n: globals()[n] for n in ("device_count", "get_device_name", "mem_get_info")})
"""


def torch_npu(machine, body: str = "__version__ = '2.10.0.post4'; print('a line of the runtime')\n"):
    """This Python, with a torch and a torch_npu of the test."""
    packages = machine.root / "packages"
    packages.mkdir()
    (packages / "torch.py").write_text(TORCH)
    (packages / "torch_npu.py").write_text(body)
    # As the scripts of CANN do, which torch_npu cannot be imported without.
    return lambda: (EnginePython(Path(sys.executable), {"PYTHONPATH": str(packages)}),)


def test_torch_npu_tells_what_npu_smi_does_not(machine):
    machine.nodes(4, 5)
    machine.environ["ASCEND_RT_VISIBLE_DEVICES"] = "0"
    snapshot = machine.probe(torch_npu=torch_npu(machine))
    assert [a.hidden for a in snapshot.accelerators] == [False, True]
    assert [(a.name, a.visible_memory_bytes, a.used_bytes, a.supported) for a in snapshot.accelerators] == [
        ("910B4", 31 << 30, 1 << 30, True),
        ("910B4", None, None, False),
    ]
    assert [(a.npu.logical_id, a.npu.physical_id) for a in snapshot.accelerators] == [(0, None), (1, None)]
    assert begins(snapshot)[:2] == [
        "an Ascend NPU is there, but npu-smi is not",
        f"the NPUs were asked through torch_npu ({sys.executable})",
    ]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ("raise ImportError('libhccl.so')", "ImportError: libhccl.so"),
        ("import time; time.sleep(60)", "no answer in time"),
        ("import os; os._exit(3)", "no output"),
    ],
)
def test_torch_npu_that_fails_is_noted_and_nodes_are_left(machine, body, detail):
    machine.nodes(4)
    limit_s = 0.5 if "sleep" in body else 5
    snapshot = machine.probe(limit_s, torch_npu(machine, body))
    assert [note.partition(";")[0] for note in snapshot.notes][1].endswith(
        f"does not tell of the NPUs either: {detail}"
    )
    assert [a.index for a in snapshot.accelerators] == [4]


def test_torch_npu_is_not_looked_for_when_npu_smi_tells_or_nothing_is_there(machine):
    def never():
        raise AssertionError

    assert machine.probe(torch_npu=never).accelerators == ()
    machine.file("dev/davinci_manager")
    assert begins(machine.probe(torch_npu=never)) == ["an Ascend NPU is there, but npu-smi is not"]
    machine.npu_smi(**A2)
    assert len(machine.probe(torch_npu=never).accelerators) == 8
