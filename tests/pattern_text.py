"""Regular expression -> lines that it finds, for people to compare with their log; each is one that it finds.

Groups with a name are that name in capitals, digits are N, whatever else may vary is `…`.
"""

from __future__ import annotations

import re
from itertools import product
from re import _constants as kind
from re import _parser as parser
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 8
"""Lines of one pattern; beyond that the first of each choice."""


def shown(pattern: str) -> list[str]:
    """The lines, without spaces around them.

    >>> shown(r"CUDA error: (?:out of memory|(?P<what>\\w+) lost)$")
    ['CUDA error: out of memory', 'CUDA error: WHAT lost']
    """
    tree = parser.parse(pattern)
    names = {number: name for name, number in tree.state.groupdict.items()}
    # Patterns that are one rule are joined by `|`: each has its own lines.
    alone = len(tree) == 1 and tree[0][0] is kind.BRANCH
    parts = tree[0][1][1] if alone else [tree]
    lines = [line for part in parts for line in _lines(part, names, _MOST)]
    return list(dict.fromkeys(re.sub("…+", "…", line).strip() for line in lines))


def _lines(tree: Sequence[Any], names: dict[int, str], most: int) -> list[str]:
    choices = [_choices(code, value, names, most) for code, value in tree]
    found = ["".join(parts) for parts in product(*choices)] if _count(choices) <= most else None
    return found if found is not None else ["".join(choice[0] for choice in choices)]


def _count(choices: Sequence[Sequence[str]]) -> int:
    count = 1
    for choice in choices:
        count *= len(choice)
    return count


def _choices(code: Any, value: Any, names: dict[int, str], most: int) -> list[str]:  # noqa: PLR0911 - a table
    if code is kind.LITERAL:
        return [chr(value)]
    if code in {kind.ANY, kind.NOT_LITERAL}:
        return ["…"]
    if code is kind.IN:
        return [_member(value)]
    if code is kind.BRANCH:
        return [line for branch in value[1] for line in _lines(branch, names, most)]
    if code is kind.SUBPATTERN:
        number, _, _, inside = value
        return [names[number].upper()] if number in names else _lines(inside, names, most)
    if code in {kind.MAX_REPEAT, kind.MIN_REPEAT}:
        least, _, inside = value
        lines = _lines(inside, names, most)
        if least == 0:
            return ["…" if lines == ["…"] else ""]
        return lines
    if code is kind.AT:
        return [""]
    raise NotImplementedError(code)


def _member(members: Sequence[Any]) -> str:
    code, value = members[0]
    if code is kind.LITERAL:
        return chr(value)
    if code is kind.CATEGORY and value is kind.CATEGORY_DIGIT:
        return "N"
    return "…"
