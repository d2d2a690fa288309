"""The front door inside the engine: an allow-list of routes, and the API key on all of them but `/health`.

Handed to vLLM with `--middleware selfhost_gate.Gate`; runs in the engine's process and environment, so it uses the
standard library only. vLLM's own `--api-key` looks at four path prefixes and leaves `/invocations`, `/tokenize`,
`/metrics`, `/docs` and the development routes open (github.com/vllm-project/vllm/issues/58144).

Invariants:
- what is not in the table below never reaches the engine, with or without a key (404);
- a path counts only in its literal form: percent-encoded, doubled or trailing slashes, `..` are other paths (404);
- requests that are let through get the server's own `scope`, `receive` and `send`: streaming costs nothing here;
- bad configuration stops the engine; a keys file that turns bad later closes the door (503), never opens it;
- no key is stored or logged, only sha256 digests are compared.

Not covered: rate limits, body limits, TLS; and whoever can write the files named below.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import os
import re
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Headers = list[tuple[bytes, bytes]]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

SCHEMA_VERSION = 1
CONFIGURATION = "SELFHOST_GATE"
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

_RECHECK_S = 1.0
_SHA256_HEX = re.compile("[0-9a-f]{64}")


class GateError(RuntimeError):
    """The configuration or the keys file cannot be trusted."""


def _load(path: Path) -> dict[str, Any]:
    """A JSON object of a schema version that is understood. Raises GateError, and FileNotFoundError when absent."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        msg = f"`{path}` cannot be read: {error}"
        raise GateError(msg) from error
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION:
        found = value.get("schema_version") if isinstance(value, dict) else type(value).__name__
        msg = f"`{path}` has schema_version {found}; understood: {SCHEMA_VERSION}"
        raise GateError(msg)
    return value


def _digest(entry: Any, path: Path, name: str = "sha256") -> bytes:
    """The sha256 in hex under a name, as bytes. Raises GateError."""
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, str) or not _SHA256_HEX.fullmatch(value):
        msg = f"`{path}` has no sha256 in hex where `{name}` should be"
        raise GateError(msg)
    return bytes.fromhex(value)


class KeysFile:
    """Digests of the keys in force; read again when the file changes, looked at about once a second."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._stamp: tuple[int, int, int] | None = None
        self._next_look = float("-inf")
        self._digests: tuple[bytes, ...] = ()
        self._bad: GateError | None = None

    def digests(self) -> tuple[bytes, ...]:
        """Digests of the file as it is now; none when it is absent. Raises GateError when it cannot be read."""
        now = self._clock()
        if self._path is not None and now >= self._next_look:
            self._next_look = now + _RECHECK_S
            self._refresh(self._path)
        if self._bad is not None:
            raise self._bad
        return self._digests

    def _refresh(self, path: Path) -> None:
        try:
            info = path.stat()
            stamp = (info.st_mtime_ns, info.st_size, info.st_ino)
            if stamp == self._stamp and self._bad is None:
                return
            entries = _load(path).get("keys")
            self._digests = tuple(_digest(entry, path) for entry in (entries if isinstance(entries, list) else [None]))
            self._stamp, self._bad = stamp, None
        except FileNotFoundError:
            self._digests, self._stamp, self._bad = (), None, None
        except (GateError, OSError) as error:
            if self._bad is None:
                print(f"selfhost_gate: keys cannot be checked: {error}", file=sys.stderr, flush=True)
            self._bad = GateError(str(error))


class Policy:
    """Who may use the keyed routes: decided by the file that `SELFHOST_GATE` names, and by the keys file."""

    def __init__(self, *, require_key: bool, control: bytes, keys: KeysFile) -> None:
        self._required = require_key
        self._control = control
        self._keys = keys

    @classmethod
    def load(cls, name: str | None) -> Policy:
        """Read the configuration and the keys file. Raises GateError when anything about them is wrong."""
        if not name:
            msg = f"the environment variable {CONFIGURATION} does not name a configuration file"
            raise GateError(msg)
        path = Path(name)
        try:
            value = _load(path)
        except FileNotFoundError as error:
            msg = f"`{path}` does not exist"
            raise GateError(msg) from error
        require_key, keys_file = value.get("require_key"), value.get("keys_file")
        if not isinstance(require_key, bool) or not isinstance(keys_file, str | None):
            msg = f"`{path}`: require_key must be true or false, keys_file a path or null"
            raise GateError(msg)
        keys = KeysFile(Path(keys_file) if keys_file else None)
        keys.digests()
        return cls(require_key=require_key, control=_digest(value, path, "control_key_sha256"), keys=keys)

    def key_required(self) -> bool:
        """Whether the keyed routes need a key. The first key that is made closes an open server for good."""
        if not self._required and self._keys.digests():
            self._required = True
        return self._required

    def accepts(self, key: bytes) -> bool:
        """Whether this key is in force. Every digest is compared, in constant time."""
        digest = hashlib.sha256(key).digest()
        if hmac.compare_digest(digest, self._control):
            return True
        # A sum, not `any`: no stopping at the first match.
        return sum(hmac.compare_digest(digest, known) for known in self._keys.digests()) > 0


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


class Gate:
    """ASGI middleware; vLLM instantiates it with the application it wraps. Raises GateError on bad configuration."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._policy = Policy.load(os.environ.get(CONFIGURATION))
        self._bypassed = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Let the request through untouched, or answer it here."""
        kind = scope["type"]
        if kind == "lifespan":
            return self._start(scope, receive, send)
        is_websocket = kind == "websocket"
        route = (WEBSOCKET if is_websocket else scope["method"], scope["path"])
        refusal = self._judge(route, scope)
        if refusal is not None:
            return (refusal.send_websocket if is_websocket else refusal.send_http)(scope, receive, send)
        if route == ("HEAD", "/health"):
            # The engine knows GET only. The server drops the body by its own record of the method.
            scope = {**scope, "method": "GET"}
        return self._app(scope, receive, send)

    def _judge(self, route: tuple[str, str], scope: Scope) -> Refusal | None:
        if self._bypassed:
            return CLOSED
        # With a root path the router matches another path than the one that is looked at here.
        literal = scope.get("raw_path") == route[1].encode() and not scope.get("root_path")
        if not literal or (route not in KEYED and route not in OPEN):
            return BLOCKED
        try:
            return None if route in OPEN else self._check_caller(route, scope["headers"])
        except GateError:
            return CLOSED

    def _check_caller(self, route: tuple[str, str], headers: Headers) -> Refusal | None:
        if not self._policy.key_required():
            return None if _is_local(headers) else FOREIGN
        key = _key(headers, or_x_api_key=route in ANTHROPIC)
        return None if key and self._policy.accepts(key) else NO_KEY

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
