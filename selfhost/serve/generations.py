"""Names of servers that take each other's place: `NAME`, then `NAME@2`, `NAME@3`; no user can give a name with `@`.

Each generation is a server of its own, with its own record, log and port, so both can run while one takes over. `NAME`
stays what users say: it means the generation that serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SIGN = "@"


def base(name: str) -> str:
    """What users call it.

    >>> base("qwen@3"), base("qwen")
    ('qwen', 'qwen')
    """
    return name.partition(_SIGN)[0]


def number(name: str) -> int:
    """Which generation; 0 for what is none.

    >>> number("qwen"), number("qwen@3"), number("qwen@x")
    (1, 3, 0)
    """
    _, sign, text = name.partition(_SIGN)
    if not sign:
        return 1
    return int(text) if text.isascii() and text.isdigit() else 0


def of(names: Iterable[str], name: str) -> list[str]:
    """Of these names all generations of one, the first first; of one generation's name only itself.

    >>> of(["a", "a@10", "a@2", "b", "a-2"], "a")
    ['a', 'a@2', 'a@10']
    >>> of(["a", "a@2"], "a@2")
    ['a@2']
    """
    if _SIGN in name:
        return [each for each in names if each == name]
    return sorted((each for each in names if base(each) == name and number(each)), key=number)


def following(names: Iterable[str], name: str) -> str:
    """The name of the next generation.

    >>> following(["a", "a@2", "b@7"], "a")
    'a@3'
    """
    last = max(map(number, of(names, base(name))), default=1)
    return f"{base(name)}{_SIGN}{last + 1}"
