"""Many plans as a heat map: one model on devices by their number, or many models on one hardware; SVG and HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.messages import text
from selfhost.planner.tables import (
    COLUMNS,
    FIRST_NUMBER,
    cell_text,
    common_refusal,
    explained_marks,
    heads,
    list_title,
    matrix_title,
    node_lines,
    row_of,
)
from selfhost.sheet.bars import MARGIN, Drawing, label
from selfhost.sheet.colours import MARKS
from selfhost.sheet.drawn import file_of, footer, stacked
from selfhost.sheet.markup import Markup, columns, element, joined, wrapped
from selfhost.sheet.page import colour_of, page, section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.planner.matrix import Cell, Matrix, Models
    from selfhost.sheet.figures import Made

_CELL, _LINE, _CHARACTERS, _LETTER = 168, 15, 22, 7.4
_MOST_LINES = 3
_WIDE = 8.4
"""Of a character, where columns are as wide as their widest text."""


def matrix_svg(matrix: Matrix, made: Made) -> str:
    """A file: a row for each device, a coloured cell for each number of them."""
    first = _first_column([name for name, _ in matrix.rows])
    width = round(2 * MARGIN + first + _CELL * len(matrix.counts))
    head = [text("plan.column_device"), *map(str, matrix.counts)]
    parts = [_title(matrix_title(matrix)), _heads(head, [0, *(first + _CELL * i for i in range(len(matrix.counts)))])]
    parts += [_matrix_row(name, row, first, width) for name, row in matrix.rows]
    notes = [*explained_marks(matrix.cells), *(("", line) for line in node_lines(matrix))]
    parts += [_notes(notes, width), footer(made)]
    return file_of(stacked(parts, apart=2), title=matrix_title(matrix), width=width)


def matrix_page(matrix: Matrix, made: Made) -> str:
    """The same as a page, whose table goes over as many sheets of paper as it takes."""
    head = element("tr", *(element("th", name) for name in (text("plan.column_device"), *matrix.counts)))
    rows = []
    for name, row in matrix.rows:
        if reason := common_refusal(row):
            refused = element("td", f"x {reason}", colspan=len(row), class_=colour_of("x"))
            rows.append(element("tr", element("th", name), refused))
            continue
        cells = (_cell(cell) for cell in row)
        rows.append(element("tr", element("th", name), *cells))
    body = element("table", element("thead", head), element("tbody", *rows), class_="heat long")
    title = matrix_title(matrix)
    below = [element("p", line, class_="quiet") for line in node_lines(matrix)]
    return page(title, [element("h1", title), body, _legend(matrix.cells), *below], made, wide=True)


def list_svg(models: Models, made: Made) -> str:
    """A file: a row for each model, its mark in the colour."""
    rows = [row_of(cell) for cell in models.cells]
    sizes = [max([len(name), *(columns(row[i]) for row, _ in rows if len(row) > i)]) for i, name in enumerate(heads())]
    starts = [0.0]
    for size in sizes:
        starts.append(starts[-1] + size * _WIDE + 22)
    width = round(max(2 * MARGIN + starts[-1], 700))
    parts = [_title(list_title(models)), _heads(list(COLUMNS), starts[:-1], sizes)]
    for cell, (row, rest) in zip(models.cells, rows, strict=True):
        parts.append(_list_row(cell, row, rest, (starts, sizes, width)))
    parts += [_notes(list(explained_marks(models.cells)), width), footer(made)]
    return file_of(stacked(parts, apart=0), title=list_title(models), width=width)


def list_page(models: Models, made: Made) -> str:
    """The same as a page, with the recipes that could not be planned."""
    names = (element("th", name, class_=_right(i)) for i, name in enumerate(COLUMNS))
    head = element("tr", *names)
    rows = []
    for cell in models.cells:
        (name, *row), rest = row_of(cell)
        found = [element("td", name, class_=colour_of(cell.mark))]
        found += [element("td", part, class_=_right(i)) for i, part in enumerate(row, 1)]
        if rest:
            found.append(element("td", rest, colspan=len(COLUMNS) - len(found)))
        rows.append(element("tr", *found))
    body = element("table", element("thead", head), element("tbody", *rows), class_="long")
    title = list_title(models)
    skipped = [element("p", line, class_="quiet") for line in models.skipped]
    return page(title, [element("h1", title), body, _legend(models.cells), *skipped], made, wide=True)


def _right(column: int) -> str | None:
    return "n" if column >= FIRST_NUMBER else None


def _title(words: str) -> Drawing:
    return Drawing(label(MARGIN, 34, words, font_size=18, font_weight="bold"), 50)


def _first_column(names: Sequence[str]) -> float:
    return 12 + _WIDE * max([len(text("plan.column_device")), *map(columns, names)])


def _heads(names: Sequence[str], starts: Sequence[float], sizes: Sequence[int] = ()) -> Drawing:
    found = []
    for number, (name, start) in enumerate(zip(names, starts, strict=True)):
        right = bool(sizes) and number >= FIRST_NUMBER
        x = MARGIN + start + (sizes[number] * _WIDE if right else 0)
        found.append(label(x, 14, name, font_weight="bold", text_anchor="end" if right else None))
    return Drawing(joined(*found), 20)


def _matrix_row(name: str, row: Sequence[Cell | None], first: float, width: int) -> Drawing:
    parts = [label(MARGIN, 18, name)]
    if reason := common_refusal(row):
        room = width - 2 * MARGIN - first
        (line,) = wrapped(f"x {reason}", int(room / _LETTER), most=1)
        parts.append(_box(first, room, 26, "x"))
        parts.append(label(MARGIN + first + 6, 18, line, fill=MARKS["x"].ink, font_size=12))
        return Drawing(joined(*parts), 26)
    written = [wrapped(cell_text(cell), _CHARACTERS, most=_MOST_LINES) for cell in row]
    height = 11 + _LINE * max(map(len, written))
    for number, (cell, lines) in enumerate(zip(row, written, strict=True)):
        if cell is None:
            continue
        x = first + _CELL * number
        about = {"data_on": cell.plan.hardware.text, "data_mark": cell.mark}
        title = [element("title", cell.reason)] if cell.reason else []
        parts.append(element("g", *title, _box(x, _CELL - 3, height, cell.mark), **about))
        parts += [
            label(MARGIN + x + 6, 18 + _LINE * i, line, fill=MARKS[cell.mark].ink, font_size=12)
            for i, line in enumerate(lines)
        ]
    return Drawing(joined(*parts), height)


def _box(x: float, width: float, height: int, mark: str) -> Markup:
    return element("rect", x=MARGIN + x, y=0, width=width, height=height, fill=MARKS[mark].fill)


def _list_row(cell: Cell, row: Sequence[str], rest: str, places: tuple[Sequence[float], Sequence[int], int]) -> Drawing:
    starts, sizes, width = places
    parts = [_box(-4, starts[1] - 8, 21, cell.mark)]
    for number, part in enumerate(row):
        right = number >= FIRST_NUMBER
        x = MARGIN + starts[number] + (sizes[number] * _WIDE if right else 0)
        ink = None if number else MARKS[cell.mark].ink
        more = {"text_anchor": "end"} if right else {}
        parts.append(label(x, 15, part, **more, **({"fill": ink} if ink else {})))
    if rest:
        x = MARGIN + starts[len(row)]
        (line,) = wrapped(rest, max(8, int((width - MARGIN - x) / _LETTER)), most=1)
        parts.append(label(x, 15, line, font_size=12))
    about = {"data_model": cell.plan.model, "data_mark": cell.mark}
    return Drawing(element("g", *parts, **about), 23)


def _notes(notes: Sequence[tuple[str, str]], width: int) -> Drawing:
    """What the marks mean, and lines without one."""
    parts, y = [], 12
    for mark, words in notes:
        if mark:
            parts.append(element("rect", x=MARGIN, y=y, width=24, height=16, fill=MARKS[mark].fill))
            parts.append(label(MARGIN + 12, y + 13, mark, text_anchor="middle", fill=MARKS[mark].ink))
        for line in wrapped(words, int((width - 2 * MARGIN - 34) / 6.8)):
            parts.append(label(MARGIN + (34 if mark else 0), y + 13, line, font_size=12))
            y += 20
    return Drawing(joined(*parts), y + 6)


def _cell(cell: Cell | None) -> Markup:
    if cell is None:
        return element("td")
    about = {"data_on": cell.plan.hardware.text, "data_mark": cell.mark, "title": cell.reason}
    return element("td", cell_text(cell), class_=colour_of(cell.mark), **about)


def _legend(cells: Sequence[Cell]) -> Markup:
    rows = (
        element("tr", element("td", mark, class_=colour_of(mark)), element("td", words))
        for mark, words in explained_marks(cells)
    )
    return section(text("sheet.legend"), element("table", element("tbody", *rows)))
