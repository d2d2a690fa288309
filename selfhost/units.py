"""Bytes, durations and counts as people write them; parse and format, nothing else.

Inside the program everything is bytes and seconds. GiB is 2**30 bytes; `GB` on a data sheet is 10**9.
"""

from __future__ import annotations

import re

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

_UNITS = {"": 1, "B": 1, "K": KIB, "M": MIB, "G": GIB, "T": 1 << 40}
_UNITS |= {f"{u}iB": n for u, n in _UNITS.items() if u in "KMGT" and u}
_UNITS |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_TIMES = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_TIME = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*")
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def gib(value_bytes: float) -> float:
    """Bytes as GiB."""
    return value_bytes / GIB


def round_up(size: int, multiple: int) -> int:
    """The next multiple. Check: 231, 2 -> 232."""
    return -(-size // multiple) * multiple


def format_bytes(value_bytes: float, digits: int = 1) -> str:
    """`1.5 GiB`, `24.0 MiB`, `512 B`; negative values keep their sign.

    >>> format_bytes(1610612736), format_bytes(512), format_bytes(-1073741824)
    ('1.5 GiB', '512 B', '-1.0 GiB')
    """
    size = abs(value_bytes)
    for unit, factor in (("TiB", 1 << 40), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size >= factor and not (unit == "TiB" and size < 10 * factor):
            return f"{value_bytes / factor:,.{digits}f} {unit}"
    return f"{value_bytes:.0f} B"


def parse_bytes(text: str) -> int:
    """`64M`, `20GiB`, `1.5 GB`, `4096` as bytes. Raises ValueError.

    K, M, G, T and KiB ... TiB are powers of 1024; KB ... TB are powers of 1000.

    >>> parse_bytes("64M"), parse_bytes("1.5 GB")
    (67108864, 1500000000)
    """
    match = _SIZE.fullmatch(text)
    unit = match and next((u for u in _UNITS if u.lower() == match[2].lower()), None)
    if not match or unit is None:
        msg = f"not a size: {text!r}"
        raise ValueError(msg)
    return round(float(match[1]) * _UNITS[unit])


def parse_duration(text: str) -> float:
    """`30d`, `12h`, `10m`, `90 s` as seconds; without a unit nobody knows which is meant. Raises ValueError.

    >>> parse_duration("10m"), parse_duration("1.5 h")
    (600.0, 5400.0)
    """
    match = _TIME.fullmatch(text)
    if not match or match[2] not in _TIMES:
        msg = f"not a time: {text!r}"
        raise ValueError(msg)
    return float(match[1]) * _TIMES[match[2]]


def format_duration(seconds: float) -> str:
    """`0.4 s`, `38 s`, `12 min 5 s`, `2 h 3 min`.

    >>> format_duration(0.42), format_duration(38), format_duration(725), format_duration(7380)
    ('0.4 s', '38 s', '12 min 5 s', '2 h 3 min')
    """
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def format_count(value: int) -> str:
    """`494M`, `7.6B`, `671B` parameters.

    >>> format_count(494_032_768), format_count(7_615_616_512), format_count(671_026_419_200)
    ('494M', '7.6B', '671B')
    """
    for unit, factor in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if value >= factor:
            scaled = value / factor
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.3g}{unit}"  # noqa: PLR2004
    return str(value)
