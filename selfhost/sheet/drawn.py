"""A plan as one SVG: verdict, facts, memory per rank, devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.messages import text
from selfhost.planner.picture import verdict_line
from selfhost.planner.reasons import unit
from selfhost.sheet.bars import MARGIN, WIDTH, Drawing, bars, label
from selfhost.sheet.colours import MARKS, VERDICTS
from selfhost.sheet.devices import devices
from selfhost.sheet.figures import basis, facts
from selfhost.sheet.markup import Markup, columns, element, joined, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.planner.plan import Plan
    from selfhost.sheet.figures import Made

_FONT = "system-ui, 'Segoe UI', 'Noto Sans', 'Noto Sans CJK SC', 'DejaVu Sans', sans-serif"
_CHARACTERS = 116
"""Of 13 units in a line."""


def plan_svg(plan: Plan, made: Made) -> str:
    """A file of its own, with its declaration."""
    parts = [_head(plan)]
    if plan.memory.budget_bytes:
        title = text("sheet.title_memory", per=unit(plan.hardware))
        parts += [Drawing(label(MARGIN, 18, title, font_size=16, font_weight="bold"), 12), _memory(plan)]
    parts += [_reasons(plan), footer(made)]
    return file_of(stacked(parts), title=verdict_line(plan))


def memory_figure(plan: Plan) -> Markup:
    """The bars and the devices alone, to stand in a page; empty for a plan without figures."""
    if not plan.memory.budget_bytes:
        return Markup()
    return svg_of(_memory(plan), title=text("sheet.title_memory", per=unit(plan.hardware)))


def _memory(plan: Plan) -> Drawing:
    """The bars, and below them the devices where there are several."""
    below = devices(plan)
    return stacked([bars(plan), *([below] if below else [])], apart=8)


def stacked(parts: Sequence[Drawing], apart: int = 14) -> Drawing:
    """Drawings, one below the other."""
    found, top = [], 0
    for part in parts:
        found.append(element("g", part.body, transform=f"translate(0 {top})"))
        top += part.height + apart
    return Drawing(joined(*found), top)


def svg_of(drawing: Drawing, *, title: str, width: int = WIDTH) -> Markup:
    """The `svg` element; its title is what a screen reader says."""
    return element(
        "svg",
        element("title", title),
        element("rect", width="100%", height="100%", fill="#ffffff"),
        drawing.body,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {drawing.height}",
        width=width,
        height=drawing.height,
        role="img",
        font_family=_FONT,
    )


def file_of(drawing: Drawing, *, title: str, width: int = WIDTH) -> str:
    """A whole file of SVG."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{svg_of(drawing, title=title, width=width)}\n'


def footer(made: Made) -> Drawing:
    """By what it was made, and when."""
    words = text("sheet.made", version=made.version, date=made.date)
    return Drawing(label(MARGIN, 14, words, font_size=11, fill="#555555"), 24)


def badge(verdict: str, x: int, y: int) -> tuple[Markup, int]:
    """The verdict in its colour, with its mark; and how wide that is."""
    mark = VERDICTS[verdict]
    words, colour = f"{mark} {verdict}", MARKS[mark]
    width = 24 + 10 * columns(words)
    box = element("rect", x=x, y=y, width=width, height=28, rx=5, fill=colour.fill)
    middle = {"text_anchor": "middle", "font_size": 16, "font_weight": "bold", "fill": colour.ink}
    return joined(box, label(x + width / 2, y + 20, words, **middle)), width


def _head(plan: Plan) -> Drawing:
    mark, width = badge(plan.verdict.value, MARGIN, 20)
    parts, y, x = [mark], 40, MARGIN + width + 14
    for line in wrapped(verdict_line(plan), (WIDTH - x - MARGIN) // 10, most=4):
        parts.append(label(x, y, line, font_size=18, font_weight="bold"))
        y += 24
    y = max(y, 62)
    if plan.memory.budget_bytes:
        parts.append(label(MARGIN, y, basis(plan), fill="#333333"))
        y += 26
    for name, value in facts(plan):
        for number, line in enumerate(wrapped(value, _CHARACTERS - 20, most=3)):
            if not number:
                parts.append(label(MARGIN, y, name, fill="#555555"))
            parts.append(label(MARGIN + 150, y, line, class_="fact"))
            y += 20
    return Drawing(joined(*parts), y)


def _reasons(plan: Plan) -> Drawing:
    """Why, and what would fit, where it does not fit as asked: else the figures say it."""
    offered = [text("plan.remedy", change=r.change, length=r.max_model_len) for r in plan.remedies]
    sections = [] if plan.fits else [(text("sheet.title_why"), list(plan.reasons))]
    if offered:
        sections.append((text("sheet.title_remedies"), offered))
    parts, y = [], 14
    for title, sentences in sections:
        parts.append(label(MARGIN, y, title, font_size=16, font_weight="bold"))
        y += 22
        for sentence in sentences:
            for number, line in enumerate(wrapped(sentence, _CHARACTERS, most=5)):
                parts.append(label(MARGIN + 12, y, ("• " if not number else "  ") + line))
                y += 19
        y += 8
    return Drawing(joined(*parts), y if parts else 0)
