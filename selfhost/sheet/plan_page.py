"""A plan as one page of HTML: what is decided on, and the figures, reasons and command that it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.messages import text
from selfhost.planner.capacity_text import longest_line, speed_lines
from selfhost.planner.contract import settings_dict
from selfhost.planner.picture import command_text, verdict_line
from selfhost.planner.reasons import unit
from selfhost.sheet.colours import VERDICTS
from selfhost.sheet.drawn import memory_figure
from selfhost.sheet.figures import basis, facts, gib, ranks, terms
from selfhost.sheet.markup import Markup, element, joined
from selfhost.sheet.page import colour_of, listed, page, section, table
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from selfhost.planner.plan import Plan
    from selfhost.sheet.figures import Made


def plan_page(plan: Plan, made: Made) -> str:
    """The file."""
    parts = [_head(plan), _facts(plan)]
    if plan.memory.budget_bytes:
        memory = element("figure", memory_figure(plan), style="margin:0")
        parts += [joined(element("h2", text("sheet.title_memory", per=unit(plan.hardware))), memory), _figures(plan)]
        parts += [_capacity(plan), _speed(plan), _measured(plan)]
    parts += [section(text("sheet.title_why"), listed(plan.reasons)), _remedies(plan)]
    if plan.argv and plan.fits:
        parts += [_settings(plan), _command(plan)]
    title = text("sheet.title", model=plan.model, hardware=plan.hardware.text)
    return page(title, parts, made)


def _head(plan: Plan) -> Markup:
    mark = VERDICTS[plan.verdict.value]
    badge = element("span", f"{mark} {plan.verdict.value}", class_=f"badge {colour_of(mark)}")
    rests_on = element("p", basis(plan), class_="quiet") if plan.memory.budget_bytes else Markup()
    return joined(element("p", badge, style="margin:0"), element("h1", verdict_line(plan)), rests_on)


def _facts(plan: Plan) -> Markup:
    rows = (element("tr", element("th", name), element("td", value)) for name, value in facts(plan))
    return element("table", element("tbody", *rows))


def _figures(plan: Plan) -> Markup:
    """Terms of every kind of rank, in GiB, those of the plan's own in bytes as well; the last is their sum."""
    found = ranks(plan)
    own = next((rank for rank in found if rank.is_the_plans), found[0])
    gibs = text("sheet.column_gib")
    head = [
        text("sheet.column_term", per=unit(plan.hardware)),
        *(f"{rank.label}, {gibs}" if len(found) > 1 else gibs for rank in found),
        text("sheet.column_bytes"),
    ]
    columns = [terms(plan, rank.memory) for rank in found]
    rows: list[list[object]] = [
        [term.label, *(gib(of[number].size_bytes) for of in columns), f"{terms(plan, own.memory)[number].size_bytes:,}"]
        for number, term in enumerate(columns[0])
    ]
    for name, key in (("sheet.kv_low", "kv_cache_bytes_low"), ("sheet.kv_high", "kv_cache_bytes_high")):
        sizes = [getattr(rank.memory, key) for rank in found]
        rows.append([text(name), *map(gib, sizes), f"{getattr(own.memory, key):,}"])
    budgets = [gib(rank.memory.budget_bytes) for rank in found]
    rows.append([text("sheet.budget"), *budgets, f"{own.memory.budget_bytes:,}"])
    kv, total = plan.kv_cache, plan.weight_bytes_total
    notes = [text("sheet.weights_total", size=format_bytes(total), bytes=total)]
    per = unit(plan.hardware)
    notes.append(text("sheet.token_bytes", bytes=kv.bytes_per_token, block=kv.block_size, per=per))
    return section(text("sheet.title_figures"), table(head, rows, last_is_sum=True), listed(notes))


def _capacity(plan: Plan) -> Markup:
    capacity = plan.capacity
    if capacity is None:
        return Markup()
    found = []
    if plan.fits:
        several = capacity.engines > 1
        ends = [text("sheet.column_engine"), text("sheet.column_all", engines=capacity.engines)]
        head = [text("sheet.column_tokens"), *(ends if several else [text("sheet.column_at_once")])]
        rows = [
            [
                f"{load.tokens_each:,}",
                f"{load.requests_per_engine:,}",
                *([f"{load.requests_all_engines:,}"] if several else []),
            ]
            for load in capacity.loads
        ]
        found.append(table(head, rows))
    found.append(element("p", longest_line(capacity)))
    return section(text("sheet.title_capacity"), *found)


def _speed(plan: Plan) -> Markup:
    if plan.capacity is None or plan.capacity.speed is None:
        return Markup()
    return section(text("sheet.title_speed"), listed(speed_lines(plan.capacity.speed)))


def _measured(plan: Plan) -> Markup:
    if plan.measured is None:
        return Markup()
    from selfhost.planner import compare

    return section(text("sheet.title_measured"), element("pre", compare.table(plan.measured)))


def _remedies(plan: Plan) -> Markup:
    if not plan.remedies:
        return Markup()
    head = [text("sheet.column_change"), text("sheet.column_context")]
    rows = [[element("code", remedy.change), f"{remedy.max_model_len:,}"] for remedy in plan.remedies]
    return section(text("sheet.title_remedies"), table(head, rows))


def _settings(plan: Plan) -> Markup:
    rows = (
        element("tr", element("th", element("code", name)), element("td", _word(value)))
        for name, value in settings_dict(plan.settings).items()
    )
    return section(text("sheet.title_settings"), element("table", element("tbody", *rows)))


def _word(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)


def _command(plan: Plan) -> Markup:
    """The command, or that of every node: they differ in little, and each is to be pasted as it is."""
    if not plan.node_argv:
        return section(text("sheet.title_command"), element("pre", command_text(plan, plan.argv)))
    found = []
    for node, argv in enumerate(plan.node_argv):
        found += [element("h3", text("sheet.command_node", node=node)), element("pre", command_text(plan, argv))]
    return section(text("sheet.title_command"), *found)
