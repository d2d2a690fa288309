"""Which rank each device runs: a box for a node, a square for a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.sheet.bars import MARGIN, WIDTH, Drawing, label
from selfhost.sheet.colours import BLACK, STAGES, WHITE, Colour
from selfhost.sheet.figures import places
from selfhost.sheet.markup import element, joined

if TYPE_CHECKING:
    from selfhost.planner.plan import Layout, Plan
    from selfhost.sheet.figures import Place
    from selfhost.sheet.markup import Markup

_MOST_NODES = 8
_SQUARE, _GAP, _PER_ROW = 38, 6, 16
_EMPTY = Colour(WHITE, BLACK)


def devices(plan: Plan) -> Drawing | None:
    """All nodes, or the first of many; None for a CPU and for a single device."""
    hardware = plan.hardware
    if hardware.device.platform is Platform.CPU or hardware.device_count == 1 or not plan.memory.budget_bytes:
        return None
    there = {(place.node, place.device): place for place in places(plan)}
    parts, top = [label(MARGIN, 14, text("sheet.title_devices"), font_weight="bold")], 24
    shown = min(hardware.nodes, _MOST_NODES)
    across = _across(hardware.devices_per_node)
    for node in range(shown):
        column, row = node % across, node // across
        x, y = MARGIN + column * (WIDTH - 2 * MARGIN + _GAP) / across, top + row * _node_height(plan)
        parts.append(element("g", _node(plan, node, there), transform=f"translate({x:.0f} {y})"))
    top += -(-shown // across) * _node_height(plan)
    if hardware.nodes > shown:
        parts.append(label(MARGIN, top + 12, text("sheet.more_nodes", count=hardware.nodes - shown)))
        top += 20
    words = [_meaning(plan.layout)]
    if len(there) < hardware.device_count:
        words.append(text("sheet.empty"))
    parts.append(label(MARGIN, top + 12, "; ".join(words), font_size=12))
    return Drawing(joined(*parts), top + 22)


def _across(per_node: int) -> int:
    """Nodes beside each other."""
    return 2 if per_node <= 8 else 1  # noqa: PLR2004


def _rows(per_node: int) -> int:
    return -(-per_node // _PER_ROW)


def _node_height(plan: Plan) -> int:
    return 26 + _rows(plan.hardware.devices_per_node) * (_SQUARE + _GAP) + 10


def _node(plan: Plan, node: int, there: dict[tuple[int, int], Place]) -> Markup:
    per_node = plan.hardware.devices_per_node
    width = 12 + min(per_node, _PER_ROW) * (_SQUARE + _GAP)
    parts = [
        element("rect", x=0, y=0, width=width, height=_node_height(plan) - 8, rx=4, fill="none", stroke="#999999"),
        label(8, 16, text("sheet.node", node=node), font_size=12),
    ]
    for number in range(per_node):
        place = there.get((node, number))
        colour = STAGES[_shade(plan.layout, place) % len(STAGES)] if place else _EMPTY
        x, y = 8 + number % _PER_ROW * (_SQUARE + _GAP), 22 + number // _PER_ROW * (_SQUARE + _GAP)
        square = {"width": _SQUARE, "height": _SQUARE, "rx": 3, "fill": colour.fill, "stroke": "#666666"}
        parts.append(element("rect", x=x, y=y, stroke_dasharray=None if place else "3 3", **square))
        if place:
            middle = {"text_anchor": "middle", "fill": colour.ink, "font_size": 12}
            parts.append(label(x + _SQUARE / 2, y + _SQUARE / 2 + 4, _number(plan.layout, place), **middle))
    return joined(*parts)


def _shade(layout: Layout, place: Place) -> int:
    return place.stage if layout.pipeline_parallel_size > 1 else place.engine


def _number(layout: Layout, place: Place) -> str:
    if layout.pipeline_parallel_size > 1 and layout.data_parallel_size > 1:
        return f"{place.engine}, {place.stage}"
    if layout.pipeline_parallel_size > 1:
        return str(place.stage)
    return str(place.engine if layout.data_parallel_size > 1 else place.tensor)


def _meaning(layout: Layout) -> str:
    if layout.pipeline_parallel_size > 1 and layout.data_parallel_size > 1:
        return text("sheet.number_both")
    if layout.pipeline_parallel_size > 1:
        return text("sheet.number_stage")
    return text("sheet.number_engine") if layout.data_parallel_size > 1 else text("sheet.number_tensor")
