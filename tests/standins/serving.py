"""A threaded HTTP server for tests, with a record of each request and faults on demand."""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import threading
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Self

from tests.standins.exchange import Exchange
from tests.standins.faults import Fault, Faults
from tests.standins.sending import Bucket
from tests.standins.tree import Models

if TYPE_CHECKING:
    from pathlib import Path

SEND_BUFFER_BYTES = 512 << 10
"""Bounds what counts as sent when a client went away before it read it."""


@dataclass
class Request:
    """One request as it was answered; it grows while the answer goes out."""

    method: str
    path: str
    """The target as it came, with its query."""
    headers: dict[str, str]
    """Names in lower case."""
    listener: str = "main"
    """`cdn` for signed URLs."""
    file: str | None = None
    """Path inside the model, when the answer is (a part of) that file."""
    range: tuple[int, int] | None = None
    """First byte and the one after the last, when a range was asked for and can be given."""
    status: int = 0
    """0: never answered."""
    sent_bytes: int = 0
    """Of the file, as taken by the kernel; bodies of listings and errors do not count."""
    fault: str | None = None


@dataclass
class Options:
    """How a server behaves; the keyword arguments of `Server`."""

    token: str | None = None
    limit_bytes_per_s: float | None = None
    revisions: dict[str, Path] = field(default_factory=dict)
    """`org/name@revision` -> directory."""
    port: int = 0
    signed: bool = False
    """Large files are behind a redirect to a signed URL on another port."""
    signed_s: float = 3600.0
    """How long a signed URL lives."""


class Server(ABC):
    """Base of the stand-ins: `with Hub(root, faults=[...]) as hub: hub.url`.

    `stop()` and `start()` take it away and bring it back under the same port. Errors of the stand-in itself are raised
    when the block ends.
    """

    branch = "main"

    def __init__(self, root: Path, *, faults=(), **options) -> None:
        self.options = Options(**options)
        self.models = Models(root, self.options.revisions, self.branch)
        self.faults = Faults(faults)
        self.requests: list[Request] = []
        self.errors: list[BaseException] = []
        self.stopping = threading.Event()
        self.bucket = Bucket(self.options.limit_bytes_per_s)
        self._ports = {"main": self.options.port, **({"cdn": 0} if self.options.signed else {})}
        self._listeners: dict[str, _Listener] = {}

    @abstractmethod
    def answer(self, exchange: Exchange) -> None:
        """Answer one request."""

    def prepare(self) -> None:
        """Read what answers are made of, so that none is late because of it."""
        self.models.read_all()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.stop()
        if self.errors and error is None:
            raise self.errors[0]

    def start(self) -> None:
        self.stopping.clear()
        for name, port in self._ports.items():
            listener = self._listeners[name] = _Listener(port, self, name)
            self._ports[name] = listener.server_address[1]
            listener.thread.start()

    def stop(self) -> None:
        """Close the ports and all connections, wait for all threads."""
        self.stopping.set()
        for listener in self._listeners.values():
            listener.end()
        self._listeners.clear()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports['main']}"

    @property
    def cdn_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['cdn']}"

    @property
    def sent_bytes(self) -> int:
        """Of files, all requests together."""
        return sum(request.sent_bytes for request in self.requests)

    def add(self, fault: Fault) -> None:
        self.faults.add(fault)

    def clear(self) -> None:
        """Remove all faults; requests that are held stay held."""
        self.faults.clear()

    def to_json(self) -> str:
        """All requests, one a line."""
        return "".join(json.dumps(asdict(request)) + "\n" for request in self.requests)


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, port: int, owner: Server, name: str) -> None:
        self.owner, self.name = owner, name
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=f"standin-{name}")

    def process_request(self, request, client_address) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def end(self) -> None:
        self.shutdown()
        self.thread.join()
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was first
        self.server_close()

    def handle_error(self, request, client_address) -> None:
        error = sys.exception()
        # A client that goes away, and a connection that the end of the server closed, are no errors of ours.
        if not isinstance(error, ConnectionError) and not self.owner.stopping.is_set():
            self.owner.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        super().setup()

    def do_GET(self) -> None:
        owner: Server = self.server.owner
        headers = {name.lower(): value for name, value in self.headers.items()}
        record = Request(self.command, self.path, headers, self.server.name)
        owner.requests.append(record)
        owner.answer(Exchange(self, owner, record))

    do_HEAD = do_GET  # noqa: N815 - the name that the standard library calls

    def log_message(self, *_args) -> None:
        """Say nothing: requests are in the record."""
