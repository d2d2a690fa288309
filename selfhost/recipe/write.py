"""TOML of variants: the standard library only reads it. Nulls, which a `config.json` may have, are left out."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from selfhost.recipe.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_HEADER = re.compile(r"\s*\[\[?\s*([^\]\s]+)\s*\]")
_DELETE = "\x7f"
"""The one control character that JSON leaves as it is and TOML wants escaped."""


_MADE_HERE = (
    "# Variants that were made on this machine; `selfhost quantize` writes them, `selfhost rm` removes them.\n"
    "# All else is as the built-in recipe of this name says.\n"
)
_WIDTH = 120
_WRAPPER = textwrap.TextWrapper(_WIDTH - len("# "), break_long_words=False, break_on_hyphens=False)
_READABLE = 1_000_000
"""From here on digits are grouped."""


def extension(name: str, variants: Iterable[Mapping[str, object]], head: str = _MADE_HERE) -> str:
    """A recipe file that adds these variants to the built-in recipe `name`; `head`: comments at its beginning."""
    head += f"schema_version = {SCHEMA_VERSION}\nname = {_value(name)}\nextends = true\n"
    return head + "".join(map(variant, variants))


def variant(data: Mapping[str, object]) -> str:
    r"""One `[[variant]]` table, an empty line before it; may be put at the end of any recipe.

    >>> variant({"name": "fp8", "bytes_on_disk": 7, "summary": None})
    '\n[[variant]]\nname = "fp8"\nbytes_on_disk = 7\n'
    """
    lines = ["", "[[variant]]"]
    sources = data.get("source") or ()
    lines += [f"{_key(key)} = {_value(value)}" for key, value in data.items() if key != "source" and value is not None]
    for source in sources if isinstance(sources, (list, tuple)) else ():
        lines += ["", "[[variant.source]]"]
        lines += [f"{_key(key)} = {_value(value)}" for key, value in source.items() if value is not None]
    return "\n".join(lines) + "\n"


def comment(text: str) -> str:
    r"""A text as lines of comment, long ones wrapped, without an end of line.

    >>> comment("one\ntwo")
    '# one\n# two'
    """
    parts = [part for one in text.splitlines() for part in _WRAPPER.wrap(one) or [""]]
    return "\n".join(f"# {part}".rstrip() for part in parts)


def line(key: str, value: object) -> str:
    r"""One `key = value`, for people: large numbers in groups of three, long lists with an item on each line.

    >>> line("context", 4096), line("bytes", 7_615_616)
    ('context = 4096', 'bytes = 7_615_616')
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= _READABLE:
        return f"{_key(key)} = {value:_}"
    flat = f"{_key(key)} = {_value(value)}"
    if len(flat) <= _WIDTH or not isinstance(value, (list, tuple)):
        return flat
    return "\n".join([f"{_key(key)} = [", *(f"    {_value(one)}," for one in value if one is not None), "]"])


def table(path: str, data: Mapping[str, object]) -> str:
    r"""A table with its tables after it, each with a header; null values are left out.

    >>> table("config", {"rope": {"factor": 4.0}, "head_dim": 64})
    '[config]\nhead_dim = 64\n\n[config.rope]\nfactor = 4.0\n'
    """
    inner = {key: value for key, value in data.items() if isinstance(value, Mapping) and value}
    lines = [line(key, value) for key, value in data.items() if key not in inner and value is not None]
    own = f"[{path}]\n" + "".join(f"{one}\n" for one in lines) if lines or not inner else ""
    parts = [own, *(table(f"{path}.{_key(key)}", value) for key, value in inner.items())]
    return "\n".join(part for part in parts if part)


def merged(there: str, incoming: str) -> str | None:
    """A recipe file with the variants of an extension that it has not; None where the other is no extension.

    Both are valid TOML.
    """
    other = tomllib.loads(incoming)
    if other.get("extends") is not True:
        return None
    names = {one["name"] for one in tomllib.loads(there).get("variant", [])}
    missing = [one for one in other["variant"] if one["name"] not in names]
    return there.rstrip("\n") + "\n" + "".join(map(variant, missing)) if missing else there


def without(content: str, names: Collection[str]) -> str | None:
    """A recipe file without some of its variants; None where they cannot be cut out, as of `variant = [...]`.

    All else stays as it is written: comments, order, spelling. The file is valid TOML.
    """
    document = tomllib.loads(content)
    variants = document.pop("variant", [])
    kept = [one for one in variants if one.get("name") not in names]
    left = "\n".join(_uncut(content.split("\n"), [one.get("name") in names for one in variants]))
    left = left.rstrip("\n") + "\n"
    try:
        found = tomllib.loads(left)
    except ValueError:
        return None
    return left if found == document | ({"variant": kept} if kept else {}) else None


def _uncut(lines: Iterable[str], cut: Sequence[bool]) -> Iterator[str]:
    """The lines but those of some `[[variant]]` tables; what looks like one in a string is found out by the caller."""
    number, inside = -1, False
    pending: list[str] = []
    for line in lines:
        if header := _HEADER.match(line):
            inside = inside and header[1].startswith("variant.")
            if header[1] == "variant":
                number += 1
                inside = number < len(cut) and cut[number]
            # Comments before a table are about that table.
            yield from pending
            pending = []
        if not inside:
            yield line
        elif line.startswith("#"):
            pending.append(line)
        else:
            pending = []


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _text(key)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace(_DELETE, "\\u007f")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(str(k))} = {_value(v)}" for k, v in value.items() if v is not None)
        return "{ " + inner + " }" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(one) for one in value if one is not None) + "]"
    return _text(str(value))
