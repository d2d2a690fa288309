"""`--for target.json`: what cannot run behind the gap is told before anything is carried there."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.app import detect
from selfhost.bundle.profile import Needs, findings, refuse, target_from_dict
from selfhost.engines import specs
from selfhost.errors import ExitCode, MissingError, UsageError
from selfhost.findings import Severity
from selfhost.hardware import ascend
from selfhost.home import Home

GB = 1_000_000_000
GPU = {
    "vendor": "nvidia", "name": "NVIDIA H20", "index": 0, "memory_bytes": 97871 << 20, "visible_memory_bytes": 95 << 30,
    "used_bytes": 0, "supported": True, "compute_capability": [9, 0],
}  # fmt: skip
NPU = GPU | {"vendor": "huawei", "name": "910B3", "compute_capability": None, "supported": True}
TARGET = {
    "schema_version": 1,
    "captured_at": "2026-11-27T00:00:00Z",
    "accelerators": [GPU],
    "host": {
        "hostname": "inside", "os": "openEuler 22.03", "kernel": "5.10", "glibc": "2.34", "architecture": "x86_64",
        "python": "3.11.4", "cpu_name": "Xeon", "cpu_count": 64, "memory_bytes": 512 << 30,
        "available_memory_bytes": 500 << 30, "nvidia_driver": "580.65.06", "cuda_ceiling": "13.0",
        "disks": [{"path": "/srv", "file_system": "xfs", "total_bytes": 4000 * GB, "free_bytes": 2000 * GB}],
    },
    "engines": [],
    "notes": [],
}  # fmt: skip
CUDA = Needs(engine=specs.CUDA, wheels=("a-1-cp311-cp311-manylinux_2_28_x86_64.whl",), model_bytes=700 * GB)
CPU = Needs(engine=specs.CPU, model_bytes=GB)


def changed(**host):
    data = copy.deepcopy(TARGET)
    data["accelerators"] = host.pop("accelerators", data["accelerators"])
    data["host"] |= host
    return target_from_dict(data, "target.json")


def ids(target, needs):
    return [(finding.severity.value, finding.message.id) for finding in findings(target, needs)]


def test_what_fits_has_no_findings():
    assert ids(changed(), CUDA) == []
    refuse([], "target.json")


def test_npus_come_back_as_they_were_told():
    capture = Path(__file__).parents[1] / "data/ascend/A3_2card_info_26.0.rc1_116col_trimmed-fixture.txt"
    found = ascend.parse_info(capture.read_text()).accelerators
    there = target_from_dict(TARGET, "target.json")
    told = detect.as_dict(replace(there, accelerators=found), ())
    assert target_from_dict(json.loads(json.dumps(told)), "target.json").accelerators == found
    assert found[0].processes
    for wrong in ({"npu": 1}, {"npu": {"card_id": "0"}}, {"processes": [{"pid": 1}]}, {"processes": 1}):
        with pytest.raises(UsageError):
            target_from_dict(TARGET | {"accelerators": [NPU | wrong]}, "target.json")


@pytest.mark.parametrize(
    ("host", "needs", "wanted"),
    [
        ({"nvidia_driver": "535.104.05"}, CUDA, "engine.old_driver"),
        ({"nvidia_driver": None}, CUDA, "engine.no_driver"),
        ({"nvidia_driver": "N/A"}, CUDA, "target.unread_driver"),
        ({"accelerators": []}, CUDA, "target.no_accelerator"),
        ({"accelerators": [NPU], "soc_family": "A2"}, CUDA, "target.no_accelerator"),
        ({"accelerators": [GPU | {"supported": False, "reason": "too old"}]}, CUDA, "target.no_accelerator"),
        ({"glibc": "2.28"}, CUDA, "engine.glibc"),
        ({"glibc": None}, CPU, "engine.glibc"),
        ({"architecture": "riscv64"}, CUDA, "engine.machine"),
        ({"architecture": "aarch64"}, CUDA, "target.wheels"),
        ({"python": "3.12.1"}, CUDA, "target.wheels"),
        ({"python": "3.9.2"}, CUDA, "target.old_python"),
        ({"python": "3.15.0"}, CPU, "engine.python"),
        ({"disks": [TARGET["host"]["disks"][0] | {"free_bytes": 701 * GB}]}, CUDA, "target.no_space"),
        ({"disks": [TARGET["host"]["disks"][0] | {"file_system": "vfat"}]}, CUDA, "target.no_links"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_run_there_is_refused_with_exit_code_4(host, needs, wanted):
    found = findings(changed(**host), needs)
    errors = [finding.message.id for finding in found if finding.severity is Severity.ERROR]
    assert errors == [wanted]
    with pytest.raises(MissingError) as caught:
        refuse(found, PurePath("target.json"))
    assert caught.value.code is ExitCode.MISSING
    assert found[0].message.what in caught.value.message.why


def test_what_may_surprise_is_no_refusal():
    assert ids(changed(), CPU) == [("warning", "target.idle_accelerators")]
    # What only makes checkpoints there leaves nothing unused: another engine serves them.
    assert ids(changed(), Needs(engine=specs.QUANTIZE_CPU)) == []
    found = findings(changed(disks=[], accelerators=[]), CPU)
    assert [(f.severity.value, f.message.id) for f in found] == [("warning", "target.disk_unknown")]
    refuse(found, "target.json")


def test_wheels_that_pip_chose_for_a_newer_system_are_found_though_the_engine_has_others():
    """The engine runs on glibc 2.31; the machine that chose the wheels had 2.36."""
    needs = Needs(engine=specs.CPU, wheels=("x-1-cp311-cp311-manylinux_2_35_x86_64.whl", "y-1-py3-none-any.whl"))
    (found,) = findings(changed(accelerators=[]), needs)
    assert found.message.why.splitlines()[1:] == ["x-1-cp311-cp311-manylinux_2_35_x86_64.whl needs glibc 2.35"]


def test_what_detect_prints_here_is_read_back_as_it_was(home):
    snapshot = detect.detect(Home(home))
    printed = json.loads(json.dumps(detect.as_dict(snapshot, ())))
    assert target_from_dict(printed, "target.json") == snapshot
    printed["host"]["of_a_later_version"] = printed["of_a_later_version"] = 1
    assert target_from_dict(printed, "target.json") == snapshot


@pytest.mark.parametrize(
    "change",
    [
        {"host": None},
        {"host": {"python": "3.11"}},
        {"accelerators": {"vendor": "nvidia"}},
        {"accelerators": [GPU | {"index": "0"}]},
        {"accelerators": [GPU | {"compute_capability": [9]}]},
        {"accelerators": [GPU | {"supported": None}]},
        {"host": TARGET["host"] | {"disks": [{"path": "/"}]}},
        {"host": TARGET["host"] | {"cpu_flags": [1]}},
        {"schema_version": 2},
    ],
)
def test_what_is_no_profile_is_told(change):
    with pytest.raises(UsageError) as caught:
        target_from_dict(TARGET | change, "target.json")
    assert "target.json" in caught.value.message.what


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
HOST_KEYS = sorted(TARGET["host"])


@given(key=st.sampled_from(["host", "accelerators", "captured_at", "notes", "schema_version", *HOST_KEYS]), value=JSON)
def test_whatever_a_profile_says_it_is_read_or_refused(key, value):
    data = copy.deepcopy(TARGET)
    (data if key in data else data["host"])[key] = value
    try:
        target = target_from_dict(data, "target.json")
    except UsageError:
        return
    for needs in (CUDA, CPU, Needs()):
        for finding in findings(target, needs):
            assert finding.as_dict()["problem"]
