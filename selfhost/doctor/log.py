"""An engine's log, a block of lines at a time -> what ended it, and what else it says.

Memory is bounded by a block and the number of rules. Most blocks of a long log are only searched for the words that
rules need.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.doctor.links import link
from selfhost.doctor.wrapped import unwrap
from selfhost.messages import Message, text
from selfhost.records import dataclass
from selfhost.serve import diagnose, phases
from selfhost.serve.lifecycle import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfhost.serve.diagnose import Diagnosis

_STAND_INS = {"name": "NAME", "model": "MODEL"}
"""In the place of what a log does not tell; as the README writes them."""
_UNKNOWN = "?"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One kind of failure or symptom, as often as the log has it."""

    diagnosis: Diagnosis
    number: int
    """Of the first line that says so, from 1."""
    count: int
    phase: Phase
    clue: bool
    """A symptom, which is never the cause."""

    @property
    def message(self) -> Message:
        """The sentences; `what` without its beginning, which names a server."""
        values = {**_STAND_INS, "phase": _phase(self.phase), "line": self.diagnosis.line, **self.diagnosis.params}
        return Message(self.diagnosis.message_id, values)

    @property
    def what(self) -> str:
        """What happened, in a few words."""
        start, said = Message("diagnose.unknown", self.message.params).what, self.message.what
        rest = said[len(start) :].lstrip(": \uff1a") if said.startswith(start) else said
        return rest or text("doctor.log_unknown")

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        message = self.message
        return {
            "severity": "warning" if self.clue else "error",
            "id": message.id,
            "code": int(self.diagnosis.code),
            "line_number": self.number,
            "count": self.count,
            "phase": self.phase.value,
            "line": self.diagnosis.line,
            "problem": self.what,
            "why": message.why,
            "fix": message.hint,
            "link": link(message.id),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class LogReading:
    """What a log says."""

    lines: int
    cause: Seen | None
    """The first failure; None when nothing in the log is one."""
    others: tuple[Seen, ...]
    """All others, then symptoms; in the order of the log."""


def _phase(phase: Phase) -> str:
    names = {
        Phase.LOADING: text("serve.while_loading"),
        Phase.WARMING: text("serve.while_warming"),
        Phase.CHECKING: text("serve.while_checking"),
        Phase.SERVING: text("serve.while_serving"),
    }
    return names[phase]


_EXCEPTIONS = ("Error", "Exception", "Value error, ")
"""One of them is in every line that `read_exception` knows."""
_DYING = ("encountered a fatal error", "WorkerProc hit an exception")
"""vLLM says so before the exception that ends a serving engine; other exceptions then are those of requests."""
_NEEDLES = (*diagnose.NEEDLES, *diagnose.MARKS, *_DYING, *phases.NEEDLES)


class _Reader:
    def __init__(self) -> None:
        self.seen: dict[tuple[str, bool], Seen] = {}
        self.unknown: Seen | None = None
        self.phase = Phase.LOADING
        self.serving = self.dying = self.ascend = False

    def read_block(self, number: int, lines: Sequence[str]) -> None:
        """Lines from line `number` on: most blocks of a long log have nothing in them that any rule wants."""
        block = "\n".join(lines)
        self.ascend = self.ascend or diagnose.tells_of_ascend(block)
        wanted = [
            needle for needle in (*diagnose.NEEDLES, *diagnose.MARKS, *_DYING, *phases.NEEDLES) if needle in block
        ]
        if self.unknown is None:
            wanted += [word for word in _EXCEPTIONS if word in block]
        if not wanted:
            return
        for offset, line in enumerate(lines):
            if any(needle in line for needle in wanted):
                self._read(number + offset, unwrap(line))

    def _read(self, number: int, line: str) -> None:
        if progress := phases.read_line(line):
            self.phase = progress.phase
        self.serving = diagnose.is_serving(line, before=self.serving)
        if self.serving:
            self.phase = Phase.SERVING
            self.dying = self.dying or any(said in line for said in _DYING)
        found, clue = diagnose.read_line(line, ascend=self.ascend, serving=self.serving), False
        if found is None and (found := diagnose.read_clue(line)):
            clue = True
        if found is not None:
            self._keep(found, number, clue=clue)
        elif self.unknown is None and (self.dying or not self.serving) and (exception := diagnose.read_exception(line)):
            self.unknown = Seen(diagnosis=exception, number=number, count=1, phase=self.phase, clue=False)

    def _keep(self, found: Diagnosis, number: int, *, clue: bool) -> None:
        # The same thing may be told as a figure first, and then as the failure that it leads to.
        key = found.message_id, clue
        known = self.seen.get(key)
        if known is None:
            seen = Seen(diagnosis=found, number=number, count=1, phase=self.phase, clue=clue)
        else:
            # The line with the figures may come after one without them.
            better = _UNKNOWN in known.diagnosis.params.values() and _UNKNOWN not in found.params.values()
            seen = replace(known, count=known.count + 1, diagnosis=found if better else known.diagnosis)
        self.seen[key] = seen


def read(blocks: Iterable[Sequence[str]]) -> LogReading:
    """What a log says, given as blocks of lines; an exception that no rule knows counts when nothing else is known."""
    reader, number = _Reader(), 0
    for lines in blocks:
        reader.read_block(number + 1, lines)
        number += len(lines)
    failures = [seen for seen in reader.seen.values() if not seen.clue]
    told = {seen.diagnosis.message_id for seen in failures}
    clues = [seen for seen in reader.seen.values() if seen.clue and seen.diagnosis.message_id not in told]
    if not failures and reader.unknown:
        failures = [reader.unknown]
    return LogReading(lines=number, cause=failures[0] if failures else None, others=(*failures[1:], *clues))
