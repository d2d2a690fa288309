"""One question to a server over HTTP, and why it got no answer. For listings: bytes of models are moved elsewhere.

Proxies come from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`; never for this machine itself).
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, NoReturn

from selfhost import __version__, offline
from selfhost.errors import IncompleteError, UsageError
from selfhost.messages import text
from selfhost.records import dataclass
from selfhost.weights import certificates
from selfhost.weights.move.retry import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

USER_AGENT = f"selfhost/{__version__}"
TIMEOUT_S = 30.0
"""How long a server may be silent."""
MAX_BODY_BYTES = 64 << 20
"""Of a listing; a server that sends more is not believed."""
_ATTEMPTS = 3
PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Answers that another attempt may not get."""
_MAX_WAIT_S = 30.0
_OF_ONE_ORIGIN = ("Authorization", "Cookie")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def wait_s(self) -> float | None:
        """What the server asks to wait."""
        return asked_wait_s(self.headers.get("retry-after"))


def asked_wait_s(retry_after: str | None) -> float | None:
    """Seconds that a `Retry-After` asks for, within what somebody waits for a listing; None when it asks for none."""
    wait_s = retry_after_s(retry_after, time.time())
    return None if wait_s is None else min(wait_s, _MAX_WAIT_S)


class UnreachableError(Exception):
    """No answer; the text is the reason, in a few words."""

    def __init__(self, reason: str, *, certificate: bool = False) -> None:
        super().__init__(reason)
        self.certificate = certificate


def ask(
    url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, timeout_s: float | None = None
) -> Answer:
    """Ask once and follow redirects; an answer that says no is an answer.

    Raises UnreachableError when there is none, IncompleteError when offline and `url` is on another machine.
    """
    offline.check_allowed(url)
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked by `endpoint`
        url, method=method, headers={"User-Agent": USER_AGENT, **(headers or {})}
    )
    opener = urllib.request.build_opener(*_handlers(url))
    try:
        try:
            answer = opener.open(request, timeout=TIMEOUT_S if timeout_s is None else timeout_s)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return _read(answer)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise unreachable(error) from error


def ask_again(url: str, headers: Mapping[str, str], sleep: Callable[[float], None] = time.sleep) -> Answer:
    """As `ask`, but what may pass (503, 429, a cut connection) is waited for, a few seconds in all."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            answer = ask(url, headers=headers)
        except UnreachableError as error:
            if attempt == _ATTEMPTS or not may_pass(error):
                raise
            sleep(attempt)
        else:
            if attempt == _ATTEMPTS or answer.status not in PASSING:
                return answer
            sleep(attempt if answer.wait_s is None else answer.wait_s)
    raise AssertionError  # pragma: no cover - the last attempt returns or raises


def may_pass(error: UnreachableError) -> bool:
    """Whether another attempt makes sense: not for names, certificates, ports where nobody listens.

    Nor after `TIMEOUT_S` of silence: that was patience enough.
    """
    final = (ConnectionRefusedError, socket.gaierror)
    chain = list(_chain(error.__cause__))
    return not error.certificate and not any(isinstance(one, final) or _is_timeout(one) for one in chain)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Keeps the method, and gives credentials to nobody else."""

    def redirect_request(  # noqa: PLR0913, PLR0917 - the signature is urllib's
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        try:
            _check_redirect(req.full_url, newurl)
        except Exception:
            fp.close()  # urllib closes it only when it goes on
            raise
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            request.method = req.get_method()
            if origin(newurl) != origin(req.full_url):
                for name in _OF_ONE_ORIGIN:
                    request.remove_header(name)
        return request


def _check_redirect(old: str, url: str) -> None:
    if not url.lower().startswith(("http://", "https://")):
        reason = f"redirected to {url.partition(':')[0]}:"
        raise OSError(reason)
    check_downgrade(old, url)
    offline.check_allowed(url)


def check_downgrade(old: str, new: str) -> None:
    """Raises OSError when a redirect leads from https to http: whoever is on the way could answer anything."""
    if old.lower().startswith("https:") and not new.lower().startswith("https:"):
        reason = "redirected from https: to http:"
        raise OSError(reason)


def _handlers(url: str) -> Iterator[urllib.request.BaseHandler]:
    yield urllib.request.ProxyHandler({} if offline.is_loopback(url) else None)
    yield _Redirects()
    # A redirect may lead to https from http.
    if url.lower().startswith("https:") or not offline.is_loopback(url):
        yield urllib.request.HTTPSHandler(context=certificates.context())


def _read(answer: Any) -> Answer:
    body = answer.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        reason = f"it sends more than {MAX_BODY_BYTES >> 20} MiB"
        raise OSError(reason)
    if answer.length:  # of the promised bytes, those that did not come: a read with a limit takes it for the end
        raise ConnectionResetError
    return Answer(status=answer.status, headers={k.lower(): v for k, v in answer.headers.items()}, body=body)


# Addresses


def endpoint(address: str, variable: str) -> str:
    """An address without a slash at its end. Raises UsageError, naming where it came from, for what is none."""
    try:
        parts = urllib.parse.urlsplit(address)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or any(character.isspace() or not character.isprintable() for character in address):
        raise UsageError("places.bad_endpoint", variable=variable, value=shown_url(address))
    return address.rstrip("/")


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: where credentials may go."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """The address without `user:password@`, and the header that says the same."""
    parts = urllib.parse.urlsplit(url)
    if "@" not in parts.netloc:
        return url, {}
    user = f"{urllib.parse.unquote(parts.username or '')}:{urllib.parse.unquote(parts.password or '')}"
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return plain, {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}


def shown_url(url: str) -> str:
    """An address for messages: without a user, a password, or what follows `?`."""
    bare = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


# Reasons


def unreachable(error: BaseException) -> UnreachableError:
    """The reason in an exception of any client."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            return UnreachableError(text("places.bad_certificate", detail=one.verify_message), certificate=True)
    if any(map(_is_timeout, chain)):
        return UnreachableError(text("places.timed_out"))
    for kinds, message in (
        ((ConnectionRefusedError,), "places.refused"),
        ((socket.gaierror,), "places.unknown_name"),
        ((ConnectionError, http.client.HTTPException), "places.cut"),
    ):
        if any(isinstance(one, kinds) for one in chain):
            return UnreachableError(text(message))
    last = chain[-1]
    return UnreachableError(getattr(last, "strerror", None) or str(last) or type(last).__name__)


def _is_timeout(error: BaseException) -> bool:
    """Other clients have timeouts of their own kinds."""
    return isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and those it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        reason = getattr(error, "reason", None)
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__


def raise_unreachable(label: str, url: str, error: UnreachableError) -> NoReturn:
    """Raises IncompleteError that names the place, the address, the reason, and what else can be tried."""
    if error.certificate:
        raise IncompleteError("places.untrusted", label=label, url=shown_url(url), reason=error) from error
    raise IncompleteError("places.unreachable", label=label, url=shown_url(url), reason=error) from error
