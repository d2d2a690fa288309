"""An engine's log -> the line that names the root cause, what it means and the exit code.

vLLM's processes fail in a chain: a worker's exception, then "WorkerProc initialization failed" in the engine core, then
"Engine core initialization failed" in the API server. The first line is the cause; the last is what users see.
What the lines mean: `fingerprints`, `fingerprints_ascend`.
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import TYPE_CHECKING

from selfhost.errors import ExitCode
from selfhost.records import dataclass
from selfhost.serve.fingerprints import GENERAL, GENERAL_CLUES, Rule
from selfhost.serve.fingerprints_ascend import ASCEND, ASCEND_CLUES
from selfhost.serve.phases import split_lines, strip_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_SIGKILL = 9
LINE_LENGTH = 300
"""Longest part of a log line that is shown: some list every architecture there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """A cause: the message of the catalogue that explains it, and the line it was read from."""

    message_id: str
    code: ExitCode
    line: str
    params: Mapping[str, str] = field(default_factory=dict)
    """Values of the message besides `name`, `model`, `phase` and `line`."""


# The first line of the log that any rule matches is the cause; the order only decides within one line.
RULES: tuple[Rule, ...] = (*ASCEND, *GENERAL)
CLUES: tuple[Rule, ...] = (*ASCEND_CLUES, *GENERAL_CLUES)
_CAUSE_NEEDLES = tuple(dict.fromkeys(needle for rule in RULES for needle in rule.needles))
NEEDLES = tuple(dict.fromkeys((*_CAUSE_NEEDLES, *(needle for rule in CLUES for needle in rule.needles))))
"""One of them is in every line that `read_line` or `read_clue` knows."""

_EXCEPTION = re.compile(r"^(?:Value error, |[A-Za-z_][\w.]*(?:Error|Exception)\b(?::|$)|AssertionError$)")
_SYMPTOMS = re.compile(
    r"Engine core initialization failed|WorkerProc initialization failed|EngineDeadError|Worker failed with error"
    r"|Executor failed\.|ValidationError: \d+ validation error|CancelledError|BrokenPipeError|ConnectionResetError"
)
_WORKER_DIED = re.compile(r"Worker proc \S+ died unexpectedly|WorkerProc initialization failed|EngineDeadError")
# Of vLLM, of uvicorn, of CANN, of NCCL; and what vllm-ascend does without (vllm_ascend/cpu_binding.py).
_NOT_A_CAUSE = re.compile(
    r"(?:^|\) )(?:(?:DEBUG|INFO|WARNING) \d\d-\d\d |INFO: {5}|\[(?:DEBUG|INFO|WARNING|EVENT|TRACE)\] )"
    r"|\] NCCL (?:INFO|TRACE) |\bBind cpus failed"
)
_DEEP = "    "
_DEEP_RULES = tuple(one for one in RULES if one.deep)
_OWN_RULES = tuple(one for one in RULES if not one.shared)
_OF_ASCEND = ("ascend", "Ascend", "ASCEND", "torch_npu", "HCCL", "hccl", "libatb", "libop_plugin")
_STARTED = "Application startup complete"
_STARTS = ("Initializing a V1 LLM engine", "Starting to load model", "Starting vLLM ")
_OF_REQUESTS = (ExitCode.INTEGRITY, ExitCode.USAGE, ExitCode.TRUST)
MARKS = (_STARTED, *_STARTS)
"""One of them is in every line that changes `is_serving`."""


def tells_of_ascend(text: str) -> bool:
    """Whether a log, or a good part of one, is of an engine on NPUs."""
    return any(word in text for word in _OF_ASCEND)


def is_cause_line(line: str) -> bool:
    """Whether a line of a log can name a cause: warnings quote errors that are none."""
    return not _NOT_A_CAUSE.search(line)


def match(line: str, rules: Iterable[Rule]) -> Diagnosis | None:
    """What the first of the rules that knows a line says of it; the line without its prefixes."""
    for one in rules:
        if found := one.pattern.search(line):
            given = {key: value.strip("'") for key, value in found.groupdict().items() if value is not None}
            return Diagnosis(
                message_id=one.message_id,
                code=one.code,
                line=line.strip()[:LINE_LENGTH],
                params={**one.defaults, **given},
            )
    return None


