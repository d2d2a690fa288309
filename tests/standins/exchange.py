"""One request and its answer, right or spoiled by a fault."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.standins.faults import Fault, Moment
from tests.standins.sending import Bucket, Content, Pace, reset, send, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Mapping

INVERTED = bytes(range(255, -1, -1))
PORTAL = b"<!doctype html><html><head><title>Log in to this network</title></head><body>Please log in</body></html>\n"


class Exchange:
    """What a server answers with; each request gets one answer."""

    def __init__(self, handler, owner, record) -> None:
        self._handler, self._owner, self.record = handler, owner, record
        target = urlsplit(record.path)
        self.url_path = target.path
        self.segments = [unquote(part) for part in target.path.split("/")[1:]]
        """Parts of the path, each without its quoting: `refs%2Fpr%2F1` is one part."""
        self.query: dict[str, str] = dict(parse_qsl(target.query))

    @property
    def bearer(self) -> str | None:
        found = self.record.headers.get("authorization", "")
        return found.removeprefix("Bearer ") if found.startswith("Bearer ") else None

    def spoiled(self) -> bool:
        """Let a fault that is for this URL happen; whether one did. For answers without a file's bytes."""
        fault = self._owner.faults.take(Moment(self.record.method, self.url_path))
        return fault is not None and self._spoil(fault, None)

    def json(self, data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(data).encode()
        self.plain(body, status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})

    def plain(self, body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._head(status, {"Content-Type": "text/plain; charset=utf-8", **(headers or {})}, len(body))
        self._write(body)

    def redirect(self, url: str, headers: Mapping[str, str] | None = None, status: int = 302) -> None:
        body = f"Found. Redirecting to {url}".encode()
        self.plain(body, status, {"Location": url, **(headers or {})})

    def file(self, path: str, content: Content, headers: Mapping[str, str] | None = None, *, ranges=True) -> None:
        """Answer with a file, or the range of it that was asked for, or what a fault makes of that."""
        self.record.file = path
        headers = {"Content-Type": "application/octet-stream", "ETag": f'"{content.etag}"', **(headers or {})}
        span = self._span(content) if ranges else None
        if span is not None and not span[0] < span[1]:
            self._fails_with_fault_or(416, path, {"Content-Range": f"bytes */{content.size}"})
            return
        self.record.range = span
        begin, end = span or (0, content.size)
        moment = Moment(self.record.method, self.url_path, path, begin, end, ranged=span is not None)
        fault = self._owner.faults.take(moment)
        if fault is not None and self._spoil(fault, content):
            return
        if span is not None and not self._in_force(content, fault):
            self.record.range = span = None
        answer = _Answer(content, span, headers, ranges=ranges)
        if fault is not None:
            answer.spoil(fault)
        self._send(answer, fault)

    def _fails_with_fault_or(self, status: int, path: str, headers: Mapping[str, str]) -> None:
        fault = self._owner.faults.take(Moment(self.record.method, self.url_path, path))
        if fault is None or not self._spoil(fault, None):
            self.plain(b"", status, headers)

    def _span(self, content: Content) -> tuple[int, int] | None:
        """The range asked for; None for the whole file; an empty one when it cannot be given."""
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.record.headers.get("range", ""))
        if not found or not any(found.groups()):
            return None  # none, or several at once, which a server may ignore
        first, last = found.groups()
        if not first:
            return max(0, content.size - int(last)), content.size
        return int(first), min(int(last) + 1 if last else content.size, content.size)

    def _in_force(self, content: Content, fault: Fault | None) -> bool:
        """Whether If-Range names what the file is now; with a changed ETag it is compared with that one."""
        changed = fault is not None and fault.kind in ("etag", "replace")
        now = f'"{content.etag[::-1] if changed else content.etag}"'
        return self.record.headers.get("if-range", now) == now

    def _spoil(self, fault: Fault, content: Content | None) -> bool:
        """Faults that leave nothing of the right answer."""
        self.record.fault = fault.kind
        if fault.kind == "silence":
            self.hold()
        elif fault.kind == "drop":
            self._handler.close_connection = True
        elif fault.kind == "status":
            headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
            if fault.status == 416 and content is not None:
                headers["Content-Range"] = f"bytes */{content.size}"
            self.plain(f"{fault.status}: the stand-in says so\n".encode(), fault.status, headers)
        elif fault.kind == "redirect":
            self.redirect(fault.to if fault.to is not None else self.record.path)
        elif fault.kind == "portal":
            self.plain(PORTAL, 200, {"Content-Type": "text/html"})
        else:
            return False
        return True

    def _send(self, answer: _Answer, fault: Fault | None) -> None:
        kind = fault.kind if fault else None
        length = None if kind == "chunked" else answer.length
        self._head(answer.status, answer.headers, length)
        if self.record.method == "HEAD":
            return
        begin, end = answer.span
        if kind in ("cut", "reset", "stall"):
            end = begin + fault.after_bytes
        own = Bucket(fault.bytes_per_s if kind == "trickle" else None)
        pace = Pace(self._owner.stopping, self._owner.bucket, own)
        if kind == "chunked":
            self._send_chunks(answer.content, begin, end, pace)
            return
        try:
            send(self._handler.connection, answer.content, (begin, end), pace, self._count)
        finally:
            # An answer that did not come to its end leaves a connection that nothing can follow on.
            self._handler.close_connection |= self.record.sent_bytes != answer.length
        if kind == "stall":
            self.hold()
        elif kind == "reset":
            reset(self._handler.connection)

    def _send_chunks(self, content: Content, begin: int, end: int, pace: Pace) -> None:
        for place in range(begin, end, 1 << 16):
            piece = content.read(place, min(place + (1 << 16), end))
            pace.wait(len(piece))
            self._count(len(piece))
            self._handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self._handler.wfile.write(b"0\r\n\r\n")

    def hold(self) -> None:
        """Say nothing more and keep the connection."""
        self._handler.close_connection = True
        wait_for_end(self._handler.connection, self._owner.stopping)

    def _head(self, status: int, headers: Mapping[str, str], length: int | None) -> None:
        self.record.status = status
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        if length is None:
            self._handler.send_header("Transfer-Encoding", "chunked")
        else:
            self._handler.send_header("Content-Length", str(length))
        self._handler.end_headers()

    def _write(self, body: bytes) -> None:
        if self.record.method != "HEAD":
            self._handler.wfile.write(body)

    def _count(self, n_bytes: int) -> None:
        self.record.sent_bytes += n_bytes


