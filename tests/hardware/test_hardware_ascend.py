from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from selfhost.hardware import ascend, ascend_other, npu_names, npu_query, npu_smi
from selfhost.hardware.npu_query import Mapped
from selfhost.hardware.npu_smi import Process
from selfhost.units import GIB, MIB

if TYPE_CHECKING:
    from selfhost.hardware.types import Npu

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
        ("950DT_3of8", "950DT", "950DT-96G", 98304, (4764, 91000), [0, 1, 7], "25.6.rc1.b218"),
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
        ("950_doc_info_", "`xxx` is no Ascend device that selfhost knows"),
    ],
)
def test_what_no_engine_drives_says_so(prefix, reason):
    found = report_of(prefix).accelerators
    assert found
    assert {(npu.supported, npu.reason) for npu in found} == {(False, reason)}


def test_a_sick_npu_is_noted():
    assert [note.what for note in report_of("950DT_3of8").notes] == ["NPU 7 (950DT) reports health `Warning`"]
    assert report_of("910B1_8npu_info_24.1.0").notes == ()


@pytest.mark.parametrize(
    ("prefixes", "family"), [(["910B3_8npu_info_24.1"], "A2"), (["A3_2card_4die"], "A3"), (["950_doc_info_"], None)]
)
def test_soc_family_is_what_the_image_is_chosen_by(prefixes, family):
    assert ascend.soc_family(tuple(npu for p in prefixes for npu in report_of(p).accelerators)) == family


def npus(prefix: str, **told) -> list[Npu]:
    (path,) = DATA.glob(f"{prefix}*.txt")
    return [a.npu for a in ascend.report(npu_smi.parse(path.read_text()), ascend.Told(**told)).accelerators]


def ids(found: list[Npu]) -> list[tuple]:
    return [(npu.card_id, npu.chip_id, npu.physical_id, npu.logical_id) for npu in found]


def test_ids_of_a_whole_machine():
    assert ids(npus("A3_2card_4die")) == [(0, 0, 0, 0), (0, 1, 1, 1), (1, 0, 2, 2), (1, 1, 3, 3)]
    # A2: no tool tells the physical id; the card's it is, where there is such a node.
    assert ids(npus("910B1_8npu_info_24", nodes=tuple(EIGHT))) == [(i, 0, i, i) for i in EIGHT]
    assert ids(npus("910B1_8npu_info_24")) == [(i, 0, None, None) for i in EIGHT]
    mapping = tuple(Mapped(card_id=i, chip_id=0, logical_id=i) for i in EIGHT)
    assert ids(npus("910B1_8npu_info_24", mapping=mapping)) == [(i, 0, None, i) for i in EIGHT]
    assert ids(npus("310P3_300I", nodes=tuple(EIGHT)))[3] == (32768, 0, 3, 3)


def test_ids_of_a_part_keep_those_of_the_host():
    # Two cards of an A3: the table has the host's ids, the runtime counts from 0, which `-m` tells.
    assert ids(npus("A3_2card_info_26")) == [(0, 0, 0, None), (0, 1, 1, None), (5, 0, 10, None), (5, 1, 11, None)]
    keys = [(0, 0, 0), (0, 1, 1), (5, 0, 10), (5, 1, 11)]
    mapping = tuple(
        Mapped(card_id=card, chip_id=chip, logical_id=n, physical_id=physical)
        for n, (card, chip, physical) in enumerate(keys)
    )
    assert ids(npus("A3_2card_info_26", mapping=mapping))[2:] == [(5, 0, 10, 2), (5, 1, 11, 3)]
    one = npu_smi.parse(
        (DATA / "910B4_1npu_info_26.0.rc1_116col.txt").read_text().replace("| 0     910B4", "| 5     910B4")
    )
    told = ascend.Told(mapping=(Mapped(card_id=5, chip_id=0, logical_id=0),), nodes=(5,))
    (npu,) = ascend.report(one, told).accelerators
    assert (npu.index, npu.npu.card_id, npu.npu.physical_id, npu.npu.logical_id) == (5, 5, 5, 0)
    # With nodes of other numbers nothing is known, and nothing is made up.
    (npu,) = ascend.report(one, ascend.Told(nodes=(0, 1))).accelerators
    assert (npu.npu.physical_id, npu.npu.logical_id) == (None, None)


