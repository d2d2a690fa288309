"""Addresses that need no token and do not live long, as object stores and CDNs give them out."""

from __future__ import annotations

import itertools
import threading
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from tests.standins.faults import Moment
from tests.standins.sending import Content

if TYPE_CHECKING:
    from tests.standins.exchange import Exchange
    from tests.standins.serving import Server
    from tests.standins.tree import File


class _Grant(NamedTuple):
    file: File
    expires: float
    uses: itertools.count


class Signed:
    """What a server gave out, and the answers of the port behind it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._grants: dict[str, _Grant] = {}

    def url(self, model: str, file: File) -> str:
        """A new address for a file."""
        expires = time.time() + self._server.options.signed_s
        with self._lock:
            signature = f"{len(self._grants) + 1:08x}"
            self._grants[signature] = _Grant(file, expires, itertools.count())
        place = quote(f"/signed/{model}/{file.sha256}/{file.path}")
        return f"{self._server.cdn_url}{place}?expires={int(expires)}&signature={signature}"

    def answer(self, exchange: Exchange) -> None:
        """The file, or 403 as object stores say it; 400 for who sends a token along, as they do too."""
        with self._lock:
            grant = self._grants.get(exchange.query.get("signature", ""))
        if exchange.bearer is not None:
            _refuse(exchange, 400, "InvalidArgument", "Only one auth mechanism allowed")
        elif grant is None:
            _refuse(exchange, 403, "SignatureDoesNotMatch", "The signature does not match")
        elif self._over(exchange, grant):
            exchange.record.file = grant.file.path
            _refuse(exchange, 403, "AccessDenied", "Request has expired")
        else:
            content = Content(grant.file.size, grant.file.sha256, grant.file.local)
            exchange.file(grant.file.path, content, {"Cache-Control": "public, max-age=604800"})

    def _over(self, exchange: Exchange, grant: _Grant) -> bool:
        moment = Moment(exchange.record.method, exchange.url_path, grant.file.path)
        most = self._server.faults.uses_of_signed(moment)
        return time.time() >= grant.expires or (most is not None and next(grant.uses) >= most)


def _refuse(exchange: Exchange, status: int, code: str, message: str) -> None:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    exchange.plain(body.encode(), status, {"Content-Type": "application/xml"})
