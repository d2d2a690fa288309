"""Memory per rank as stacked bars: one for each kind of rank, to one scale, with the budget and what the device has."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.messages import text
from selfhost.sheet.colours import BLACK, TERMS, WHITE
from selfhost.sheet.figures import gib, ranks, terms
from selfhost.sheet.markup import Markup, columns, element, joined
from selfhost.units import GIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selfhost.planner.plan import Plan
    from selfhost.sheet.figures import Rank, Term

MARGIN = 24
WIDTH = 960
_ROOM = WIDTH - 2 * MARGIN
_HEIGHT = 34
_LETTERS_APART = 15
_STEPS = 10
_GREY, _TRACK, _LACK = "#555555", "#eeeeee", "#b00020"


class Drawing(NamedTuple):
    """Elements from their own top on, and how high they are."""

    body: Markup
    height: int


class _Scale(NamedTuple):
    """Bytes to places."""

    most_bytes: int

    def at(self, size_bytes: float) -> float:
        return MARGIN + _ROOM * size_bytes / self.most_bytes


def label(x: float, y: float, content: object, **more: object) -> Markup:
    """One line of text; 13 units high where nothing else is said."""
    return element("text", content, x=float(x), y=float(y), **{"font_size": 13, "fill": BLACK, **more})


def bars(plan: Plan) -> Drawing:
    """All bars of a plan, the axis below, and what the letters mean."""
    found = ranks(plan)
    scale = _Scale(max(_extent(plan, rank) for rank in found))
    parts, top = [], 0
    for rank in found:
        drawn = _bar(plan, rank, scale)
        parts.append(element("g", drawn.body, transform=f"translate(0 {top})", class_="rank"))
        top += drawn.height
    parts.append(_axis(scale, top))
    top += 34
    legend = _legend(plan, found)
    parts.append(element("g", legend.body, transform=f"translate(0 {top})"))
    return Drawing(joined(*parts), top + legend.height)


def _needs(plan: Plan, rank: Rank) -> int:
    """Bytes of one request's KV cache, where the rank lacks them."""
    return plan.request_bytes if rank.is_the_plans and plan.missing_bytes > 0 else 0


def _fixed(memory_terms: Sequence[Term]) -> int:
    return sum(max(0, term.size_bytes) for term in memory_terms if term.name != "kv_cache" and not term.beside)


def _extent(plan: Plan, rank: Rank) -> int:
    """Bytes that the bar of a rank is wide."""
    parts = terms(plan, rank.memory)
    beside = sum(term.size_bytes for term in parts if term.beside)
    filled = _fixed(parts) + max(0, rank.memory.kv_cache_bytes, _needs(plan, rank))
    return max(plan.hardware.visible_memory_bytes, filled, rank.memory.budget_bytes + beside)


def _bar(plan: Plan, rank: Rank, scale: _Scale) -> Drawing:
    top, memory = 22, rank.memory
    parts, letters, at = [label(MARGIN, 14, rank.label, font_weight="bold")], [], 0
    parts.append(_block(scale, (0, plan.hardware.visible_memory_bytes), top, fill=_TRACK, stroke="#999999"))
    for term in terms(plan, memory):
        about = f"{term.label}: {gib(term.size_bytes)} GiB"
        data = {"data_term": term.name, "data_bytes": term.size_bytes}
        if term.size_bytes <= 0:
            parts.append(element("desc", about, **data))
            continue
        start = memory.budget_bytes if term.beside else at
        colours = {"fill": TERMS[term.name].fill, "stroke": WHITE}
        parts.append(_block(scale, (start, start + term.size_bytes), top, about, **colours, **data))
        letters.append((scale.at(start + term.size_bytes / 2), term.letter))
        at += 0 if term.beside else term.size_bytes
    if need := _needs(plan, rank):
        start = _fixed(terms(plan, memory))
        dashed: dict[str, Any] = {"fill": "none", "stroke": _LACK, "stroke_width": 1.5, "stroke_dasharray": "5 3"}
        parts.append(_block(scale, (start, start + need), top + 5, height=24, data_needed_bytes=need, **dashed))
        letters.append((scale.at(start + need / 2), "R"))
    parts += [*_range(memory.budget_bytes, rank, scale, top), *_budget(rank, scale, top)]
    parts += _letters(letters, top + _HEIGHT)
    return Drawing(joined(*parts), top + _HEIGHT + 28)


def _block(scale: _Scale, span: tuple[float, float], top: float, title: str = "", **more: object) -> Markup:
    """The bytes from one place to another."""
    start, end = map(scale.at, span)
    given = {"height": float(_HEIGHT), "stroke_width": 0.8, **more}
    about = [element("title", title)] if title else []
    return element("rect", *about, x=start, y=float(top), width=max(0.5, end - start), **given)


def _range(budget: int, rank: Rank, scale: _Scale, top: int) -> Iterator[Markup]:
    """Where the KV cache begins at its bounds, as a whisker at half the height."""
    memory = rank.memory
    if memory.kv_cache_bytes_low == memory.kv_cache_bytes_high:
        return
    left, right = scale.at(budget - memory.kv_cache_bytes_high), scale.at(budget - memory.kv_cache_bytes_low)
    middle, line = top + _HEIGHT / 2, {"stroke": BLACK, "stroke_width": 1.5}
    yield element("line", x1=left, x2=right, y1=middle, y2=middle, class_="range", **line)
    for x in (left, right):
        yield element("line", x1=x, x2=x, y1=middle - 6, y2=middle + 6, **line)


