"""A limit for the lines of a request: uvicorn's httptools protocol has none, and they come before any key is looked at.

vLLM's `--h11-max-*` reach h11 alone, which uvicorn uses only where httptools is not installed; it is in every engine
environment. Without this, whoever can connect can have the server keep headers, or trailers, until memory is full
(uvicorn 0.54: protocols/http/httptools_impl.py `on_header`; a line without an end grows inside httptools).

Not covered: how slowly somebody sends, and how many connect: put a proxy in front of a server that strangers reach.
"""

from __future__ import annotations

MAX_BYTES = 64 << 10
"""Of request line and headers, or of trailers; one read of the event loop more, at most."""
MAX_LINES = 256
"""As vLLM's `--h11-max-header-count`."""


class TooLongError(Exception):
    """Raised in the parser, which turns it into its own error: the server answers 400 and hangs up."""


class _Limit:
    """Counts what comes while lines are read: from the first byte of a request to its body, and after a chunk.

    Stands before uvicorn's protocol in the order of methods.
    """

    _stretch = 0
    """Goes up whenever lines begin or end, so that a read is counted only when it was nothing but lines."""
    _in_lines = False
    _line_bytes = 0
    _lines = 0
    _kept_bytes = 0

    def data_received(self, data: bytes) -> None:
        before = self._stretch
        super().data_received(data)
        if not self._in_lines or self._stretch != before:
            return
        self._line_bytes += len(data)
        if self._line_bytes > MAX_BYTES and not self.transport.is_closing():
            self.send_400_response("Invalid HTTP request received.")

    def _enter(self, *, lines: bool) -> None:
        self._stretch += 1
        self._in_lines = lines
        self._line_bytes = 0

    def on_message_begin(self) -> None:
        self._enter(lines=True)
        self._lines = self._kept_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        self._kept_bytes += len(name) + len(value)
        if self._lines > MAX_LINES or self._kept_bytes > MAX_BYTES:
            raise TooLongError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._enter(lines=False)
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        # Its data follow, or, after the last one, trailers.
        self._enter(lines=True)

    def on_body(self, body: bytes) -> None:
        self._enter(lines=False)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._enter(lines=False)
        super().on_message_complete()


def limit() -> bool:
    """Have every server of this process that is made from now on keep the limit; whether uvicorn has httptools."""
    try:
        from uvicorn.protocols.http import auto, httptools_impl
    except ImportError:  # no uvicorn, or one without httptools: h11 has limits of its own
        return False
    found = httptools_impl.HttpToolsProtocol
    if not issubclass(found, _Limit):
        httptools_impl.HttpToolsProtocol = type("Limited", (_Limit, found), {})
        if auto.AutoHTTPProtocol is found:
            auto.AutoHTTPProtocol = httptools_impl.HttpToolsProtocol
    return True
