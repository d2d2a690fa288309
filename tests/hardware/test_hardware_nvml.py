"""The child that asks NVML, through NVIDIA's own binding, against a small library that stands in for the driver's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from selfhost.hardware import cuda
from selfhost.hardware.system import System, run
from selfhost.units import MIB

SOURCE = Path(__file__).parents[1] / "fakes" / "nvml.c"


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    """A folder with a `libnvidia-ml.so.1` that never touches hardware."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("a C compiler is missing: install gcc")
    folder = tmp_path_factory.mktemp("nvml")
    output = str(folder / "libnvidia-ml.so.1")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", output, str(SOURCE)], check=True)
    return folder


def ask(library: Path, limit_s: float = 20, **environ: str):
    return run(System().nvml_argv, {**os.environ, "LD_LIBRARY_PATH": str(library), **environ}, limit_s)


def test_gpus_and_slices(library):
    answer = ask(library, FAKE_NVML="2")
    assert answer.returncode == 0
    report = cuda.parse_nvml(answer.output)
    assert (report.driver, report.cuda_ceiling) == ("580.95.05", "13.0")
    rows = [(gpu.index, gpu.name, gpu.uuid, gpu.memory_bytes // MIB, gpu.used_bytes // MIB, gpu.mig)
            for gpu in report.accelerators]  # fmt: skip
    assert rows == [
        (0, "NVIDIA H20 MIG 1g.12gb", "MIG-101", 11264, 5, True),
        (0, "NVIDIA H20 MIG 1g.12gb", "MIG-104", 11264, 5, True),
        (1, "NVIDIA H20", "GPU-2", 97871, 5, False),
    ]
    assert {gpu.compute_capability for gpu in report.accelerators} == {(9, 0)}


def test_a_lost_gpu_does_not_hide_the_others(library):
    report = cuda.parse_nvml(ask(library, FAKE_NVML="3", FAKE_NVML_LOST="1").output)
    assert [(gpu.index, gpu.supported) for gpu in report.accelerators] == [(0, True), (0, True), (1, True), (2, False)]
    assert report.accelerators[-1].reason == "it does not answer: GPU is lost"


def test_no_gpus_is_a_problem_to_explain(library):
    report = cuda.parse_nvml(ask(library, FAKE_NVML="0").output)
    assert report.problem.id == "hardware.nvidia_no_devices"


def test_versions_that_do_not_match(library):
    assert cuda.parse_nvml(ask(library, FAKE_NVML="mismatch").output).problem.id == "hardware.nvidia_mismatch"


def test_a_hang_ends_with_the_limit(library):
    assert ask(library, limit_s=1.0, FAKE_NVML="hang").returncode is None


def test_a_crash_takes_only_the_child(library):
    assert ask(library, FAKE_NVML="crash").returncode == -6
