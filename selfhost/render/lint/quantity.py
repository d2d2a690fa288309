"""Sizes and durations as compose, podman, systemd and Kubernetes write them; None for what is none."""

from __future__ import annotations

import re

from selfhost.render.lint.values import text

_SIZE = re.compile(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*([a-zA-Z]*)")
_BINARY = {"k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400}
_MOST = 1 << 62
"""Of bytes; more is no size, and `1e999` no number."""


def size(value: object, *, decimal: bool = False) -> int | None:
    """Bytes of `16g`, `16GiB`, `16Gi`, `17179869184`.

    decimal: `16G` means 10**9 each, as in Kubernetes; podman and compose mean 2**30.

    >>> size("2g"), size("2Gi", decimal=True), size("2G", decimal=True)
    (2147483648, 2147483648, 2000000000)
    """
    if isinstance(value, bool) or not (found := _SIZE.fullmatch(text(value).strip())):
        return None
    number, unit = float(found[1]), found[2].lower()
    if number > _MOST:
        return None
    if unit in {"", "b"}:
        return int(number)
    power = _BINARY.get(unit[0])
    if power is None or unit[1:] not in {"", "b", "i", "ib"}:
        return None
    return int(number * (1000 if decimal and "i" not in unit else 1024) ** power)


def seconds(value: object) -> float | None:
    """Seconds of `90`, `1m30s`, `15min`; None for what is no duration, or no limit.

    >>> seconds("1m30s"), seconds("infinity")
    (90.0, None)
    """
    said = text(value).strip().lower()
    pieces = _PIECE.findall(said)
    if not pieces or "".join(number + unit for number, unit in pieces) != said.replace(" ", ""):
        return None
    if any(unit and unit not in _SECONDS for _, unit in pieces):
        return None
    return sum(float(number) * _SECONDS.get(unit, 1) for number, unit in pieces)


def number(value: object) -> int | None:
    """A whole number; None for anything else, a variable for example."""
    said = text(value).strip()
    return int(said) if re.fullmatch(r"\d{1,12}", said) else None
