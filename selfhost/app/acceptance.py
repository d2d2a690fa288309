"""`accept`: what a running server must get right beside being ready, asked of it over its own API.

Each check has one of three results: passed, failed, or not shown, with the reason: a model that does not call a tool
shows nothing about the parser. All questions are greedy. On a busy server two equal questions may be computed in
different batches, whose rounding differs: let it be idle.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from selfhost.app import servers
from selfhost.app.endpoint import endpoint_of
from selfhost.errors import NoError, SelfhostError
from selfhost.messages import text
from selfhost.planner.plan import AnswerCheck
from selfhost.recipe import load
from selfhost.records import dataclass
from selfhost.serve import health
from selfhost.serve.health import RefusedError
from selfhost.serve.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from selfhost.home import Home
    from selfhost.serve.records import Record

SCHEMA_VERSION = 1
QUESTION = "Hello"
"""For a model whose recipe knows no answer: any will do."""
_WAIT_S = 600.0
_UNAUTHORIZED = 401
_LONG_TOKENS = 2048
"""For an answer that thinks first, up to its end."""
_SHORT_TOKENS = 64
_SHOWN = 160
_NO_KEY = "not-a-key"
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city now",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_TOOL_QUESTION = "What is the weather in Paris now? Call the tool."
_CALL = re.compile(r"get_weather|<tool_call|<\|?tool|<｜tool|<function")  # noqa: RUF001 - DeepSeek's own bar
_THOUGHT = re.compile(r"</?think>|◁/?think▷")


class Outcome(StrEnum):
    """What a check has shown."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_SHOWN = "not_shown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check and what came out."""

    name: str
    outcome: Outcome
    detail: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {"name": self.name, "outcome": self.outcome.value, "detail": self.detail}


@dataclass(frozen=True, kw_only=True, slots=True)
class Acceptance:
    """All checks of a server."""

    server: str
    model: str
    prompt: str
    expect: str
    """Empty: any answer will do."""
    answer: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """Those that failed."""
        return tuple(check for check in self.checks if check.outcome is Outcome.FAILED)

    @property
    def accepted(self) -> bool:
        """Whether none failed."""
        return not self.failed

    def as_dict(self) -> dict[str, Any]:
        """The contract of `accept --json`."""
        names = ("server", "model", "prompt", "expect", "answer")
        checks = [check.as_dict() for check in self.checks]
        own = {name: getattr(self, name) for name in names}
        return {"schema_version": SCHEMA_VERSION, **own, "accepted": self.accepted, "checks": checks}


def accept(home: Home, name: str | None, check: AnswerCheck | None = None) -> Acceptance:
    """Ask a server, or the only one that runs, everything; `check`: what its recipe asks, None: to be looked up.

    Raises NoError and UsageError for a server that cannot be asked, SelfhostError for one that does not answer.
    """
    server = servers.find_server(home, name) if name else servers.only_running(home)
    record = server.record
    if server.state not in (State.READY, State.ORPHANED):
        raise NoError("serve.not_ready", name=record.name, state=server.state.value)
    known = check or known_check(home, record.model) or AnswerCheck(prompt=QUESTION, expect="")
    asker = Asker(home, record, known.prompt, known.expect)
    try:
        checks = asker.checks()
    except RefusedError as error:
        raise SelfhostError("serve.chat_refused", name=record.name, detail=error.detail) from error
    return Acceptance(
        server=record.name,
        model=record.model,
        prompt=asker.prompt,
        expect=asker.expect,
        answer=asker.answer,
        checks=checks,
    )


def known_check(home: Home, model: str) -> AnswerCheck | None:
    """The question of a recipe, if there is one of that name and it has one."""
    path = load.find_recipes(home).get(model.lower())
    known = load.read_recipe(path).check if path else None
    return AnswerCheck(prompt=known.prompt, expect=known.expect) if known else None


def _passed(name: str, detail: str, *, when: bool = True) -> Check:
    return Check(name=name, outcome=Outcome.PASSED if when else Outcome.FAILED, detail=detail)


def _not_shown(name: str, why: str) -> Check:
    return Check(name=name, outcome=Outcome.NOT_SHOWN, detail=why)


class Asker:
    """Asks one server."""

    def __init__(self, home: Home, record: Record, prompt: str, expect: str) -> None:
        self.prompt, self.expect, self.answer = prompt, expect, ""
        self._record = record
        self._endpoint = endpoint_of(home, record)
        self._context: int = record.plan["settings"]["max_model_len"]
        self._first: Mapping[str, Any] = {}

    def checks(self) -> tuple[Check, ...]:
        """All of them, in order. Raises RefusedError when the server does not answer at all."""
        self._first = self._ask(_LONG_TOKENS)
        asks: tuple[Callable[[], Check], ...] = (
            self._key,
            self._template,
            self._answer,
            self._stop,
            self._same,
            self._stream,
            self._tool,
            self._reasoning,
        )
        return tuple(ask() for ask in asks)

    def _post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        return health.ask_json(self._endpoint, "POST", path, {"model": self._endpoint.model, **body}, _WAIT_S)

    def _ask(self, most: int, question: str | None = None, **more: object) -> dict[str, Any]:
        """The first choice of an answer that did not stream."""
        options = {"temperature": 0, "max_tokens": min(most, self._context // 2), **more}
        asked = question or self.prompt
        if self._endpoint.chat:
            messages = [{"role": "user", "content": asked}]
            said = self._post("/v1/chat/completions", {"messages": messages, **options})
        else:
            said = self._post("/v1/completions", {"prompt": asked, **options})
        choice: dict[str, Any] = said["choices"][0]
        return choice

    def _option(self, flag: str) -> str | None:
        """The value of an engine's option, in any spelling the engine takes; the last one counts."""
        found = None
        for word, following in itertools.pairwise([*self._record.argv, ""]):
            name, equals, value = word.partition("=")
            if name.replace("_", "-") == flag:
                found = value if equals else following
        return found

    def _key(self) -> Check:
        stranger = replace(self._endpoint, key=_NO_KEY)
        try:
            health.ask_json(stranger, "GET", "/v1/models", None, _WAIT_S)
        except RefusedError as error:
            return _passed("key", text("acceptance.key", status=error.status), when=error.status == _UNAUTHORIZED)
        if self._record.require_key:
            return _passed("key", text("acceptance.key_taken"), when=False)
        return _not_shown("key", text("acceptance.no_keys"))

    def _template(self) -> Check:
        if not self._endpoint.chat:
            return _not_shown("template", text("acceptance.no_template"))
        messages = [{"role": "user", "content": self.prompt}]
        tokens = self._post("/tokenize", {"messages": messages})["tokens"]
        rendered = str(self._post("/detokenize", {"tokens": tokens})["prompt"])
        good = self.prompt in rendered and len(rendered.strip()) > len(self.prompt)
        return _passed("template", text("acceptance.rendered", tokens=len(tokens), shown=_short(rendered)), when=good)

    def _answer(self) -> Check:
        self.answer = _texts(self._first)[0]
        said = self.answer if self.expect else "".join(_texts(self._first))
        good = bool(said.strip()) and self.expect.lower() in said.lower()
        detail = text("acceptance.answered", prompt=self.prompt, answer=_short(said), expect=self.expect or "-")
        return _passed("answer", detail, when=good)

    def _stop(self) -> Check:
        reason = self._first.get("finish_reason")
        return _passed("stop", text("acceptance.ended", reason=reason), when=reason == "stop")

    def _same(self) -> Check:
        # The first question has filled the prefix cache: these two are computed in the same way.
        one, two = (_texts(self._ask(_SHORT_TOKENS)) for _ in range(2))
        return _passed("same", _difference("".join(one), "".join(two)), when=one == two)

    def _stream(self) -> Check:
        options = {"temperature": 0, "max_tokens": min(_SHORT_TOKENS, self._context // 2)}
        pieces = list(health.stream(self._endpoint, [{"role": "user", "content": self.prompt}], options, _WAIT_S))
        streamed = tuple("".join(p.text for p in pieces if p.reasoning is thought) for thought in (False, True))
        choice = self._ask(_SHORT_TOKENS)
        cut = any(piece.cut for piece in pieces) == (choice.get("finish_reason") == "length")
        whole = _texts(choice)
        return _passed("stream", _difference("".join(whole), "".join(streamed)), when=streamed == whole and cut)

    def _tool(self) -> Check:
        parser = self._option("--tool-call-parser")
        if parser is None:
            return _not_shown("tool", text("acceptance.no_tool_parser"))
        choice = self._ask(_LONG_TOKENS, _TOOL_QUESTION, tools=[_TOOL], tool_choice="auto")
        calls, said = choice["message"].get("tool_calls") or [], _texts(choice)[0]
        if not calls:
            if _CALL.search(said):
                return _passed("tool", text("acceptance.call_unread", parser=parser, said=_short(said)), when=False)
            return _not_shown("tool", text("acceptance.no_call", said=_short(said)))
        call = calls[0]["function"]
        shown = text("acceptance.called", parser=parser, call=_short(f"{call['name']}({call['arguments']})"))
        return _passed("tool", shown, when=call["name"] == "get_weather" and _has_city(call["arguments"]))

    def _reasoning(self) -> Check:
        parser = self._option("--reasoning-parser")
        if parser is None:
            return _not_shown("reasoning", text("acceptance.no_reasoning_parser"))
        said, thought = _texts(self._first)
        if _THOUGHT.search(said):
            return _passed("reasoning", text("acceptance.thought_unread", parser=parser, said=_short(said)), when=False)
        if not thought:
            return _not_shown("reasoning", text("acceptance.no_thought"))
        return _passed("reasoning", text("acceptance.thought", parser=parser, characters=len(thought)))


def _texts(choice: Mapping[str, Any]) -> tuple[str, str]:
    """What an answer says, and what was thought before."""
    message = choice.get("message")
    if message is None:
        return str(choice.get("text") or ""), ""
    return str(message.get("content") or ""), str(message.get("reasoning") or message.get("reasoning_content") or "")


def _has_city(arguments: str) -> bool:
    try:
        value = json.loads(arguments)
    except ValueError:
        return False
    return isinstance(value, dict) and isinstance(value.get("city"), str)


def _difference(one: str, two: str) -> str:
    if one == two:
        return text("acceptance.equal", characters=len(one))
    place = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    return text("acceptance.differs", place=place, one=_short(one[place:]), two=_short(two[place:]))


def _short(said: str) -> str:
    line = " ".join(said.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."