def test_the_index_is_the_physical_id_where_it_is_known():
    table = npu_smi.parse((DATA / "950DT_3of8npu_info_25.6.rc1.b218_trimmed-fixture.txt").read_text())
    mapping = tuple(Mapped(card_id=card, chip_id=0, physical_id=card + 8) for card in (0, 1, 7))
    found = ascend.report(table, ascend.Told(mapping=mapping)).accelerators
    assert [(a.index, a.npu.logical_id, a.npu.physical_id) for a in found] == [(8, 0, 8), (9, 1, 9), (15, 7, 15)]


def test_a_number_that_two_devices_have_is_none():
    # npu-smi prints 0 for the ids of a chip that did not answer.
    mapping = tuple(Mapped(card_id=i, chip_id=0, logical_id=0 if i == 3 else i) for i in EIGHT)
    found = npus("910B1_8npu_info_24", mapping=mapping)
    assert [npu.logical_id for npu in found] == [None, 1, 2, None, 4, 5, 6, 7]


def test_half_a_mapping_is_not_filled_up():
    # Found by damaged output: card 1 counts as 1, so card 0's second die cannot.
    found = npus("A3_2card_4die", mapping=(Mapped(card_id=1, chip_id=0, logical_id=1),))
    assert [npu.logical_id for npu in found] == [None, None, 1, None]


def two_chips(*processes: Process) -> npu_smi.Table:
    rows = [
        npu_smi.Row(card_id=0, chip_id=chip, name="910B3", health="OK", used_mib=1, total_mib=65536) for chip in (0, 1)
    ]
    return npu_smi.Table(rows=tuple(rows), processes=processes)


def test_two_chips_of_a_card_are_not_one_node():
    found = ascend.report(two_chips(), ascend.Told(nodes=(0, 1))).accelerators
    assert ids([a.npu for a in found]) == [(0, 0, None, None), (0, 1, None, None)]


@pytest.mark.parametrize(
    ("here", "there", "context"),
    [(129, 29275, True), (400, 500, False), (600, 50_000, False), (129, None, False), (None, 129, False)],
)
def test_what_is_a_context_of_another_rank(here, there, context):
    both = [Process(card_id=0, chip_id=n, pid=7, name="p", memory_mib=mib) for n, mib in enumerate((here, there))]
    first = ascend.report(two_chips(*both), ascend.Told()).accelerators[0]
    assert [process.context_only for process in first.processes] == [context]


@pytest.mark.parametrize(
    ("name", "total", "ddr", "shown", "device", "reason"),
    [
        ("Ascend910", 65536, 0, "910C", "910C-64G", None),
        ("Ascend910_9382", None, None, "910C", "910C-64G", None),
        ("Ascend910B3", 62423, None, "910B3", "910B3-64G", None),
        ("Ascend950PR", 131072, 0, "950PR", "950PR-128G", None),
        ("A2G3", 65536, 0, "A2G3", "910B4-1-64G", None),
        ("A2G6", 32768, 0, "A2G6", "910B4-32G", None),
        ("I2M", 21527, None, "I2M", None, "`I2M` is no Ascend device that selfhost knows"),
        ("I21", 21527, None, "I21", "310P3-Pro-21G", None),
        ("310P1", 44280, None, "310P1", "310P3-Duo-44G", None),
        ("910B", 32768, 15171, "910B", "910-gen1-32G", "first-generation Ascend 910"),
        ("910B", 65536, 0, "910B", None, "`910B` is no Ascend device that selfhost knows"),
        ("910ProB", 32768, 15171, "910ProB", "910-gen1-32G", "first-generation Ascend 910"),
        ("310B1", 15609, None, "310B1", "310B4-16G", "Ascend 310B, a developer kit"),
        ("310", 8192, None, "310", None, "Ascend 310: vllm-ascend starts with the 310P"),
    ],
)
def test_names(name, total, ddr, shown, device, reason):  # noqa: PLR0917 - a table's row
    named = npu_names.resolve(name, total, ddr)
    assert (named.shown, named.device and named.device.id) == (shown, device)
    assert named.reason.startswith(reason) if reason else not named.reason


def test_soc_version_is_told_or_the_name_is_the_whole_of_it():
    assert {npu.soc_version for npu in npus("910B2C_2npu")} == {"ascend910b2c"}
    assert {npu.soc_version for npu in npus("A3_2card_4die")} == {None}
    chip = npu_query.parse_board((DATA / "A3_info-t-board_i0_c0_excerpt.txt").read_text())
    assert {npu.soc_version for npu in npus("A3_2card_4die", chip=chip)} == {"ascend910_9392"}


