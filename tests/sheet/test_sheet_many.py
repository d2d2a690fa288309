"""Heat maps: a mark and a colour in each cell, the same words as in the terminal, names of models never markup."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations

import pytest

from selfhost.app import overview
from selfhost.app.model import resolve
from selfhost.hardware.spec import parse
from selfhost.planner.matrix import Models
from selfhost.planner.plan import PlanRequest
from selfhost.planner.tables import cell_text, draw_list, draw_matrix, explained_marks
from selfhost.sheet.colours import MARKS
from selfhost.sheet.figures import Made
from selfhost.sheet.many import list_page, list_svg, matrix_page, matrix_svg
from selfhost.sheet.page import colour_of
from tests.sheet.test_sheet_plan import EVIL, SVG, read

MADE = Made("1.2.3", "2026-11-28")
DEVICES = ("RTX4090", "RTX5080", "A30", "L20", "H20", "910B3", "MLU370-X8")


@pytest.fixture(scope="module")
def matrix():
    hardware = [one for name in DEVICES for one in overview._named(name)]
    return overview.matrix_of(resolve("qwen2.5-72b").to_plan(), hardware, PlanRequest())


@pytest.fixture(scope="module")
def models(matrix):
    cells = [row[2] for _, row in matrix.rows]
    return Models(parse("4xL20"), cells, ["broken.toml: not read"], len(cells))


def test_all_marks_occur_in_what_is_tested(matrix):
    assert {cell.mark for cell in matrix.cells} == {*MARKS}


def test_a_picture_has_every_cell_with_its_mark_and_colour(matrix):
    root = ET.fromstring(matrix_svg(matrix, MADE))
    drawn = {
        group.get("data-on"): (group.get("data-mark"), group.find(f"{SVG}rect").get("fill"))
        for group in root.iter(f"{SVG}g")
        if group.get("data-on")
    }
    told = {cell["on"]: cell for cell in json.loads(json.dumps(matrix.as_dict()))["cells"]}
    marks = {cell.plan.hardware.text: cell.mark for cell in matrix.cells if "MLU" not in cell.plan.hardware.text}
    assert drawn == {on: (mark, MARKS[mark].fill) for on, mark in marks.items()}
    assert all(told[on]["fits"] == (mark in "+~") for on, (mark, _) in drawn.items())
    words = "\n".join(x.text or "" for x in root.iter(f"{SVG}text"))
    assert all(cell_text(cell).split()[0] in words for cell in matrix.cells)
    assert all(meaning in words for _, meaning in explained_marks(matrix.cells))
    # Where nothing runs, the reason stands over the whole row.
    assert "x MLU370-X8 is not supported" in words


def test_a_page_says_in_its_cells_what_the_terminal_says(matrix):
    found = read(matrix_page(matrix, MADE))
    assert "script" not in found.tags
    assert found.addresses == []
    words = set(found.words)
    assert all(cell_text(cell) in words for cell in matrix.cells if "MLU" not in cell.plan.hardware.text)
    assert {name for name, _ in matrix.rows} <= words
    assert all(meaning in words for _, meaning in explained_marks(matrix.cells))


def test_cells_that_are_left_out_are_empty(matrix):
    fitting = matrix.only_fitting()
    root = ET.fromstring(matrix_svg(fitting, MADE))
    marks = [group.get("data-mark") for group in root.iter(f"{SVG}g") if group.get("data-on")]
    assert sorted(marks) == sorted(cell.mark for cell in fitting.cells)
    assert set(marks) == {"+", "~"}
    assert "<td></td>" in matrix_page(fitting, MADE)
    ET.fromstring(matrix_svg(matrix._replace(rows=()), MADE))


def test_a_list_has_a_row_for_each_model(models):
    root = ET.fromstring(list_svg(models, MADE))
    rows = [(x.get("data-model"), x.get("data-mark")) for x in root.iter(f"{SVG}g") if x.get("data-model")]
    assert rows == [(cell.plan.model, cell.mark) for cell in models.cells]
    found = read(list_page(models, MADE))
    assert "broken.toml: not read" in found.words
    best = models.cells[3].best
    assert f"{best.tokens_all_engines:,}" in found.words
    assert any(f"{best.tokens_all_engines:,}" == x.text for x in root.iter(f"{SVG}text"))


def test_names_are_never_markup(matrix, models):
    evil = [cell._replace(plan=replace(cell.plan, model=EVIL, variant=EVIL, reasons=(EVIL,))) for cell in matrix.cells]
    rows = tuple((f"{EVIL} {number}", (cell,) * 5) for number, cell in enumerate(evil))
    sheets = [
        matrix_svg(matrix._replace(model=EVIL, rows=rows), MADE),
        matrix_page(matrix._replace(model=EVIL, rows=rows), MADE),
        list_svg(models._replace(cells=evil, skipped=[EVIL]), MADE),
        list_page(models._replace(cells=evil, skipped=[EVIL]), MADE),
    ]
    for sheet in sheets:
        assert "<script" not in sheet
        assert "&lt;script&gt;" in sheet
    ET.fromstring(sheets[0])
    ET.fromstring(sheets[2])
    read(sheets[1])
    read(sheets[3])


def lightness(colour: str) -> float:
    """Relative luminance, as WCAG 2 has it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((lightness(one), lightness(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_marks_can_be_read_on_their_colours_and_verdicts_told_apart_without_them():
    """4.5 for text that is not large would be WCAG AA; the marks are bold signs and words beside them."""
    for colour in MARKS.values():
        assert contrast(colour.fill, colour.ink) >= 3.6
    assert len({colour_of(mark) for mark in MARKS}) == len(MARKS)
    # What fits is darker than what fits with less.
    assert lightness(MARKS["+"].fill) < lightness(MARKS["~"].fill) < lightness(MARKS["<"].fill)
    assert all(one.fill != other.fill for one, other in combinations(MARKS.values(), 2))


def painted(mark: str, words: str) -> str:
    return f"\x1b[{mark}m{words}\x1b[0m" if mark else words


def without(text: str) -> list[str]:
    for mark in MARKS:
        text = text.replace(f"\x1b[{mark}m", "")
    return [line.rstrip() for line in text.replace("\x1b[0m", "").splitlines()]


@pytest.mark.parametrize("width", [60, 100, 200])
def test_colour_adds_nothing_but_colour(matrix, models, width):
    plain, heat = draw_matrix(matrix, width=width), draw_matrix(matrix, width=width, paint=painted)
    assert without(heat) == plain.splitlines()
    assert all(f"\x1b[{mark}m{mark}" in heat for mark in MARKS)
    plain, heat = draw_list(models, width=width), draw_list(models, width=width, paint=painted)
    assert without(heat) == plain.splitlines()
    assert heat != plain
