"""`--devices` on recorded machines: what is named, what is refused, what the engine is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from selfhost.app import devices
from selfhost.app.model import resolve
from selfhost.app.plan import hardware_of, plan_model
from selfhost.errors import UsageError
from selfhost.hardware import ascend, cuda
from selfhost.hardware.sharing import hide
from selfhost.hardware.types import HardwareSnapshot, Host
from selfhost.planner.plan import PlanRequest
from selfhost.units import GIB

DATA = Path(__file__).parents[1] / "data"
HOST = Host(
    hostname="h",
    os="o",
    kernel="k",
    glibc=None,
    architecture="x86_64",
    python="3.11",
    cpu_name=None,
    cpu_count=8,
    memory_bytes=64 * GIB,
    available_memory_bytes=60 * GIB,
)
SLICES = (
    "MIG-d771d938-b556-4f9d-b742-2dd26b864023",
    "MIG-08bce7f3-bac7-4715-b56f-91541f15fe37",
    "MIG-761ea9d1-82ac-41cb-9e19-d3593973f144",
)


def gpus(name: str = "nvml_8xH20.json") -> tuple:
    return cuda.parse_nvml(json.dumps(json.loads((DATA / "nvidia" / name).read_text()))).accelerators


def npus(prefix: str) -> tuple:
    (path,) = (DATA / "ascend").glob(f"{prefix}*")
    return ascend.parse_info(path.read_text()).accelerators


def machine(*accelerators) -> HardwareSnapshot:
    return HardwareSnapshot(captured_at="2026-01-01T00:00:00Z", accelerators=accelerators, host=HOST)


def chosen(given: str, *accelerators, cpus=range(8)):
    return devices.choose(given, machine(*accelerators), cpus)


def refused(given: str, *accelerators, cpus=range(8)):
    with pytest.raises(UsageError) as caught:
        chosen(given, *accelerators, cpus=cpus)
    return caught.value.message


def test_the_named_gpus_are_all_used_and_nothing_else_is_seen():
    found = chosen("4-5", *gpus())
    assert (found.text, found.device_indices, found.named) == ("2xH20-96G", (4, 5), True)
    made = plan_model(resolve("qwen2.5-7b").to_plan(), found, PlanRequest())
    assert made.layout.tensor_parallel_size == 2, "one would do, but two were named"
    assert made.env["CUDA_VISIBLE_DEVICES"] == "4,5"
    assert made.env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert made.as_dict()["devices"] == ["4", "5"]
    assert "layout: TP=2, all devices of 2xH20-96G" in made.reasons


def test_of_the_named_ones_as_many_as_were_asked_for():
    made = plan_model(resolve("qwen2.5-7b").to_plan(), chosen("3,1", *gpus()), PlanRequest(tensor_parallel_size=1))
    assert (made.env["CUDA_VISIBLE_DEVICES"], made.layout.world_size) == ("1", 1)


def test_gpus_are_named_by_the_beginning_of_their_uuid():
    assert chosen("GPU-00000003", *gpus()).device_indices == (3,)
    message = refused("GPU-0000000", *gpus())
    assert (message.id, message.why) == ("allot.several", "found: 0, 1, 2, 3, 4, 5, 6, 7")


def test_a_slice_is_named_by_its_uuid():
    found = chosen(SLICES[1], *gpus("nvml_MIG_A100.json"))
    assert (found.slice_uuids, found.device_indices, found.device_count) == ((SLICES[1],), (), 1)
    made = plan_model(resolve("qwen2.5-0.5b").to_plan(), found, PlanRequest())
    assert made.env["CUDA_VISIBLE_DEVICES"] == SLICES[1]
    message = refused("0", *gpus("nvml_MIG_A100.json"))
    assert (message.id, message.why) == ("allot.several", f"found: {', '.join(SLICES)}")


def test_slices_reach_no_others():
    one = next(part for part in gpus("nvml_MIG_A100.json") if part.mig)
    other = replace(one, uuid="MIG-ffff")
    assert refused(f"{one.uuid},MIG-ffff", one, other).id == "allot.one_slice"
    assert refused("0", replace(one, uuid=None)).id == "allot.no_uuid"


def test_npus_are_named_as_detect_numbers_them_and_given_by_logical_ids():
    found = chosen("2,3", *npus("A3_2card_4die"))
    assert (found.device_indices, found.logical_ids) == ((2, 3), (2, 3))


@pytest.mark.parametrize(
    ("given", "expected", "why"),
    [
        ("8", "allot.unknown", "found: 0, 1, 2, 3, 4, 5, 6, 7"),
        ("0,MIG-1", "allot.unknown", "found: 0, 1, 2, 3, 4, 5, 6, 7"),
        ("0,0", "allot.twice", ""),
        ("x", "allot.malformed", None),
    ],
)
def test_what_is_not_there_is_refused(given, expected, why):
    message = refused(given, *gpus())
    assert message.id == expected
    assert why is None or message.why == why


def test_devices_of_several_kinds_are_refused_one_by_one():
    mixed = gpus("nvml_mixed_one_lost.json")
    message = refused(",".join(str(one.index) for one in mixed if one.supported), *mixed)
    assert message.id == "allot.mixed"
    assert len(message.why.splitlines()) == 5
    lost = next(one for one in mixed if not one.supported)
    assert refused(str(lost.index), *mixed).id == "allot.unusable"


def test_what_the_environment_hides_belongs_to_somebody_else(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    hidden, _ = hide(gpus(), {"CUDA_VISIBLE_DEVICES": "0,1"})
    assert chosen("1", *hidden).device_indices == (1,)
    message = refused("2", *hidden)
    assert message.what == "device `2` is hidden by `CUDA_VISIBLE_DEVICES=0,1`"


def test_without_accelerators_devices_are_cores():
    found = chosen("0-3", cpus=range(8))
    assert (found.device.id, found.cpus, found.named) == ("cpu", (0, 1, 2, 3), True)
    one = plan_model(resolve("qwen2.5-0.5b").to_plan(), found, PlanRequest())
    assert one.env["VLLM_CPU_OMP_THREADS_BIND"] == "0,1,2,3"
    two = plan_model(resolve("qwen2.5-0.5b").to_plan(), found, PlanRequest(tensor_parallel_size=2))
    assert two.env["VLLM_CPU_OMP_THREADS_BIND"] == "0,1|2,3"
    few = replace(found, cpus=(0,))
    unbound = plan_model(resolve("qwen2.5-0.5b").to_plan(), few, PlanRequest(tensor_parallel_size=2))
    assert unbound.env["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"


@pytest.mark.parametrize("given", ["8", "3-9", "GPU-1"])
def test_cores_of_others_are_refused(given):
    message = refused(given, cpus=(0, 1, 2, 3, 6))
    assert (message.id, message.hint) == ("allot.no_such_cpu", "name some of those: `--devices 0-3,6`")


def test_devices_are_here_and_on_supposes_others(tmp_path):
    with pytest.raises(UsageError) as caught:
        hardware_of("0", "8xH20", tmp_path)
    assert caught.value.message.id == "allot.with_on"
