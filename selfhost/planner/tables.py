"""Many plans as plain text: a matrix of devices, and a list of models. Readable without colour, a legend below."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from selfhost.columns import columns, cut, fill, ljust, rjust, wrap
from selfhost.hardware.types import Platform
from selfhost.messages import text, word
from selfhost.planner.layouts import describe
from selfhost.planner.matrix import is_default
from selfhost.planner.plan import Verdict
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.planner.matrix import Cell, Matrix, Models

_GAP = 2
_NARROWEST = 8
_MARKS = {
    "+": "plan.mark_fits",
    "~": "plan.mark_tight",
    "<": "plan.mark_shorter",
    "-": "plan.mark_not",
    "x": "plan.mark_x",
}


Paint = Callable[[str, str], str]
"""A mark, and a text to colour as the mark says."""


def plainly(_: str, words: str) -> str:
    """Without colour."""
    return words


def draw_matrix(matrix: Matrix, *, width: int, paint: Paint = plainly) -> str:
    """A line per device, a column per number of devices; cells too wide for their column take more lines.

    paint: makes a heat map of it; the characters stay the same.
    """
    head = fill(matrix_title(matrix), width)
    names = [text("plan.column_device"), *(name for name, _ in matrix.rows)]
    first = max(map(columns, names))
    room = max(width - first, 0)
    sizes = _widths([[cell_text(cell) for cell in row] for _, row in matrix.rows], matrix.counts, room)
    lines = [_line(names[0], first, [[str(count)] for count in matrix.counts], sizes)]
    for name, row in matrix.rows:
        if reason := common_refusal(row):
            before = ljust(name, first) + " " * _GAP
            line = cut(f"{before}x {reason}", width)
            lines.append(line[: len(before)] + paint("x", line[len(before) :]))
            continue
        cells = [
            wrap(cell_text(cell), size, break_on_hyphens=False) or [""] for cell, size in zip(row, sizes, strict=True)
        ]
        marks = [cell.mark if cell else "" for cell in row]
        lines.append(_line(name, first, cells, sizes, (marks, paint)))
    below = [part for line in node_lines(matrix) for part in wrap(line, width, subsequent_indent="  ")]
    return "\n".join([head, "", *lines, "", *_legend(matrix.cells, width, paint), *below])


def matrix_title(matrix: Matrix) -> str:
    """Which model is planned, with which context."""
    return text("plan.matrix_title", model=matrix.model, length=matrix.max_model_len)


def cell_text(cell: Cell | None) -> str:
    """`+ bf16 32K`, `< fp8 TP=4 12K`, `- 3.1 GiB`: mark, what runs, its context, or what a device lacks."""
    if cell is None:
        return ""
    plan = cell.plan
    if cell.mark == "x" or not plan.memory.budget_bytes:
        return cell.mark
    if cell.mark == "-":
        return f"- {format_bytes(plan.missing_bytes)}" if plan.missing_bytes > 0 else "-"
    best = cell.best
    layout = "" if is_default(best.layout, best.hardware) else f" {describe(best.layout)}"
    return f"{cell.mark} {best.variant}{layout} {tokens_text(best.settings.max_model_len)}"


def tokens_text(length: int) -> str:
    """`32K` for 32768: thousands of 1024, rounded down, as `--max-model-len` takes them.

    >>> tokens_text(163840), tokens_text(8300), tokens_text(1000)
    ('160K', '8K', '1000')
    """
    return f"{length >> 10}K" if length >> 10 else str(length)


def _widths(rows: Sequence[Sequence[str]], counts: Sequence[int], room: int) -> list[int]:
    """As wide as the cells are; when that is too much, equal shares, in which the cells are wrapped."""
    natural = [max([len(str(count)), *(len(row[i]) for row in rows)]) for i, count in enumerate(counts)]
    if sum(natural) + _GAP * len(natural) <= room:
        return natural
    share = max(_NARROWEST, room // max(1, len(natural)) - _GAP)
    return [min(share, size) for size in natural]


def _line(
    name: str,
    first: int,
    cells: Sequence[Sequence[str]],
    sizes: Sequence[int],
    painted: tuple[Sequence[str], Paint] | None = None,
) -> str:
    """painted: marks of the cells, and what colours them; what is coloured keeps the width of its column."""
    lines = []
    for number in range(max(len(cell) for cell in cells)):
        parts = [
            (cell[number] if number < len(cell) else "").ljust(size) for cell, size in zip(cells, sizes, strict=True)
        ]
        if painted:
            marks, paint = painted
            parts = [paint(mark, part) for mark, part in zip(marks, parts, strict=True)]
        lines.append((" " * _GAP).join([ljust("" if number else name, first), *parts]).rstrip())
    return "\n".join(lines)


def common_refusal(row: Sequence[Cell | None]) -> str | None:
    """The reason, where nothing in a row runs and all of it for the same reason."""
    cells = [cell for cell in row if cell]
    reasons = {cell.plan.reasons[:1] for cell in cells}
    return cells[0].plan.reasons[0] if len(reasons) == 1 and all(cell.mark == "x" for cell in cells) else None


def explained_marks(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """The marks that occur, and what each means."""
    used = {cell.mark for cell in cells}
    return [(mark, text(key)) for mark, key in _MARKS.items() if mark in used]


def _legend(cells: Sequence[Cell], width: int, paint: Paint) -> list[str]:
    found = []
    for mark, words in explained_marks(cells):
        first, *more = wrap(f"{mark} {words}", width, subsequent_indent="  ")
        found += [paint(mark, first[:1]) + first[1:], *more]
    return found


def node_lines(matrix: Matrix) -> list[str]:
    """Which layout goes without saying, and how the devices of a column are spread over nodes."""
    lines = [text("plan.matrix_layout")] if any(cell.best.fits for cell in matrix.cells) else []
    shapes: dict[str, list[str]] = {}
    for name, row in matrix.rows:
        hardware = [cell.plan.hardware for cell in row if cell]
        shape = ", ".join(f"{h.device_count} = {h.nodes} x {h.devices_per_node}" for h in hardware if h.nodes > 1)
        shapes.setdefault(shape, []).append(name)
    for shape, names in sorted(shapes.items(), key=lambda item: -len(item[1])):
        if shape and len(names) == max(map(len, shapes.values())):
            lines.append(text("plan.matrix_nodes", shapes=shape))
        elif shape:
            lines.append(text("plan.matrix_nodes_of", devices=", ".join(names), shapes=shape))
    return lines


def list_title(models: Models) -> str:
    """The hardware, and how many models fit of those that were planned."""
    fit = sum(cell.plan.fits for cell in models.cells)
    return text("plan.list_title", hardware=models.hardware.text, fit=fit, count=models.planned)


def draw_list(models: Models, *, width: int, paint: Paint = plainly) -> str:
    """A line per model, in the given order; paint: as for `draw_matrix`, of the names."""
    cells = models.cells
    head = fill(list_title(models), width)
    if cells and (reason := common_refusal(cells)):
        return "\n".join([head, "", fill(f"x {reason}", width, subsequent_indent="  ")])
    if not cells:
        return head
    rows = [(heads(), ""), *(row_of(cell) for cell in cells)]
    sizes = [max(columns(row[i]) for row, _ in rows if len(row) > i) for i in range(len(COLUMNS))]
    lines = []
    for number, (row, rest) in enumerate(rows):
        aligned = [
            rjust(part, size) if i >= FIRST_NUMBER else ljust(part, size)
            for i, (part, size) in enumerate(zip(row, sizes, strict=False))
        ]
        line = cut((" " * _GAP).join([*aligned, rest]).rstrip(), width)
        mark, name = cells[number - 1].mark if number else "", len(aligned[0])
        lines.append(paint(mark, line[:name]) + line[name:] if number else line)
    return "\n".join([head, "", *lines, "", *_legend(cells, width, paint)])


COLUMNS = ("MODEL", "VARIANT", "LAYOUT", "CONTEXT", "REQUESTS", "TOKENS")
FIRST_NUMBER = 3
"""The first column of numbers."""


def heads() -> tuple[str, ...]:
    """COLUMNS as they are said, the first beside the marks."""
    first, *others = (str(word(name)) for name in COLUMNS)
    return ("  " + first, *others)


def row_of(cell: Cell) -> tuple[tuple[str, ...], str]:
    """The columns of a line, and what stands where the other columns would."""
    plan, best, name = cell.plan, cell.best, f"{cell.mark} {cell.plan.model}"
    if plan.verdict is Verdict.UNSUPPORTED or not plan.memory.budget_bytes:
        return (name,), str(plan.reasons[0])
    layout = text("plan.list_cpu") if plan.hardware.device.platform is Platform.CPU else describe(best.layout)
    context = tokens_text(best.settings.max_model_len)
    if not best.fits:
        # Nothing is missing where other processes are in the way: then that is the reason.
        lacks = text("plan.list_lacks", missing=format_bytes(plan.missing_bytes))
        lacks = lacks if plan.missing_bytes > 0 else str(cell.reason or "")
        return (name, plan.variant, layout, context), lacks
    requests, tokens = best.max_concurrency_all_engines, best.tokens_all_engines
    return (name, best.variant, layout, context, f"{requests:,.2f}", f"{tokens:,}"), ""
