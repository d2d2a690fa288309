"""The Hugging Face hub, or a server that speaks like it (`HF_ENDPOINT`), by the hub's own client."""

from __future__ import annotations

import os
import re
import threading
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, NoReturn

from selfhost import __version__, offline
from selfhost.errors import IncompleteError, IntegrityError, MissingError, SelfhostError, TrustError, UsageError
from selfhost.weights import certificates
from selfhost.weights.lock import Origin
from selfhost.weights.places import ask
from selfhost.weights.remote import Address, Listing, RemoteFile, checked

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_ENDPOINT = "https://huggingface.co"
ENDPOINT_VARIABLE = "HF_ENDPOINT"
KIND = "huggingface"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_NO_TOKEN_VARIABLE = "HF_HUB_DISABLE_IMPLICIT_TOKEN"  # noqa: S105 - the name of a variable
_TRUE = frozenset({"1", "on", "yes", "true"})
_ATTEMPTS = 3
_ID = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?")
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_GATED = "GatedRepo"


def endpoint_in_force() -> str:
    """`HF_ENDPOINT`, else the hub itself."""
    value = os.environ.get(ENDPOINT_VARIABLE, "").strip()
    return ask.endpoint(value or DEFAULT_ENDPOINT, ENDPOINT_VARIABLE)


