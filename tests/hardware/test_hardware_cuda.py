from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfhost.hardware import cuda
from selfhost.units import GIB, MIB

DATA = Path(__file__).parents[1] / "data" / "nvidia"


def said(name: str) -> str:
    return (DATA / name).read_text()


def nvml(name: str) -> cuda.CudaReport:
    return cuda.parse_nvml(json.dumps(json.loads(said(name))))


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(nvml("nvml_8xH20.json"), id="NVML"),
        pytest.param(cuda.parse_smi(said("smi_query_8xH20.csv"), "", said("smi_table_H20.txt")), id="nvidia-smi"),
    ],
)
def test_eight_h20(report):
    assert (report.driver, report.cuda_ceiling, report.problem, report.notes) == ("550.144.03", "12.4", None, ())
    assert [gpu.index for gpu in report.accelerators] == list(range(8))
    assert {gpu.name for gpu in report.accelerators} == {"NVIDIA H20"}
    assert {gpu.device_id for gpu in report.accelerators} == {"H20-96G"}
    assert {gpu.memory_bytes for gpu in report.accelerators} == {97871 * MIB}
    assert {gpu.visible_memory_bytes for gpu in report.accelerators} == {int(95.22 * GIB)}
    assert [gpu.used_bytes for gpu in report.accelerators] == [28 * MIB] + 7 * [MIB]
    assert {gpu.compute_capability for gpu in report.accelerators} == {(9, 0)}
    assert all(gpu.supported and not gpu.mig and gpu.reason == "" for gpu in report.accelerators)
    assert len({gpu.uuid for gpu in report.accelerators}) == 8


def test_what_an_h200_says_and_what_cuda_sees_there():
    report = nvml("nvml_H200_captured.json")
    (gpu,) = report.accelerators
    assert (report.driver, report.cuda_ceiling, report.problem) == ("580.159.04", "13.0", None)
    assert (gpu.device_id, gpu.memory_bytes, gpu.used_bytes) == ("H200-141G", 143771 * MIB, 0)
    assert gpu.compute_capability == (9, 0)
    # The catalogue's figure is from logs of others; this is torch.cuda.mem_get_info() on the machine itself.
    assert gpu.visible_memory_bytes == pytest.approx(150_109_880_320, rel=1e-4)


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(nvml("nvml_MIG_A100.json"), id="NVML"),
        pytest.param(
            cuda.parse_smi(
                said("smi_query_MIG_A100.csv"), said("smi_list_MIG_A100.txt"), said("smi_table_MIG_A100.txt")
            ),
            id="nvidia-smi",
        ),
    ],
)
def test_mig_slices_stand_for_their_gpu(report):
    slices = [gpu for gpu in report.accelerators if gpu.mig]
    assert [(gpu.index, gpu.name) for gpu in slices] == [
        (0, "NVIDIA A100 80GB PCIe MIG 3g.40gb"),
        (0, "NVIDIA A100 80GB PCIe MIG 2g.20gb"),
        (0, "NVIDIA A100 80GB PCIe MIG 1g.10gb"),
    ]
    assert [gpu.memory_bytes for gpu in slices] == [40192 * MIB, 19968 * MIB, 9728 * MIB]
    assert [gpu.used_bytes for gpu in slices] == [19 * MIB, 13 * MIB, 6 * MIB]
    assert slices[2].visible_memory_bytes == int(9728 * MIB * 0.99)
    assert slices[0].uuid == "MIG-d771d938-b556-4f9d-b742-2dd26b864023"
    assert all(gpu.supported and gpu.compute_capability == (8, 0) for gpu in slices)
    whole = next(gpu for gpu in report.accelerators if gpu.index == 1)
    assert (whole.mig, whole.visible_memory_bytes) == (False, int(79.32 * GIB))


def test_mig_without_slices_cannot_be_used():
    empty = nvml("nvml_MIG_A100.json").accelerators[-1]
    assert (empty.index, empty.supported, empty.mig) == (2, False, False)
    assert empty.reason == "MIG is enabled, but no slice was made (`nvidia-smi mig -lgip` lists the profiles)"


def test_slices_that_the_table_does_not_show_have_unknown_memory():
    report = cuda.parse_smi(said("smi_query_MIG_A100.csv"), said("smi_list_MIG_A100.txt"), "")
    assert [gpu.memory_bytes for gpu in report.accelerators if gpu.mig] == [None, None, None]
    assert report.cuda_ceiling is None


