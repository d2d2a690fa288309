"""Which files of a listing to fetch: its configurations and its index are read first, then the names decide."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

from selfhost.errors import IncompleteError, IntegrityError, MissingError
from selfhost.records import dataclass
from selfhost.weights.places import ask, names
from selfhost.weights.places.folder import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from selfhost.weights.places.names import RemoteCode
    from selfhost.weights.remote import Listing, Place, RemoteFile

_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What to fetch."""

    files: tuple[RemoteFile, ...]
    """By path."""
    code: RemoteCode
    """Those of them that would be run, and what else the configurations name."""


def choose(
    place: Place | Folder,
    listing: Listing,
    *,
    name: str,
    listed: Collection[str] = (),
    sleep: Callable[[float], None] = time.sleep,
) -> Chosen:
    """What serving needs of a listing of this place; `listed` (by a recipe) is taken as it is.

    Raises what `names.needed` and `read_small` raise, and IntegrityError for a configuration that is no JSON object.
    """
    for file in listing.files:
        names.check_path(file.path, name)
    index_name = names.index_name({file.path for file in listing.files})
    index, configs = None, []
    for file in names.read_first(listing.files):
        body = _object(read_small(place, file, sleep), file.path, place.label)
        if file.path == index_name:
            index = body
        else:
            configs.append(body)
    files = names.needed(listing.files, name=name, index=index, configs=configs, listed=listed)
    return Chosen(files=files, code=names.remote_code(listing.files, configs))


def _object(data: bytes, path: str, label: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("model.config_not_json", path=f"{label}: {path}", detail=error) from error
    if not isinstance(found, dict):
        raise IntegrityError("model.config_not_object", path=f"{label}: {path}", found=type(found).__name__)
    return found


def read_small(place: Place | Folder, file: RemoteFile, sleep: Callable[[float], None] = time.sleep) -> bytes:
    """A file of some megabytes at most, whole and compared with what the listing says of it.

    Raises IntegrityError when it is another, MissingError when it is not given to us, IncompleteError when there is no
    answer.
    """
    data = _local(place, file) if isinstance(place, Folder) else _fetched(place, file, sleep)
    for what, wanted, found in (
        ("bytes", file.size, len(data)),
        ("sha256", file.sha256, hashlib.sha256(data).hexdigest()),
        # Git's own name of it, not a safeguard: those who could forge it could forge the listing.
        ("git's digest", file.git_sha1, hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()),  # noqa: S324
    ):
        if wanted not in (None, found):
            raise IntegrityError(
                "places.changed", path=file.path, label=place.label, what=what, wanted=wanted, found=found
            )
    return data


def _local(place: Folder, file: RemoteFile) -> bytes:
    path = place.local_path(file.path)
    if (size := path.stat().st_size) > ask.MAX_BODY_BYTES:
        raise IntegrityError("model.config_not_json", path=path, detail=f"{size:,} bytes")
    try:
        return path.read_bytes()
    except PermissionError as error:
        raise MissingError("model.not_readable", path=path, detail=error.strerror, directory=path.parent) from error


def _fetched(place: Place, file: RemoteFile, sleep: Callable[[float], None]) -> bytes:
    address = place.address(file.path)
    told = {"label": place.label, "path": file.path, "url": ask.shown_url(address.url)}
    try:
        answer = ask.ask_again(address.url, address.headers, sleep)
    except ask.UnreachableError as error:
        ask.raise_unreachable(place.label, address.url, error)
    if answer.status in (_UNAUTHORIZED, _FORBIDDEN):
        raise MissingError("places.not_given", **told, status=answer.status)
    if answer.status != _OK:
        raise IncompleteError("places.not_given", **told, status=answer.status)
    return answer.body
