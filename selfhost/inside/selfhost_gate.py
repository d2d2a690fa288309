"""The front door inside the engine: an allow-list of routes, and the API key on all of them but `/health`.

Handed to vLLM with `--middleware selfhost_gate.Gate`; runs in the engine's process and environment, so it uses the
standard library only. vLLM's own `--api-key` looks at four path prefixes and leaves `/invocations`, `/tokenize`,
`/metrics`, `/docs` and the development routes open (github.com/vllm-project/vllm/issues/58144).

Invariants:
- what is not in the table below never reaches the engine, with or without a key (404);
- a path counts only in its literal form: percent-encoded, doubled or trailing slashes, `..` are other paths (404);
- pieces of an answer are handed to the server as they are: nothing here waits, copies or holds them;
- a body that is longer than the limit does not reach the engine, announced or not (413);
- bad configuration stops the engine; a keys file that turns bad later closes the door (503), never opens it;
- no key is stored or logged, only sha256 digests are compared; names of keys are logged (`selfhost_access`).

Limits of the server in front of it: request lines and headers by `selfhost_heads`; WebSocket messages of 16 MiB
(`ws_max_size` of uvicorn 0.54).

Not covered: rate limits; and whoever can write the files named below.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import selfhost_heads
from selfhost_access import AccessLog, Caller
from selfhost_keys import GateError, KeysFile, digest_of, load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Headers = list[tuple[bytes, bytes]]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

CONFIGURATION = "SELFHOST_GATE"
CLOSED_NAME = "gate.closed"
"""Beside the configuration, of a server that was open until a key was made; `serve` takes it away."""
WEBSOCKET = "WEBSOCKET"
"""Stands for the method of a WebSocket handshake in the table."""

OPEN = frozenset({("GET", "/health"), ("HEAD", "/health")})
"""Answered without a key: says whether the engine lives, and nothing else."""

ANTHROPIC = frozenset({("POST", "/v1/messages"), ("POST", "/v1/messages/count_tokens")})
"""Clients of these routes send the key as `x-api-key`."""

KEYED = ANTHROPIC | {
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/rerank"),
    # For clients that count tokens before they ask; the engine refuses a chat template in the request by itself.
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("GET", "/metrics"),
    ("GET", "/version"),
    (WEBSOCKET, "/v1/realtime"),
}

MAX_BODY_BYTES = 64 << 20
"""Of a request: a million tokens are some 6 MB, but pictures come in it.

