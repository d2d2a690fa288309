"""The gateway's file of keys: entries of a `map` of nginx, ours and those that people write themselves.

Keys are in it in the clear: nginx compares them as they come, and has nothing that makes a digest of one (`auth_basic`
does, but for passwords of another scheme). So the file is secret, where that of `selfhost serve` is not: its owner's
and the gateway's alone.

All forms are read that nginx reads: a key that is passed over here would stay in force when its name is revoked.
Source: nginx src/core/ngx_conf_file.c `ngx_conf_read_token`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.records import dataclass
from selfhost.render.gateway import key_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_GAP = r"(?:[ \t\r\n]|#[^\n]*+)*+"
_WORD = r""""(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'|[^ \t\r\n;"'#{}](?:[^ \t\r\n;{}\\]|\\.)*+"""
_START = re.compile(_GAP)
_ENTRY = re.compile(rf"(?P<first>{_WORD}){_GAP}(?P<second>{_WORD})?{_GAP};", re.DOTALL)
_NO_KEYS = frozenset({"default", "include", "hostnames", "volatile"})
"""Settings of a map. Source: nginx docs, ngx_http_map_module."""
_EXACT = re.compile(r"~\^(?P<key>(?:[^\\^$.|?*+()\[\]{}]|\\[^A-Za-z0-9])+)\$")
_REST_OF_LINE = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)")


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayKey:
    """A key that a gateway lets in."""

    name: str
    key: str
    """Itself, not a digest; empty: the entry is in a form of its author's own, which may stand for many keys."""
    start: int
    """Where its entry is in the text."""
    end: int


def read(text: str) -> list[GatewayKey]:
    r"""The keys of a file, in its order. Raises ValueError, with the number of the line, for what nginx does not take.

    >>> [(found.name, found.key) for found in read('# ours\n"~^sk\\-Qx7_1$" "alice"; "~^bb" bob;\n')]
    [('alice', 'sk-Qx7_1'), ('bob', '')]
    """
    return list(_keys(text))


def added(text: str, name: str, key: str) -> str:
    """The file with a key more; all that was there stays as it is."""
    start = text if not text or text.endswith("\n") else f"{text}\n"
    return f"{start}{key_line(key, name)}\n"


def without(text: str, name: str, *, but_last: bool = False) -> str:
    """The file without the keys of a name, or all but the last of them; all else stays as it is.

    Raises ValueError as `read` does.
    """
    found = [known for known in read(text) if known.name == name]
    for known in reversed(found[:-1] if but_last else found):
        text = _cut(text, known)
    return text


def _keys(text: str) -> Iterator[GatewayKey]:
    place = _end_of_gap(text, 0)
    while place < len(text):
        found = _ENTRY.match(text, place)
        if not found:
            raise ValueError(text.count("\n", 0, place) + 1)
        first, name = _plain(found["first"]), _plain(found["second"] or "")
        # A request whose key has no name is let in nowhere.
        if name and first not in _NO_KEYS:
            exact = _EXACT.fullmatch(first)
            key = re.sub(r"\\(.)", r"\1", exact["key"]) if exact else ""
            yield GatewayKey(name=name, key=key, start=found.start(), end=found.end())
        place = _end_of_gap(text, found.end())


def _end_of_gap(text: str, place: int) -> int:
    gap = _START.match(text, place)
    return gap.end() if gap else place


def _plain(word: str) -> str:
    """A word as nginx has it: without quotes, and without the backslash before a quote or a backslash."""
    inner = word[1:-1] if word[:1] in {'"', "'"} else word
    return re.sub(r"""\\(["'\\])""", r"\1", inner)


def _cut(text: str, found: GatewayKey) -> str:
    """Without an entry: with its lines when it has them to itself."""
    start = text.rfind("\n", 0, found.start) + 1
    rest = _REST_OF_LINE.match(text, found.end)
    if rest and not text[start : found.start].strip(" \t\r"):
        return text[:start] + text[rest.end() :]
    return text[: found.start] + text[found.end :].lstrip(" \t")
