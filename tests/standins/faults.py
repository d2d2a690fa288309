"""What can go wrong between a server and a client, as data: `Fault("cut", after_bytes=1000, times=2)`."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase

BODY_KINDS = {
    "cut": "the connection is closed after `after_bytes` of the body",
    "reset": "as cut, with a TCP reset; what the client has not read yet is lost",
    "stall": "nothing more is sent after `after_bytes` of the body, the connection stays open",
}
RANGE_KINDS = {
    "content_range": "Content-Range names other bytes than the right ones that are sent",
    "wrong_range": "other bytes than asked for, and Content-Range says so",
    "no_range": "200 with the whole file",
}
FILE_KINDS = {
    "trickle": "the body comes at `bytes_per_s`",
    "flip": "the byte at `offset` of the file (0) is sent with one bit flipped",
    "replace": "`content`, or all bytes inverted, under another ETag: somebody changed the file",
    "etag": "another ETag for the same bytes",
    "empty": "the right headers but Content-Length 0 and no body",
    "content_length": "Content-Length says more than the body has; then the connection is closed",
    "chunked": "Transfer-Encoding: chunked instead of Content-Length (legal)",
    "gzip": "200 with the whole file under Content-Encoding: gzip, whatever was accepted (legal, and dangerous)",
    "portal": "200 with a page of HTML: the login page of a network, or a proxy's error",
    "expire": "a signed URL answers 403 after `uses` uses",
}
ANY_KINDS = {
    "silence": "the request is taken and never answered",
    "drop": "the connection is closed before any answer",
    "status": "`status` (503), with `retry_after` if given",
    "redirect": "302 to `to`, or back to itself",
}
KINDS = BODY_KINDS | RANGE_KINDS | FILE_KINDS | ANY_KINDS


@dataclass(frozen=True)
class Fault:
    """One misbehaviour; `KINDS` says what each kind does.

    A fault that cannot happen in a request is not used up by it: a cut beyond the end of the body, a flip of a byte
    outside the range, a wrong Content-Range where no range was asked for.
    """

    kind: str
    path: str = "*"
    """Glob on the file's path inside its model. One that begins with `/` is for the path of the URL instead, and only
    such a one meets requests without a file's bytes in the answer: `/api/*`, `/org/name/resolve/*` that redirects."""
    after_bytes: int = 0
    """Of the body of one answer."""
    times: int | None = None
    """How many requests it spoils; None for all."""
    skip: int = 0
    """How many requests it lets pass first."""
    offset: int | None = None
    """Only answers with this byte of the file in them."""
    method: str = "GET"
    """`*` for any."""
    status: int = 503
    retry_after: str | None = None
    bytes_per_s: float = 1000.0
    uses: int = 1
    content: bytes | None = None
    to: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            message = f"no such fault: {self.kind}; there are {', '.join(sorted(KINDS))}"
            raise ValueError(message)


@dataclass(frozen=True)
class Moment:
    """What a fault is chosen by."""

    method: str
    url_path: str
    file: str | None = None
    """None where the answer holds no file's bytes."""
    begin: int = 0
    end: int = 0
    ranged: bool = False
    """A range was asked for and can be given."""


def meets(fault: Fault, moment: Moment) -> bool:
    """Whether the fault can happen in this request."""
    if fault.method not in ("*", moment.method):
        return False
    if fault.path.startswith("/"):
        if not fnmatchcase(moment.url_path, fault.path):
            return False
    elif moment.file is None or not fnmatchcase(moment.file, fault.path):
        return False
    if fault.kind in ANY_KINDS and fault.offset is None:
        return True
    if moment.file is None:
        return False
    return _meets_body(fault, moment)


def _meets_body(fault: Fault, moment: Moment) -> bool:
    offset = 0 if fault.kind == "flip" and fault.offset is None else fault.offset
    if offset is not None and not moment.begin <= offset < moment.end:
        return False
    if fault.kind in BODY_KINDS:
        return fault.after_bytes < moment.end - moment.begin
    return moment.ranged or fault.kind not in RANGE_KINDS


class Faults:
    """The faults of one server, and how often each was met."""

    def __init__(self, faults=()) -> None:
        self._lock = threading.Lock()
        self._met: list[list] = [[fault, 0] for fault in faults]

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._met.append([fault, 0])

    def clear(self) -> None:
        with self._lock:
            self._met.clear()

    def take(self, moment: Moment) -> Fault | None:
        """The fault of this request: the first that meets it and is neither waiting nor used up."""
        with self._lock:
            for entry in self._met:
                fault, seen = entry
                if fault.kind == "expire" or not meets(fault, moment):
                    continue
                entry[1] += 1
                if seen >= fault.skip and (fault.times is None or seen < fault.skip + fault.times):
                    return fault
        return None

    def uses_of_signed(self, moment: Moment) -> int | None:
        """How often one signed URL may be used, when an `expire` says so."""
        with self._lock:
            found = [fault.uses for fault, _ in self._met if fault.kind == "expire" and meets(fault, moment)]
        return min(found, default=None)
