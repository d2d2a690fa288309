"""Memory of devices before a start and after an end; NVML and npu-smi replay what machines said."""

from __future__ import annotations

import json

import pytest

from selfhost.app import device_memory
from selfhost.hardware.probe import used_bytes
from selfhost.hardware.system import System
from tests.fakes.machine import NVIDIA, Machine

GIB = 1 << 30


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def ask(machine: Machine, **environ: str) -> dict[str, int]:
    return used_bytes(System(root=machine.root, environ={**machine.environ, **environ}, nvml_argv=machine.nvml))


def test_bytes_in_use_by_device(machine):
    machine.says_nvml("nvml_8xH20.json")
    said = json.loads((NVIDIA / "nvml_8xH20.json").read_text())["devices"]
    assert ask(machine) == {f"nvidia {device['index']}": device["used"] for device in said}


def test_only_the_devices_that_the_engine_sees(machine):
    machine.says_nvml("nvml_8xH20.json")
    assert list(ask(machine, CUDA_VISIBLE_DEVICES="2,5")) == ["nvidia 2", "nvidia 5"]


def test_slices_of_one_gpu_are_told_apart(machine):
    machine.says_nvml("nvml_MIG_A100.json")
    assert len({name for name in ask(machine) if name.startswith("nvidia 0 MIG-")}) > 1


def test_of_npus(machine):
    machine.npu_smi(info="910B1_8npu_info_24.1.0_idle")
    machine.nodes(*range(8))
    found = ask(machine)
    assert list(found) == [f"huawei {number}" for number in range(8)]
    assert all(0 < bytes_ < 8 * GIB for bytes_ in found.values())


def test_a_machine_without_devices_and_a_plan_for_the_cpu_have_nothing_to_ask(machine):
    assert ask(machine) == {}
    assert device_memory.used({"hardware": {"device": "cpu"}}, {}) is None


@pytest.mark.parametrize(
    ("before", "now", "held"),
    [
        pytest.param({"nvidia 0": GIB}, {"nvidia 0": GIB + (200 << 20)}, None, id="near is back"),
        pytest.param({"nvidia 0": GIB}, {"nvidia 0": 3 * GIB}, {"nvidia 0": 2 * GIB}, id="held"),
        pytest.param({"nvidia 0": GIB}, {"nvidia 0": 0}, None, id="less than before"),
        pytest.param({"nvidia 0": 0, "nvidia 1": 0}, {"nvidia 1": GIB}, {"nvidia 1": GIB}, id="a device is lost"),
        pytest.param(None, {"nvidia 0": GIB}, None, id="not known before"),
        pytest.param({"nvidia 0": 0}, None, None, id="not known now"),
    ],
)
def test_what_is_held(before, now, held):
    assert device_memory.held(before, now) == held


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_driver_gets_ten_seconds():
    clock = Clock()
    before = {"nvidia 0": 0}

    def freed_after(seconds: float):
        return lambda: {"nvidia 0": 0 if clock.now >= seconds else 40 * GIB}

    def wait(seconds: float, **more):
        clock.now = 0.0
        return device_memory.wait_until_back(
            before, freed_after(seconds), sleep=clock.sleep, clock=lambda: clock.now, **more
        )

    assert (wait(0), clock.now) == (None, 0)
    assert (wait(3), clock.now) == (None, 3)
    assert (wait(60), clock.now) == ({"nvidia 0": 40 * GIB}, 10)
    assert (wait(60, hurry=lambda: True), clock.now) == ({"nvidia 0": 40 * GIB}, 0)
    assert device_memory.held_text({"nvidia 0": 40 * GIB, "nvidia 1": GIB}) == "nvidia 0: 40.0 GiB, nvidia 1: 1.0 GiB"
