"""A reverse proxy that does to a registry what networks, proxies and registries in trouble do; counts each fault."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections import Counter
from dataclasses import dataclass

from tests.standins.registry import Listening, Quiet

KINDS = {
    "drop": "the connection is closed before the request goes on",
    "drop_body": "the registry gets `after_bytes` of the body, then both connections are closed",
    "drop_answer": "the registry does it, nobody is told",
    "hold": "the request is taken and never answered",
    "status": "`status`, with `retry_after` and `body` if given; the registry sees nothing",
    "range": "the answer's `Range` is `value`",
    "digest": "the answer's `Docker-Content-Digest` is another one",
    "flip": "one bit of the request's body is flipped on the way",
    "flip_answer": "one bit of the answer's body is flipped on the way back",
    "cut_answer": "the answer's body is cut after `after_bytes`",
    "redirect": "307 to `value` and the same path",
}


@dataclass(frozen=True)
class Fault:
    kind: str
    method: str
    part: str = ""
    """In the path."""
    times: int = 1
    skip: int = 0
    status: int = 503
    retry_after: str | None = None
    body: bytes = b""
    after_bytes: int = 0
    value: str = ""


class Proxy(Listening):
    """`with Proxy(port, [Fault(...)]) as proxy: proxy.host`."""

    def __init__(self, port: int, faults=()) -> None:
        self.upstream, self.faults = port, list(faults)
        self.met_by: Counter[int] = Counter()
        """Requests that each of the faults is for."""
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.happened: list[str] = []
        self.lock = threading.Lock()
        self.met, self.stopping = threading.Event(), threading.Event()

    def __enter__(self):
        self.listen(_Handler)
        return self

    def __exit__(self, *_error) -> None:
        self.stopping.set()
        super().__exit__()

    def take(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for number, fault in enumerate(self.faults):
                if fault.method in (method, "*") and fault.part in path:
                    self.met_by[number] += 1
                    if fault.skip < self.met_by[number] <= fault.skip + fault.times:
                        self.happened.append(fault.kind)
                        self.met.set()
                        return fault
        return None


class _Handler(Quiet):
    def _any(self) -> None:
        owner = self.server.owner
        owner.seen.append((self.command, self.path, dict(self.headers)))
        fault = owner.take(self.command, self.path)
        kind = fault.kind if fault else ""
        if kind == "drop":
            self.close_connection = True
        elif kind == "hold":
            self.close_connection = owner.stopping.wait(60)
        elif kind in ("status", "redirect"):
            self._refuse(fault)
        else:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._forward(owner, fault, kind)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

    def _refuse(self, fault: Fault) -> None:
        left = int(self.headers.get("Content-Length", 0))
        while left and (piece := self.rfile.read(min(left, 1 << 16))):
            left -= len(piece)
        self.send_response(307 if fault.kind == "redirect" else fault.status)
        if fault.kind == "redirect":
            self.send_header("Location", f"http://{fault.value}{self.path}")
        if fault.retry_after is not None:
            self.send_header("Retry-After", fault.retry_after)
        self.send_header("Content-Length", str(len(fault.body)))
        self.end_headers()
        self.wfile.write(fault.body)

    def _forward(self, owner: Proxy, fault: Fault | None, kind: str) -> None:
        upstream = http.client.HTTPConnection("127.0.0.1", owner.upstream, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            upstream.endheaders()
            left, sent = int(self.headers.get("Content-Length", 0)), 0
            if kind == "drop_body":
                left = min(left, fault.after_bytes)
            while left and (piece := self.rfile.read1(min(left, 1 << 16))):
                if kind == "flip" and not sent:
                    piece = bytes([piece[0] ^ 1]) + piece[1:]
                upstream.send(piece)
                left, sent = left - len(piece), sent + len(piece)
            if kind == "drop_body":
                self.close_connection = True
                return
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        if kind == "drop_answer":
            self.close_connection = True
            return
        self._answer(answer, data, fault, kind)

    def _answer(self, answer, data: bytes, fault: Fault | None, kind: str) -> None:
        self.send_response(answer.status)
        changed = {}
        if kind == "range":
            changed["range"] = fault.value
        if kind == "digest":
            changed["docker-content-digest"] = "sha256:" + "0" * 64
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(name, changed.get(name.lower(), value))
        if answer.getheader("Content-Length") is None:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if kind == "flip_answer" and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        if kind == "cut_answer":
            data, self.close_connection = data[: fault.after_bytes], True
        self.wfile.write(data)
