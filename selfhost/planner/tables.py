"""Many plans as plain text: a matrix of devices, and a list of models. Readable without colour, a legend below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.columns import columns, cut, fill, ljust, rjust, wrap
from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.planner.layouts import describe
from selfhost.planner.matrix import is_default
from selfhost.planner.plan import Verdict
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.hardware.types import Hardware
    from selfhost.planner.matrix import Cell, Matrix

_GAP = 2
_NARROWEST = 8
_MARKS = {
    "+": "plan.mark_fits",
    "~": "plan.mark_tight",
    "<": "plan.mark_shorter",
    "-": "plan.mark_not",
    "x": "plan.mark_x",
}


def draw_matrix(matrix: Matrix, *, width: int) -> str:
    """A line per device, a column per number of devices; cells too wide for their column take more lines."""
    head = fill(text("plan.matrix_title", model=matrix.model, length=matrix.max_model_len), width)
    names = [text("plan.column_device"), *(name for name, _ in matrix.rows)]
    first = max(map(columns, names))
    room = max(width - first, 0)
    sizes = _widths([[_cell(cell) for cell in row] for _, row in matrix.rows], matrix.counts, room)
    lines = [_line(names[0], first, [[str(count)] for count in matrix.counts], sizes)]
    for name, row in matrix.rows:
        if reason := _common_refusal(row):
            lines.append(cut(f"{ljust(name, first)}{' ' * _GAP}x {reason}", width))
            continue
        cells = [wrap(_cell(cell), size, break_on_hyphens=False) or [""] for cell, size in zip(row, sizes, strict=True)]
        lines.append(_line(name, first, cells, sizes))
    return "\n".join([head, "", *lines, "", *_legend(matrix.cells, width), *_nodes(matrix, width)])


def _cell(cell: Cell | None) -> str:
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


def _line(name: str, first: int, cells: Sequence[Sequence[str]], sizes: Sequence[int]) -> str:
    lines = []
    for number in range(max(len(cell) for cell in cells)):
        parts = [
            (cell[number] if number < len(cell) else "").ljust(size) for cell, size in zip(cells, sizes, strict=True)
        ]
        lines.append((" " * _GAP).join([ljust("" if number else name, first), *parts]).rstrip())
    return "\n".join(lines)


def _common_refusal(row: Sequence[Cell | None]) -> str | None:
    """The reason, where nothing in a row runs and all of it for the same reason."""
    cells = [cell for cell in row if cell]
    reasons = {cell.plan.reasons[:1] for cell in cells}
    return cells[0].plan.reasons[0] if len(reasons) == 1 and all(cell.mark == "x" for cell in cells) else None


def _legend(cells: Sequence[Cell], width: int) -> list[str]:
    """What the marks mean that occur."""
    used = {cell.mark for cell in cells}
    return [
        line
        for mark, key in _MARKS.items()
        if mark in used
        for line in wrap(f"{mark} {text(key)}", width, subsequent_indent="  ")
    ]


def _nodes(matrix: Matrix, width: int) -> list[str]:
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
    return [part for line in lines for part in wrap(line, width, subsequent_indent="  ")]


def draw_list(hardware: Hardware, cells: Sequence[Cell], count: int, *, width: int) -> str:
    """A line per model, in the given order; `count`: how many were planned."""
    fit = sum(cell.plan.fits for cell in cells)
    head = fill(text("plan.list_title", hardware=hardware.text, fit=fit, count=count), width)
    if cells and (reason := _common_refusal(cells)):
        return "\n".join([head, "", fill(f"x {reason}", width, subsequent_indent="  ")])
    if not cells:
        return head
    rows = [(_COLUMNS, ""), *(_row(cell) for cell in cells)]
    sizes = [max(columns(row[i]) for row, _ in rows if len(row) > i) for i in range(len(_COLUMNS))]
    lines = []
    for row, rest in rows:
        aligned = [
            rjust(part, size) if i >= _RIGHT else ljust(part, size)
            for i, (part, size) in enumerate(zip(row, sizes, strict=False))
        ]
        lines.append(cut((" " * _GAP).join([*aligned, rest]).rstrip(), width))
    return "\n".join([head, "", *lines, "", *_legend(cells, width)])


_COLUMNS = ("  MODEL", "VARIANT", "LAYOUT", "CONTEXT", "REQUESTS", "TOKENS")
_RIGHT = 3
"""The first column of numbers."""


def _row(cell: Cell) -> tuple[tuple[str, ...], str]:
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