class Hub:
    """A model at the hub. `token` is for tests; left out, the hub's own client finds it as it always does."""

    def __init__(self, model: str, revision: str | None, endpoint: str | None = None, token: str | None = None) -> None:
        """Nothing is asked yet. Raises UsageError for an endpoint that is no address or an id that is none."""
        if not _ID.fullmatch(model):
            raise UsageError("places.bad_id", name=model)
        whole = endpoint_in_force() if endpoint is None else ask.endpoint(endpoint, "endpoint")
        self.endpoint, self._credentials = ask.split_credentials(whole)
        self._id, self._revision, self._given_token = model, revision, token
        self._commit: str | None = None
        self._prepared, self._preparing = False, threading.Lock()

    @property
    def label(self) -> str:
        """`Hugging Face`, with the address when it is another server."""
        return "Hugging Face" if self.endpoint == DEFAULT_ENDPOINT else f"Hugging Face at {self.endpoint}"

    def listing(self, sleep: Callable[[float], None] = time.sleep) -> Listing:
        """The files at the commit that the revision is now; all addresses given later are of that commit.

        Raises UsageError for no such model or revision, TrustError for a licence that was not accepted, MissingError
        for a token that is wanted or refused, IncompleteError when there is no answer.
        """
        self.check_allowed()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                info = self._ask()
                break
            except Exception as error:  # noqa: BLE001 - the client's are of many kinds
                wait = _wait_s(error, attempt)
                if attempt == _ATTEMPTS or wait is None:
                    self._explain(error)
                sleep(wait)
        files = tuple(_remote_file(sibling) for sibling in info.siblings or ())
        if not info.sha or not files:
            raise IntegrityError("places.empty_listing", label=self.label, name=self._id)
        if _COMMIT.fullmatch(self._revision or "") and info.sha != self._revision:
            raise IntegrityError(
                "places.other_commit", label=self.label, name=self._id, wanted=self._revision, found=info.sha
            )
        listing = checked(Listing(origin=Origin(kind=KIND, id=self._id, revision=info.sha), files=files), self.label)
        self._commit = info.sha
        if info.gated:
            self._check_gate(files[0].path)
        return listing

    def _check_gate(self, path: str) -> None:
        """Everybody may list a gated model: whether its files are given too is told by one of them."""
        address = self.address(path)
        try:
            answer = ask.ask(address.url, method="HEAD", headers=address.headers)
        except ask.UnreachableError:
            return  # of no interest before the download, which tells it again
        if answer.headers.get("x-error-code") == _GATED:
            raise TrustError("places.gated", label=self.label, name=self._id, url=f"{self.endpoint}/{self._id}")

    def address(self, path: str) -> Address:
        """Where a file is, at the commit of the listing."""
        self.check_allowed()
        revision = urllib.parse.quote(self._commit or self._revision or "main", safe="")
        headers = {"User-Agent": ask.USER_AGENT, **self._credentials}
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        url = f"{self.endpoint}/{self._id}/resolve/{revision}/{urllib.parse.quote(path)}"
        return Address(url=url, headers=headers)

    def check_allowed(self) -> None:
        """Raises IncompleteError when offline. The hub's own switches count too, not for a hub on this machine."""
        offline.check_allowed(self.endpoint)
        for name in _OFFLINE_VARIABLES:
            if _is_true(name) and not offline.is_loopback(self.endpoint):
                raise IncompleteError("places.hub_offline", variable=name, label=self.label)

    def _token(self) -> str | None:
        if self._given_token is not None:
            return self._given_token or None
        if self._credentials or _is_true(_NO_TOKEN_VARIABLE):
            return None
        self._connect_by_the_rules()
        from huggingface_hub import get_token

        try:
            return get_token()
        except Exception as error:
            # Its text may quote the token: only the kind of failure is told.
            raise MissingError("places.token_unread", detail=type(error).__name__) from error

    def _ask(self) -> Any:
        self._connect_by_the_rules(anew=True)
        from huggingface_hub import HfApi, close_session

        api = HfApi(
            endpoint=self.endpoint,
            token=self._token() or False,
            library_name="selfhost",
            library_version=__version__,
            headers=self._credentials or None,
        )
        try:
            return api.model_info(self._id, revision=self._revision, files_metadata=True, timeout=ask.TIMEOUT_S)
        finally:
            close_session()

    def _connect_by_the_rules(self, *, anew: bool = False) -> None:
        """Give the client, which has one kind of connections for the process, those of this place.

        Its own ones know neither REQUESTS_CA_BUNDLE nor a hub on this machine while HF_HUB_OFFLINE is set.
        """
        with self._preparing:
            if anew or not self._prepared:
                self._set_connections()
                self._prepared = True

    def _set_connections(self) -> None:
        import httpx2
        from huggingface_hub import constants, set_client_factory

        on_this_machine = offline.is_loopback(self.endpoint)

        def check(request: Any) -> None:
            offline.check_allowed(str(request.url))
            ask.check_downgrade(self.endpoint, str(request.url))

        def connect() -> httpx2.Client:
            return httpx2.Client(
                event_hooks={"request": [check]},
                follow_redirects=True,
                timeout=ask.TIMEOUT_S,
                trust_env=not on_this_machine,
                verify=certificates.context(),
            )

        # Else it looks up which program runs it, at the hub itself whatever the endpoint, to tell the server.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        set_client_factory(connect)

    # Errors

    def _explain(self, error: Exception) -> NoReturn:
        from huggingface_hub import errors

        if isinstance(error, SelfhostError):
            raise error
        named = {"label": self.label, "name": self._id}
        if isinstance(error, errors.GatedRepoError):
            raise TrustError("places.gated", **named, url=f"{self.endpoint}/{self._id}") from error
        if isinstance(error, errors.RevisionNotFoundError):
            raise UsageError("places.unknown_revision", **named, revision=self._revision or "main") from error
        if isinstance(error, errors.HFValidationError):
            raise UsageError("places.bad_id", name=self._id) from error
        if isinstance(error, errors.HfHubHTTPError):
            self._explain_status(error)
        if isinstance(error, ValueError):
            # An answer that is no JSON: a login page of a hotel or of a proxy.
            raise IncompleteError("places.not_json", **named, url=self.endpoint) from error
        ask.raise_unreachable(self.label, self.endpoint, ask.unreachable(error))

    def _explain_status(self, error: Any) -> NoReturn:
        from huggingface_hub import errors

        status, named = error.response.status_code, {"label": self.label, "name": self._id}
        if isinstance(error, errors.RepositoryNotFoundError) or status == _NOT_FOUND:
            # The hub says 401 for models that do not exist, unless it knows who asks.
            raise UsageError("places.unknown_model", **named, url=self.endpoint) from error
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            message = "places.token_refused" if self._token() else "places.token_wanted"
            raise MissingError(message, **named, status=status, variable="HF_TOKEN") from error
        raise IncompleteError("places.bad_answer", **named, url=self.endpoint, status=status) from error


def _remote_file(sibling: Any) -> RemoteFile:
    """With LFS the digest is of the content; without, git's, and `blob_id` of an LFS file is that of its pointer."""
    lfs = sibling.lfs
    if lfs is not None:
        return RemoteFile(path=sibling.rfilename, size=lfs.size, sha256=lfs.sha256.lower())
    return RemoteFile(path=sibling.rfilename, size=sibling.size, git_sha1=sibling.blob_id)


def _is_true(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in _TRUE


def _wait_s(error: Exception, attempt: int) -> float | None:
    """How long to wait before asking again; None when the answer will not change."""
    response = getattr(error, "response", None)
    if response is not None:
        if response.status_code not in ask.PASSING:
            return None
        asked_s = ask.asked_wait_s(response.headers.get("retry-after"))
        return float(attempt) if asked_s is None else asked_s
    found = ask.unreachable(error)
    found.__cause__ = error
    connection = any(one.__module__.startswith(("httpx2", "httpcore2")) for one in type(error).__mro__)
    return float(attempt) if connection and ask.may_pass(found) else None
