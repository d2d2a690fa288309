from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfhost.app import detect
from selfhost.engines.environment import EngineEnvironment
from selfhost.errors import UsageError
from selfhost.hardware import ascend, cuda
from selfhost.hardware.sharing import hide
from selfhost.hardware.system import System
from selfhost.hardware.types import HardwareSnapshot, Host
from selfhost.home import Home
from selfhost.units import GIB
from tests.ascend_support import install

DATA = Path(__file__).parents[1] / "data"

HOST = Host(
    hostname="h",
    os="Debian",
    kernel="6.1",
    glibc="2.36",
    architecture="x86_64",
    python="3.11.7",
    cpu_name="EPYC",
    cpu_count=2,
    memory_bytes=24 * GIB,
    available_memory_bytes=16 * GIB,
)


def nvidia(name: str) -> tuple:
    return cuda.parse_nvml(json.dumps(json.loads((DATA / "nvidia" / name).read_text()))).accelerators


def npus(prefix: str) -> tuple:
    (path,) = (DATA / "ascend").glob(f"{prefix}*")
    return ascend.parse_info(path.read_text()).accelerators


def snapshot(*accelerators) -> HardwareSnapshot:
    return HardwareSnapshot(captured_at="2026-11-22T00:00:00Z", accelerators=accelerators, host=HOST)


def test_eight_equal_gpus_are_one_group():
    here = detect.hardware_here(snapshot(*nvidia("nvml_8xH20.json")))
    assert [h.text for h in here] == ["8xH20-96G", "cpu@16"]
    assert not any(h.assumed for h in here)


def test_mixed_devices_make_groups_by_memory():
    here = detect.hardware_here(snapshot(*nvidia("nvml_mixed_one_lost.json")))
    assert [(h.device.id, h.device_count) for h in here] == [
        ("L20-48G", 2),
        ("NVIDIA Experimental X1", 1),
        ("RTX4090-24G", 1),
        ("RTX4090-24G", 1),
        ("cpu", 1),
    ]
    assert here[1].device.native_fp8
    assert here[1].device.compute_capability == (11, 0)
    assert here[2].text.startswith("RTX4090-24G@47.5")


def test_a_mig_slice_is_planned_alone():
    slices = [gpu for gpu in nvidia("nvml_MIG_A100.json") if gpu.mig]
    here = detect.hardware_here(snapshot(*slices, *slices))
    assert [(h.device.id, h.devices_per_node) for h in here] == [("A100-PCIe-80G", 1)] * 3 + [("cpu", 1)]
    assert here[0].visible_memory_bytes == slices[0].visible_memory_bytes


def test_hidden_and_unsupported_devices_are_left_out():
    found, _ = hide(nvidia("nvml_8xH20.json"), {"CUDA_VISIBLE_DEVICES": "0,1"})
    assert detect.choose_hardware(snapshot(*found), None).text == "2xH20-96G"
    assert detect.choose_hardware(snapshot(*npus("910gen1_")), None).text == "cpu@16"


def test_dies_are_counted_one_by_one():
    assert detect.choose_hardware(snapshot(*npus("A3_2card_4die")), None).text == "4x910C-64G"


def test_npus_are_handed_on_with_each_way_of_counting_them():
    found = detect.choose_hardware(snapshot(*npus("A3_2card_4die")), None)
    assert (found.device_indices, found.physical_ids, found.logical_ids) == ((0, 1, 2, 3),) * 3
    part = detect.choose_hardware(snapshot(*npus("A3_2card_info_26")), None)
    assert (part.device_indices, part.physical_ids, part.logical_ids) == ((0, 1, 10, 11), (0, 1, 10, 11), ())
    gpus = detect.choose_hardware(snapshot(*nvidia("nvml_8xH20.json")), None)
    assert (gpus.physical_ids, gpus.logical_ids) == ((), ())


def test_the_share_of_the_driver_is_taken_off_once():
    idle = detect.choose_hardware(snapshot(*npus("910B3_8npu_info_24")), None)
    assert {round(free / GIB, 1) for free in idle.free_memory_bytes} == {60.8}
    small = detect.choose_hardware(snapshot(*npus("910B4_1npu_info_26")), None)
    assert round(small.free_memory_bytes[0] / GIB, 1) == 29.2
    busy = detect.choose_hardware(snapshot(*npus("A3_2card_4die")), None)
    assert [round(free / GIB, 1) for free in busy.free_memory_bytes] == [60.9, 61.2, 61.0, 53.7]
    gpu = detect.choose_hardware(snapshot(*nvidia("nvml_8xH20.json")), None)
    assert gpu.free_memory_bytes[0] < gpu.visible_memory_bytes


def test_pythons_with_torch_npu_are_found_by_their_files(tmp_path, monkeypatch):
    def engine(name: str, package: str):
        path = tmp_path / name
        (path / "lib/python3.11/site-packages" / package).mkdir(parents=True)
        return EngineEnvironment(name="vllm", version="1", path=path, python=path / "bin/python")

    here = (engine("one", "torch"), engine("two", "torch_npu"))
    monkeypatch.setattr(detect, "engines_here", lambda _home: here)
    python = tmp_path / "two/bin/python"
    [found] = detect.torch_npu_pythons(Home(tmp_path), System(root=tmp_path / "nothing", environ={}))
    assert found == (python, {})
    [found] = detect.torch_npu_pythons(Home(tmp_path), install(tmp_path / "machine"))
    assert (found.python, Path(found.environ["ASCEND_HOME_PATH"]).name) == (python, "cann-9.1.0")


def test_on_wins_over_what_is_here():
    here = snapshot(*nvidia("nvml_8xH20.json"))
    assert detect.choose_hardware(here, "2x8x910B3").text == "2x8x910B3-64G"
    assert detect.choose_hardware(here, "cpu").visible_memory_bytes == 16 * GIB
    with pytest.raises(UsageError):
        detect.choose_hardware(here, "X900")


def test_on_asks_this_machine_for_nothing(tmp_path, monkeypatch):
    def refuse(_home):
        raise AssertionError

    monkeypatch.setattr(detect, "detect", refuse)
    assert detect.hardware_for("8xH20", Home(tmp_path)).text == "8xH20-96G"
    bare = detect.hardware_for("cpu", Home(tmp_path))
    assert (bare.device.id, bare.visible_memory_bytes > 0) == ("cpu", True)


def test_the_json_contract():
    body = json.loads(json.dumps(detect.as_dict(snapshot(*npus("A3_2card_4die")), ())))
    assert {"schema_version", "accelerators", "host", "engines"} <= body.keys()
    assert body["schema_version"] == 1
    assert body["accelerators"][3] == {
        "vendor": "huawei",
        "name": "910C",
        "index": 3,
        "memory_bytes": 64 * GIB,
        "visible_memory_bytes": int(61.27 * GIB),
        "used_bytes": 10568 << 20,
        "supported": True,
        "reason": "",
        "device_id": "910C-64G",
        "uuid": None,
        "compute_capability": None,
        "mig": False,
        "visible_memory_assumed": False,
        "hidden": False,
        "npu": {
            "card_id": 1,
            "chip_id": 1,
            "physical_id": 3,
            "logical_id": 3,
            "soc_version": None,
            "health": "OK",
            "fault_codes": [],
            "utilization_percent": 0,
            "bus_id": "0000:39:00.0",
        },
        "processes": [
            {"pid": 990711, "name": "python", "memory_bytes": 7746 << 20, "container_pid": None, "context_only": False}
        ],
    }
    assert body["host"]["glibc"] == "2.36"
    assert body["engines"] == []
