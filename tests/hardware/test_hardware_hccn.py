"""hccn_tool's answers -> ports of NPUs -> findings.

Formats: captures in tests/data/ascend; examples in hicann/driver docs/en (hccn_tool), vllm-ascend's
docs/source/installation.md and public check-lists of two-node set-ups.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost.findings import Severity
from selfhost.hardware import hccn, probe_hccn
from selfhost.hardware.hccn import HccnDevice
from selfhost.hardware.hccn_judge import HccnNode, judge
from selfhost.hardware.system import System

DATA = Path(__file__).resolve().parent.parent / "data" / "ascend"
TLS = (
    "dev_id:0, tls switch[0](0:disable, 1:enable), tls preconfigured[1](0:non-preset, 1:preset), "
    "tls alarm time threshold[60]days\ndev_id:0, [pub cert] info:\n\tissuer[/C=CN/ST=GD/O=HUAWEI/CN=2_1thCA]\n"
)
ANSWERS = {
    "link": "link status: UP\n",
    "net_health": "net health status: Success\n",
    "ip": "ipaddr:192.0.2.10\nnetmask:255.255.255.0\n",
    "gateway": "default gateway:192.0.2.1, Iface:eth0\n",
    "netdetect": "netdetect address: 192.0.2.1\n",
    "tls": TLS,
    "lldp": "Chassis ID TLV\n\tMAC: 00:00:5e:00:53:01\nPort ID TLV\n\tIfname: 200GE3/10/0:2\n"
    "System Name TLV\n\tleaf-7\n",
    "vnic": "vnic link status: UP\nvnic ipaddr: 198.51.100.9\nvnic netmask: 255.255.255.0\n",
}
GOOD = hccn.from_answers(0, ANSWERS)


def test_every_question_is_read():
    assert (
        HccnDevice(
            index=0,
            link="UP",
            net_health="Success",
            ip="192.0.2.10",
            netmask="255.255.255.0",
            gateway="192.0.2.1",
            netdetect="192.0.2.1",
            tls=False,
            switch="leaf-7",
            switch_port="200GE3/10/0:2",
            vnic_link="UP",
            vnic_ip="198.51.100.9",
            vnic_netmask="255.255.255.0",
        )
        == GOOD
    )
    assert set(ANSWERS) == set(hccn.QUESTIONS["A3"])


def captured(question: str) -> HccnDevice:
    name = f"910A_hccn_tool_i0_{question}-g.txt"
    return hccn.read(HccnDevice(index=0), question, (DATA / name).read_text())


def test_captured_answers():
    assert (captured("ip").ip, captured("ip").netmask) == ("192.161.200.10", "255.255.255.0")
    assert captured("net_health").net_health == "Socket failed"
    # Another question, whose lines look alike.
    assert hccn.read(HccnDevice(index=0), "link", (DATA / "910A_hccn_tool_i0_link_stat-g.txt").read_text()).link is None


@pytest.mark.parametrize(
    ("question", "said", "name", "value"),
    [
        ("netdetect", "netdetect addr: 192.0.2.1", "netdetect", "192.0.2.1"),
        ("netdetect", "netdetect address: 0.0.0.0", "netdetect", None),
        ("net_health", "net health status: Detect ip set", "net_health", "Detect ip set"),
        ("link", "\r\nlink status: DOWN\r\n", "link", "DOWN"),
        ("tls", "dev_id:3, tls switch[1](0:disable, 1:enable), tls alarm time threshold[60]days", "tls", True),
    ],
)
def test_other_spellings(question, said, name, value):
    assert getattr(hccn.read(HccnDevice(index=0), question, said), name) == value


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "no output"),
        ("\n  Permission denied!\x1b[0m \n", "Permission denied!?[0m"),
        ("查询失败", "查询失败"),
    ],
)
def test_what_is_no_answer_is_kept(said, told):
    assert hccn.read(HccnDevice(index=0), "link", said) == HccnDevice(index=0, told=(("link", told),))


def test_a_report_is_read_back():
    device = replace(GOOD, told=(("lldp", "no output"),))
    assert hccn.device_from(json.loads(json.dumps(device.as_dict()))) == device


def test_what_another_node_saved_is_read_whatever_it_is():
    report = {"schema_version": 1, "snapshot": {"accelerators": [{"index": 0}]}, "ascend": {"hccn": [GOOD.as_dict()]}}
    assert hccn.from_saved(json.dumps(report)) == (GOOD,)
    assert hccn.from_saved("# hccn_tool -i 3 -link -g\nlink status: UP\n") == (HccnDevice(index=3, link="UP"),)
    assert hccn.from_saved("address_1=192.0.2.1\n") == (HccnDevice(index=1, ip="192.0.2.1"),)
    for nothing in ("", "{}", "[[[", "[" * 100_000, "null", "hello", json.dumps({"a": [{"index": 0}]})):
        assert hccn.from_saved(nothing) == ()


def test_addresses_that_were_taken_out_of_a_report_are_no_trouble():
    """`doctor --report` writes numbers instead of addresses unless it is told to keep them."""
    hidden = [
        {**replace(GOOD, index=index).as_dict(), "ip": "[address 1]", "gateway": "[address 2]"} for index in (0, 1)
    ]
    devices = hccn.from_saved(json.dumps(hidden))
    assert [finding.message.id for finding in judge([node("there", *devices)], "A2")] == ["hccn.not_told"]


@pytest.mark.parametrize("value", [None, [], {}, {"index": "0"}, {"index": True}, {"index": 1.0}])
def test_what_is_no_device_is_none(value):
    assert hccn.device_from(value) is None


def test_fields_of_another_type_are_not_told():
    made = hccn.device_from({"index": 3, "link": 7, "tls": "yes", "told": [], "ip": None, "more": 1})
    assert made == HccnDevice(index=3)


def test_the_configuration_file():
    lines = ["address_0=192.0.2.10", "netmask_0=255.255.255.0", "# x", "address_1=192.0.2.11", "gateway_1= 192.0.2.1 "]
    content = "\n".join([*lines, "send_arp_status_0=1", "address_99999=192.0.2.3", "address_2="])
    assert hccn.from_conf(content) == (
        HccnDevice(index=0, ip="192.0.2.10", netmask="255.255.255.0"),
        HccnDevice(index=1, ip="192.0.2.11", gateway="192.0.2.1"),
    )


def test_a_terminals_text_is_read():
    text = """
