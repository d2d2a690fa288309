from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost.app import detect as app
from selfhost.cli import detect as command
from selfhost.hardware import ascend
from selfhost.hardware.types import Disk, HardwareSnapshot, Host
from selfhost.units import GIB

CAPTURE = Path(__file__).parents[1] / "data" / "ascend" / "A3_2card_4die_info_25.2.0.txt"


@pytest.fixture
def found(monkeypatch):
    """What `detect` finds: four dies, a host with a limit, one note."""
    host = Host(
        hostname="node1",
        os="openEuler 22.03",
        kernel="5.10",
        glibc="2.34",
        architecture="aarch64",
        python="3.11.7",
        cpu_name=None,
        cpu_count=4,
        cpu_flags=("asimd", "bf16"),
        numa_nodes=4,
        memory_bytes=64 * GIB,
        available_memory_bytes=60 * GIB,
        cgroup_memory_limit_bytes=64 * GIB,
        ascend_driver="25.2.0",
        cann="9.1.0",
        soc_family="A3",
        disks=(Disk(path="/srv", file_system="xfs", total_bytes=900 * GIB, free_bytes=400 * GIB),),
    )
    snapshot = HardwareSnapshot(
        captured_at="2026-11-22T00:00:00Z",
        accelerators=ascend.parse_info(CAPTURE.read_text()).accelerators,
        host=host,
        notes=("something; do this",),
    )
    monkeypatch.setattr(app, "detect", lambda _home: snapshot)
    return snapshot


def test_text_groups_equal_devices_and_warns_on_stderr(found, capsys):
    command._detect(as_json=False)
    out, err = capsys.readouterr()
    assert (
        out
        == """\
ACCELERATORS  INDEX  MEMORY    ENGINE SEES  IN USE
4x 910C       0-3    64.0 GiB  61.3 GiB     10.3 GiB

HOST        node1
system      openEuler 22.03, kernel 5.10, glibc 2.34, aarch64
python      3.11.7
cpu         4 usable, unknown (asimd bf16), 4 NUMA nodes
memory      64.0 GiB, 60.0 GiB available (limited to 64.0 GiB by a control group)
drivers     Ascend 25.2.0, CANN 9.1.0, SoC A3
containers  none
disk        /srv: 400.0 GiB free of 900.0 GiB, xfs

ENGINES
none
"""
    )
    assert err == "warning: something; do this\n"


def test_npus_that_an_engine_counts_another_way_say_so(found, capsys):
    counted = [replace(a, index=n + 10, npu=replace(a.npu, logical_id=n)) for n, a in enumerate(found.accelerators)]
    rows = command._accelerators(tuple(counted))
    assert rows[1].endswith("10.3 GiB  ASCEND_RT_VISIBLE_DEVICES counts them 0-3")
    assert rows[1].split()[2] == "10-13"


def test_json_is_one_object_and_nothing_else(found, capsys):
    command._detect(as_json=True)
    out, err = capsys.readouterr()
    body = json.loads(out)
    assert body["schema_version"] == 1
    assert [a["name"] for a in body["accelerators"]] == ["910C"] * 4
    assert body["host"]["disks"] == [
        {"path": "/srv", "file_system": "xfs", "total_bytes": 900 * GIB, "free_bytes": 400 * GIB}
    ]
    assert body["engines"] == []
    assert body["notes"] == ["something; do this"]
    assert err == ""
