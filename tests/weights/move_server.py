"""A small raw HTTP server for the tests of `weights.move`: files in memory, answers that tests bend as they like."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

RANGE = re.compile(r"bytes=(\d+)-(\d+)")
STEP = 64 << 10


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    range: tuple[int, int] | None
    status: int = 0
    sent: int = 0


@dataclass
class Answer:
    """What is sent; handlers change it. `body` None: the connection is closed without a word."""

    status: int
    headers: dict[str, str]
    body: bytes | None
    cut_after: int | None = None
    stall_after: int | None = None
    silent: bool = False
    chunked: bool = False
    bytes_per_s: float | None = None


@dataclass
class Server:
    """`rule(request, answer)` is called for each request, in order, under a lock; it may change the answer."""

    files: dict[str, bytes]
    rule: object = None
    requests: list[Request] = field(default_factory=list)
    ranges: bool = True
    host: str = "127.0.0.1"
    etag: str | None = None
    tls: ssl.SSLContext | None = None

    def __enter__(self):
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((self.host, 0), backlog=128)
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()
        return self

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.host}:{self._listener.getsockname()[1]}"

    @property
    def sent(self) -> int:
        return sum(request.sent for request in self.requests)

    def __exit__(self, *_):
        self._closing.set()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self):
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.tls:
                # Wrapped here, not in its thread: what is shut down at the end must be the socket that is read from.
                connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            with self._lock:
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        try:
            with connection:
                if self.tls:
                    connection.do_handshake()
                with connection.makefile("rb") as stream:
                    while not self._closing.is_set() and self._answer(connection, stream):
                        pass
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(connection)

    def _answer(self, connection, stream) -> bool:
        first = stream.readline().decode("latin-1").split()
        if not first:
            return False
        headers = {}
        while (line := stream.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        path = re.sub(r"^http://[^/]+", "", first[1])
        found = RANGE.fullmatch(headers.get("range", ""))
        asked = (int(found[1]), int(found[2]) + 1) if found else None
        request = Request(path=path, headers=headers, range=asked)
        with self._lock:
            self.requests.append(request)
            answer = self._usual(request)
            if self.rule is not None:
                self.rule(request, answer)
        request.status = answer.status
        return self._send(connection, request, answer)

    def _usual(self, request: Request) -> Answer:
        content = self.files.get(request.path.partition("?")[0])
        if content is None:
            return Answer(404, {}, b"no such file")
        etag = self.etag or '"' + sha256(content).hexdigest()[:16] + '"'
        headers = {"ETag": etag, "Content-Type": "application/octet-stream"}
        begin, end = request.range or (0, len(content))
        stale = request.headers.get("if-range", etag) != etag
        if not self.ranges or request.range is None or stale:
            return Answer(200, headers, content)
        if begin >= len(content):
            return Answer(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
        end = min(end, len(content))
        return Answer(206, headers | {"Content-Range": f"bytes {begin}-{end - 1}/{len(content)}"}, content[begin:end])

    def _send(self, connection, request: Request, answer: Answer) -> bool:
        if answer.silent:
            self._closing.wait()
        if answer.body is None or answer.silent:
            return False
        headers = dict(answer.headers)
        if answer.chunked:
            headers["Transfer-Encoding"] = "chunked"
        else:
            headers.setdefault("Content-Length", str(len(answer.body)))
        head = f"HTTP/1.1 {answer.status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(head.encode("latin-1") + b"\r\n")
        limit = min((n for n in (answer.cut_after, answer.stall_after) if n is not None), default=len(answer.body))
        body = memoryview(answer.body)[:limit]
        for begin in range(0, len(body), STEP):
            piece = body[begin : begin + STEP]
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), bytes(piece)) if answer.chunked else piece)
            request.sent += len(piece)
            if answer.bytes_per_s and self._closing.wait(len(piece) / answer.bytes_per_s):
                return False
        if answer.stall_after is not None:
            self._closing.wait()
        if answer.cut_after is not None or answer.stall_after is not None:
            return False
        if answer.chunked:
            connection.sendall(b"0\r\n\r\n")
        return int(headers.get("Content-Length", len(answer.body))) == len(answer.body)