def test_mixed_devices_one_of_them_lost():
    report = nvml("nvml_mixed_one_lost.json")
    rows = [(gpu.device_id, gpu.supported, gpu.visible_memory_assumed) for gpu in report.accelerators]
    assert rows == [
        ("RTX4090-24G", True, True),
        ("RTX4090-24G", True, False),
        ("L20-48G", True, False),
        ("L20-48G", True, False),
        (None, False, True),
        (None, True, True),
        (None, False, False),
    ]
    rebuilt, _, _, _, old, unlisted, lost = report.accelerators
    assert rebuilt.visible_memory_bytes == int(49140 * MIB * 0.99)
    assert old.reason == "compute capability 6.1: the engine needs 7.0 or later"
    assert unlisted.compute_capability == (11, 0)
    assert (lost.index, lost.reason) == (6, "it does not answer: GPU is lost")
    assert [note.id for note in report.notes] == ["hardware.nvidia_lost"]


def test_nvidia_smi_with_one_gpu_lost_still_reports_the_other():
    report = cuda.parse_smi(said("smi_query_one_lost.csv"))
    assert [(gpu.index, gpu.supported) for gpu in report.accelerators] == [(0, True), (1, False)]
    assert report.accelerators[0].device_id == "RTX3090-24G"
    assert report.driver == "575.64"
    assert [note.id for note in report.notes] == ["hardware.nvidia_lost"]


def test_unified_memory_has_no_total_but_a_known_device():
    (gpu,) = nvml("nvml_GB10_unified_memory.json").accelerators
    assert (gpu.memory_bytes, gpu.used_bytes, gpu.visible_memory_bytes) == (None, None, int(121.69 * GIB))
    assert gpu.supported


@pytest.mark.parametrize(
    ("name", "message_id"),
    [
        ("nvml_error_mismatch.json", "hardware.nvidia_mismatch"),
        ("nvml_error_not_loaded.json", "hardware.nvidia_not_loaded"),
        ("nvml_error_no_library.json", "hardware.nvidia_no_library"),
        ("nvml_error_permission.json", "hardware.nvidia_permission"),
        ("nvml_error_unknown_error.json", "hardware.nvidia_unknown_error"),
        ("smi_error_mismatch.txt", "hardware.nvidia_mismatch"),
        ("smi_error_no_driver.txt", "hardware.nvidia_not_loaded"),
        ("smi_error_no_devices.txt", "hardware.nvidia_no_devices"),
        ("smi_error_unknown.txt", "hardware.nvidia_unknown_error"),
        ("smi_error_lost.txt", "hardware.nvidia_lost"),
    ],
)
def test_failures_become_a_message_with_a_remedy(name, message_id):
    report = nvml(name) if name.startswith("nvml") else cuda.parse_smi(said(name))
    assert report.accelerators == ()
    assert report.problem.id == message_id
    assert report.problem.hint


@pytest.mark.parametrize(
    ("output", "detail"),
    [
        ("", "no output"),
        ("Traceback (most recent call last):\n", "Traceback (most recent call last):"),
        ("\x1b[31mgarbage\x00\n", "?[31mgarbage?"),
        ('{"devices": 3}', '{"devices": 3}'),
        ('{"devices": [{"index": Infinity}]}', '{"devices": [{"index": Infinity}]}'),
        ("[" * 5000, "[" * 160),
    ],
)
def test_garbage_is_quoted_not_raised(output, detail):
    for report in (cuda.parse_nvml(output), cuda.parse_smi(output)):
        assert report.problem.what == f"cannot read the NVIDIA driver: {detail}"


def test_warnings_around_the_answer_are_skipped():
    answer = json.dumps(json.loads(said("nvml_8xH20.json")))
    assert len(cuda.parse_nvml(f"some warning\n{answer}\nanother").accelerators) == 8


def test_drivers_from_610_name_the_ceiling_differently():
    report = cuda.parse_smi(said("smi_query_8xH20.csv"), "", said("smi_table_610_umd.txt"))
    assert report.cuda_ceiling == "13.3"


LINES = st.sampled_from(
    [line for path in sorted(DATA.glob("smi_*")) for line in path.read_text().splitlines()] + ["", "|" * 9, "0," * 9]
)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(lines=st.lists(LINES, max_size=12), cut=st.integers(0, 400), noise=st.text(max_size=30))
def test_mangled_output_never_raises(lines, cut, noise):
    text = "\n".join(lines)
    mangled = text[:cut] + noise + text[cut:]
    for report in (cuda.parse_smi(mangled, mangled, mangled), cuda.parse_nvml(mangled)):
        assert bool(report.accelerators) != bool(report.problem)