def is_serving(line: str, *, before: bool) -> bool:
    """Whether the engine serves after a line, by whether it did before: it may be started again in the same log."""
    return _STARTED in line or (before and not any(mark in line for mark in _STARTS))


def read_line(line: str, *, ascend: bool = True, serving: bool = False) -> Diagnosis | None:
    """The cause that a line of a log names; None for most.

    Lines of source in a traceback, four spaces deep, name every error there is; CANN's own words are as deep.

    ascend: the log tells of NPUs. serving: the engine had started; then errors of files, flags and permissions are
    those of somebody's request.
    """
    if not is_cause_line(line):
        return None
    bare = strip_prefix(line)
    deep = bare.startswith(_DEEP)
    rules = _DEEP_RULES if deep else RULES if ascend else _OWN_RULES
    found = match(bare if deep else bare.strip(), rules)
    if found and serving and not deep and _of_a_request(found):
        return None
    return found


def _of_a_request(found: Diagnosis) -> bool:
    return found.message_id == "diagnose.permission" or (
        found.code in _OF_REQUESTS and found.message_id.startswith("diagnose.")
    )


def read_clue(line: str) -> Diagnosis | None:
    """The symptom that a line of any level tells; never the cause of an end."""
    return match(strip_prefix(line).strip(), CLUES)


def _candidates(text: str) -> Iterator[str]:
    """Log lines that can name a cause, without their prefixes."""
    lines = (strip_prefix(line) for line in split_lines(text) if is_cause_line(line))
    return (line.strip() for line in lines if not line.startswith(_DEEP))


def find_cause(text: str) -> Diagnosis | None:
    """The first recognised cause in a log; None when nothing in it is known."""
    # Most words of most rules are nowhere in a log: looking for them first takes a tenth of the time.
    wanted = [needle for needle in _CAUSE_NEEDLES if needle in text]
    if not wanted:
        return None
    ascend, serving = tells_of_ascend(text), False
    wanted += [mark for mark in MARKS if mark in text]
    for line in split_lines(text):
        if any(needle in line for needle in wanted):
            if found := read_line(line, ascend=ascend, serving=serving):
                return found
            serving = is_serving(line, before=serving)
    return None


def read_exception(line: str) -> Diagnosis | None:
    """An exception that no rule knows, and that is no mere consequence of another."""
    bare = strip_prefix(line)
    if not is_cause_line(line) or bare.startswith(_DEEP):
        return None
    bare = bare.strip()
    if not _EXCEPTION.match(bare) or _SYMPTOMS.search(bare):
        return None
    return Diagnosis(message_id="diagnose.unknown", code=ExitCode.FAILURE, line=bare[:LINE_LENGTH])


def _first_exception(text: str) -> Diagnosis | None:
    return next((found for line in split_lines(text) if (found := read_exception(line))), None)


def diagnose(text: str, *, returncode: int | None, oom_killed: bool) -> Diagnosis:
    """The root cause of an engine's end: from its log first, then from how it ended.

    returncode: of the main process; negative: the signal that ended it; None: unknown. oom_killed: the kernel's
    out-of-memory killer struck somewhere on this machine meanwhile.
    """
    if cause := find_cause(text):
        return cause
    last = (split_lines(text) or [""])[-1].strip()[:LINE_LENGTH]
    worker_died = next((line for line in _candidates(text) if _WORKER_DIED.search(line)), None)
    exception = _first_exception(text)
    if oom_killed and (returncode == -_SIGKILL or (worker_died and not exception)):
        return Diagnosis(message_id="diagnose.oom_killer", code=ExitCode.NO, line=worker_died or last)
    if exception:
        return exception
    if returncode is not None and returncode < 0:
        return Diagnosis(
            message_id="diagnose.signal", code=ExitCode.FAILURE, line=last, params={"signal": str(-returncode)}
        )
    if worker_died:
        return Diagnosis(message_id="diagnose.worker_died", code=ExitCode.FAILURE, line=worker_died[:LINE_LENGTH])
    status = "unknown" if returncode is None else str(returncode)
    return Diagnosis(message_id="diagnose.exited", code=ExitCode.FAILURE, line=last, params={"status": status})
