"""ModelScope, by its API as modelscope-hub 0.5.1 uses it (`_legacy_api.py`)."""

from __future__ import annotations

import hashlib
import os
import re
import time
import urllib.parse
from typing import TYPE_CHECKING, Any, NoReturn

from selfhost import offline
from selfhost.errors import IncompleteError, IntegrityError, MissingError, UsageError
from selfhost.weights.lock import Origin
from selfhost.weights.places import ask
from selfhost.weights.remote import Address, Listing, RemoteFile, checked

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_ENDPOINT = "https://modelscope.cn"
ENDPOINT_VARIABLE = "MODELSCOPE_ENDPOINT"
DOMAIN_VARIABLE = "MODELSCOPE_DOMAIN"
TOKEN_VARIABLE = "MODELSCOPE_API_TOKEN"  # noqa: S105 - the name of a variable
KIND = "modelscope"
DEFAULT_REVISION = "master"
PAGE_FILES = 3000
"""At most that many are listed in one answer, and no more is said; larger trees are asked folder by folder."""
_MAX_FOLDERS = 500
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OF_NOTHING = hashlib.sha256(b"").hexdigest()
_ID = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


def endpoint_in_force() -> str:
    """`MODELSCOPE_ENDPOINT`, else `MODELSCOPE_DOMAIN` (a bare host), else ModelScope itself."""
    for variable in (ENDPOINT_VARIABLE, DOMAIN_VARIABLE):
        if value := os.environ.get(variable, "").strip():
            with_scheme = value if "://" in value else f"https://{value}"
            return ask.endpoint(with_scheme, variable)
    return DEFAULT_ENDPOINT


class ModelScope:
    """A model at ModelScope.

    The revision of a listing is a commit where the API tells one: it names the latest commit by its first digits, and
    in full with the files that it changed. Where that gives none the revision is None: a branch may move any time.
    """

    def __init__(self, model: str, revision: str | None, endpoint: str | None = None) -> None:
        """Nothing is asked yet. Raises UsageError for an endpoint that is no address or an id that is none."""
        if not _ID.fullmatch(model):
            raise UsageError("places.bad_id", name=model)
        whole = endpoint_in_force() if endpoint is None else ask.endpoint(endpoint, "endpoint")
        self.endpoint, self._credentials = ask.split_credentials(whole)
        self._id, self._revision = model, revision or DEFAULT_REVISION
        self._commit: str | None = None

    @property
    def label(self) -> str:
        """`ModelScope`, with the address when it is another server."""
        return "ModelScope" if self.endpoint == DEFAULT_ENDPOINT else f"ModelScope at {self.endpoint}"

    def listing(self, sleep: Callable[[float], None] = time.sleep) -> Listing:
        """All files of the revision.

        Raises UsageError for no such model or revision, MissingError for a token that is wanted or refused,
        IncompleteError when there is no answer.
        """
        data = self._page("", sleep, recursive=True)
        entries = _entries(data)
        if not entries:
            # An unknown revision is an answer like any other, with `Files: null`.
            raise UsageError("places.unknown_revision", label=self.label, name=self._id, revision=self._revision)
        if len(entries) >= PAGE_FILES:
            entries = self._walk(sleep)
        blobs = {str(entry["Path"]): entry for entry in entries if entry.get("Type") != "tree"}
        self._commit = _commit(data, list(blobs.values()), self._revision)
        files = tuple(_remote_file(entry) for _, entry in sorted(blobs.items()))
        if not files:
            raise IntegrityError("places.empty_listing", label=self.label, name=self._id)
        return checked(Listing(origin=Origin(kind=KIND, id=self._id, revision=self._commit), files=files), self.label)

    def address(self, path: str) -> Address:
        """Where a file is, at the commit of the listing where there is one."""
        offline.check_allowed(self.endpoint)
        query = urllib.parse.urlencode({"Revision": self._commit or self._revision, "FilePath": path})
        headers = {"User-Agent": ask.USER_AGENT, **self._headers()}
        return Address(url=f"{self.endpoint}/api/v1/models/{self._id}/repo?{query}", headers=headers)

    def _headers(self) -> dict[str, str]:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        # Older parts of the API know the cookie only: its own client sends both.
        return {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"} if token else self._credentials

    def _walk(self, sleep: Callable[[float], None]) -> list[dict[str, Any]]:
        """All entries, one folder at a time."""
        found: list[dict[str, Any]] = []
        folders = [""]
        for number, folder in enumerate(folders):
            page = _entries(self._page(folder, sleep, recursive=False))
            if len(page) >= PAGE_FILES or number >= _MAX_FOLDERS:
                raise IncompleteError("places.too_many", label=self.label, name=self._id, folder=folder or "/")
            found += page
            folders += [str(entry["Path"]) for entry in page if entry.get("Type") == "tree"]
        return found

    def _page(self, root: str, sleep: Callable[[float], None], *, recursive: bool) -> dict[str, Any]:
        asked = {"Revision": self._revision, "Recursive": str(recursive)} | ({"Root": root} if root else {})
        url = f"{self.endpoint}/api/v1/models/{self._id}/repo/files?{urllib.parse.urlencode(asked)}"
        try:
            answer = ask.ask_again(url, self._headers(), sleep)
        except ask.UnreachableError as error:
            ask.raise_unreachable(self.label, self.endpoint, error)
        if answer.status != _OK:
            self._explain(answer)
        body = answer.json()
        data = body.get("Data") if isinstance(body, dict) else None
        if not isinstance(data, dict):
            raise IncompleteError("places.not_json", label=self.label, name=self._id, url=self.endpoint)
        return data

    def _explain(self, answer: ask.Answer) -> NoReturn:
        named = {"label": self.label, "name": self._id}
        if answer.status == _NOT_FOUND:
            raise UsageError("places.unknown_model", **named, url=self.endpoint)
        if answer.status in (_UNAUTHORIZED, _FORBIDDEN):
            message = "places.token_refused" if "Authorization" in self._headers() else "places.token_wanted"
            raise MissingError(message, **named, status=answer.status, variable=TOKEN_VARIABLE)
        raise IncompleteError("places.bad_answer", **named, url=self.endpoint, status=answer.status)


def _entries(data: dict[str, Any]) -> list[dict[str, Any]]:
    files = data.get("Files")
    if not isinstance(files, list):
        return []
    return [entry for entry in files if isinstance(entry, dict) and isinstance(entry.get("Path"), str)]


def _remote_file(entry: dict[str, Any]) -> RemoteFile:
    """What it says of a file; a digest that is empty, of another form, or of no bytes for a file with some, is none.

    Both were seen, and the client compared whole downloads with them (modelscope#1382).
    """
    size, digest = entry.get("Size"), str(entry.get("Sha256") or "").lower()
    known = _SHA256.fullmatch(digest) is not None and (digest != _OF_NOTHING or size == 0)
    return RemoteFile(
        path=entry["Path"],
        size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
        sha256=digest if known else None,
    )


def _commit(data: dict[str, Any], blobs: list[dict[str, Any]], revision: str) -> str | None:
    latest = data.get("LatestCommitter")
    latest = latest if isinstance(latest, dict) else {}
    if isinstance(full := latest.get("Id"), str) and full:
        return full
    revisions = {str(blob["Revision"]) for blob in blobs if blob.get("Revision")}
    if isinstance(short := latest.get("ShortId"), str) and short:
        matching = {one for one in revisions if one.startswith(short)}
        if len(matching) == 1:
            return matching.pop()
    # Asked for by its full name, it is what was answered.
    return revision if re.fullmatch(r"[0-9a-f]{40}", revision) else None
