"""What a mirror answers to a request: a path -> a file of the store, a listing, or why not. Sends nothing."""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import field
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any

from selfhost.messages import text
from selfhost.mirror import hub_api, simple_index
from selfhost.mirror.catalogue import BRANCH
from selfhost.mirror.conditions import preferred
from selfhost.records import dataclass
from selfhost.weights.lock import LOCK_NAME
from selfhost.weights.places.sums import SUMS_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from selfhost.mirror.catalogue import Repository, ServedFile, Snapshot
    from selfhost.mirror.shelf import Shelf
    from selfhost.mirror.wheelhouse import Described, Wheelhouse

_TRUE = ("true", "1")
_PLAIN = "text/plain; charset=utf-8"
_MAX_PATHS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request, taken apart."""

    method: str
    segments: tuple[str, ...]
    """Of the path, decoded; the last is empty where the path ends in a slash."""
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str | None = None
    body: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """A file to send, open; the server closes it."""

    stream: IO[bytes]
    size: int
    etag: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What to send: `body`, or `content` with as much of it as was asked for."""

    status: int = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    content: Content | None = None


def _json(value: object, kind: str = "application/json", **headers: str) -> Answer:
    body = json.dumps(value, ensure_ascii=True).encode()
    return Answer(headers={"Content-Type": kind, **headers}, body=body)


