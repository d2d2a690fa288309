"""HTTP for gigabytes: proxies and certificates as the environment names them, redirects that leak no token."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import threading
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from selfhost import __version__, offline
from selfhost.errors import IncompleteError, MissingError, UsageError
from selfhost.messages import text
from selfhost.records import dataclass
from selfhost.weights import certificates
from selfhost.weights.move.retry import TroubleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from urllib3 import PoolManager
    from urllib3.response import BaseHTTPResponse

    from selfhost.weights.move.types import MoveOptions

_MAX_REDIRECTS = 10
_DRAINED_BYTES = 64 << 10
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One address to ask."""

    url: str
    headers: Mapping[str, str]
    redirected: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What is asked of an address."""

    method: str = "GET"
    headers: Mapping[str, str]
    body: bytes | Iterable[bytes | memoryview] | None = None
    """An iterable needs a Content-Length in the headers."""


def shown(url: str) -> str:
    """An address without what may be secret: user, password and query."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def follow(target: Target, location: str | None, path: str) -> Target:
    """Where a redirect leads. Headers of the caller stay with the host they were meant for.

    Raises IncompleteError for a redirect to nowhere, to something that is not HTTP, or from https to http.
    """
    url = urllib.parse.urljoin(target.url, location or "")
    old, new = urllib.parse.urlsplit(target.url), urllib.parse.urlsplit(url)
    downgraded = (old.scheme, new.scheme) == ("https", "http")
    # What comes before a backslash is a host to some, a user to others: checks would be about another one.
    odd = "\\" in url or not new.netloc or new.scheme not in ("http", "https")
    if not location or odd or downgraded:
        raise IncompleteError("move.bad_redirect", path=path, url=shown(target.url), found=shown(url))
    same = (old.scheme, old.netloc) == (new.scheme, new.netloc)
    return Target(url=url, headers=target.headers if same else {}, redirected=True)


class Client:
    """Connections that are kept and used again, by all threads."""

    def __init__(self, options: MoveOptions) -> None:
        self._options = options
        self._managers: dict[tuple[str | None, bool], PoolManager] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def get(
        self,
        target: Target,
        headers: Mapping[str, str],
        path: str,
        away: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> Iterator[tuple[BaseHTTPResponse, Target]]:
        """Ask, following redirects; yields the response, its body unread, and the address it is from.

        Raises TroubleError for what may be gone the next time, MissingError for a certificate nobody vouches for,
        IncompleteError for redirects without end. After the block the connection is kept when the body was read.
        """
        call = Call(headers=headers)
        for _ in range(_MAX_REDIRECTS + 1):
            response = self.ask(target, call, path, away)
            try:
                if response.status not in _REDIRECTS:
                    yield response, target
                    return
                target = follow(target, response.headers.get("Location"), path)
                if _is_short(response):
                    with away():
                        response.drain_conn()
            finally:
                give_back(response)
        raise IncompleteError("move.redirects", path=path, url=shown(target.url), count=_MAX_REDIRECTS)

    def ask(
        self,
        target: Target,
        call: Call,
        path: str,
        away: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> BaseHTTPResponse:
        """As `send`, by a thread that is `away` meanwhile; closes what comes when it was stopped by then."""
        response = None
        try:
            with away():
                response = self.send(call, target, path)
        except BaseException:
            if response is not None:
                response.close()
            raise
        return response

    def send(self, call: Call, target: Target, path: str) -> BaseHTTPResponse:
        """The answer to one request of any kind, its body unread; redirects are not followed.

        Raises as `get`. The caller closes the response.
        """
        from urllib3.exceptions import HTTPError, LocationValueError

        offline.check_allowed(target.url)
        own = {"User-Agent": f"selfhost/{__version__}", "Accept-Encoding": "identity", **call.headers}
        try:
            # `own` comes last: what a caller adds must not turn compression on.
            return self._manager(target.url).request(
                call.method,
                target.url,
                body=call.body,  # type: ignore[arg-type]
                headers={**target.headers, **own},
                redirect=False,
                preload_content=False,
            )
        except LocationValueError as error:
            raise UsageError("move.bad_address", path=path, url=shown(target.url)) from error
        except HTTPError as error:
            if _is_unverified(error):
                host = urllib.parse.urlsplit(target.url).hostname
                raise MissingError("move.certificate", host=host, detail=_why(error)) from error
            raise TroubleError(trouble(error, target.url)) from error

    def _manager(self, url: str) -> PoolManager:
        proxy = proxy_for(url)
        # Certificates are some hundred files to read: not for who speaks plain HTTP.
        secure = url.startswith("https:") or (proxy or "").startswith("https:")
        with self._lock:
            if (proxy, secure) not in self._managers:
                self._managers[proxy, secure] = _make_manager(proxy, self._options, secure=secure)
            return self._managers[proxy, secure]

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            for manager in self._managers.values():
                manager.clear()
            self._managers.clear()


def proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY).

    None for this machine itself: a proxy is another one.
    """
    if offline.is_loopback(url):
        return None
    parts = urllib.parse.urlsplit(url)
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if not proxy.startswith(("http://", "https://")):
        raise UsageError("move.proxy_scheme", found=shown(proxy))
    return proxy


def _make_manager(proxy: str | None, options: MoveOptions, *, secure: bool) -> PoolManager:
    import urllib3

    common: dict[str, Any] = {
        "maxsize": options.connections,
        "timeout": urllib3.Timeout(connect=options.connect_s, read=options.stall_s),
        "retries": False,
        "ssl_context": certificates.context() if secure else None,
    }
    if proxy is None:
        return urllib3.PoolManager(**common)
    parts = urllib.parse.urlsplit(proxy)
    user = f"{parts.username or ''}:{parts.password or ''}" if parts.username or parts.password else None
    headers = urllib3.make_headers(proxy_basic_auth=urllib.parse.unquote(user)) if user else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers, proxy_ssl_context=common["ssl_context"], **common)


def trouble(error: BaseException, url: str) -> str:
    """One line about a failed connection, without addresses of memory and the like."""
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ReadTimeoutError

    host = urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
    if any(isinstance(link, http.client.IncompleteRead) for link in _chain(error)):
        return text("move.ended", host=host)
    if isinstance(error, ReadTimeoutError):
        return text("move.stalled", host=host)
    # A connection that is refused is a time-out to urllib3 as well.
    timed_out = isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError)
    return text("move.no_connection", host=host, detail="timed out" if timed_out else _why(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        nested = [
            value
            for value in (getattr(current, "original_error", None), *current.args)
            if isinstance(value, BaseException)
        ]
        current = nested[0] if nested else current.__cause__ or current.__context__


def _why(error: BaseException) -> str:
    """What the innermost error says: the operating system's or OpenSSL's own words."""
    last = list(_chain(error))[-1]
    return (last.strerror if isinstance(last, OSError) and last.strerror else str(last)) or type(last).__name__


def _is_unverified(error: BaseException) -> bool:
    return any(isinstance(link, ssl.SSLCertVerificationError) for link in _chain(error))


def _is_short(response: BaseHTTPResponse) -> bool:
    length = response.headers.get("Content-Length", "")
    return length.isascii() and length.isdigit() and int(length) <= _DRAINED_BYTES


def give_back(response: BaseHTTPResponse) -> None:
    """Keep the connection for the next request when the body was read, else close it."""
    # A body that was not read to its end would be taken for the next answer.
    if getattr(response, "length_remaining", None) == 0:
        response.release_conn()
    response.close()
