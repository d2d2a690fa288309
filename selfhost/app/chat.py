"""`chat`: one question or a conversation with a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.app import servers
from selfhost.app.endpoint import endpoint_of
from selfhost.errors import NoError, SelfhostError
from selfhost.serve import health
from selfhost.serve.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from selfhost.home import Home
    from selfhost.serve.health import Endpoint, Piece

_WAIT_S = 600.0
"""For each piece of an answer: a long prompt on a slow machine says nothing for a while."""


class Conversation:
    """Turns so far; a question that fails is forgotten, so that the next one starts clean."""

    def __init__(self, endpoint: Endpoint, options: Mapping[str, object]) -> None:
        self._endpoint = endpoint
        self._options = options
        self._messages: list[dict[str, str]] = []

    def ask(self, question: str) -> Iterator[Piece]:
        """Pieces of the answer as they come. Raises SelfhostError when the server refuses or breaks off."""
        asked = [*self._messages, {"role": "user", "content": question}]
        answer = ""
        try:
            for piece in health.stream(self._endpoint, asked, self._options, _WAIT_S):
                answer += "" if piece.reasoning else piece.text
                yield piece
        except health.RefusedError as error:
            raise SelfhostError("serve.chat_refused", name=self._endpoint.model, detail=error.detail) from error
        self._messages = [*asked, {"role": "assistant", "content": answer}]


def open_chat(home: Home, name: str | None, *, max_tokens: int, temperature: float | None = None) -> Conversation:
    """A conversation with a server, with the only one that runs when none is named. Raises NoError, UsageError.

    max_tokens: longest answer, at most what the server's context has room for. temperature: None is the model's own.
    """
    server = servers.find_server(home, name) if name else servers.only_running(home)
    record = server.record
    if server.state not in (State.READY, State.ORPHANED):
        raise NoError("serve.not_ready", name=record.name, state=server.state.value)
    # The engine refuses more than its context (renderers/params.py @ 0.32.0), and counts the prompt off by itself.
    context = record.plan["settings"]["max_model_len"]
    options: dict[str, object] = {"max_tokens": min(max_tokens, context)}
    if temperature is not None:
        options["temperature"] = temperature
    return Conversation(endpoint_of(home, record), options)
