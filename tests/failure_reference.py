"""Makes docs/troubleshooting.md, in each language: `python -m tests.failure_reference` writes it, a test compares it.

What can be found comes from the rules (`failure_rules`), what is said of it from the catalogue of messages. Where a
language lacks a message, the English one stands.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost.doctor import rules_ascend, rules_cuda, rules_detect, rules_gpu, rules_host
from selfhost.doctor.links import link
from selfhost.errors import ExitCode
from selfhost.findings import Severity
from selfhost.hardware import hccn_judge
from selfhost.messages import Text, lookup
from selfhost.messages.en import cann
from selfhost.serve import diagnose
from selfhost.serve.fingerprints import GENERAL, GENERAL_CLUES
from selfhost.serve.fingerprints_ascend import ASCEND, ASCEND_CLUES
from tests.failure_rules import Found, Logged, detected, ends, findings, logged
from tests.failure_words import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.failure_words import Words

DOCS = Path(__file__).resolve().parent.parent / "docs"
PATHS = {"en": DOCS / "troubleshooting.md", "zh": DOCS / "troubleshooting.zh-CN.md"}
# Made of a model's plan, of an engine's needs, and of what must match on Ascend: not by a rule of their own.
_OLD_DRIVER = Found("engine.old_driver", (Severity.ERROR,))
_NO_PLAN = Found("doctor.no_plan", (Severity.ERROR,))
_LINE_OF_A_LOG = re.compile(r"(?:^|[;；] ?)[^;；]*[:：] ?\{line\}$")
_ONLY_A_VALUE = re.compile(r"\{\w+\}")
_STACK = (
    Found("compat.finding", (Severity.ERROR,)),
    Found("compat.remark", (Severity.WARNING,)),
    *(Found(key, (Severity.ERROR,)) for key in cann.MESSAGES),
)


def sections() -> dict[str, list[Found | Logged]]:
    """Everything the page tells, by the section it stands in."""
    here = [*findings(rules_host), *findings(rules_detect), *findings(rules_gpu)]
    return {
        "host": [_NO_PLAN, *(one for one in here if one.message_id.startswith("doctor."))],
        "nvidia": [_OLD_DRIVER, *findings(rules_cuda), *(o for o in here if o.message_id.startswith("doctor_cuda."))],
        "ascend": [*findings(rules_ascend), *_STACK],
        "detected": [*detected()],
        "network": [*findings(hccn_judge)],
        "logs": [*logged(GENERAL)],
        "logs_ascend": [*logged(ASCEND)],
        "clues": [*logged((*GENERAL_CLUES, *ASCEND_CLUES))],
        "ends": [*ends(diagnose)],
    }


def exists(language: str) -> bool:
    """Whether a language has messages of every area that the page tells of; a page half in English helps nobody."""
    areas = {one.message_id.partition(".")[0] for told in sections().values() for one in told}
    folder = f"selfhost.messages.{language}"
    return bool(importlib.util.find_spec(folder)) and all(importlib.util.find_spec(f"{folder}.{one}") for one in areas)


def reference(language: str) -> str:
    """The whole page."""
    words = WORDS[language]
    parts = [words.head]
    for section, told in sections().items():
        parts.append(f"## {words.sections[section]}\n")
        parts += ["\n".join(_entry(one, words, language, clue=section == "clues")) for one in told]
    return "\n".join(parts)


def _entry(one: Found | Logged, words: Words, language: str, *, clue: bool) -> Iterator[str]:
    said = _in(language, one.message_id)
    yield f"### {_plain(_what(said, language))}\n"
    yield f"`{one.message_id}`{_SEPARATOR}{_how_bad(one, words, clue=clue)}\n"
    yield from _listed(words.why + words.colon, _told(said.why))
    yield from _listed(words.fix + words.colon, _told(said.hint))
    if isinstance(one, Logged):
        yield from _listed(words.lines + words.colon, [_code(line) for line in one.lines])
    if address := link(one.message_id):
        yield f"- {words.see}{words.colon}<{address}>"
    yield ""


_SEPARATOR = " · "


def _how_bad(one: Found | Logged, words: Words, *, clue: bool) -> str:
    if isinstance(one, Logged):
        return words.no_code if clue else words.start_code.format(code=int(one.code))
    names = {Severity.ERROR: words.error, Severity.WARNING: words.warning, Severity.NOTE: words.note}
    codes = sorted({int(ExitCode.NO if s is Severity.ERROR else ExitCode.OK) for s in one.severities}, reverse=True)
    told = words.depends.join(names[severity] for severity in one.severities)
    return told + _SEPARATOR + words.doctor_code.format(code=words.depends.join(map(str, codes)))


def _in(language: str, message_id: str) -> Text:
    try:
        return lookup(message_id, language)
    except (KeyError, ModuleNotFoundError):
        return lookup(message_id)


class _Capitals(dict[str, object]):
    def __missing__(self, name: str) -> str:
        return name.upper()


def _filled(template: str) -> str:
    return template.format_map(_Capitals())


def _what(said: Text, language: str) -> str:
    """What happened; of an engine's failure without its beginning, which names a server and a phase."""
    what = _filled(said.what)
    if not {"{name}", "{phase}"} <= set(re.findall(r"\{\w+\}", said.what)):
        return what
    _, _, rest = re.sub("[:：]", ":", what, count=1).partition(":")
    return rest.strip() or _filled(_in(language, "doctor.log_unknown").what)


def _told(template: str) -> list[str]:
    """Its lines, but for what only has values: the line of a log, reasons that were found out there."""
    lines = [_LINE_OF_A_LOG.sub("", line) for line in template.splitlines()]
    return [_plain(_filled(line)) for line in lines if line and not _ONLY_A_VALUE.fullmatch(line)]


def _listed(title: str, lines: list[str]) -> Iterator[str]:
    if len(lines) == 1:
        yield f"- {title}{lines[0]}"
    elif lines:
        yield f"- {title.rstrip()}"
        yield from (f"  - {line}" for line in lines)


def _plain(text: str) -> str:
    """Text of Markdown in which only backticks mean something."""
    outside = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*<\[])", r"\\\1", part) for part in outside)


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


if __name__ == "__main__":
    for one, path in PATHS.items():
        if exists(one):
            path.write_text(reference(one))
