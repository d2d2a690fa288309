"""Every user-facing sentence, by id: what happened, why, what to do next.

An id is `area.name`; the sentences of an area live in `selfhost/messages/<language>/<area>.py` as
`MESSAGES: dict[str, Text]`, loaded when one of them is needed. Placeholders are `str.format` fields filled from the
parameters of the error or finding; a test checks that every id that is used exists and that its fields are given.

A sentence is English unless it is asked for `speaking` another language: what is written to disk, sent, compared or
printed with `--json` never depends on a locale. Only `cli.output` speaks what the locale asks for (`chosen`), when it
prints for people. A sentence that was made earlier is a `Sentence`, which knows its message: on the way to people it is
said again in their language, also as a part of another one. An area or id that a language lacks is said in English.

Rules for the sentences: no trailing period, literals in backticks, a value after a colon, numbers with units, a
command that can be pasted in `hint`. The hint may be empty when there is nothing sensible to do.
"""

from __future__ import annotations

import importlib
import re
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, Self, cast

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENGLISH = "en"
LANGUAGES = (ENGLISH, "zh")
_SPOKEN: ContextVar[str] = ContextVar("language", default=ENGLISH)
_SHOWN = {"zh": "找不到加速卡或显存不足"}
"""A sample of what an output must be able to show for a language to be chosen."""
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
    name = f"selfhost.messages.{language}.{area}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if language == ENGLISH or error.name != name:
            raise
        return {}
    return cast("Mapping[str, Text]", module.MESSAGES)


def lookup(message_id: str, language: str = ENGLISH) -> Text:
    """The templates of a message, English ones where the language lacks it. Raises KeyError for an unknown id."""
    area = message_id.partition(".")[0]
    return _area(language, area).get(message_id) or _area(ENGLISH, area)[message_id]


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Sentences made or said in this block are in that language; for what people read, and nothing else."""
    token = _SPOKEN.set(language)
    try:
        yield
    finally:
        _SPOKEN.reset(token)


def chosen(environ: Mapping[str, str], *encodings: str | None) -> str:
    """The language that the environment asks for: of SELFHOST_LANG, else of the locale as for any program.

    LC_ALL goes before LC_MESSAGES and LANG. LANGUAGE is a list of those one reads, and counts unless the locale is C.
    English where another language is asked for, or an output's encoding cannot show it. Raises KeyError, with what it
    says, for a SELFHOST_LANG that is none of ours.

    >>> chosen({"LANG": "zh_CN.UTF-8"}, "utf-8"), chosen({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "utf-8")
    ('zh', 'en')
    """
    if own := environ.get("SELFHOST_LANG"):
        language = _language(own)
        if language is None:
            raise KeyError(own)
    else:
        names = (environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
        locale = next(filter(None, names), "C")
        listed = [] if locale.split(".")[0] in ("C", "POSIX") else environ.get("LANGUAGE", "").split(":")
        language = next(filter(None, map(_language, [*listed, locale])), ENGLISH)
    return language if all(_shows(encoding, language) for encoding in encodings) else ENGLISH


def _language(locale: str) -> str | None:
    """`zh` for `zh_CN.UTF-8`, `zh-Hans` or `zh`; None for a language that is not here."""
    name = re.split("[-_.@]", locale.strip().lower())[0]
    return ENGLISH if name in ("c", "posix") else name if name in LANGUAGES else None


def _shows(encoding: str | None, language: str) -> bool:
    try:
        _SHOWN.get(language, "").encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Message:
    """A message id with its values; rendered on demand, so that the language is chosen last."""

    id: str
    params: Mapping[str, object] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """What happened."""
        return Sentence(self, 0)

    @property
    def why(self) -> str:
        """The facts behind it."""
        return Sentence(self, 1)

    @property
    def hint(self) -> str:
        """What to do next."""
        return Sentence(self, 2)


class Sentence(str):
    """A part of a message as it was said when this was made; `str()` and `format()` say it in the language spoken then.

    All else treats it as the text it was: comparing, joining, cutting, writing, JSON.
    """

    __slots__ = ("_message", "_part")
    _message: Message
    _part: int

    def __new__(cls, message: Message, part: int) -> Self:
        """Said in the language that is spoken now."""
        sentence = super().__new__(cls, _said(message, part))
        sentence._message, sentence._part = message, part
        return sentence

    def __str__(self) -> str:
        """In the language that is spoken now."""
        return _said(self._message, self._part)

    def __format__(self, spec: str) -> str:
        """As a part of another sentence."""
        return format(_said(self._message, self._part), spec)

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        """A copy is a plain text."""
        return str, (self[:],)


def _said(message: Message, part: int) -> str:
    return plain(lookup(message.id, _SPOKEN.get())[part].format_map(message.params))


def plain(sentence: str) -> str:
    """Without what a terminal would obey: values come from servers and from names of files."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", sentence)


def text(message_id: str, /, **params: object) -> str:
    """The rendered `what` of a message: for reasons, phases and notes that are one line."""
    return Message(message_id, params).what


def word(value: str) -> str:
    """A word that is English in `--json` and in records (verdicts, states, heads of tables), for people.

    One that the area `word` does not have is said as it is.
    """
    known = _words().get(value)
    return value if known is None else text(known)


@cache
def _words() -> Mapping[str, str]:
    return {said.what: key for key, said in _area(ENGLISH, "word").items()}
