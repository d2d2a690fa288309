"""One figure of an explanation with its formula."""

from __future__ import annotations

from typing import NamedTuple


class Quantity(NamedTuple):
    """One step of an explanation: to tokens and requests, or to what a vision tower holds."""

    name: str
    value: float
    formula: str | None
    in_numbers: str | None
    source: str
