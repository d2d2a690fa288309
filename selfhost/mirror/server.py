"""The HTTP side of a mirror: one thread per connection, files sent by the kernel, an end that lets transfers finish.

Nothing of a request is a path here (`routes`); what a client sends is bounded in size and in time.
"""

from __future__ import annotations

import contextlib
import io
import socket
import socketserver
import sys
import threading
import time
import urllib.parse
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Self

from selfhost.messages import text
from selfhost.mirror.conditions import UnsatisfiableError, byte_range, is_unchanged, range_holds
from selfhost.mirror.incoming import Incoming, body_length, logged_request
from selfhost.mirror.routes import Answer, Asked, Content, refuse
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfhost.mirror.routes import Routes

STALL_S = 60.0
"""A client that neither sends nor takes anything for so long is let go."""
GRACE_S = 10.0
_MAX_CONNECTIONS = 512
_POLL_S = 0.2
_READING = ("GET", "HEAD")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What is decided outside: who may read, and where the access log goes."""

    admits: Callable[[str | None], bool]
    """Of the `Authorization` header of a request."""
    log: Callable[[str], None]
    """One line per answer; called by many threads."""
    stall_s: float = STALL_S


class Server:
    """A running mirror: `with Server(host, port, routes, rules) as server: server.url`."""

    def __init__(self, host: str, port: int, routes: Routes, rules: Rules) -> None:
        """Listens from here on; port 0 is any free one. Raises OSError when it cannot."""
        self._listener = (_Listener6 if ":" in host else _Listener)(host, port, routes, rules)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(_POLL_S,), name="mirror")

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._listener.server_address[:2]
        shown = str(host)
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"

    @property
    def transfers(self) -> int:
        """Answers that are being sent."""
        return len(self._listener.busy)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop(0.0)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Take no more connections; end those that wait at once, the others after `grace_s`. May be called twice."""
        self._listener.stopping.set()
        if self._thread.is_alive():
            self._listener.shutdown()
            self._thread.join()
        self._listener.server_close()
        self._listener.end(grace_s)


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, routes: Routes, rules: Rules) -> None:
        self.routes, self.rules = routes, rules
        self.stopping = threading.Event()
        self.busy: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__((host, port), _Handler)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        with self._changed:
            is_full = len(self._open) >= _MAX_CONNECTIONS
            if not is_full:
                self._open.add(request)
        if is_full:
            with contextlib.suppress(OSError):
                request.settimeout(0)
                request.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 5\r\n\r\n")
            self.rules.log(text("mirror.busy"))
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()
        super().shutdown_request(request)

    @contextlib.contextmanager
    def sending(self, connection: socket.socket) -> Iterator[None]:
        """An answer is on its way meanwhile."""
        with self._changed:
            self.busy.add(connection)
        try:
            yield
        finally:
            with self._changed:
                self.busy.discard(connection)
                self._changed.notify_all()

    def end(self, grace_s: float) -> None:
        with self._changed:
            _close(self._open - self.busy)
            self._changed.wait_for(lambda: not self.busy, grace_s)
            _close(self._open)
            self._changed.wait_for(lambda: not self._open, 1.0)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        error = sys.exception()
        # A client that goes away is no error of ours, and the end of the server closes connections under its threads.
        if not isinstance(error, ConnectionError | TimeoutError) and not self.stopping.is_set():
            self.rules.log(f"{type(error).__name__}: {str(error)!a}")


class _Listener6(_Listener):
    address_family = socket.AF_INET6


