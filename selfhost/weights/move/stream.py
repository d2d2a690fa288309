"""One range of one file, with all its retries: the bytes come in order, each once."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING, Protocol

from selfhost.errors import IncompleteError, MissingError
from selfhost.messages import text
from selfhost.weights.move.answers import Body, Head, Wanted, examine, head_of
from selfhost.weights.move.client import Client, Target, shown, trouble
from selfhost.weights.move.halt import Halt
from selfhost.weights.move.limit import Limit
from selfhost.weights.move.retry import DOUBTFUL_ATTEMPTS, Meaning, TroubleError, meaning, pause_s, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from urllib3.response import BaseHTTPResponse

    from selfhost.weights.move.types import MoveOptions
    from selfhost.weights.remote import Address

BUFFER_BYTES = 1 << 20
_PATIENCE_S = 0.5
_HTTP_SCHEMES = ("http://", "https://")


class Line:
    """What all ranges of a call share: connections, bandwidth, the flag that stops them."""

    def __init__(self, options: MoveOptions) -> None:
        self.options = options
        self.client = Client(options)
        self.halt = Halt()
        self._own = threading.local()
        self.limit = Limit(options.limit_bytes_per_s, time.monotonic, self.halt.sleep)

    def buffer(self) -> bytearray:
        """The one of this thread, made once: large pieces that come and go scatter over the heap of each thread."""
        if not hasattr(self._own, "buffer"):
            self._own.buffer = bytearray(BUFFER_BYTES)
        found: bytearray = self._own.buffer
        return found

    def pause(self, failed: TroubleError, failures: int) -> float:
        """Seconds to wait after a failure."""
        return pause_s(failed, failures, random.random(), self.options)  # noqa: S311 - spreads load, guards nothing


class Source:
    """Where the bytes of one file are; asks again when an address has expired. For all threads of the file."""

    def __init__(self, path: str, address: Callable[[], Address], line: Line) -> None:
        self.path = path
        self._address = address
        self._line = line
        self._lock = threading.Lock()
        self._target: Target | None = None
        self._proven = False
        """Whether this very address has given bytes."""

    def _current(self) -> Target:
        with self._line.halt.away(), self._lock:
            if self._target is None:
                self._target = self._ask()
                self._proven = False
            return self._target

    def _ask(self) -> Target:
        try:
            found = self._address()
        except IncompleteError as error:
            # The place cannot be reached just now.
            raise TroubleError(error.message.what, final=error) from error
        if not found.url.startswith(_HTTP_SCHEMES):
            raise IncompleteError("move.bad_redirect", path=self.path, url=self.path, found=shown(found.url))
        return Target(url=found.url, headers=found.headers)

    @contextlib.contextmanager
    def open(self, wanted: Wanted) -> Iterator[tuple[BaseHTTPResponse, Head]]:
        """Ask for a range; yields an answer that brings bytes, its body unread.

        Raises TroubleError for what may be gone the next time, MissingError when a token is needed, IncompleteError for
        what the server has not or will not give.
        """
        headers = {"Range": f"bytes={wanted.begin}-{wanted.end - 1}"}
        if wanted.etag:
            headers["If-Range"] = wanted.etag
        asked = self._current()
        with self._line.client.get(asked, headers, self.path, self._line.halt.away) as (response, target):
            head = head_of(shown(target.url), response.status, response.headers)
            self._judge(head, response, asked, target)
            with self._line.halt.away(), self._lock:
                if self._target is asked:
                    # The next ranges go where this one was sent.
                    self._target, self._proven = target, True
            yield response, head

    def _judge(self, head: Head, response: BaseHTTPResponse, asked: Target, target: Target) -> None:
        found = meaning(head.status, issued=target.redirected or self._proven)
        if found in (Meaning.BYTES, Meaning.OUT_OF_RANGE):
            return
        if found in (Meaning.EXPIRED, Meaning.DENIED):
            self._renew(head, asked, denied=found is Meaning.DENIED)
        if found is Meaning.ABSENT:
            raise IncompleteError("move.absent", path=self.path, url=head.url, status=head.status)
        if found is Meaning.LATER:
            wait = retry_after_s(response.headers.get("Retry-After"), time.time())
            raise TroubleError(text("move.status", status=head.status, url=head.url), wait_s=wait)
        raise IncompleteError("move.refused", path=self.path, url=head.url, status=head.status)

    def _renew(self, head: Head, asked: Target, *, denied: bool) -> None:
        """Forget an address that is used up. Raises TroubleError, or MissingError when a new one is the same."""
        refused = MissingError("move.token", path=self.path, url=head.url, status=head.status)
        with self._line.halt.away(), self._lock:
            if denied and self._target is asked:
                fresh = self._ask()
                if fresh.url == asked.url:
                    raise refused
                self._target = fresh
            elif self._target is asked:
                self._target = None
        reason = text("move.expired", status=head.status, url=head.url)
        raise TroubleError(reason, at_once=True, final=refused if denied else None)


class Reader(Protocol):
    """Who takes a range, as `stream` asks."""

    def wanted(self) -> Wanted | None:
        """What is to be asked for next; None when nothing is missing."""
        ...

    def accept(self, body: Body) -> bool:
        """An answer is fit. Says whether bytes of it are kept when it breaks off; may raise what ends the range."""
        ...

    def note(self, line: str) -> None:
        """Something went wrong and is tried again."""
        ...

    def ended(self) -> None:
        """A body whose length nobody told has ended."""
        ...


def stream(source: Source, reader: Reader, line: Line) -> Generator[memoryview, None, None]:
    """The bytes `reader` wants, in order, in a buffer that is used again. Who takes them counts before the next ones.

    Raises IncompleteError after `attempts` failures in a row without a byte, and what `Source.open` raises.
    """
    buffer = line.buffer()
    failures = doubtful = 0
    while (wanted := reader.wanted()) is not None:
        try:
            with source.open(wanted) as (response, head):
                body = examine(head, wanted)
                keeps = reader.accept(body)
                for view in _read(response, head, body, buffer, line):
                    if keeps:
                        failures = doubtful = 0
                    yield view
                if body.length is None:
                    reader.ended()
        except TroubleError as failed:
            failures, doubtful = failures + 1, doubtful + 1 if failed.final else 0
            if failures >= line.options.attempts or doubtful >= DOUBTFUL_ATTEMPTS:
                given_up = IncompleteError("move.gave_up", path=source.path, count=failures, detail=failed.reason)
                raise (failed.final or given_up) from failed
            seconds = line.pause(failed, failures)
            reader.note(text("move.note_retry", reason=failed.reason, seconds=seconds))
            line.halt.sleep(seconds)


def _read(response: BaseHTTPResponse, head: Head, body: Body, buffer: bytearray, line: Line) -> Iterator[memoryview]:
    """The body, in pieces of the buffer. Raises TroubleError when it is cut off, once all that came was handed over."""
    whole, filled, left = memoryview(buffer), 0, body.length
    handed_at = time.monotonic()
    failed: TroubleError | None = None
    while left is None or left > 0:
        room = min(len(buffer) - filled, line.limit.step_bytes, left if left is not None else len(buffer))
        try:
            data = _receive(response, room, head.url, line.halt)
        except TroubleError as error:
            failed = error
            break
        if not data:
            failed = None if left is None else TroubleError(text("move.cut", missing=left))
            break
        line.limit.take(len(data))
        whole[filled : filled + len(data)] = data
        filled += len(data)
        left = None if left is None else left - len(data)
        # A slow connection is not kept waiting for a full buffer: progress is seen, and little is lost when it breaks.
        if filled == len(buffer) or time.monotonic() - handed_at > _PATIENCE_S:
            yield whole[:filled]
            filled, handed_at = 0, time.monotonic()
    if filled:
        yield whole[:filled]
    if failed:
        raise failed


def _receive(response: BaseHTTPResponse, room: int, url: str, halt: Halt) -> bytes:
    from urllib3.exceptions import HTTPError

    with halt.reading(response):
        try:
            data = response.read1(room, decode_content=False)
        except (HTTPError, OSError) as error:
            halt.check()
            raise TroubleError(trouble(error, url)) from error
    if not data:
        # Whoever stops us shuts the socket down, which looks like an end.
        halt.check()
    return data