[root@node1 ~]# for i in {0..1}; do hccn_tool -i $i -link -g ; done
link status: UP
link status: DOWN
[root@node1 ~]# for i in `seq 0 1`; do /usr/local/Ascend/driver/tools/hccn_tool -i $i -tls -g; done | grep switch
dev_id:0, tls switch[0](0:disable, 1:enable), tls alarm time threshold[60]days
dev_id:1, tls switch[1](0:disable, 1:enable), tls alarm time threshold[60]days
[root@node1 ~]# hccn_tool -i 1 -ip -g
ipaddr:192.0.2.11
netmask:255.255.255.0
[root@node1 ~]# hccn_tool -i 1 -link_stat -g
[devid 1]link up count       : 2
[root@node1 ~]# hccn_tool -g -net_health -i 0
net health status: Success
[root@node1 ~]# for i in {0..1}; do hccn_tool -i $i -gateway -g; done
default gateway:192.0.2.1, Iface:eth0
"""
    assert hccn.from_text(text) == (
        # One gateway for two devices: of which, nobody can tell.
        HccnDevice(index=0, link="UP", tls=False, net_health="Success"),
        HccnDevice(index=1, link="DOWN", tls=True, ip="192.0.2.11", netmask="255.255.255.0"),
    )


def test_text_of_any_kind_never_fails_and_does_not_take_long():
    rng = random.Random(7)
    pieces = [
        *ANSWERS.values(),
        "hccn_tool -i 0 -link -g\n",
        "for i in {0..9999}; do hccn_tool -i $i -ip -g; done\n",
        *("\0", "-g " * 50),
    ]
    began = time.monotonic()
    for _ in range(500):
        text = "".join(rng.choices(pieces, k=8))
        cut = rng.randrange(len(text))
        hccn.from_text(text[:cut] + chr(rng.randrange(1, 0x500)) + text[cut:])
    hccn.from_text("hccn_tool -i 0 " * 100_000)
    assert time.monotonic() - began < 20


def node(name: str, *devices: HccnDevice) -> HccnNode:
    return HccnNode(name=name, devices=devices)


def two(family: str = "A2", **changes) -> list[tuple[str, str, str]]:
    """Findings of two nodes with two NPUs each, the second of the second one changed."""
    first = node("node0", GOOD, replace(GOOD, index=1, ip="192.0.2.11"))
    other = replace(GOOD, index=1, ip="192.0.2.13")
    second = node("node1", replace(GOOD, ip="192.0.2.12"), replace(other, **changes))
    found = judge([first, second], family)
    assert all(finding.message.what for finding in found)
    return [(finding.message.id, finding.severity.value, finding.where) for finding in found]


@pytest.mark.parametrize("family", ["A2", "A3"])
def test_nodes_that_are_well_have_no_findings(family):
    assert two(family) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"link": "DOWN", "net_health": "Fault"}, [("hccn.link_down", "error", "node1: NPU 1")]),
        ({"net_health": "Socket failed"}, [("hccn.health", "error", "node1: NPU 1")]),
        ({"net_health": "Unknown"}, [("hccn.health", "warning", "node1: NPU 1")]),
        ({"net_health": "Init", "netdetect": None}, [("hccn.not_tried", "note", "node1: NPU 1")]),
        ({"ip": None}, [("hccn.no_address", "error", "node1: NPU 1")]),
        ({"gateway": "203.0.113.1"}, [("hccn.gateway_outside", "error", "node1: NPU 1")]),
        ({"tls": True}, [("hccn.tls_differs", "error", "TLS")]),
        ({"ip": "192.0.2.11"}, [("hccn.same_address", "error", "192.0.2.11")]),
        ({"ip": "203.0.113.5", "gateway": "203.0.113.1"}, [("hccn.routed", "note", "NPU 1")]),
        ({"ip": "203.0.113.5", "gateway": None}, [("hccn.apart", "error", "NPU 1")]),
        (
            {"told": (("lldp", "no output"), ("ip", "failed")), "ip": None},
            [("hccn.not_told", "note", "node1: NPU 1")] * 2,
        ),
    ],
)
def test_each_trouble_has_its_finding(changes, found):
    assert two(**changes) == found


def test_on_a3_the_port_within_the_super_pod_counts_and_the_others_are_warnings():
    assert two("A3", vnic_link="DOWN") == [("hccn.vnic", "error", "node1: NPU 1")]
    assert two("A3", vnic_ip=None) == [("hccn.vnic", "error", "node1: NPU 1")]
    assert two("A3", link="DOWN") == [("hccn.link_down", "warning", "node1: NPU 1")]
    assert two("A2", vnic_link="DOWN") == []


def test_one_node_alone_does_not_need_its_ports():
    found = judge([node("here", replace(GOOD, link="DOWN"), replace(GOOD, index=1, tls=True))], "A2")
    assert {(finding.message.id, finding.severity) for finding in found} == {
        ("hccn.link_down", Severity.NOTE),
        ("hccn.same_address", Severity.NOTE),
        ("hccn.tls_differs", Severity.NOTE),
    }


def test_devices_with_the_same_trouble_are_one_finding():
    devices = [replace(GOOD, index=index, ip=f"192.0.2.{index + 10}", net_health="Init") for index in range(8)]
    found = judge([node("here", *devices)], "A2")
    assert [(finding.severity, finding.where) for finding in found] == [(Severity.NOTE, "here: NPU 0-7")]


def test_nodes_with_different_numbers_of_devices():
    found = judge([node("a", GOOD), node("b", *(replace(GOOD, index=i, ip=f"192.0.2.{i + 20}") for i in (0, 1)))], "A2")
    assert [finding.message.id for finding in found] == ["hccn.counts"]
    assert found[0].message.why == "a 1, b 2"


def test_what_was_not_asked_is_no_trouble():
    """As from a configuration file, or from a report of another release."""
    assert judge([node("a", HccnDevice(index=0)), node("b", HccnDevice(index=0))], "A2") == []


@pytest.mark.parametrize("address", ["999.1.1.1", "x", ""])
def test_addresses_that_are_none_do_not_fail(address):
    odd = replace(GOOD, ip=address, gateway=address, netmask=address)
    assert judge([node("a", odd), node("b", odd)], "A2") is not None


TOOL = """#!/bin/sh
case "$*" in
  "-i 0 -link -g") echo "link status: UP";;
  "-i 1 -link -g") echo "link status: DOWN";;
  "-i 2 "*) sleep 60;;
  *-vnic*) echo "this board has none"; exit 1;;
  *-ip*) echo "ipaddr:192.0.2.1$2"; echo "netmask:255.255.255.0";;
  *) echo "cmd is not supported" >&2; exit 1;;
