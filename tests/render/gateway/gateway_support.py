"""A real nginx with the rendered configuration, in front of an engine that is a stand-in; and requests made by hand."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from selfhost.render.gateway import GatewayOptions, key_line, nginx_text
from selfhost.serve.ports import free_port

KEY, OTHER = "sk-selfhost-AbC_1-x", "sk-selfhost-Other_2"
WAIT_S = 20
FLOOD_BYTES = 48 << 20


class StandInEngine(ThreadingHTTPServer):
    """Answers everything with what it was asked; streams, stalls and speaks WebSocket where a test wants it."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.seen: list[dict] = []
        self.go_on = threading.Event()
        self.gone = threading.Event()
        """The client of a stalled answer went away."""
        self.held = threading.Event()
        """Nobody takes more of a flood."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self.go_on.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandInEngine

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = {"method": self.command, "path": self.path, "headers": self.headers.items(), "bytes": len(body)}
        self.server.seen.append(said | {"sha256": hashlib.sha256(body).hexdigest()})
        if self.headers.get("Upgrade"):
            self._websocket()
        elif self.headers.get("X-Test") == "stream":
            self._stream()
        elif self.headers.get("X-Test") == "stall":
            self._stall()
        elif self.headers.get("X-Test") == "flood":
            self._flood()
        else:
            self._answer(json.dumps(said).encode())

    def __getattr__(self, name: str):
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-Id", "of-the-engine")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._chunk(b"data: first\n\n")
        self.server.go_on.wait(WAIT_S)
        self._chunk(b"data: last\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _stall(self) -> None:
        """Nothing, until the connection is closed from the other side."""
        self.connection.settimeout(WAIT_S)
        with contextlib.suppress(OSError):
            if self.connection.recv(1) == b"":
                self.server.gone.set()
        self.close_connection = True

    def _flood(self) -> None:
        """More than sockets take by themselves."""
        self.send_response(200)
        self.send_header("Content-Length", str(FLOOD_BYTES))
        self.end_headers()
        self.connection.settimeout(1)
        try:
            self.connection.sendall(bytes(FLOOD_BYTES))
        except TimeoutError:
            self.server.held.set()
        self.close_connection = True

    def _websocket(self) -> None:
        accept = hashlib.sha1(self.headers["Sec-WebSocket-Key"].encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accept.digest()).decode())
        self.end_headers()
        self.wfile.write(self.rfile.read1(100)[::-1])
        self.close_connection = True

    def log_message(self, *_args) -> None:
        pass


@dataclass
class Answer:
    """Of one request."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        """Of an error."""
        return json.loads(self.body)["error"]["code"]


@dataclass
class Gateway:
    """A running nginx."""

    folder: Path
    options: GatewayOptions
    process: subprocess.Popen[bytes]
    port: int
    metrics_port: int
    tls: object = field(default=None)

    def connection(self) -> http.client.HTTPConnection:
        """One, to be closed by the caller."""
        if self.tls is not None:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=WAIT_S, context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)

    def ask(self, method: str, path: str, *headers: tuple[str, str], body: bytes = b"") -> Answer:
        """The answer to a request whose path and headers go out as they are."""
        with contextlib.closing(self.connection()) as connection:
            return ask_on(connection, method, path, *headers, body=body)

    def is_up(self) -> bool:
        """Whether it answers; that it listens is not enough: nginx does so before it handles signals."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/").status == 404
        return False

    def write_keys(self, **names: str) -> None:
        """Keys by their names; in force after `reload`."""
        lines = [key_line(key, name) for name, key in names.items()]
        path = self.folder / "keys" / "keys.conf"
        path.with_suffix(".new").write_text("\n".join([*lines, ""]))
        path.with_suffix(".new").replace(path)

    def reload(self) -> None:
        """As `nginx -s reload`."""
        self.process.send_signal(signal.SIGHUP)

    @property
    def errors(self) -> str:
        """What it wrote to its error log."""
        return (self.folder / "stderr").read_text()

    @property
    def requests(self) -> list[dict]:
        """Lines of its access log."""
        return [json.loads(line) for line in (self.folder / "access").read_text().splitlines()]


def ask_on(connection, method: str, path: str, *headers: tuple[str, str], body: bytes = b"") -> Answer:
    """The answer to a request on a connection that stays open."""
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if body or method == "POST":
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    answer = connection.getresponse()
    if answer.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
        return Answer(answer.status, answer.headers, b"")
    return Answer(answer.status, answer.headers, answer.read())


def bearer(key: str) -> tuple[str, str]:
    """The header with a key."""
    return "Authorization", f"Bearer {key}"


WEBSOCKET_HEADERS = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", base64.b64encode(b"0123456789abcdef").decode()),
)


def until(true, what: str) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextlib.contextmanager
def running(nginx: str, engine_port: int, *, tls=None, certificate: str = "", inside=None, **changes):
    """A Gateway in front of that port, as uid 2000 where we may choose; ended with all its workers.

    inside: from its folder to what stands before its command, and says itself who runs it.
    """
    folder = Path(tempfile.mkdtemp(prefix="selfhost-gateway-"))
    try:
        (folder / "keys").mkdir()
        port, metrics_port = free_port("127.0.0.1"), free_port("127.0.0.1")
        options = GatewayOptions(
            listen=f"127.0.0.1:{port}",
            engine=f"127.0.0.1:{engine_port}",
            metrics=f"127.0.0.1:{metrics_port}",
            keys=str(folder / "keys" / "keys.conf"),
            certificate=certificate,
            temporary=str(folder),
            access_log=str(folder / "access"),
            **changes,
        )
        (folder / "nginx.conf").write_text(nginx_text(options))
        gateway = Gateway(folder, options, None, port, metrics_port, tls)  # type: ignore[arg-type]
        gateway.write_keys(alice=KEY, bob=OTHER)
        identity = {}
        if os.geteuid() == 0:
            os.chown(folder, 2000, 0)
        if os.geteuid() == 0 and inside is None:
            identity = {"user": 2000, "group": 0, "extra_groups": []}
        before = [] if inside is None else inside(folder)
        command = [*before, nginx, "-e", "stderr", "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
        with (folder / "stderr").open("wb") as stderr:
            gateway.process = subprocess.Popen(command, stderr=stderr, cwd="/", **identity)
        try:
            until(lambda: gateway.process.poll() is not None or gateway.is_up(), "nginx does not answer")
            assert gateway.process.poll() is None, gateway.errors
            yield gateway
        finally:
            gateway.process.terminate()
            gateway.process.wait(WAIT_S)
    finally:
        shutil.rmtree(folder)
