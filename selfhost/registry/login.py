"""Answers a registry's 401: tokens, asked for once and again before they expire, or a password.

A password goes to the registry, and to the address of tokens that the registry names, by HTTPS unless the registry
itself is spoken to in plain HTTP; never where a redirect leads. Source: distribution, docs/spec/auth/token.md.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING

from selfhost.errors import IncompleteError, MissingError
from selfhost.messages import text
from selfhost.records import dataclass
from selfhost.registry.answers import read_small
from selfhost.registry.challenge import Challenge, parse_challenges
from selfhost.weights.move.client import Call, Client, Target, give_back, shown
from selfhost.weights.move.retry import Meaning, TroubleError, meaning, retry_after_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from urllib3.response import BaseHTTPResponse

    from selfhost.registry.credentials import Credential

_LEAST_S = 60.0
"""How long a token lives of which nobody says it."""
_MARGIN_S = 10.0
_MAX_ANSWER_BYTES = 1 << 20
_DENIED = (400, 401, 403)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pass:
    """What is sent with requests of one scope."""

    value: str
    until_s: float
    challenge: Challenge

    def __repr__(self) -> str:
        return "_Pass()"


class Login:
    """Who we are to one registry. For all threads."""

    def __init__(
        self,
        host: str,
        credential: Credential | None,
        client: Client,
        *,
        plain_http: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host, self._credential, self._client = host, credential, client
        self._plain_http, self._clock = plain_http, clock
        self._passes: dict[str, _Pass] = {}
        self._lock = threading.Lock()

    def header(self, scope: str) -> str:
        """The value of `Authorization` for requests of this scope; empty before anybody asked for one.

        A token that is about to expire is replaced: what it would be refused for may be gigabytes.
        """
        with self._lock:
            found = self._passes.get(scope)
            if found and self._clock() >= found.until_s:
                found = self._passes[scope] = self._ask(found.challenge, scope)
            return found.value if found else ""

    def answer(self, header: str, scope: str, sent: str) -> None:
        """Do what a 401 asks for. Raises MissingError when nobody is logged in, or not as somebody who may."""
        with self._lock:
            found = self._passes.get(scope)
            if found and found.value != sent:
                return  # another thread was first
            challenges = parse_challenges(header)
            chosen = next((one for one in challenges if one.scheme == "bearer" and one.realm), None)
            chosen = chosen or next((one for one in challenges if one.scheme == "basic"), None)
            if chosen is None or (chosen.scheme == "basic" and (sent or self._basic() is None)):
                raise self.denied(scope, 401, text("registry.no_way") if chosen is None else "")
            self._passes[scope] = self._ask(chosen, scope)

    def denied(self, scope: str, status: int, detail: str) -> MissingError:
        """The error of somebody who may not."""
        who = text("registry.nobody") if self._credential is None else text("registry.somebody")
        what = scope.partition(" ")[0] or self._host
        return MissingError("registry.denied", host=self._host, what=what, status=status, detail=detail or "-", who=who)

    def _basic(self) -> str | None:
        return self._credential.basic if self._credential and self._credential.user else None

    def _ask(self, challenge: Challenge, scope: str) -> _Pass:
        if challenge.scheme == "basic":
            return _Pass(value=self._basic() or "", until_s=float("inf"), challenge=challenge)
        url = challenge.realm
        if not url.startswith(("https://", "http://") if self._plain_http else "https://"):
            raise IncompleteError("registry.bad_realm", host=self._host, url=shown(url))
        wanted = {"service": challenge.service, "scope": _joined(challenge.scope, scope)}
        query = urllib.parse.urlencode([(name, value) for name, value in wanted.items() if value])
        asked_s = self._clock()
        response = self._client.send(self._call(query), Target(url=self._url(url, query), headers={}), url)
        try:
            data = read_small(response, _MAX_ANSWER_BYTES, url, self._clock)
            self._check(response, url, scope)
        finally:
            give_back(response)
        return self._granted(data, url, challenge, asked_s)

    def _url(self, url: str, query: str) -> str:
        if self._credential and self._credential.identity_token:
            return url
        return f"{url}{'&' if '?' in url else '?'}{query}"

    def _call(self, query: str) -> Call:
        if self._credential and self._credential.identity_token:
            token = urllib.parse.quote(self._credential.identity_token, safe="")
            body = f"grant_type=refresh_token&client_id=selfhost&refresh_token={token}&{query}".encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
            return Call(method="POST", headers=headers, body=body)
        return Call(headers={"Authorization": basic} if (basic := self._basic()) else {})

    def _check(self, response: BaseHTTPResponse, url: str, scope: str) -> None:
        if response.status in _DENIED:
            raise self.denied(scope, response.status, shown(url))
        found = meaning(response.status, issued=False)
        if found is Meaning.LATER:
            wait = retry_after_s(response.headers.get("Retry-After"), time.time())
            raise TroubleError(text("move.status", status=response.status, url=shown(url)), wait_s=wait)
        if found is not Meaning.BYTES:
            raise IncompleteError("registry.refused", url=shown(url), status=response.status, detail="-")

    def _granted(self, data: bytes, url: str, challenge: Challenge, asked_s: float) -> _Pass:
        try:
            body = json.loads(data)
            token = str(body.get("token") or body["access_token"])
            lives_s = float(body.get("expires_in") or _LEAST_S)
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError):
            raise IncompleteError("registry.bad_token", url=shown(url)) from None
        if not token.isascii() or not token.isprintable():
            raise IncompleteError("registry.bad_token", url=shown(url))
        margin_s = min(_MARGIN_S, lives_s / 10)
        return _Pass(value=f"Bearer {token}", until_s=asked_s + lives_s - margin_s, challenge=challenge)


def _joined(asked: str, scope: str) -> str:
    """What the registry wants to see and what we are going to do, each once."""
    return " ".join(dict.fromkeys([*asked.split(), *scope.split()]))
