"""Versions of the Ascend stack, compared: HDK `25.7.rc1.6`, CANN `8.3.RC2` and `9.1.0-beta.1`, packages by PEP 440."""

from __future__ import annotations

import re
from itertools import zip_longest

from packaging.version import InvalidVersion, Version

_PART = re.compile(r"([A-Za-z]*)(\d*)")
_RELEASED = (1, 0)
"""What is not written: `25.5` is `25.5.0`, and later than `25.5.rc1`."""


def parts(version: str) -> list[tuple[int, int]]:
    """Of a version of HDK or CANN, to compare: numbers come after candidates and test builds of the same place."""
    found = []
    for token in re.split(r"[.\-_]", version.strip()):
        if match := _PART.fullmatch(token):
            word, number = match[1], int(match[2] or 0)
            found.append((0 if word else 1, number))
    return found


def is_older(version: str, than: str) -> bool:
    """Whether a version of HDK or CANN comes before another.

    >>> is_older("25.5.rc1", "25.5.0"), is_older("25.5.0", "25.5"), is_older("8.3.RC1", "8.3.RC2")
    (True, False, True)
    """
    for one, other in zip_longest(parts(version), parts(than), fillvalue=_RELEASED):
        if one != other:
            return one < other
    return False


def series(version: str) -> str:
    """The first two numbers.

    >>> series("25.7.rc1.6"), series("9.1.0-beta.1")
    ('25.7', '9.1')
    """
    return ".".join(re.split(r"[.\-_]", version.strip())[:2])


def is_series_older(version: str, than: str) -> bool:
    """Whether the series of a version comes before another; candidates belong to their series.

    >>> is_series_older("25.2.rc1", "25.2"), is_series_older("24.1.0.3", "25.2")
    (False, True)
    """
    return is_older(series(version), series(than))


def takes(wanted: str, found: str) -> bool:
    """Whether a CANN stands in for another: itself, or a later patch of its series.

    >>> [takes("9.1.0", found) for found in ("9.1.0", "9.1.1", "9.1.0-beta.1", "9.0.1", "9.2.0")]
    [True, True, False, False, False]
    """
    return series(wanted) == series(found) and not is_older(found, wanted)


def public(version: str) -> str:
    """A package's version without its local part, as PEP 440 writes it.

    >>> public("2.10.0+cpu"), public("0.23.0+empty"), public("?")
    ('2.10.0', '0.23.0', '?')
    """
    try:
        return Version(version).public
    except InvalidVersion:
        return version


def is_development(version: str) -> bool:
    """Whether it is a build between releases, whose number says little: `0.23.1.dev4+g1a2b3c4`."""
    try:
        return Version(version).is_devrelease
    except InvalidVersion:
        return True


def of_release(version: str) -> str:
    """The release that a post release corrects.

    >>> of_release("0.23.0.post1"), of_release("0.23.0rc1"), of_release("0.23.0")
    ('0.23.0', '0.23.0rc1', '0.23.0')
    """
    return re.sub(r"\.post\d+$", "", public(version))