esac
"""


@pytest.fixture
def machine(tmp_path):
    tool = tmp_path / "usr/local/Ascend/driver/tools/hccn_tool"
    tool.parent.mkdir(parents=True)
    tool.write_text(TOOL)
    tool.chmod(0o755)
    return System(root=tmp_path, environ={"PATH": "/usr/bin:/bin"}, call_limit_s=0.5)


def test_this_machine_is_asked(machine):
    report = probe_hccn.ask(machine, "A2", (0, 1))
    assert [(device.index, device.link, device.ip) for device in report.devices] == [
        (0, "UP", "192.0.2.10"),
        (1, "DOWN", "192.0.2.11"),
    ]
    assert dict(report.devices[0].told)["tls"] == "cmd is not supported"
    assert report.notes == ()


def test_a_device_that_hangs_is_asked_once(machine):
    began = time.monotonic()
    report = probe_hccn.ask(machine, "A2", (0, 2))
    assert time.monotonic() - began < 10
    assert report.devices[1] == HccnDevice(index=2, told=(("link", "no answer"),))
    assert [note.id for note in report.notes] == ["hccn.hangs"]
    assert "for NPU 2" in report.notes[0].what


@pytest.mark.parametrize("family", ["310P", "950", "", "A1"])
def test_chips_without_such_ports_are_not_asked(machine, family):
    assert probe_hccn.ask(machine, family, (0, 1)) == probe_hccn.HccnReport()


def test_without_the_tool_the_file_tells_addresses(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hccn.conf").write_text("address_0=192.0.2.10\naddress_7=192.0.2.17\n")
    report = probe_hccn.ask(System(root=tmp_path, environ={"PATH": "/nowhere"}), "A2", (7,))
    assert report.devices == (HccnDevice(index=7, ip="192.0.2.17"),)
    assert [note.id for note in report.notes] == ["hccn.no_tool"]