def refuse(status: int, message: str, code: str | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Why not, as the hub's client reads it: it tells users what `X-Error-Message` says."""
    told = {"Content-Type": "application/json", "X-Error-Message": message, **(headers or {})}
    if code is not None:
        told["X-Error-Code"] = code
    return Answer(status=status, headers=told, body=json.dumps({"error": message}).encode())


def _nothing() -> Answer:
    return refuse(HTTPStatus.NOT_FOUND, text("mirror.no_path"), "EntryNotFound")


class Routes:
    """The answers of one mirror. Used by many threads."""

    def __init__(self, shelf: Shelf, wheelhouse: Wheelhouse) -> None:
        self._shelf, self._wheelhouse = shelf, wheelhouse

    def answer(self, asked: Asked) -> Answer:
        """The answer; never raises for what a client sends."""
        match asked.segments:
            case ("health",):
                return _json({"status": "ok", "models": self._shelf.catalogue().models})
            case ("",):
                return self._front()
            case ("api", "models"):
                return _json(hub_api.models(self._shelf.catalogue()))
            case ("api", "models", *rest):
                return self._api(rest, asked)
            case ("simple", *rest):
                return self._index(rest, asked)
            case rest:
                return self._file(list(rest))

    def _front(self) -> Answer:
        names = [repository.id for repository in self._shelf.catalogue().repositories.values()]
        lines = [text("mirror.front"), *(f"/{name}/" for name in names), "/simple/"]
        return Answer(headers={"Content-Type": _PLAIN}, body="".join(f"{line}\n" for line in lines).encode())

    # Models

    def _split(self, segments: list[str]) -> tuple[Repository | None, list[str]]:
        """The model that a path begins with, and the rest; an id has two parts, a few old ones have one."""
        catalogue = self._shelf.catalogue()
        for count in (2, 1):
            if len(segments) >= count and (found := catalogue.get("/".join(segments[:count]))):
                return found, segments[count:]
        return None, segments[2:]

    def _api(self, segments: list[str], asked: Asked) -> Answer:
        repository, rest = self._split(segments)
        if repository is None:
            return _no_model("/".join(segments[:2]))
        act: Callable[[Snapshot], Answer]
        match rest:
            case []:
                revision, act = BRANCH, lambda found: _info(found, asked)
            case ["refs"]:
                return _json(hub_api.refs(repository))
            case ["revision", revision]:
                act = lambda found: _info(found, asked)  # noqa: E731
            case ["tree", revision, *folder]:
                act = lambda found: _tree(found, "/".join(folder).strip("/"), asked)  # noqa: E731
            case ["paths-info", revision] if asked.method == "POST":
                act = lambda found: _paths_info(found, asked)  # noqa: E731
            case _:
                return _nothing()
        found = repository.find(revision)
        return act(found) if found else _no_revision(repository, revision)

    def _file(self, segments: list[str]) -> Answer:
        repository, rest = self._split(segments)
        if repository is None:
            return _no_model("/".join(segments[:2]))
        is_hub = len(rest) > 2 and rest[0] == "resolve"  # noqa: PLR2004 - resolve/<revision>/<path>
        revision, path = (rest[1], rest[2:]) if is_hub else (BRANCH, rest)
        if (found := repository.find(revision)) is None:
            return _no_revision(repository, revision)
        name = "/".join(path)
        if not is_hub and name in (LOCK_NAME, SUMS_NAME):
            return _list(found, name)
        if (served := found.files.get(name)) is None:
            headers = {"X-Repo-Commit": found.commit}
            message = text("mirror.no_file", name=found.id, path=name)
            return refuse(HTTPStatus.NOT_FOUND, message, "EntryNotFound", headers)
        return self._send(found, served)

    def _send(self, found: Snapshot, served: ServedFile) -> Answer:
        file = served.locked
        stream = self._shelf.open(served)
        if stream is None:
            name = f"{served.directory.parent.name}/{served.directory.name}"
            return refuse(HTTPStatus.INTERNAL_SERVER_ERROR, text("mirror.damaged", path=file.path, name=name))
        headers = {"X-Repo-Commit": found.commit, "X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.sha256}"'}
        return Answer(headers=headers, content=Content(stream=stream, size=file.size, etag=file.sha256))

    # Wheels

    def _index(self, segments: list[str], asked: Asked) -> Answer:
        match segments:
            case [] | [""]:
                names = self._wheelhouse.projects()
                return _page(asked, simple_index.projects_json(names), simple_index.projects_html(names))
            case [name] | [name, ""]:
                return self._project(name, asked)
            case [name, filename]:
                wanted = filename.removesuffix(".metadata")
                found = self._wheelhouse.project(simple_index.normal(name))
                one = next((one for one in found if one.distribution.filename == wanted), None)
                if one is None:
                    return _nothing()
                return _send_wheel(one) if wanted == filename else _send_metadata(one)
            case _:
                return _nothing()

    def _project(self, name: str, asked: Asked) -> Answer:
        normal = simple_index.normal(name)
        found = [one.distribution for one in self._wheelhouse.project(normal)]
        if not found:
            return _nothing()
        if asked.segments[1:] != (normal, ""):
            return Answer(status=HTTPStatus.MOVED_PERMANENTLY, headers={"Location": f"/simple/{normal}/"})
        return _page(asked, simple_index.project_json(normal, found), simple_index.project_html(normal, found))


def _no_model(name: str) -> Answer:
    return refuse(HTTPStatus.NOT_FOUND, text("mirror.no_model", name=name[:200]), "RepoNotFound")


def _no_revision(repository: Repository, revision: str) -> Answer:
    known = ", ".join(repository.revisions)
    message = text("mirror.no_revision", name=repository.id, revision=revision[:100], known=known)
    return refuse(HTTPStatus.NOT_FOUND, message, "RevisionNotFound")


def _info(found: Snapshot, asked: Asked) -> Answer:
    return _json(hub_api.info(found, blobs=asked.query.get("blobs", "").lower() in _TRUE))


def _tree(found: Snapshot, folder: str, asked: Asked) -> Answer:
    entries = hub_api.tree(found, folder, recursive=asked.query.get("recursive", "").lower() in _TRUE)
    if entries is None:
        return refuse(HTTPStatus.NOT_FOUND, text("mirror.no_file", name=found.id, path=folder), "EntryNotFound")
    return _json(entries)


def _paths_info(found: Snapshot, asked: Asked) -> Answer:
    try:
        if asked.body.lstrip().startswith(b"{"):
            paths: Any = json.loads(asked.body).get("paths", [])
        else:
            paths = urllib.parse.parse_qs(asked.body.decode(), max_num_fields=_MAX_PATHS).get("paths", [])
    except (ValueError, RecursionError):
        paths = None
    if not isinstance(paths, list):
        return refuse(HTTPStatus.BAD_REQUEST, text("mirror.bad_request"))
    return _json(hub_api.paths_info(found, [path for path in paths if isinstance(path, str)]))


def _list(found: Snapshot, name: str) -> Answer:
    if name == LOCK_NAME:
        return _json(found.lock.as_dict())
    lines = [f"{found.files[path].locked.sha256}  {path}\n" for path in sorted(found.files)]
    return Answer(headers={"Content-Type": _PLAIN}, body="".join(lines).encode(errors="surrogateescape"))


def _page(asked: Asked, as_json: Mapping[str, Any], as_html: str) -> Answer:
    kind = preferred(asked.accept, simple_index.TYPES if asked.accept else (simple_index.HTML_TYPE,))
    if kind is None:
        return refuse(HTTPStatus.NOT_ACCEPTABLE, text("mirror.not_acceptable", types=", ".join(simple_index.TYPES)))
    if kind == simple_index.JSON_TYPE:
        return _json(as_json, kind, Vary="Accept")
    headers = {"Content-Type": f"{kind}; charset=utf-8", "Vary": "Accept"}
    return Answer(headers=headers, body=as_html.encode())


def _send_wheel(one: Described) -> Answer:
    try:
        stream = one.path.open("rb", buffering=0)
    except OSError:
        return _nothing()
    wheel = one.distribution
    return Answer(content=Content(stream=stream, size=wheel.size, etag=wheel.sha256))


def _send_metadata(one: Described) -> Answer:
    if one.metadata is None:
        return _nothing()
    return Answer(headers={"Content-Type": _PLAIN}, body=one.metadata)