As the gateway's (selfhost/render/gateway.py): what passes one passes the other.
"""
COUNTERS = ("GET", "/metrics")
_MOST_DIGITS = 18
CONTROL_NAME = "(selfhost)"
"""Stands for the control key in the access log; no name of a key has parentheses."""


class Policy:
    """Who may use the keyed routes and what is kept of it: decided by the file that `SELFHOST_GATE` names."""

    def __init__(self, *, require_key: bool, control: bytes, keys: KeysFile, closed: Path) -> None:
        self._required = require_key
        self._closed = closed
        self._control = control
        self._keys = keys
        self.access: AccessLog | None = None

    @classmethod
    def load(cls, name: str | None) -> Policy:
        """Read the configuration and the keys file. Raises GateError when anything about them is wrong."""
        if not name:
            msg = f"the environment variable {CONFIGURATION} does not name a configuration file"
            raise GateError(msg)
        path = Path(name)
        try:
            value = load(path)
        except FileNotFoundError as error:
            msg = f"`{path}` does not exist"
            raise GateError(msg) from error
        keys_file = _typed(value, path, "keys_file", str)
        keys = KeysFile(Path(keys_file) if keys_file else None)
        keys.entries()
        require_key = _typed(value, path, "require_key", bool)
        if require_key is None:
            msg = f"`{path}`: require_key must be true or false"
            raise GateError(msg)
        closed = path.with_name(CLOSED_NAME)
        control = digest_of(value, path, "control_key_sha256")
        made = cls(require_key=require_key or closed.exists(), control=control, keys=keys, closed=closed)
        if access_log := _typed(value, path, "access_log", str):
            limit = _typed(value, path, "access_log_bytes", int)
            made.access = AccessLog(Path(access_log), limit) if limit else AccessLog(Path(access_log))
        return made

    def key_required(self) -> bool:
        """Whether the keyed routes need a key. The first key that is made closes an open server for good.

        For the engine that is started again in its place, too: a file beside the configuration tells it.
        """
        if not self._required and self._keys.entries():
            self._required = True
            with contextlib.suppress(OSError):  # a full disk: closed all the same
                self._closed.touch(0o600)
        return self._required

    def holder(self, key: bytes) -> str | None:
        """Whose key this is, of those in force. Every digest is compared, in constant time. Raises GateError."""
        is_control = hmac.compare_digest(hashlib.sha256(key).digest(), self._control)
        # Selfhost's own key holds while the others cannot be read: `stop`, `chat` and the supervisor need it.
        return CONTROL_NAME if is_control else self._keys.holder(key)


def _typed(value: dict[str, Any], path: Path, name: str, kind: type) -> Any:
    """What the configuration has under a name: of that very type, or null or left out. Raises GateError."""
    found = value.get(name)
    if found is not None and type(found) is not kind:
        msg = f"`{path}`: {name} must be of the type {kind.__name__}, or null"
        raise GateError(msg)
    return found


class Refusal:
    """An answer in the shape of OpenAI's errors, made once per kind."""

    def __init__(self, status: int, code: str, message: str, *, challenge: bool = False) -> None:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        self.status = status
        self.body = json.dumps({"error": error}).encode()
        self.headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(self.body)).encode()),
        ]
        if challenge:
            self.headers.append((b"www-authenticate", b'Bearer realm="selfhost"'))

    def closing(self) -> Refusal:
        """The same, after which the connection is closed: for a body of which nobody knows where it ends."""
        self.headers.append((b"connection", b"close"))
        return self

    async def send_http(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """The whole response; the request's body is not read."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})

    async def send_websocket(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """A refused handshake: a real status where the server can send one, else a close (403)."""
        if "websocket.http.response" in (scope.get("extensions") or {}):
            await send({"type": "websocket.http.response.start", "status": self.status, "headers": self.headers})
            await send({"type": "websocket.http.response.body", "body": self.body})
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "refused by selfhost"})


BLOCKED = Refusal(
    404,
    "route_blocked",
    "selfhost blocks this route: only the routes of its list, written exactly, reach the engine",
)
NO_KEY = Refusal(
    401,
    "invalid_api_key",
    "this server needs an API key: send it as `Authorization: Bearer KEY`; `selfhost key new NAME` makes one",
    challenge=True,
)
FOREIGN = Refusal(
    403,
    "foreign_origin",
    "this server has no API keys, so it answers only requests that name this machine's loopback as Host and Origin; "
    "`selfhost key new NAME` makes a key",
)
CLOSED = Refusal(
    503,
    "front_door_closed",
    "selfhost cannot check keys now and lets nobody in; the server's log says why",
)
_TOO_LONG = (413, "request_too_large", "the body of this request is larger than this server takes")
TOO_LONG = Refusal(*_TOO_LONG)
TOO_LONG_UNANNOUNCED = Refusal(*_TOO_LONG).closing()


class Gate:
    """ASGI middleware; vLLM instantiates it with the application it wraps. Raises GateError on bad configuration."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._policy = Policy.load(os.environ.get(CONFIGURATION))
        self._bypassed = False
        selfhost_heads.limit()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let the request through, or answer it here."""
        kind = scope["type"]
        if kind == "lifespan":
            return self._start(scope, receive, send)
        is_websocket = kind == "websocket"
        route = (WEBSOCKET if is_websocket else scope["method"], scope["path"])
        holder, refusal = self._judge(route, scope)
        if refusal is not None:
            app = refusal.send_websocket if is_websocket else refusal.send_http
        else:
            app = self._app if is_websocket else self._sized(scope["headers"])
        access = self._policy.access
        if access is not None and route not in OPEN and not (holder == CONTROL_NAME and route == COUNTERS):
            # What the supervisor asks every few seconds would bury everything else.
            caller = Caller(holder, route[1] if route in KEYED and refusal is not BLOCKED else None)
            return access.follow(app, scope, receive, send, caller)
        if route == ("HEAD", "/health"):
            # The engine knows GET only. The server drops the body by its own record of the method.
            scope = {**scope, "method": "GET"}
        return app(scope, receive, send)

    def _judge(self, route: tuple[str, str], scope: Scope) -> tuple[str | None, Refusal | None]:
        """The name of the caller's key, and why the request is refused."""
        if self._bypassed:
            return None, CLOSED
        # With a root path the router matches another path than the one that is looked at here.
        literal = scope.get("raw_path") == route[1].encode() and not scope.get("root_path")
        if not literal or (route not in KEYED and route not in OPEN):
            return None, BLOCKED
        try:
            return (None, None) if route in OPEN else self._check_caller(route, scope["headers"])
        except GateError:
            return None, CLOSED

    def _check_caller(self, route: tuple[str, str], headers: Headers) -> tuple[str | None, Refusal | None]:
        key = _key(headers, or_x_api_key=route in ANTHROPIC)
        if not self._policy.key_required():
            return None, None if _is_local(headers) else FOREIGN
        holder = self._policy.holder(key) if key else None
        return holder, None if holder else NO_KEY

    def _sized(self, headers: Headers) -> App:
        """What answers a request with such a body: the engine, a refusal, or the engine after the body was counted."""
        lengths = _values(headers, b"content-length")
        if _values(headers, b"transfer-encoding") or len(lengths) > 1:
            return self._counted
        if not lengths:
            return self._app
        if not lengths[0].isdigit():
            return self._counted
        # Python reads no number of thousands of digits.
        fits = len(lengths[0]) <= _MOST_DIGITS and int(lengths[0]) <= MAX_BODY_BYTES
        return self._app if fits else TOO_LONG.send_http

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take in a body whose length was not announced, up to the limit, and hand it on whole, as the engine reads it.

        To count it while the engine reads would mean to break into its reading, which it answers as its own error.
        """
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY_BYTES:
                await TOO_LONG_UNANNOUNCED.send_http(scope, receive, send)
                return
        whole = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> MutableMapping[str, Any]:
            return whole.pop() if whole else await receive()

        await self._app(scope, again, send)

    async def _start(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse to start when something stands outside this middleware: it would answer before the gate.

        vLLM's container standards put a `throttle` middleware outermost when a script or a variable names one.
        """
        outermost = next(iter(getattr(scope.get("app"), "user_middleware", ())), None)
        if outermost is None or outermost.cls is type(self):
            await self._app(scope, receive, send)
            return
        self._bypassed = True
        await receive()
        message = f"selfhost_gate: the middleware {outermost.cls!r} stands outside the front door; not starting"
        await send({"type": "lifespan.startup.failed", "message": message})


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key.lower() == name]


def _key(headers: Headers, *, or_x_api_key: bool) -> bytes | None:
    """The key a request brings; None without one, or with two of the same header (which would the next hop read?)."""
    authorizations = _values(headers, b"authorization")
    if not authorizations and or_x_api_key:
        keys = _values(headers, b"x-api-key")
        return keys[0].strip() if len(keys) == 1 else None
    if len(authorizations) != 1:
        return None
    scheme, _, key = authorizations[0].strip().partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else None


def _is_local(headers: Headers) -> bool:
    """Whether Host and Origin, where sent, name loopback: no web page, not by DNS rebinding either, gets in."""
    hosts, origins = _values(headers, b"host"), _values(headers, b"origin")
    if len(hosts) > 1 or len(origins) > 1:
        return False
    return all(_is_loopback(b"//" + host) for host in hosts) and all(_is_loopback(origin) for origin in origins)


@lru_cache(maxsize=64)
def _is_loopback(authority: bytes) -> bool:
    try:
        host = urlsplit(authority.decode("ascii")).hostname
        return host == "localhost" or (host is not None and ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
