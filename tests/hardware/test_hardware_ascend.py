from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfhost.hardware import ascend
from selfhost.units import GIB, MIB

DATA = Path(__file__).parents[1] / "data" / "ascend"
EIGHT = list(range(8))


def report_of(prefix: str) -> ascend.AscendReport:
    (path,) = DATA.glob(f"{prefix}*.txt")
    return ascend.parse_info(path.read_text())


@pytest.mark.parametrize(
    ("prefix", "name", "device_id", "total_mb", "used_mb", "indices", "driver"),
    [
        ("910B1_8npu_info_24.1.0", "910B1", "910B1-64G", 65536, (3402, 3418), EIGHT, "24.1.0"),
        ("910B1_8npu_info_23.0.rc2.2", "910B1", "910B1-64G", 65536, (65096, 65099), EIGHT, "23.0.rc2.2"),
        ("910B2_8npu_info_25.2.0", "910B2", "910B2-64G", 65536, (32638, 33126), EIGHT, "25.2.0"),
        ("910B2C_2npu", "910B2C", "910B2C-64G", 65536, (20687, 20701), [0, 1], "23.0.2.1"),
        ("910B3_8npu_info_24.1", "910B3", "910B3-64G", 65536, (3314, 3318), EIGHT, "24.1.rc1.b030"),
        ("910B3_8npu_info_25.3", "910B3", "910B3-64G", 65536, (58626, 58627), EIGHT, "25.3.rc1"),
        ("910B4_1npu", "910B4", "910B4-32G", 32768, (2871, 2871), [0], "26.0.rc1"),
        ("A3_2card_4die", "910C", "910C-64G", 65536, (2876, 10568), [0, 1, 2, 3], "25.2.0"),
        ("A3_2card_info_26", "910C", "910C-64G", 65536, (2882, 59807), [0, 1, 10, 11], "26.0.rc1"),
        ("310P3_300I-Pro", "310P3", "310P3-Pro-21G", 21527, (1843, 1846), EIGHT, "24.1.0.1"),
        ("950DT_3of8", "Ascend950DT", "950DT-96G", 98304, (4764, 91000), [0, 1, 7], "25.6.rc1.b218"),
    ],
)
def test_each_dialect(prefix, name, device_id, total_mb, used_mb, indices, driver):  # noqa: PLR0917 - a table's row
    report = report_of(prefix)
    found = report.accelerators
    assert {npu.name for npu in found} == {name}
    assert {npu.device_id for npu in found} == {device_id}
    assert {npu.memory_bytes for npu in found} == {total_mb * MIB}
    used = [npu.used_bytes // MIB for npu in found]
    assert (min(used), max(used)) == used_mb
    assert [npu.index for npu in found] == indices
    assert all(npu.supported and npu.vendor == "huawei" for npu in found)
    assert (report.driver, report.problem) == (driver, None)


def test_a_die_sees_less_than_its_label():
    assert report_of("A3_2card_4die").accelerators[0].visible_memory_bytes == int(61.27 * GIB)
    assert report_of("910B3_8npu_info_24.1").accelerators[0].visible_memory_bytes == int(60.96 * GIB)


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("910gen1_", "first-generation Ascend 910: vllm-ascend starts with the 910B1 to 910B4 (A2)"),
        ("310B4_", "Ascend 310B, a developer kit: vllm-ascend does not support it"),
        ("950_doc_", "`xxx` is no Ascend device that selfhost knows"),
    ],
)
def test_what_no_engine_drives_says_so(prefix, reason):
    found = report_of(prefix).accelerators
    assert found
    assert {(npu.supported, npu.reason) for npu in found} == {(False, reason)}


def test_a_sick_npu_is_noted():
    assert [note.what for note in report_of("950DT_3of8").notes] == ["NPU 7 (Ascend950DT) reports health `Warning`"]
    assert report_of("910B1_8npu_info_24.1.0").notes == ()


@pytest.mark.parametrize(
    ("output", "message_id"),
    [
        ((DATA / "error_container_dcmi_-8005.txt").read_text(), "hardware.npu_held"),
        ((DATA / "error_container_dcmi_-8020.txt").read_text(), "hardware.npu_held"),
        ("dcmi module initialize failed. ret is -8255", "hardware.npu_dcmi_failed"),
        ("There is no NPU card on this server.", "hardware.npu_none"),
        ("Segmentation fault", "hardware.npu_failed"),
        ("", "hardware.npu_failed"),
    ],
)
def test_failures_become_a_message_with_a_remedy(output, message_id):
    report = ascend.parse_info(output)
    assert report.accelerators == ()
    assert report.problem.id == message_id
    assert report.problem.hint


@pytest.mark.parametrize(
    ("prefixes", "family"), [(["910B3_8npu_info_24.1"], "A2"), (["A3_2card_4die"], "A3"), (["950_doc_"], None)]
)
def test_soc_family_is_what_the_image_is_chosen_by(prefixes, family):
    assert ascend.soc_family(tuple(npu for p in prefixes for npu in report_of(p).accelerators)) == family


@pytest.mark.parametrize(
    ("content", "version"),
    [
        ("Version=25.7.rc1.6\nInnerversion=V1\n", "25.7.rc1.6"),
        ("package_name=Ascend-cann-toolkit\nversion=9.1.0\ninnerversion=V100R001C25\n", "9.1.0"),
        ("nothing here", None),
    ],
)
def test_versions_of_driver_and_toolkit(content, version):
    assert ascend.parse_install_info(content) == version


LINES = st.sampled_from([line for path in sorted(DATA.glob("*.txt")) for line in path.read_text().splitlines()])


@settings(derandomize=True, max_examples=150, deadline=None)
@given(lines=st.lists(LINES, max_size=12), cut=st.integers(0, 900), noise=st.text(max_size=30))
def test_mangled_output_never_raises(lines, cut, noise):
    text = "\n".join(lines)
    report = ascend.parse_info(text[:cut] + noise + text[cut:])
    assert bool(report.accelerators) != bool(report.problem)
