"""`bundle import --run-acceptance`: each model that came is started, asked as `accept` asks, and stopped."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from selfhost.app import acceptance, serve, serve_tools, servers, start
from selfhost.errors import EngineFailedError, NoError
from selfhost.messages import text
from selfhost.planner.plan import AnswerCheck, PlanRequest
from selfhost.recipe import load
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from selfhost.app.acceptance import Check
    from selfhost.app.pull import Talk
    from selfhost.home import Home
    from selfhost.serve.records import Record

    Begin = Callable[[str, str, str], Record]
    """(name, variant, server) -> the server, ready. Raises what forbids or ends the start."""

_SERVER = "acceptance"
_SHOWN = 500
_STOP_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What one model said."""

    name: str
    variant: str
    prompt: str
    expect: str
    """Empty: any answer will do."""
    answer: str
    checks: tuple[Check, ...] = ()
    """Empty for a model whose start ended at its answer."""

    @property
    def failed(self) -> tuple[Check, ...]:
        """What it does wrong."""
        return tuple(check for check in self.checks if check.outcome is acceptance.Outcome.FAILED)

    @property
    def accepted(self) -> bool:
        """Whether it was asked everything and nothing is wrong."""
        return bool(self.checks) and not self.failed

    @property
    def wrong(self) -> str:
        """What is wrong, in one line."""
        first = f"{self.prompt} -> {self.answer.strip() or 'nothing'} (expected: {self.expect})"
        others = [f"{check.name}: {check.detail}" for check in self.failed if check.name != "answer"]
        answered = bool(self.checks) and all(check.name != "answer" for check in self.failed)
        return "; ".join(others if answered else [first, *others])

    def as_dict(self) -> dict[str, Any]:
        """One of `acceptance` in JSON and in the log."""
        own = {name: getattr(self, name) for name in ("name", "variant", "prompt", "expect", "answer")}
        return {**own, "accepted": self.accepted, "checks": [check.as_dict() for check in self.checks]}


def run(models: Sequence[Path], home: Home, talk: Talk, told: list[dict[str, Any]], begin: Begin) -> None:
    """Ask every model of these directories, one after the other.

    told: gets what each answered. Raises NoError once all were asked when an answer is not as expected; at once what
    forbids a start. Nothing is left running.
    """
    wrong = []
    for directory in models:
        one = _ask(directory, home, talk, begin)
        told.append(one.as_dict())
        if one.accepted:
            talk.note(text("unpack.accepts", name=one.name, variant=one.variant, answer=one.answer.strip()))
        else:
            wrong.append(one)
    if wrong:
        listed = "\n".join(f"{one.name} ({one.variant}): {one.wrong}" for one in wrong)
        raise NoError("unpack.not_accepted", count=len(wrong), listed=listed)


def _ask(directory: Path, home: Home, talk: Talk, begin: Begin) -> Answered:
    name, variant = directory.parent.name, directory.name
    check = acceptance.known_check(home, name) or AnswerCheck(prompt=acceptance.QUESTION, expect="")
    prompt, expect = check.prompt, check.expect
    talk.note(text("unpack.accepting", name=name, variant=variant, prompt=prompt))

    def said(answer: str, checks: tuple[Check, ...] = ()) -> Answered:
        shown = answer[:_SHOWN]
        return Answered(name=name, variant=variant, prompt=prompt, expect=expect, answer=shown, checks=checks)

    # Somebody's own server of that name is neither asked nor stopped.
    serve.check_name(home, _SERVER)
    try:
        begin(name, variant, _SERVER)
        found = acceptance.accept(home, _SERVER, check)
        return said(found.answer, found.checks)
    except EngineFailedError as error:
        # A start asks the same question, and ends the server when the answer is wrong.
        if error.message.id != "serve.wrong_answer":
            raise
        return said(str(error.message.params.get("line", "")))
    finally:
        # A start that failed has ended its server itself.
        with contextlib.suppress(NoError):
            servers.stop(home, _SERVER, _STOP_S)


def starter(home: Home, talk: Talk) -> Begin:
    """Starts a model of the store as `serve --offline --detach --port 0` does; the caller has settled to be offline."""

    def begin(name: str, variant: str, server: str) -> Record:
        recipe = name.lower() in load.find_recipes(home)
        request = serve.ServeRequest(
            target=name if recipe else f"{name}/{variant}",
            variant=variant if recipe else None,
            plan=PlanRequest(port=0),
            name=server,
            detached=True,
        )
        prepared = serve.prepare(home, request, serve_tools.real_tools(home, None, talk))
        record, orders = serve.claim(home, request, prepared)
        return start.run_detached(home, record, orders, start.StartReport(lambda _step, _line: None))

    return begin