class _Answer:
    """Status, headers and bytes of a file's answer."""

    def __init__(
        self, content: Content, span: tuple[int, int] | None, headers: dict[str, str], *, ranges: bool
    ) -> None:
        self.content, self.headers, self.ranged = content, headers, span is not None
        self.span = span or (0, content.size)
        self.status = 206 if self.ranged else 200
        if ranges:
            headers["Accept-Ranges"] = "bytes"
        self._set_range(*self.span)
        self.length = self.span[1] - self.span[0]

    def _set_range(self, begin: int, end: int) -> None:
        if self.ranged:
            self.headers["Content-Range"] = f"bytes {begin}-{end - 1}/{self.content.size}"

    def spoil(self, fault: Fault) -> None:
        change = getattr(self, f"_{fault.kind}", None)
        if change:
            change(fault)

    def _content_range(self, _fault: Fault) -> None:
        self._set_range(self.span[0] + 1, self.span[1] + 1)

    def _wrong_range(self, _fault: Fault) -> None:
        (begin, end), size = self.span, self.content.size
        self.span = (begin - 1, end - 1) if end == size and begin > 0 else (begin + 1, min(end + 1, size))
        self._set_range(*self.span)
        self.length = self.span[1] - self.span[0]

    def _no_range(self, _fault: Fault) -> None:
        self._whole(self.content)
        del self.headers["Accept-Ranges"]

    def _whole(self, content: Content) -> None:
        self.content, self.status, self.span, self.length = content, 200, (0, content.size), content.size
        self.headers.pop("Content-Range", None)

    def _flip(self, fault: Fault) -> None:
        place = fault.offset or 0

        def change(begin: int, data: bytes) -> bytes:
            if not begin <= place < begin + len(data):
                return data
            return data[: place - begin] + bytes([data[place - begin] ^ 1]) + data[place - begin + 1 :]

        self.content = replace(self.content, change=change)

    def _etag(self, _fault: Fault) -> None:
        for name in self.headers.keys() & {"ETag", "X-Linked-Etag"}:
            self.headers[name] = f'"{self.content.etag[::-1]}"'

    def _replace(self, fault: Fault) -> None:
        self._etag(fault)
        if fault.content is None:
            self.content = replace(self.content, change=lambda _begin, data: data.translate(INVERTED))
            return
        new = Content(len(fault.content), self.content.etag[::-1], data=fault.content)
        begin, end = self.span[0], min(self.span[1], new.size)
        if not self.ranged or begin >= end:
            self._whole(new)
            return
        self.content, self.span, self.length = new, (begin, end), end - begin
        self._set_range(begin, end)

    def _empty(self, _fault: Fault) -> None:
        self.span, self.length = (self.span[0], self.span[0]), 0

    def _content_length(self, fault: Fault) -> None:
        self.length += fault.after_bytes or 1000

    def _gzip(self, _fault: Fault) -> None:
        packed = gzip.compress(self.content.read(0, self.content.size), mtime=0)
        self._whole(Content(len(packed), self.content.etag, data=packed))
        self.headers |= {"Content-Encoding": "gzip", "ETag": f'W/"{self.content.etag}"'}
