"""The lines of the gateway's file of keys.

Keys are in it in the clear: nginx compares them as they come, and has nothing that makes a digest of one (`auth_basic`
does, but for passwords of another scheme). So the file is secret, where that of `selfhost serve` is not: its owner's
and the gateway's alone.
"""

from __future__ import annotations

import re

from selfhost.records import dataclass
from selfhost.render.gateway import key_line

_LINE = re.compile(r'[ \t]*"~\^(?P<key>(?:[^"\\\n]|\\.)+)\$"[ \t]+"(?P<name>[^"\n]+)"[ \t]*;')


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayKey:
    """A key that a gateway lets in."""

    name: str
    key: str
    """Itself, not a digest."""


def read(text: str) -> list[GatewayKey]:
    r"""The keys of a file, in its order; comments, and lines in a form of their author's own, are passed over.

    >>> read('# ours\n"~^sk\\-Qx7_1$" "alice";\n')
    [GatewayKey(name='alice', key='sk-Qx7_1')]
    """
    return [found for line in text.splitlines() if (found := _key(line))]


def added(text: str, name: str, key: str) -> str:
    """The file with a key more; all that was there stays as it is."""
    start = text if not text or text.endswith("\n") else f"{text}\n"
    return f"{start}{key_line(key, name)}\n"


def without(text: str, name: str) -> str:
    """The file without the keys of a name; all else stays as it is."""
    kept = [line for line in text.splitlines(keepends=True) if (found := _key(line)) is None or found.name != name]
    return "".join(kept)


def _key(line: str) -> GatewayKey | None:
    found = _LINE.match(line)
    return GatewayKey(name=found["name"], key=re.sub(r"\\(.)", r"\1", found["key"])) if found else None
