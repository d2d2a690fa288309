"""Every user-facing sentence, by id: what happened, why, what to do next.

An id is `area.name`; the sentences of an area live in `selfhost/messages/<language>/<area>.py` as
`MESSAGES: dict[str, Text]`, loaded when one of them is needed. Placeholders are `str.format` fields filled from the
parameters of the error or finding; a test checks that every id that is used exists and that its fields are given.

Rules for the sentences: no trailing period, literals in backticks, a value after a colon, numbers with units, a
command that can be pasted in `hint`. The hint may be empty when there is nothing sensible to do.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

LANGUAGE = "en"
# Control characters but for tabs and ends of lines, and those that turn the direction of what follows.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Text(NamedTuple):
    """One entry of the catalogue: three templates."""

    what: str
    """What happened, in one line."""
    why: str = ""
    """The numbers and facts behind it: wanted, found. May have several lines."""
    hint: str = ""
    """What to do next, with a command where there is one. May have several lines."""


@cache
def _area(language: str, area: str) -> Mapping[str, Text]:
    module = importlib.import_module(f"selfhost.messages.{language}.{area}")
    return cast("Mapping[str, Text]", module.MESSAGES)


def lookup(message_id: str, language: str = LANGUAGE) -> Text:
    """The templates of a message. Raises KeyError for an id that is not in the catalogue."""
    return _area(language, message_id.partition(".")[0])[message_id]


@dataclass(frozen=True, slots=True)
class Message:
    """A message id with its values; rendered on demand, so that the language is chosen last."""

    id: str
    params: Mapping[str, object] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """What happened."""
        return plain(lookup(self.id).what.format_map(self.params))

    @property
    def why(self) -> str:
        """The facts behind it."""
        return plain(lookup(self.id).why.format_map(self.params))

    @property
    def hint(self) -> str:
        """What to do next."""
        return plain(lookup(self.id).hint.format_map(self.params))


def plain(sentence: str) -> str:
    """Without what a terminal would obey: values come from servers and from names of files."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", sentence)


def text(message_id: str, /, **params: object) -> str:
    """The rendered `what` of a message: for reasons, phases and notes that are one line."""
    return Message(message_id, params).what
