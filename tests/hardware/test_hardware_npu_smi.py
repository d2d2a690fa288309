"""The table of `npu-smi info`, against every capture: values were written down from reading the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfhost.hardware import npu_smi

DATA = Path(__file__).parents[1] / "data" / "ascend"
EIGHT = list(range(8))
SPARSE = [0, 32, 96, 32768, 32800, 32832, 32864, 32896]


def read(name: str) -> str:
    return (DATA / f"{name}.txt").read_text()


TABLES = [
    ("910B1_8npu_info_24.1.0_idle", "24.1.0", "910B1", 65536, (3402, 3418), EIGHT, 0),
    ("910B1_8npu_info_23.0.rc2.2_no-process-section", "23.0.rc2.2", "910B1", 65536, (65096, 65099), EIGHT, None),
    ("910B2_8npu_info_25.2.0_vllm-TP8", "25.2.0", "910B2", 65536, (32638, 33126), EIGHT, 15),
    ("910B2C_2npu_info_23.0.2.1_trailing-space", "23.0.2.1", "910B2C", 65536, (20687, 20701), [0, 1], 1),
    ("910B3_8npu_info_24.1.rc1.b030", "24.1.rc1.b030", "910B3", 65536, (3314, 3318), EIGHT, None),
    ("910B3_8npu_info_25.3.rc1_in-use_empty-process-name", "25.3.rc1", "910B3", 65536, (58626, 58627), EIGHT, 8),
    ("910B4_1npu_info_26.0.rc1_116col", "26.0.rc1", "910B4", 32768, (2871, 2871), [0], 0),
    ("910gen1_910PremiumA_8npu_info_23.0.rc2_UNSUPPORTED", "23.0.rc2", "910PremiumA", 32768, (31842, 31842), EIGHT, 8),
    ("310B4_info_23.0.0", "23.0.0", "310B4", 15609, (3628, 3628), [0], None),
    ("310P3_300I-Pro_8card_info_24.1.0.1_noncontiguous-ids", "24.1.0.1", "310P3", 21527, (1843, 1846), SPARSE, 0),
    ("A3_2card_4die_info_25.2.0", "25.2.0", "Ascend910", 65536, (2876, 10568), [0, 0, 1, 1], 1),
    ("A3_2card_info_26.0.rc1_116col_trimmed-fixture", "26.0.rc1", "Ascend910", 65536, (2882, 59807), [0, 0, 5, 5], 2),
    (
        "950DT_3of8npu_info_25.6.rc1.b218_trimmed-fixture",
        *("25.6.rc1.b218", "Ascend950DT", 98304, (4764, 91000), [0, 1, 7], None),
    ),
    ("950_doc_info_placeholder-names", "x.x.x", "xxx", 86016, (4439, 4439), [0], 0),
]


def test_every_capture_of_a_table_is_in_the_list():
    captures = {
        path.stem for path in DATA.glob("*.txt") if "npu-smi" in path.read_text() and "Version:" in path.read_text()
    }
    assert captures == {row[0] for row in TABLES}


@pytest.mark.parametrize(
    ("name", "driver", "chip", "total", "used", "cards", "processes"), TABLES, ids=lambda v: str(v)[:20]
)
def test_each_dialect(name, driver, chip, total, used, cards, processes):  # noqa: PLR0917 - a table's row
    table = npu_smi.parse(read(name))
    assert table.driver == driver
    assert {row.name for row in table.rows} == {chip}
    assert {row.total_mib for row in table.rows} == {total}
    assert (min(r.used_mib for r in table.rows), max(r.used_mib for r in table.rows)) == used
    assert [row.card_id for row in table.rows] == cards
    assert table.processes is None if processes is None else len(table.processes) == processes
    assert (table.unread, table.half_installed) == (0, False)


def test_the_second_number_is_what_its_column_says():
    dies = npu_smi.parse(read("A3_2card_info_26.0.rc1_116col_trimmed-fixture")).rows
    assert [(r.card_id, r.chip_id, r.physical_id, r.logical_id) for r in dies] == [
        *((0, 0, 0, None), (0, 1, 1, None)),
        *((5, 0, 10, None), (5, 1, 11, None)),
    ]
    duo = npu_smi.parse(read("310P3_300I-Pro_8card_info_24.1.0.1_noncontiguous-ids")).rows
    assert [(r.chip_id, r.physical_id, r.logical_id) for r in duo] == [(0, None, i) for i in range(8)]
    (a2,) = npu_smi.parse(read("910B4_1npu_info_26.0.rc1_116col")).rows
    assert (a2.chip_id, a2.physical_id, a2.logical_id) == (0, None, None)
    of_950 = npu_smi.parse(read("950DT_3of8npu_info_25.6.rc1.b218_trimmed-fixture")).rows
    assert [(r.physical_id, r.logical_id) for r in of_950] == [(None, 0), (None, 1), (None, 7)]


def test_state_of_a_device():
    rows = npu_smi.parse(read("950DT_3of8npu_info_25.6.rc1.b218_trimmed-fixture")).rows
    assert [(r.health, r.utilization_percent, r.bus_id) for r in rows] == [
        ("OK", 0, None),
        ("OK", 0, None),
        ("Warning", 42, None),
    ]
    dies = npu_smi.parse(read("A3_2card_info_26.0.rc1_116col_trimmed-fixture")).rows
    assert [(r.utilization_percent, r.bus_id) for r in dies][:2] == [(100, "0000:9d:00.0"), (60, "0000:9f:00.0")]
    assert npu_smi.parse(read("310B4_info_23.0.0")).rows[0].health == "Alarm"


def test_processes():
    told = npu_smi.parse(read("910B2_8npu_info_25.2.0_vllm-TP8")).processes
    assert len({each.pid for each in told}) == 8
    assert sum(each.card_id == 0 for each in told) == 8
    empty = npu_smi.parse(read("910B3_8npu_info_25.3.rc1_in-use_empty-process-name")).processes
    assert {each.name for each in empty} == {None}
    a3 = npu_smi.parse(read("A3_2card_info_26.0.rc1_116col_trimmed-fixture")).processes
    assert [(p.card_id, p.chip_id, p.pid, p.name, p.memory_mib, p.container_pid) for p in a3] == [
        (0, 0, 1774110, "VLLMWorker_PP", 56684, None),
        (0, 1, 1777209, "VLLMWorker_PP", 56684, None),
    ]


A2 = read("910B3_8npu_info_24.1.rc1.b030")


def test_a_container_pid_is_read_where_there_is_one():
    row = "| NPU     Chip | Process id | Process name | Process memory(MB) | Process id in container |\n"
    row += "| 2       0    | 4711       | python       | 17                 | 35                      |"
    assert npu_smi.parse(row).processes[0].container_pid == 35


@pytest.mark.parametrize("lines", range(7, 25))
def test_what_a_cut_leaves_is_whole_devices_and_a_count(lines):
    table = npu_smi.parse("\n".join(A2.splitlines()[:lines]))
    # Three lines a device, from the seventh on; the third is the border that a whole table ends with.
    assert (len(table.rows), table.unread) == ((lines - 5) // 3, int((lines - 6) % 3 != 0))


def test_a_cut_within_a_row_is_told():
    lines = A2.splitlines()
    table = npu_smi.parse("\n".join(lines[:9]) + "\n" + lines[9][:14])
    assert (len(table.rows), table.unread) == (1, 1)


def test_a_row_without_its_first_half_is_no_device():
    lines = A2.splitlines()
    table = npu_smi.parse("\n".join(lines[:6] + lines[7:]))
    assert (len(table.rows), table.unread) == (7, 1)


def test_a_row_without_its_second_half_is_no_device():
    lines = A2.splitlines()
    table = npu_smi.parse("\n".join(lines[:10] + lines[11:]))
    assert ([row.card_id for row in table.rows], table.unread) == ([0, 2, 3, 4, 5, 6, 7], 1)


def test_a_device_that_is_told_twice_counts_once():
    twice = npu_smi.parse(A2 + A2.replace("3314", "9999"))
    assert twice.rows == npu_smi.parse(A2).rows
    assert twice.unread == 8


def test_another_language_changes_words_not_rows():
    said = A2.replace("| OK ", "| 正常").replace("Health", "健康").replace("Name", "名称")
    rows = npu_smi.parse(said).rows
    assert len(rows) == 8
    assert {row.health for row in rows} == {"正常"}
    processes = "| 编号    芯片 | 进程号 | 名称 | 内存 |\n| 0       0    | 3755936 | python | 129 |"
    assert [p.pid for p in npu_smi.parse(processes).processes] == [3755936]


def test_impossible_figures_are_not_told():
    row = "| 0     910B3               | OK            | 88.6        51                0    / 0             |\n"
    row += "| 0                         | 0000:5A:00.0  | NA          0    / 0          {}         |"
    told = {figure: npu_smi.parse(row.format(figure)).rows[0] for figure in ("-5 / 65536", "70000/ 65536", "NA / NA")}
    assert [(r.used_mib, r.total_mib) for r in told.values()] == [(None, 65536), (None, 65536), (None, None)]
    assert told["NA / NA"].utilization_percent is None


def test_a_driver_that_was_not_installed_to_the_end():
    warning = "[WARNING]The driver package may not be completely installed, which may cause function abnormal."
    assert npu_smi.parse(f"{A2}\n{warning}").half_installed