def test_a_board_tells_the_name_of_a_950():
    table = npu_smi.parse((DATA / "950_doc_info_placeholder-names.txt").read_text())
    board = npu_query.parse_board((DATA / "950PR_info-t-board_i0_25.7.rc1.6_excerpt.txt").read_text())
    report = ascend.report(table, ascend.Told(board=board))
    (npu,) = report.accelerators
    assert (npu.name, npu.device_id, npu.npu.soc_version, npu.supported) == (
        "950PR",
        "950PR-128G",
        "ascend950pr_9579",
        True,
    )
    assert (npu.memory_bytes, npu.visible_memory_assumed) == (86016 * MIB, True)
    assert (report.driver, report.firmware) == ("25.7.rc1.6", "9.0.0.105.229")


def test_contexts_of_other_ranks_are_told_apart():
    found = report_of("910B2_8npu_info_25.2.0").accelerators
    first = found[0].processes
    assert len(first) == 8
    assert [(p.pid, p.memory_bytes) for p in first if not p.context_only] == [(314183, 29229 * MIB)]
    assert sum(not p.context_only for npu in found for p in npu.processes) == 8
    (job,) = report_of("910B2C_2npu").accelerators[0].processes
    assert (job.pid, job.name, job.context_only) == (124528, "python3.8", False)
    dies = report_of("A3_2card_4die").accelerators
    assert [[p.pid for p in die.processes] for die in dies] == [[], [], [], [990711]]


def notes(table: str, **told) -> list[str]:
    return [note.id.partition(".")[2] for note in ascend.report(npu_smi.parse(table), ascend.Told(**told)).notes]


def test_what_is_wrong_with_all_of_them_is_noted():
    a2 = (DATA / "910B3_8npu_info_24.1.rc1.b030.txt").read_text()
    assert notes(a2, nodes=tuple(EIGHT)) == []
    assert notes(a2, nodes=tuple(range(9))) == ["npu_not_listed"]
    assert notes("\n".join(a2.splitlines()[:-2]), nodes=tuple(EIGHT)) == ["npu_cut", "npu_not_listed"]
    assert notes(a2 + "[WARNING]The driver package may not be completely installed, which") == ["npu_half_installed"]
    assert notes(a2, board=npu_query.Board(compatibility="NOT OK", driver="24.1", firmware="7.3")) == [
        "npu_incompatible"
    ]
    mixed = a2.replace("| 7     910B3 ", "| 7     910B4 ")
    assert notes(mixed) == ["npu_mixed"]
    a3 = (DATA / "A3_2card_4die_info_25.2.0.txt").read_text()
    assert notes(a3, nodes=(0, 1, 2)) == ["npu_no_node"]
    lines = a3.splitlines()
    assert notes("\n".join(lines[:12] + lines[15:])) == ["npu_half_card"]


def test_memory_that_is_not_told_makes_no_device_usable():
    a2 = (DATA / "910B4_1npu_info_26.0.rc1_116col.txt").read_text().replace("2871 / 32768", "0    / 0    ")
    (npu,) = ascend.parse_info(a2).accelerators
    assert (npu.supported, npu.reason, npu.memory_bytes) == (False, "how much memory it has is not told", None)


def test_torch_npu_tells_what_an_engine_sees():
    said = {"index": 2, "name": "Ascend910B3", "total": 65452113920, "free": 60_000_000_000}
    output = "WARNING: a line of the runtime\n" + json.dumps({"torch_npu": "2.10.0", "devices": [said], "error": None})
    (npu,), wrong = ascend_other.from_torch(output)
    assert (npu.name, npu.device_id, npu.supported, wrong) == ("910B3", "910B3-64G", True, None)
    assert (npu.visible_memory_bytes, npu.used_bytes, npu.memory_bytes) == (65452113920, 5452113920, None)
    assert (npu.npu.logical_id, npu.npu.physical_id, npu.npu.soc_version) == (2, None, "ascend910b3")


@pytest.mark.parametrize(
    ("output", "wrong"),
    [
        ('{"devices": [], "error": "ImportError: libhccl.so"}', "ImportError: libhccl.so"),
        ("Killed", "Killed"),
        ("", "no output"),
        ('{"devices": [{"index": "x"}], "error": null}', '{"devices": [{"index": "x"}], "error": null}'),
    ],
)
def test_torch_npu_that_fails(output, wrong):
    assert ascend_other.from_torch(output) == ((), wrong)
