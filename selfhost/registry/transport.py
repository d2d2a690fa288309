"""Requests to one registry: who we are to it and to nobody else, where redirects lead, what statuses mean."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.parse
from typing import TYPE_CHECKING

from selfhost.errors import IncompleteError, NoSpaceError, SelfhostError
from selfhost.messages import text
from selfhost.records import dataclass
from selfhost.registry.answers import read_small
from selfhost.registry.login import Login
from selfhost.registry.types import MAX_MANIFEST_BYTES
from selfhost.weights.move.client import Call, Client, Target, follow, give_back, shown, trouble
from selfhost.weights.move.retry import Meaning, TroubleError, meaning, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3.response import BaseHTTPResponse

    from selfhost.registry.credentials import Credential
    from selfhost.registry.reference import Reference
    from selfhost.registry.types import Options
    from selfhost.weights.move.halt import Halt

_MAX_REDIRECTS = 10
_REDIRECTS = (307, 308)
_REDIRECTS_OF_GET = (301, 302, 303, 307, 308)
_UNAUTHORISED, _FORBIDDEN, _NO_ROOM = 401, 403, 507
_QUOTA_WORDS = ("quota", "storage limit", "exceed the configured upper limit", "insufficient storage")
_MAX_DETAIL = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request; `body` is called for each try."""

    method: str
    url: str
    scope: str
    """`repository:<name>:pull,push`, and more of these."""
    headers: Mapping[str, str]
    body: Callable[[], Iterator[bytes | memoryview]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back, read to its end."""

    status: int
    headers: Mapping[str, str]
    """Names compare without case."""
    body: bytes
    url: str
    """Where it is from, after redirects."""

    @property
    def detail(self) -> str:
        """What the registry says of an error, in one line."""
        try:
            errors = json.loads(self.body)["errors"]
            said = "; ".join(f"{one.get('code', '')}: {one.get('message', '')}" for one in errors)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            said = self.body.decode(errors="replace") if "html" not in self.headers.get("Content-Type", "") else ""
        return " ".join(said.split())[:_MAX_DETAIL]


class Transport:
    """One registry. For all threads."""

    def __init__(
        self,
        reference: Reference,
        options: Options,
        credential: Credential | None,
        clock: Callable[[], float],
        halt: Halt,
    ) -> None:
        host = self.host = reference.host
        self.options, self._halt, self._clock = options, halt, clock
        self.root = f"{'http' if options.plain_http else 'https'}://{reference.address}"
        self._client = Client(options.moving)
        self._login = Login(host, credential, self._client, plain_http=options.plain_http, clock=clock)

    def ask(self, request: Request) -> Answer:
        """One request, its answer read to the end, whatever its status but 401. Raises as `open`."""
        with self.open(request) as (response, url):
            return self.answer(response, url)

    @contextlib.contextmanager
    def open(self, request: Request) -> Iterator[tuple[BaseHTTPResponse, str]]:
        """One request; yields the answer, its body unread, and where it is from.

        Raises TroubleError for what may be gone the next time, MissingError when we may not, IncompleteError for
        redirects to where nothing of ours goes.
        """
        url, renewed = request.url, False
        for _ in range(_MAX_REDIRECTS + 1):
            with self._halt.away():
                sent = self._login.header(request.scope) if self._is_ours(url) else ""
            response = self._send(request, url, sent)
            try:
                if response.status == _UNAUTHORISED and self._is_ours(url):
                    if renewed:
                        raise self._login.denied(request.scope, response.status, "")
                    renewed = True
                    with self._halt.away():
                        self._login.answer(response.headers.get("WWW-Authenticate", ""), request.scope, sent)
                    continue
                if not _leads_on(request.method, response):
                    yield response, url
                    return
                url = self.location(response.headers.get("Location"), url)
            finally:
                give_back(response)
        raise IncompleteError("registry.redirects", url=shown(url), count=_MAX_REDIRECTS)

    def _send(self, request: Request, url: str, sent: str) -> BaseHTTPResponse:
        headers = {**request.headers, **({"Authorization": sent} if sent else {})}
        body = request.body() if request.body else None
        if body is None and request.method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = "0"
        call = Call(method=request.method, headers=headers, body=body)
        return self._client.ask(Target(url=url, headers={}), call, shown(url), self._halt.away)

    def answer(self, response: BaseHTTPResponse, url: str) -> Answer:
        """What was opened, read to its end; one byte more than a manifest may have. Raises TroubleError as `read`."""
        with self._halt.reading(response):
            try:
                data = read_small(response, MAX_MANIFEST_BYTES + 1, url, self._clock)
            except TroubleError:
                self._halt.check()
                raise
        self._halt.check()
        return Answer(status=response.status, headers=response.headers, body=data, url=url)

    def read(self, response: BaseHTTPResponse, limit: int, url: str) -> bytes:
        """A body, at most so many bytes of it. Raises TroubleError when it breaks off."""
        from urllib3.exceptions import HTTPError

        with self._halt.reading(response):
            try:
                data = bytes(response.read(limit, decode_content=False))
            except (HTTPError, OSError) as error:
                self._halt.check()
                raise TroubleError(trouble(error, url)) from error
        # Who stops us shuts the connection down, which looks like an end.
        self._halt.check()
        return data

    def _is_ours(self, url: str) -> bool:
        """Whether an address is the registry itself: nobody else sees who we are."""
        return _origin(url) == _origin(self.root)

    def location(self, where: str | None, url: str) -> str:
        """The address that an answer from `url` names. Raises IncompleteError for one that is not taken."""
        try:
            return follow(Target(url=url, headers={}), where, url).url
        except IncompleteError as error:
            # Behind a proxy that ends TLS, a registry that does not know of it says `http://`.
            raise IncompleteError("registry.bad_location", url=shown(url), found=shown(where or "")) from error

    def problem(self, answer: Answer, scope: str) -> SelfhostError | TroubleError:
        """What a status means that is not the wanted one."""
        detail, url = answer.detail, shown(answer.url)
        quota = any(word in detail.lower() for word in _QUOTA_WORDS)
        if answer.status == _NO_ROOM or (quota and 400 <= answer.status < 500):  # noqa: PLR2004 - errors of ours
            return NoSpaceError("registry.quota", host=self.host, status=answer.status, detail=detail or "-")
        if answer.status in (_UNAUTHORISED, _FORBIDDEN) and self._is_ours(answer.url):
            return self._login.denied(scope, answer.status, detail)
        found = meaning(answer.status, issued=not self._is_ours(answer.url))
        if found in (Meaning.LATER, Meaning.EXPIRED):
            wait = retry_after_s(answer.headers.get("Retry-After"), time.time())
            return TroubleError(text("move.status", status=answer.status, url=url), wait_s=wait)
        return IncompleteError("registry.refused", url=url, status=answer.status, detail=detail or "-")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _leads_on(method: str, response: BaseHTTPResponse) -> bool:
    codes = _REDIRECTS_OF_GET if method in ("GET", "HEAD") else _REDIRECTS
    return response.status in codes and bool(response.headers.get("Location"))


def _origin(url: str) -> tuple[str, str, int]:
    parts = urllib.parse.urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, (parts.hostname or "").lower(), default if port is None else port
