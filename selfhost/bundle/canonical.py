"""JSON as bundles have it: one spelling for a value, and nothing in it that a reader could trip over."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from selfhost.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_JSON_BYTES = 4 << 20
"""Of a manifest, a configuration or an index; as registries have it."""
MAX_INFO_BYTES = 16 << 20
"""Of `bundle.json`, which lists every content."""
MAX_DEPTH = 32
_MAX_GROUPS = 250_000
_MAX_COMMAS = 1_000_000
"""Objects and lists, and what is between values: of three bytes each, a reader makes a hundred bytes of memory."""
# Possessive, and an open end is one, too: a long text takes no memory, and is not read once more from each quote in it.
_STEP = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def encode(value: Mapping[str, Any]) -> bytes:
    r"""The bytes of a JSON object: keys sorted, no spaces, one line.

    >>> encode({"b": 1, "a": "模"})
    b'{"a":"\xe6\xa8\xa1","b":1}\n'
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def decode(data: bytes, where: str, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The JSON object in these bytes. Raises IntegrityError, naming `where` it was read, for anything else.

    Too long, too deep, a key that is there twice and a number with a point are refused as well: two readers may
    understand them differently.
    """
    if len(data) > max_bytes:
        raise IntegrityError(
            "bundle.bad_json", path=where, detail=f"{len(data):,} bytes, at most {max_bytes:,} are read"
        )
    try:
        _check_shape(data)
        value = json.loads(data.decode(), object_pairs_hook=_distinct, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("bundle.bad_json", path=where, detail=error) from error
    if not isinstance(value, dict):
        raise IntegrityError("bundle.bad_json", path=where, detail="it is no JSON object")
    return value


def _check_shape(data: bytes) -> None:
    if data.count(b",") > _MAX_COMMAS:
        _refuse(f"more than {_MAX_COMMAS:,} values")
    depth = groups = 0
    for step in _STEP.finditer(data):
        if step[0] in b"[{":
            depth += 1
            groups += 1
            if depth > MAX_DEPTH:
                _refuse(f"nested more than {MAX_DEPTH} deep")
            if groups > _MAX_GROUPS:
                _refuse(f"more than {_MAX_GROUPS:,} objects and lists")
        elif step[0] in b"]}":
            depth -= 1


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, one in pairs:
        if name in value:
            _refuse(f"{name[:80]!r} is there twice")
        value[name] = one
    return value


def _no_float(text: str) -> NoReturn:
    _refuse(f"{text} is no whole number")


def _refuse(problem: str) -> NoReturn:
    raise ValueError(problem)
