"""Damaged output of npu-smi, in every way that comes to mind: no reader raises, and no figure is impossible.

SELFHOST_TEST_SAMPLES=100000 python -m pytest -q tests/hardware/test_hardware_ascend_fuzz.py
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

from selfhost.hardware import ascend, ascend_files, ascend_other, npu_query, npu_smi

DATA = Path(__file__).parents[1] / "data" / "ascend"
SAMPLES = int(os.environ.get("SELFHOST_TEST_SAMPLES", "3000"))
CAPTURES = [path.read_text() for path in sorted(DATA.glob("*.txt"))]
TABLES = [text for text in CAPTURES if npu_smi.parse(text).rows]
LINES = sorted({line for capture in CAPTURES for line in capture.splitlines()})
NOISE = (
    *("NA", "-", "", "|", "||", "+", "/", ":", "-1", "0", "99999999999999999999", "1e9", "\u0660\u0661", "\u00b2"),
    *(
        "\t",
        "\r",
        "\x00",
        "\x1b[31m",
        "\ufffd",
        "正常",
        "进程号",
        "未知",
        "Process id",
        "NPU ID",
        "Health : ",
        "[WARNING]",
    ),
)


def cut(dice: random.Random, text: str) -> str:
    return text[: dice.randrange(len(text) + 1)]


def drop_lines(dice: random.Random, text: str) -> str:
    kept = dice.random()
    return "\n".join(line for line in text.splitlines() if dice.random() < kept)


def repeat_lines(dice: random.Random, text: str) -> str:
    return "\n".join(line for line in text.splitlines() for _ in range(dice.choice((1, 1, 1, 2, 3))))


def shuffle_lines(dice: random.Random, text: str) -> str:
    lines = text.splitlines()
    dice.shuffle(lines)
    return "\n".join(lines)


def foreign_lines(dice: random.Random, text: str) -> str:
    lines = text.splitlines()
    for _ in range(dice.randint(1, 6)):
        lines.insert(dice.randrange(len(lines) + 1), dice.choice(LINES))
    return "\n".join(lines)


def change_characters(dice: random.Random, text: str) -> str:
    characters = list(text)
    for _ in range(dice.randint(1, 12)):
        if characters:
            characters[dice.randrange(len(characters))] = chr(
                dice.choice((dice.randrange(32, 127), dice.randrange(0x3000)))
            )
    return "".join(characters)


def noise(dice: random.Random, text: str) -> str:
    for _ in range(dice.randint(1, 5)):
        at = dice.randrange(len(text) + 1)
        text = text[:at] + dice.choice(NOISE) + text[at + dice.randint(0, 4) :]
    return text


def change_cells(dice: random.Random, text: str) -> str:
    cells = text.split("|")
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(cells))
        cells[at] = dice.choice((dice.choice(NOISE), cells[dice.randrange(len(cells))]))
    return "|".join(cells)


def other_ends(dice: random.Random, text: str) -> str:
    return text.replace("\n", dice.choice(("\r\n", "\r", "\n\n", " \n", "")))


def narrow(dice: random.Random, text: str) -> str:
    width = dice.randrange(10, 120)
    return "\n".join(line[:width] for line in text.splitlines())


MUTATIONS = (
    *(cut, drop_lines, repeat_lines, shuffle_lines, foreign_lines),
    *(change_characters, noise, change_cells, other_ends, narrow),
)


def sample(dice: random.Random) -> str:
    text = dice.choice(dice.choice((CAPTURES, TABLES, TABLES)))
    for _ in range(dice.randint(1, 2)):
        text = dice.choice(MUTATIONS)(dice, text)
    return text


def read_everything(text: str) -> tuple[ascend.AscendReport, npu_smi.Table]:
    """By every reader, as if each question had this answer."""
    npu_query.parse_list(text)
    npu_query.figures(text)
    npu_query.parse_health(text)
    npu_query.parse_processes(text)
    ascend_files.parse_driver(text).takes_firmware(text[:20])
    ascend_files.parse_install(text)
    ascend_other.from_torch(text)
    board = npu_query.parse_board(text)
    told = ascend.Told(
        mapping=npu_query.parse_mapping(text),
        board=board,
        chip=board,
        topology=npu_query.parse_topology(text),
        nodes=(0, 1, 2, 3),
    )
    table = npu_smi.parse(text)
    return (ascend.report(table, told) if table.rows else ascend.parse_info(text)), table


def test_damaged_output_is_read_or_refused():
    dice = random.Random(20261127)
    devices = 0
    for _ in range(SAMPLES):
        text = sample(dice)
        try:
            report, table = read_everything(text)
            said = [note.what + note.hint for note in (*report.notes, *filter(None, [report.problem]))]
        except Exception as error:
            raise AssertionError(repr(text)) from error
        assert bool(report.accelerators) != bool(report.problem), repr(text)
        assert "\x1b" not in "".join(said), repr(text)
        json.dumps([accelerator.as_dict() for accelerator in report.accelerators])
        assert len({(a.npu.card_id, a.npu.chip_id) for a in report.accelerators}) == len(table.rows), repr(text)
        for kind in ("physical_id", "logical_id"):
            known = [number for a in report.accelerators if (number := getattr(a.npu, kind)) is not None]
            assert len(set(known)) == len(known), repr(text)
        for row in table.rows:
            # Nothing is made up: what is reported stands in the output.
            assert row.name in text, repr(text)
            assert row.total_mib is None or str(row.total_mib) in text, repr(text)
        for found in report.accelerators:
            assert found.memory_bytes is None or 0 <= (found.used_bytes or 0) <= found.memory_bytes, repr(text)
            assert found.memory_bytes is not None or not found.supported, repr(text)
            ids = (found.index, found.npu.logical_id, found.npu.physical_id)
            assert min(number for number in ids if number is not None) >= 0, repr(text)
        devices += len(report.accelerators)
    # Damage that leaves nothing to read would test nothing.
    assert devices > SAMPLES
