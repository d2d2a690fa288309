"""Questions to an engine over HTTP on this machine: is it healthy, does it answer, what does it say."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import ssl
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.records import dataclass
from selfhost.serve.certificate import leaf_sha256

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

_OK = 200
_BAD_REQUEST = 400
_UNAVAILABLE = 503
_ANSWER_TOKENS = 256
"""Room for an answer that thinks first; the check stops reading once it saw what it waits for."""


class Health(StrEnum):
    """What `/health` says."""

    OK = "ok"
    DEAD = "dead"
    """503: the engine process behind the API server is gone."""
    SILENT = "silent"
    """Refused, timed out, or something else answers."""


class Certificate(NamedTuple):
    """Whose certificate a server must show."""

    path: Path
    sha256: str
    """What the file had when the server was started; an engine may still show that, or what the file has now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A server, as reached from this machine."""

    host: str
    port: int
    model: str
    """The served model name."""
    key: str | None = None
    chat: bool = True
    """Whether to speak chat, or plain completions for a model without a chat template."""
    certificate: Certificate | None = None
    """None: it speaks plain HTTP."""


class RefusedError(Exception):
    """The server answered with an error, or not to the end; the text says which."""

    def __init__(self, status: int | None, detail: str, *, late: bool = False) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.late = late
        """Nothing came within the time."""


class Piece(NamedTuple):
    """A part of a streamed answer."""

    text: str
    reasoning: bool = False
    cut: bool = False
    """The answer ended here because `max_tokens` was reached, not because it was complete."""


class Answer(NamedTuple):
    """An answer that was checked."""

    right: bool
    text: str
    chat: bool
    """Whether the chat endpoint gave it."""


def reachable_host(host: str) -> str:
    """Where to connect on this machine for an address that was listened on.

    >>> reachable_host("0.0.0.0"), reachable_host("::"), reachable_host("127.0.0.2")
    ('127.0.0.1', '::1', '127.0.0.2')
    """
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104


def base_url(host: str, port: int, *, tls: bool = False) -> str:
    """The URL of a server as a client on this machine uses it."""
    reach, scheme = reachable_host(host), "https" if tls else "http"
    return f"{scheme}://[{reach}]:{port}" if ":" in reach else f"{scheme}://{reach}:{port}"


def _connect(endpoint: Endpoint, timeout_s: float) -> http.client.HTTPConnection:
    # http.client knows no proxies: nothing of this leaves the machine.
    host = reachable_host(endpoint.host)
    if endpoint.certificate is None:
        return http.client.HTTPConnection(host, endpoint.port, timeout=timeout_s)
    return _OwnServer(host, endpoint.port, timeout_s, endpoint.certificate)


class _OwnServer(http.client.HTTPSConnection):
    """A connection to a server that shows the certificate it was started with, whatever names are in it."""

    def __init__(self, host: str, port: int, timeout_s: float, certificate: Certificate) -> None:
        context = ssl.create_default_context()
        # Compared as a whole below, before a byte is sent.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=timeout_s, context=context)
        self._certificate = certificate

    def connect(self) -> None:
        """Raises SSLCertVerificationError when somebody else answers."""
        super().connect()
        shown = self.sock.getpeercert(binary_form=True) or b""
        path, sha256 = self._certificate
        if hashlib.sha256(shown).hexdigest() not in {sha256, leaf_sha256(path)}:
            self.close()
            msg = f"somebody else answers there, not with the certificate in {path}"
            raise ssl.SSLCertVerificationError(msg)


def _headers(endpoint: Endpoint) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    return headers


def ask_health(endpoint: Endpoint, timeout_s: float) -> Health:
    """What `/health` says; never raises."""
    connection = _connect(endpoint, timeout_s)
    try:
        connection.request("GET", "/health", headers=_headers(endpoint))
        with connection.getresponse() as response:
            status = response.status
    except (OSError, http.client.HTTPException):
        return Health.SILENT
    finally:
        connection.close()
    return {_OK: Health.OK, _UNAVAILABLE: Health.DEAD}.get(status, Health.SILENT)


def ask_metrics(endpoint: Endpoint, timeout_s: float) -> str:
    """The page of `/metrics`; empty when there is none; never raises."""
    connection = _connect(endpoint, timeout_s)
    try:
        connection.request("GET", "/metrics", headers=_headers(endpoint))
        with connection.getresponse() as response:
            page = response.read().decode(errors="replace")
            return page if response.status == _OK else ""
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def stream(
    endpoint: Endpoint, messages: Sequence[Mapping[str, str]], options: Mapping[str, object], timeout_s: float
) -> Generator[Piece]:
    """Pieces of an answer as they come; `timeout_s` is for each wait. Raises RefusedError.

    Plain completions get the messages' texts one under the other.
    """
    body: dict[str, object] = {"model": endpoint.model, "stream": True, "stream_options": {"include_usage": True}}
    if endpoint.chat:
        path, body["messages"] = "/v1/chat/completions", list(messages)
    else:
        path, body["prompt"] = "/v1/completions", "\n".join(message["content"] for message in messages)
    connection = _connect(endpoint, timeout_s)
    try:
        connection.request("POST", path, json.dumps({**body, **options}), _headers(endpoint))
        with connection.getresponse() as response:
            if response.status != _OK:
                raise RefusedError(response.status, _error_text(response.read()))
            yield from _pieces(response)
    except (OSError, http.client.HTTPException) as error:
        detail = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise RefusedError(None, detail, late=isinstance(error, TimeoutError)) from error
    finally:
        connection.close()


def ask_json(
    endpoint: Endpoint, method: str, path: str, body: Mapping[str, object] | None, timeout_s: float
) -> dict[str, Any]:
    """The JSON object that a route answers with. Raises RefusedError, also for an answer that is none."""
    connection = _connect(endpoint, timeout_s)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None, _headers(endpoint))
        with connection.getresponse() as response:
            status, data = response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise RefusedError(None, f"{type(error).__name__}: {error}".removesuffix(": ")) from error
    finally:
        connection.close()
    if status != _OK:
        raise RefusedError(status, _error_text(data))
    with contextlib.suppress(ValueError):
        if isinstance(value := json.loads(data), dict):
            return value
    raise RefusedError(status, f"not a JSON object: {data[:200].decode(errors='replace')}")


def _error_text(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(json.loads(text)["error"]["message"])
    return text


def _pieces(response: http.client.HTTPResponse) -> Iterator[Piece]:
    """Server-sent events: `data: {...}` lines, the last one `data: [DONE]`."""
    for raw in response:
        line = raw.decode(errors="replace").strip()
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        try:
            event: dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise RefusedError(None, f"not JSON: {data[:200]}") from error
        if "error" in event:
            raise RefusedError(None, _error_text(data.encode()))
        yield from _event_pieces(event)
    raise RefusedError(None, "the stream was cut off")


def _event_pieces(event: Mapping[str, Any]) -> Iterator[Piece]:
    for choice in event.get("choices") or []:
        delta = choice.get("delta") or {}
        # vLLM names it `reasoning`; DeepSeek's API and older releases `reasoning_content`.
        if thought := delta.get("reasoning") or delta.get("reasoning_content"):
            yield Piece(thought, reasoning=True)
        if text := delta.get("content") or choice.get("text"):
            yield Piece(text)
        if choice.get("finish_reason") == "length":
            yield Piece("", cut=True)
    usage = event.get("usage") or {}
    if usage.get("completion_tokens"):
        yield Piece("")  # tokens were made, even if they spell nothing


def check_answer(endpoint: Endpoint, prompt: str, expect: str, *, max_tokens: int, timeout_s: float) -> Answer:
    """Ask a question whose answer is known, greedily; reading stops at the first sight of `expect`.

    An empty `expect` asks only for at least one token. A model without a chat template is asked by completion.
    Raises RefusedError.
    """
    try:
        return _check_once(endpoint, prompt, expect, min(max_tokens, _ANSWER_TOKENS), timeout_s)
    except RefusedError as error:
        if error.status != _BAD_REQUEST or "chat template" not in error.detail or not endpoint.chat:
            raise
    plain = replace(endpoint, chat=False)
    return _check_once(plain, prompt, expect, min(max_tokens, _ANSWER_TOKENS), timeout_s)


def _check_once(endpoint: Endpoint, prompt: str, expect: str, max_tokens: int, timeout_s: float) -> Answer:
    options = {"temperature": 0, "max_tokens": max_tokens if expect else min(max_tokens, 8)}
    text = ""
    pieces = 0
    with contextlib.closing(stream(endpoint, [{"role": "user", "content": prompt}], options, timeout_s)) as answer:
        for piece in answer:
            text += piece.text
            pieces += 1
            if expect and expect in text:
                break
    return Answer(right=expect in text if expect else pieces > 0, text=text, chat=endpoint.chat)
