"""The child that asks NVML how GPUs are, against a small library in the place of the driver's."""

from __future__ import annotations

import os

import pytest

from selfhost.doctor.facts import Peers, Process
from selfhost.doctor.gpu_health import parse
from selfhost.hardware.system import System, run
from selfhost.units import GIB
from tests.hardware.test_hardware_nvml import library

__all__ = ["library"]


def ask(library, **environ: str):
    argv = System().health_argv
    return run(argv, {**os.environ, "LD_LIBRARY_PATH": str(library), **environ}, 20)


def read(output: str):
    return parse(output, lambda pid: f"process {pid}", {4242: "m"}.get)


def test_gpus_that_are_well(library):
    health = read(ask(library, FAKE_NVML="2").output)
    assert health.problem == ""
    assert [(gpu.index, gpu.bus_id, gpu.persistence, gpu.ecc) for gpu in health.gpus] == [
        (0, "00000000:01:00.0", True, True),
        (1, "00000000:02:00.0", True, True),
    ]
    assert health.peers == ()
    assert {(gpu.links_down, gpu.processes, gpu.remap_pending, gpu.fabric_state) for gpu in health.gpus} == {
        ((), (), False, 3)
    }


def test_a_gpu_that_has_everything(library):
    health = read(ask(library, FAKE_NVML="2", FAKE_NVML_SICK="1").output)
    gpu = health.gpus[1]
    assert (gpu.ecc_uncorrected, gpu.ecc_uncorrected_ever, gpu.remap_pending, gpu.remap_failed) == (2, 9, True, False)
    assert (gpu.slowed_by, gpu.pcie_width, gpu.pcie_width_highest) == (0x41, 8, 16)
    assert (gpu.persistence, gpu.compute_mode, gpu.fabric_state, gpu.links_down) == (False, 3, 2, (3,))
    assert gpu.processes == (Process(pid=4242, name="process 4242", used_bytes=GIB, server="m"),)
    assert health.gpus[0].ecc_uncorrected == 0
    assert health.peers == (Peers(one=0, other=1, status=3),)


def test_a_lost_gpu_does_not_hide_the_others(library):
    health = read(ask(library, FAKE_NVML="2", FAKE_NVML_LOST="1").output)
    assert [gpu.index for gpu in health.gpus] == [0]


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ('{"error": "Driver/library version mismatch"}', "Driver/library version mismatch"),
        ("Segmentation fault", "Segmentation fault"),
        ("", "no output"),
        ('{"devices": [{"index": "x"}], "peers": []}', '{"devices": [{"index": "x"}], "peers": []}'),
        ('{"devices": 5}', '{"devices": 5}'),
    ],
)
def test_what_is_no_answer_is_a_problem_and_no_crash(output, problem):
    assert read(output) == ((), (), problem)


def test_versions_that_do_not_match(library):
    assert "ersion" in read(ask(library, FAKE_NVML="mismatch").output).problem
