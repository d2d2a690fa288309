"""Colours that people who see few colours can tell apart (Okabe and Ito), each of its own lightness, never alone.

What a colour says is always said by a letter or a mark as well: a sheet is read in black and white, too.
"""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    """A background, and what is read on it."""

    fill: str
    ink: str


WHITE, BLACK = "#ffffff", "#000000"
MARKS = {
    "+": Colour("#0072b2", WHITE),
    "~": Colour("#8fd0f5", BLACK),
    "<": Colour("#f0e442", BLACK),
    "-": Colour("#d55e00", WHITE),
    "x": Colour("#d9d9d9", BLACK),
}
"""By the mark of a cell."""
VERDICTS = {"fits": "+", "tight": "~", "does_not_fit": "-", "unsupported": "x"}
"""The mark of a verdict."""
TERMS = {
    "weights": Colour("#003f66", WHITE),
    "buffers": Colour("#f0e442", BLACK),
    "activation": Colour("#d55e00", WHITE),
    "non_torch": Colour("#8a8a8a", BLACK),
    "graphs": Colour("#cc79a7", BLACK),
    "kv_cache": Colour("#8fd0f5", BLACK),
}
STAGES = (
    *(Colour("#0072b2", WHITE), Colour("#f0e442", BLACK), Colour("#cc79a7", BLACK), Colour("#009e73", WHITE)),
    *(Colour("#d55e00", WHITE), Colour("#8fd0f5", BLACK)),
)
"""Of pipeline stages, or of engines, in turn."""
