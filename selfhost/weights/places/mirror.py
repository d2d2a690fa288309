"""A mirror: any server of files that has, beside the files of a model, a list of them with digests.

The list is a lock (`selfhost-model.json`, as lies in every model directory here) or `SHA256SUMS`. It is looked for in
`<address>/<org>/<name>/`, then at the address itself.
"""

from __future__ import annotations

import json
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NoReturn

from selfhost import offline
from selfhost.errors import IncompleteError, IntegrityError, MissingError
from selfhost.weights.lock import LOCK_NAME, ModelLock, Origin, lock_from_dict
from selfhost.weights.places import ask
from selfhost.weights.places.sums import SUMS_NAME, parse_sums
from selfhost.weights.remote import Address, Listing, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KIND = "mirror"
_AT_ONCE = 8
_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
_ABSENT = frozenset({404, 410})


class Mirror:
    """A model on a server of files; `user:password@` in the address is sent as such servers want it."""

    def __init__(self, base_url: str, model: str | None = None) -> None:
        """Nothing is asked yet. Raises UsageError for an address that is none."""
        self._base, self._credentials = ask.split_credentials(ask.endpoint(base_url, "address of the mirror"))
        self._id = model
        self._folder: str | None = None

    @property
    def label(self) -> str:
        """`mirror http://10.0.0.5:8080`."""
        return f"mirror {ask.shown_url(self._base)}"

    def listing(self, sleep: Callable[[float], None] = time.sleep) -> Listing:
        """The files of the list, with sizes as the lock or the server tells them.

        Raises MissingError when there is no list or a password is wanted, IntegrityError for a list that is none,
        IncompleteError when there is no answer.
        """
        for folder in self._folders():
            for name, read in ((LOCK_NAME, self._from_lock), (SUMS_NAME, self._from_sums)):
                if (body := self._get(f"{folder}/{name}", sleep)) is not None:
                    self._folder = folder
                    return read(body, folder)
        looked = "\n".join(f"{ask.shown_url(folder)}/{SUMS_NAME}" for folder in self._folders())
        raise MissingError("places.no_list", label=self.label, looked=looked)

    def address(self, path: str) -> Address:
        """Where a file is."""
        offline.check_allowed(self._base)
        folder = self._folder or next(self._folders())
        return Address(
            url=f"{folder}/{urllib.parse.quote(path)}", headers={"User-Agent": ask.USER_AGENT, **self._credentials}
        )

    def _folders(self) -> Iterator[str]:
        if self._id is not None:
            yield f"{self._base}/{urllib.parse.quote(self._id)}"
        yield self._base

    def _origin(self, folder: str, revision: str | None) -> Origin:
        return Origin(kind=KIND, id=ask.shown_url(folder), revision=revision)

    def _from_lock(self, body: bytes, folder: str) -> Listing:
        lock = read_lock(body, f"{ask.shown_url(folder)}/{LOCK_NAME}")
        return Listing(origin=self._origin(folder, lock.source.revision), files=locked_files(lock))

    def _from_sums(self, body: bytes, folder: str) -> Listing:
        sums = read_sums(body, f"{ask.shown_url(folder)}/{SUMS_NAME}")
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            sizes = list(threads.map(self._size, sums))
        files = tuple(
            RemoteFile(path=path, size=size, sha256=sums[path]) for path, size in zip(sums, sizes, strict=True)
        )
        return Listing(origin=self._origin(folder, None), files=files)

    def _size(self, path: str) -> int | None:
        """Bytes of a file; None when the server does not say, or packs what it sends."""
        address = self.address(path)
        try:
            answer = ask.ask(address.url, method="HEAD", headers=address.headers)
        except ask.UnreachableError:
            return None
        length = answer.headers.get("content-length", "")
        packed = answer.headers.get("content-encoding", "identity") != "identity"
        return int(length) if answer.status == _OK and length.isdecimal() and not packed else None

    def _get(self, url: str, sleep: Callable[[float], None]) -> bytes | None:
        """The body; None when there is nothing under that name."""
        try:
            answer = ask.ask_again(url, self._credentials, sleep)
        except ask.UnreachableError as error:
            ask.raise_unreachable(self.label, self._base, error)
        if answer.status in _ABSENT:
            return None
        if answer.status != _OK:
            self._explain(answer.status)
        return answer.body

    def _explain(self, status: int) -> NoReturn:
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            raise MissingError("places.mirror_refuses", label=self.label, status=status)
        raise IncompleteError(
            "places.bad_answer",
            label=self.label,
            name=self._id or self.label,
            url=ask.shown_url(self._base),
            status=status,
        )


# Lists, which directories have too


def read_lock(body: bytes, where: str) -> ModelLock:
    """The lock in a file. Raises IntegrityError when it is none."""
    try:
        found = json.loads(body)
        if not isinstance(found, dict):
            raise ValueError(type(found).__name__)  # noqa: TRY004, TRY301 - told like the other ways to be no lock
        return lock_from_dict(found)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("places.bad_list", path=where, detail=error) from error


def locked_files(lock: ModelLock) -> tuple[RemoteFile, ...]:
    """What a lock promises."""
    return tuple(RemoteFile(path=file.path, size=file.size, sha256=file.sha256) for file in lock.files)


def read_sums(body: bytes, where: str) -> dict[str, str]:
    """The digests in a SHA256SUMS. Raises IntegrityError when it is none or names nothing."""
    try:
        found = parse_sums(body.decode())
    except ValueError as error:  # UnicodeDecodeError is one
        raise IntegrityError("places.bad_list", path=where, detail=error) from error
    if not found:
        raise IntegrityError("places.bad_list", path=where, detail="it names no file")
    return found
