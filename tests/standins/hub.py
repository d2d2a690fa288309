"""The Hugging Face hub as its client `huggingface_hub` 2.4 needs it: model info, trees, files by revision.

    with Hub(root, token="secret", signed=True) as hub:
        HfApi(endpoint=hub.url, token="secret").model_info("org/name", files_metadata=True)

It says nothing of Xet, so that the client takes plain HTTP. `python -m tests.standins.hub --root DIR` runs it alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from tests.standins.command import main
from tests.standins.sending import Content
from tests.standins.serving import Server
from tests.standins.signed import Signed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.standins.exchange import Exchange
    from tests.standins.tree import File, Snapshot

DATE = "2025-01-01T00:00:00.000Z"


class Hub(Server):
    """See the module. `gated` names models whose files need the token while everybody may list them.

    With `token`, all models are private. A token that is not the right one is an unknown account for private models and
    an account without access for gated ones.
    """

    def __init__(self, root: Path, token: str | None = None, *, gated=(), page_size: int = 1000, **options) -> None:
        super().__init__(root, token=token, **options)
        self.gated, self.page_size = frozenset(gated), page_size
        self._signed = Signed(self)

    def answer(self, exchange: Exchange) -> None:
        if exchange.record.listener == "cdn":
            self._signed.answer(exchange)
            return
        match exchange.segments:
            case ["api", "models", org, name]:
                self._info(exchange, f"{org}/{name}", self.branch)
            case ["api", "models", org, name, "revision", revision]:
                self._info(exchange, f"{org}/{name}", revision)
            case ["api", "models", org, name, "tree", revision, *folder]:
                self._tree(exchange, f"{org}/{name}", revision, "/".join(folder))
            case [org, name, "resolve", revision, *path]:
                self._resolve(exchange, f"{org}/{name}", revision, "/".join(path))
            case _:
                if not exchange.spoiled():
                    _refuse(exchange, 404, None, "Sorry, we can't find the page you are looking for.")

    def _snapshot(self, exchange: Exchange, model: str, revision: str) -> Snapshot | None:
        """What was asked for; None when the answer is given: it is not there, or not for this client."""
        token = self.options.token
        if token is not None and exchange.bearer not in (None, token):
            _refuse(exchange, 401, None, "Invalid credentials in Authorization header")
        elif token is not None and exchange.bearer is None:
            _refuse(exchange, 401, "RepoNotFound", "Invalid username or password.")
        elif not self.models.has(model):
            # The hub does not tell strangers whether a model is private or absent.
            status, message = (
                (404, "Repository not found") if exchange.bearer else (401, "Invalid username or password.")
            )
            _refuse(exchange, status, "RepoNotFound", message)
        elif (snapshot := self.models.find(model, revision)) is None:
            _refuse(exchange, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return snapshot
        return None

    def _info(self, exchange: Exchange, model: str, revision: str) -> None:
        if exchange.spoiled() or (snapshot := self._snapshot(exchange, model, revision)) is None:
            return
        blobs = exchange.query.get("blobs", "").lower() in ("true", "1")
        siblings = [_sibling(file) if blobs else {"rfilename": path} for path, file in snapshot.files.items()]
        data = {"_id": snapshot.commit[:24], "id": model, "modelId": model, "author": model.partition("/")[0]}
        data |= {"sha": snapshot.commit, "lastModified": DATE, "createdAt": DATE, "disabled": False, "downloads": 0}
        data |= {"private": self.options.token is not None, "gated": "manual" if model in self.gated else False}
        exchange.json(data | {"likes": 0, "tags": [], "siblings": siblings})

    def _tree(self, exchange: Exchange, model: str, revision: str, folder: str) -> None:
        if exchange.spoiled() or (snapshot := self._snapshot(exchange, model, revision)) is None:
            return
        entries = _entries(snapshot, folder, recursive=exchange.query.get("recursive", "").lower() == "true")
        if folder and not entries:
            _refuse(exchange, 404, "EntryNotFound", f"{folder} does not exist on {revision!r}")
            return
        begin = int(exchange.query.get("cursor", "0"))
        end = begin + self.page_size
        headers = {}
        if end < len(entries):
            following = urlencode({**exchange.query, "cursor": str(end)})
            headers["Link"] = f'<{self.url}{exchange.url_path}?{following}>; rel="next"'
        exchange.json(entries[begin:end], headers=headers)

    def _resolve(self, exchange: Exchange, model: str, revision: str, path: str) -> None:
        if (snapshot := self._snapshot(exchange, model, revision)) is None:
            return
        if model in self.gated and (exchange.bearer is None or exchange.bearer != self.options.token):
            status = 401 if exchange.bearer is None else 403
            _refuse(exchange, status, "GatedRepo", f"Access to model {model} is restricted.")
            return
        headers = {"X-Repo-Commit": snapshot.commit}
        file = snapshot.files.get(path)
        if file is None:
            _refuse(exchange, 404, "EntryNotFound", "Entry not found", headers)
            return
        headers |= {"X-Linked-Size": str(file.size), "X-Linked-Etag": f'"{file.etag}"'}
        if not (file.lfs and self.options.signed):
            exchange.file(path, Content(file.size, file.etag, file.local), headers)
        elif not exchange.spoiled():
            exchange.redirect(self._signed.url(model, file), headers)


def _refuse(exchange: Exchange, status: int, code: str | None, message: str, headers=None) -> None:
    codes = {"X-Error-Code": code} if code else {}
    exchange.json({"error": message}, status, {"X-Error-Message": message, **codes, **(headers or {})})


def _sibling(file: File) -> dict[str, Any]:
    found: dict[str, Any] = {"rfilename": file.path, "blobId": file.blob, "size": file.size}
    if file.lfs:
        found["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
    return found


def _entries(snapshot: Snapshot, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    start = f"{folder}/" if folder else ""
    found = [{"type": "directory", "oid": snapshot.commit, "size": 0, "path": path} for path in snapshot.folders]
    for path, file in snapshot.files.items():
        entry: dict[str, Any] = {"type": "file", "oid": file.blob, "size": file.size, "path": path}
        if file.lfs:
            entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": len(file.pointer)}
        found.append(entry)
    under = [entry for entry in found if entry["path"].startswith(start)]
    return [entry for entry in under if recursive or "/" not in entry["path"].removeprefix(start)]


def resolve_url(base: str, model: str, revision: str, path: str) -> str:
    """Where a hub has a file."""
    return f"{base}/{model}/resolve/{quote(revision, safe='')}/{quote(path)}"


if __name__ == "__main__":
    main(Hub)
