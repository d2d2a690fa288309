"""Why a server failed: from what the supervisor saw and what the engine wrote, to one message with its exit code."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.errors import EngineFailedError, ExitCode, SelfhostError
from selfhost.messages import Message, text
from selfhost.records import dataclass
from selfhost.serve import phases
from selfhost.serve.diagnose import Diagnosis, diagnose, find_cause
from selfhost.serve.lifecycle import Phase, Trouble
from selfhost.serve.records import Failure
from selfhost.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.serve.lifecycle import Identity, Status
    from selfhost.serve.records import Record

_LAST_LINES = 20
_SHOWN = 200
"""Characters of a wrong answer that are shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What a failure is explained from."""

    log: str
    returncode: int | None
    oom_killed: bool
    deadline_s: float
    wedge_s: float
    prompt: str
    expect: str


def _phase_text(phase: Phase) -> str:
    names = {
        Phase.LOADING: text("serve.while_loading"),
        Phase.WARMING: text("serve.while_warming"),
        Phase.CHECKING: text("serve.while_checking"),
        Phase.SERVING: text("serve.while_serving"),
    }
    return names[phase]


def explain(record: Record, status: Status, evidence: Evidence) -> Failure:
    """The failure of a server that got into trouble."""
    given = {"name": record.name, "model": shlex.quote(record.target), "phase": _phase_text(status.phase)}
    found = _diagnosis(status, evidence)
    params = {**given, "line": found.line, **found.params}
    lines = phases.split_lines(evidence.log)[-_LAST_LINES:]
    return Failure(
        message_id=found.message_id,
        params=params,
        code=int(found.code),
        returncode=evidence.returncode,
        last_lines=tuple(lines),
    )


def _diagnosis(status: Status, evidence: Evidence) -> Diagnosis:
    if status.trouble is Trouble.EXITED:
        return diagnose(evidence.log, returncode=evidence.returncode, oom_killed=evidence.oom_killed)
    if status.trouble is Trouble.WRONG_ANSWER:
        params = {"prompt": evidence.prompt, "expect": evidence.expect}
        return Diagnosis(
            message_id="serve.wrong_answer", code=ExitCode.FAILURE, line=status.detail[:_SHOWN].strip(), params=params
        )
    # The engine still runs, but is of no use: its log may say why, also when its main process does not notice.
    if cause := find_cause(evidence.log):
        return cause
    last = (phases.split_lines(evidence.log) or [""])[-1].strip()[:_SHOWN]
    if status.trouble is Trouble.NO_ANSWER:
        params = {"detail": status.detail[:_SHOWN]}
        return Diagnosis(message_id="serve.no_answer", code=ExitCode.FAILURE, line=last, params=params)
    waited = {
        Trouble.DEADLINE: ("serve.deadline", {"deadline": format_duration(evidence.deadline_s)}),
        Trouble.WEDGED: ("supervise.wedged", {"waited": format_duration(evidence.wedge_s)}),
    }
    message_id, params = waited.get(status.trouble or Trouble.UNHEALTHY, ("serve.unhealthy", {}))
    return Diagnosis(message_id=message_id, code=ExitCode.FAILURE, line=last, params=params)


def not_started(record: Record, error: SelfhostError | OSError) -> Failure:
    """The engine's program cannot be run, or its log not be written."""
    if isinstance(error, SelfhostError):
        values = {name: str(value) for name, value in error.message.params.items()}
        return Failure(message_id=error.message.id, params=values, code=int(error.code))
    params = {"python": record.argv[0], "detail": error.strerror or str(error)}
    return Failure(message_id="serve.not_runnable", params=params, code=int(ExitCode.MISSING))


def crash_loop(record: Record, last: Failure, status: Status) -> Failure:
    """A server that failed too often in a row; with the cause of the last time, whose code it has."""
    if status.unwanted or status.failures <= status.policy.most:
        return last
    message = Message(last.message_id, last.params)
    params = {"name": record.name, "count": status.failures, "last": message.what, "why": message.why}
    params |= {"hint": message.hint or text("supervise.read_log", name=record.name)}
    return replace(last, message_id="supervise.crash_loop", params=params)


def survivors(record: Record, left: Sequence[Identity]) -> Failure:
    """Processes that nothing could end."""
    pids = " ".join(str(identity.pid) for identity in left)
    return Failure(message_id="serve.survivors", params={"name": record.name, "pids": pids}, code=int(ExitCode.FAILURE))


def as_error(record: Record, failure: Failure) -> EngineFailedError:
    """The error that tells a recorded failure; its phase, which a record has in English, in the reader's language."""
    params = dict(failure.params)
    for phase in Phase:
        if params.get("phase") == (said := _phase_text(phase)):
            params["phase"] = said
    return EngineFailedError(
        failure.message_id,
        argv=record.argv,
        returncode=failure.returncode,
        last_lines=failure.last_lines,
        cause=ExitCode(failure.code),
        **{key: value for key, value in params.items() if key != "returncode"},
    )