def _close(connections: set[socket.socket]) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "selfhost-mirror"
    sys_version = ""
    disable_nagle_algorithm = True
    error_content_type = "text/plain"
    error_message_format = "%(code)d %(message)s\n"
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.rules.stall_s)
        self.rfile.close()
        self._incoming = Incoming(self.connection, self.server.rules.stall_s)
        self.rfile = io.BufferedReader(self._incoming)

    def handle_one_request(self) -> None:
        self._incoming.begin()
        super().handle_one_request()

    def do_GET(self) -> None:
        """Answer, and write one line about it."""
        begun, self._sent, self._status = time.monotonic(), 0, 0
        with self.server.sending(self.connection):
            try:
                self._answer()
            finally:
                if self.server.stopping.is_set():
                    self.close_connection = True
                self._log(time.monotonic() - begun)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET  # noqa: N815 - the standard library's names

    def _answer(self) -> None:
        body = self._body()
        if body is None:
            self.close_connection = True
            self._send(refuse(HTTPStatus.BAD_REQUEST, text("mirror.bad_request")))
            return
        path, _, query = self.path.partition("?")
        try:
            if not path.startswith("/"):  # `*`, or an address as proxies get it
                raise ValueError(path)  # noqa: TRY301 - refused like the other ways to be no path
            segments = tuple(urllib.parse.unquote(part, errors="strict") for part in path.split("/")[1:])
            asked = Asked(
                method=self.command,
                segments=segments or ("",),
                query=dict(urllib.parse.parse_qsl(query, max_num_fields=100)),
                accept=self.headers.get("Accept"),
                body=body,
            )
        except ValueError:
            self._send(refuse(HTTPStatus.BAD_REQUEST, text("mirror.bad_request")))
            return
        self._send(self._allowed(asked) or self.server.routes.answer(asked))

    def _allowed(self, asked: Asked) -> Answer | None:
        """Why not; None when it may be answered."""
        if asked.segments == ("health",):
            return None
        if asked.method not in _READING and not (asked.method == "POST" and "paths-info" in asked.segments):
            headers = {"Allow": ", ".join(_READING)}
            return refuse(HTTPStatus.METHOD_NOT_ALLOWED, text("mirror.read_only"), headers=headers)
        if not self.server.rules.admits(self.headers.get("Authorization")):
            headers = {"WWW-Authenticate": 'Basic realm="selfhost", charset="UTF-8"'}
            return refuse(HTTPStatus.UNAUTHORIZED, text("mirror.key_wanted"), headers=headers)
        return None

    def _body(self) -> bytes | None:
        """What came with the request; None for what is too large, or has no length: then nobody knows its end."""
        if "Transfer-Encoding" in self.headers:
            return None
        length = body_length(self.headers.get_all("Content-Length", []))
        return None if length is None else self.rfile.read(length)

    def _send(self, answer: Answer) -> None:
        if answer.content is None:
            self._head(answer, len(answer.body))
            if self.command != "HEAD":
                self.wfile.write(answer.body)
                self._sent = len(answer.body)
            return
        with answer.content.stream:
            self._send_file(answer, answer.content)

    def _send_file(self, answer: Answer, content: Content) -> None:
        headers = {"ETag": f'"{content.etag}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        headers |= answer.headers
        if is_unchanged(self.headers.get("If-None-Match"), content.etag):
            self._head(Answer(status=HTTPStatus.NOT_MODIFIED, headers=headers), None)
            return
        span, status = None, HTTPStatus.OK
        try:
            if self.command == "GET" and range_holds(self.headers.get("If-Range"), content.etag):
                span = byte_range(self.headers.get("Range"), content.size)
        except UnsatisfiableError:
            headers["Content-Range"] = f"bytes */{content.size}"
            self._head(Answer(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers), 0)
            return
        begin, end = span or (0, content.size)
        if span is not None:
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{content.size}"
        self._head(replace(answer, status=status, headers=headers), end - begin)
        if self.command == "GET" and end > begin:
            try:
                self.connection.sendfile(content.stream, begin, end - begin)
            finally:  # how far it got, for the log, when the client goes away
                self._sent = max(content.stream.tell() - begin, 0)
            if self._sent < end - begin:  # the file became shorter: what was promised cannot be given
                self.close_connection = True

    def _head(self, answer: Answer, length: int | None) -> None:
        self._status = int(answer.status)
        self.send_response(self._status)
        for name, value in answer.headers.items():
            # Values come from names of files and from requests: one header is one line.
            self.send_header(name, value.encode("ascii", "backslashreplace").decode().replace("\n", " "))
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("X-Content-Type-Options", "nosniff")
        if self.server.stopping.is_set() or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _log(self, took_s: float) -> None:
        self._line(f"{logged_request(self.requestline)} {self._status} {self._sent} {took_s:.3f}")

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """The line is written when the answer was sent, with its bytes."""

    def log_error(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """What is no HTTP, by number: the words have what was sent, which may be a key."""
        # Not of a connection that was kept open and not used again: that is how most of them end.
        if not format.startswith("Request timed out"):
            self._line(f"... {args[0]} 0 0.000")

    def _line(self, words: str) -> None:
        self.server.rules.log(f"{datetime.now(UTC).isoformat(timespec='seconds')} {self.client_address[0]} {words}")
