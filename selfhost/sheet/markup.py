"""Elements of SVG and HTML as text. What is not markup is escaped, so that no name of a model becomes an element."""

from __future__ import annotations

import html
import re
import textwrap
import unicodedata

from selfhost.messages import plain

_NOT_XML = re.compile("[\ufffe\uffff]")
_VOID = frozenset({"meta", "br"})
_WIDE = ("W", "F")


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def escaped(value: object) -> Markup:
    """Any value as text of an element or of an attribute, without characters that XML does not have.

    >>> escaped("<script>a & 'b'</script>")
    '&lt;script&gt;a &amp; &#x27;b&#x27;&lt;/script&gt;'
    """
    return Markup(html.escape(_NOT_XML.sub("\ufffd", plain(str(value))), quote=True))


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element; `None` attributes are left out, `_` in names of attributes stands for `-`, a last one for nothing.

    >>> element("b", "1 < 2", class_="x", font_size=3)
    '<b class="x" font-size="3">1 &lt; 2</b>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = joined(*children)
    if not inside and name in _VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{inside}</{name}>")


def joined(*children: object, by: str = "") -> Markup:
    """Pieces in a row; those that are no markup are escaped."""
    return Markup(by.join(child if isinstance(child, Markup) else escaped(child) for child in children))


def _short(value: object) -> object:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value


def columns(text: str) -> int:
    """Places of a terminal that a text takes: characters of Chinese, Japanese and Korean take two.

    >>> columns("abc"), columns("模型")
    (3, 4)
    """
    return sum(2 if unicodedata.east_asian_width(one) in _WIDE else 1 for one in text)


def wrapped(text: str, width: int, most: int = 0) -> list[str]:
    """Lines of at most so many characters; of more lines than `most` the rest is `…`. Long words are cut."""
    lines = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    if most and len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][: width - 1] + "…"]
    return lines