def _budget(rank: Rank, scale: _Scale, top: int) -> Iterator[Markup]:
    """A line through the bar; its figure stands left of it where the name of the rank leaves room, else right."""
    budget = rank.memory.budget_bytes
    x, words = scale.at(budget), text("sheet.budget_of", size=gib(budget))
    line = {"stroke": BLACK, "stroke_width": 2, "stroke_dasharray": "6 3"}
    yield element("line", x1=x, x2=x, y1=top - 6, y2=top + _HEIGHT + 6, data_budget_bytes=budget, **line)
    taken = MARGIN + 8.5 * columns(rank.label) + 12
    if x - 7.5 * columns(words) >= taken:
        yield label(x, 14, words, text_anchor="end")
    else:
        yield label(max(x, taken), 14, words)


def _letters(wanted: Sequence[tuple[float, str]], bottom: float) -> list[Markup]:
    """A letter under the middle of each block, pushed apart where blocks are narrow, with a tick up to it."""
    found, last = [], float("-inf")
    room = WIDTH - MARGIN
    for number, (x, letter) in enumerate(wanted):
        still = len(wanted) - number - 1
        at = min(max(x, last + _LETTERS_APART), room - still * _LETTERS_APART)
        found.append(element("line", x1=x, x2=at, y1=bottom, y2=bottom + 8, stroke=_GREY, stroke_width=0.8))
        found.append(label(at, bottom + 20, letter, text_anchor="middle", font_size=12))
        last = at
    return found


def _axis(scale: _Scale, top: int) -> Markup:
    most = scale.most_bytes / GIB
    step = next(s * 10**e for e in count(-3) for s in (1, 2, 5) if most / (s * 10**e) <= _STEPS)
    y, parts = top + 4.0, []
    parts.append(element("line", x1=MARGIN, x2=WIDTH - MARGIN, y1=y, y2=y, stroke=_GREY, stroke_width=1))
    for number in range(int(most / step) + 1):
        x = scale.at(number * step * GIB)
        parts.append(element("line", x1=x, x2=x, y1=y, y2=y + 4, stroke=_GREY, stroke_width=1))
        last = x > WIDTH - 2 * MARGIN
        words = f"{number * step:g}" + (" GiB" if number == 0 else "")
        anchor = "start" if number == 0 else "end" if last else "middle"
        parts.append(label(x, y + 17, words, font_size=11, fill=_GREY, text_anchor=anchor))
    return element("g", *parts)


def _legend(plan: Plan, found: Sequence[Rank]) -> Drawing:
    """Letters, colours and figures; a column of figures for each bar, at most four of them."""
    shown = found[:4]
    rows = [terms(plan, rank.memory) for rank in shown]
    parts, top = [], 20 if len(found) > 1 else 0
    for column, rank in enumerate(shown if top else []):
        parts.append(label(MARGIN + 360 + 110 * column, 12, rank.short, text_anchor="end", font_size=12))
    for number, term in enumerate(rows[0]):
        y = top + 15
        parts.append(element("rect", x=MARGIN, y=y - 11, width=14, height=14, fill=TERMS[term.name].fill))
        parts.append(label(MARGIN + 22, y, term.letter, font_weight="bold"))
        parts.append(label(MARGIN + 42, y, term.label))
        parts += [
            label(MARGIN + 360 + 110 * column, y, gib(of[number].size_bytes), text_anchor="end")
            for column, of in enumerate(rows)
        ]
        top += 20
    parts.append(label(MARGIN + 42, top + 15, text("sheet.budget"), font_weight="bold"))
    parts += [
        label(MARGIN + 360 + 110 * i, top + 15, gib(rank.memory.budget_bytes), text_anchor="end", font_weight="bold")
        for i, rank in enumerate(shown)
    ]
    top += 24
    for mark, words in _marks(plan, found):
        parts.append(element("g", mark, transform=f"translate({MARGIN} {top})"))
        parts.append(label(MARGIN + 42, top + 12, words, font_size=12))
        top += 20
    return Drawing(joined(*parts), top + 6)


def _marks(plan: Plan, found: Sequence[Rank]) -> Iterator[tuple[Markup, str]]:
    if any(_needs(plan, rank) for rank in found):
        box = {"x": 0, "y": 1, "width": 30, "height": 12, "fill": "none", "stroke": _LACK, "stroke_dasharray": "5 3"}
        words = text("sheet.needed", length=plan.settings.max_model_len)
        yield joined(element("rect", **box), label(15, 12, "R", font_size=11, text_anchor="middle")), words
    if any(rank.memory.kv_cache_bytes_low != rank.memory.kv_cache_bytes_high for rank in found):
        line = {"stroke": BLACK, "stroke_width": 1.5}
        ends = [element("line", x1=x, x2=x, y1=2, y2=13, **line) for x in (2, 28)]
        yield joined(element("line", x1=2, x2=28, y1=7.5, y2=7.5, **line), *ends), text("sheet.range")
    box = {"x": 0, "y": 1, "width": 30, "height": 12, "fill": _TRACK, "stroke": "#999999"}
    yield element("rect", **box), text("sheet.not_used")
