"""The frame of a page: one file with its style in it, no script, nothing that is fetched; prints on A4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.messages import text
from selfhost.sheet.colours import MARKS
from selfhost.sheet.markup import Markup, element, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfhost.sheet.figures import Made

_NOTHING_FETCHED = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, "Segoe UI", "Noto Sans", "Noto Sans CJK SC", sans-serif; color: #111;
  background: #fff; max-width: 62rem; margin: 1.5rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
body.wide { max-width: 84rem; }
h1 { font-size: 1.5rem; margin: .3rem 0; }
h2 { font-size: 1.1rem; margin: 1.6rem 0 .5rem; border-bottom: 1px solid #bbb; }
table { border-collapse: collapse; }
th, td { padding: .2rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
thead th { border-bottom: 2px solid #555; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.sum td, tr.sum th { font-weight: bold; border-top: 2px solid #555; }
svg { max-width: 100%; height: auto; }
pre { background: #f4f4f4; padding: .7rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
.badge { display: inline-block; padding: .1rem .7rem; border-radius: .3rem; font-weight: bold; }
.quiet { color: #555; }
.heat td { border: 2px solid #fff; font-size: .85rem; }
.heat th { white-space: nowrap; font-weight: normal; }
footer { margin-top: 2rem; color: #555; font-size: .85rem; }
* { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
@page { size: A4; margin: 14mm; }
@page wide { size: A4 landscape; margin: 10mm; }
@media print {
  body { font-size: 10pt; margin: 0; max-width: none; padding: 0; }
  body.wide { page: wide; font-size: 8pt; }
  h2 { break-after: avoid; }
  table, svg, li { break-inside: avoid; }
  table.long { break-inside: auto; }
  table.long tr { break-inside: avoid; }
  thead { display: table-header-group; }
  pre { font-size: 8pt; }
}
"""


def page(title: str, parts: Iterable[Markup], made: Made, *, wide: bool = False) -> str:
    """The whole file."""
    colours = "".join(
        f".m{number} {{ background: {colour.fill}; color: {colour.ink}; }}\n"
        for number, colour in enumerate(MARKS.values())
    )
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_NOTHING_FETCHED),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"selfhost {made.version}"),
        element("title", title),
        # Nothing of it comes from outside.
        element("style", Markup(_STYLE + colours)),
    ]
    foot = element("footer", text("sheet.made", version=made.version, date=made.date))
    body = element("body", *parts, foot, class_="wide" if wide else None)
    return f'<!DOCTYPE html>\n<html lang="en">{element("head", *head)}{body}</html>\n'


def colour_of(mark: str) -> str:
    """The class of what has a mark."""
    return f"m{list(MARKS).index(mark)}"


def section(title: str, *content: Markup) -> Markup:
    """A heading and what is below it; nothing where there is nothing."""
    return joined(element("h2", title), *content) if any(content) else Markup()


def listed(sentences: Sequence[str]) -> Markup:
    """Sentences as a list; nothing without any."""
    return element("ul", *(element("li", sentence) for sentence in sentences)) if sentences else Markup()


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, last_is_sum: bool = False) -> Markup:
    """A table whose first column has names and whose others have numbers, on the right."""

    def row(cells: Sequence[object], kind: str, class_: str | None = None) -> Markup:
        named = (
            element(kind if number else "th", cell, class_="n" if number else None) for number, cell in enumerate(cells)
        )
        return element("tr", *named, class_=class_)

    body = [row(cells, "td", "sum" if last_is_sum and cells is rows[-1] else None) for cells in rows]
    return element("table", element("thead", row(head, "th")), element("tbody", *body))
