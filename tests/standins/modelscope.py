"""ModelScope's API as its client `modelscope` 1.40 needs it: revisions, file lists with digests, files.

Files outside LFS ignore ranges there, as the client's source says; the others come from an object store (`signed`) or
with ranges. What it answers for what is not there is not documented: 404 with a code and a message.
`python -m tests.standins.modelscope --root DIR` runs it alone.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tests.standins.command import main
from tests.standins.sending import Content
from tests.standins.serving import Server
from tests.standins.signed import Signed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.standins.exchange import Exchange
    from tests.standins.tree import File, Snapshot

CREATED_AT = 1_735_689_600
DIGESTS = {"right": None, "none": "", "of_nothing": hashlib.sha256(b"").hexdigest()}


class ModelScope(Server):
    """See the module. `digests`: `right`, `none` (empty strings), or `of_nothing` (those of no bytes, as was seen)."""

    branch = "master"

    def __init__(self, root: Path, token: str | None = None, *, digests: str = "right", **options) -> None:
        super().__init__(root, token=token, **options)
        self.digest = DIGESTS[digests]
        self._signed = Signed(self)

    def answer(self, exchange: Exchange) -> None:
        if exchange.record.listener == "cdn":
            self._signed.answer(exchange)
            return
        match exchange.segments:
            case ["api", "v1", "models", org, name, *rest] if rest in ([], ["revisions"], ["repo", "files"], ["repo"]):
                model = f"{org}/{name}"
                if rest == ["repo"]:
                    self._file(exchange, model)
                elif not exchange.spoiled():
                    self._about(exchange, model, "/".join(rest))
            case ["api", "v1", "repos", "internalAccelerationInfo"]:
                exchange.json({"Code": 200, "Data": {}, "Success": True})
            case _:
                if not exchange.spoiled():
                    _refuse(exchange, 404, "page not found")

    def _allowed(self, exchange: Exchange, model: str) -> bool:
        """Whether it is there and for this client; the answer is given if not."""
        session = exchange.record.headers.get("cookie", "")
        token = self.options.token
        if token is not None and exchange.bearer != token and f"m_session_id={token}" not in session.split("; "):
            _refuse(exchange, 401, "unauthorized")
        elif not self.models.has(model):
            _refuse(exchange, 404, f"{model} not found")
        else:
            return True
        return False

    def _about(self, exchange: Exchange, model: str, what: str) -> None:
        if not self._allowed(exchange, model):
            return
        if what == "repo/files":
            self._list(exchange, model)
            return
        first, *others = ({"Revision": name, "CreatedAt": CREATED_AT} for name in self.models.names(model))
        data: dict[str, Any] = {"RevisionMap": {"Branches": [first], "Tags": others}}
        if not what:
            org, _, name = model.partition("/")
            data = {"Path": org, "Name": name, "Revision": self.branch, "Visibility": 5, "Private": False}
        exchange.json({"Code": 200, "Data": data, "Message": "success", "Success": True})

    def _list(self, exchange: Exchange, model: str) -> None:
        if (snapshot := self._snapshot(exchange, model)) is None:
            return
        start = f"{root}/" if (root := exchange.query.get("Root", "").strip("/")) else ""
        recursive = exchange.query.get("Recursive", "").lower() == "true"
        entries = [self._entry(snapshot, path, None) for path in snapshot.folders]
        entries += [self._entry(snapshot, path, file) for path, file in snapshot.files.items()]
        under = [entry for entry in entries if entry["Path"].startswith(start)]
        found = [entry for entry in under if recursive or "/" not in entry["Path"].removeprefix(start)]
        data = {"Files": found, "LatestCommitter": {"Id": snapshot.commit, "CommittedDate": CREATED_AT}}
        exchange.json({"Code": 200, "Data": data, "Message": "success", "Success": True})

    def _entry(self, snapshot: Snapshot, path: str, file: File | None) -> dict[str, Any]:
        entry = {"Path": path, "Name": path.rpartition("/")[2], "Revision": snapshot.commit, "Id": snapshot.commit}
        if file is None:
            return entry | {"Type": "tree", "Size": 0, "Sha256": "", "IsLFS": False, "Mode": "040000"}
        sha256 = file.sha256 if self.digest is None else self.digest
        return entry | {"Type": "blob", "Size": file.size, "Sha256": sha256, "IsLFS": file.lfs, "Mode": "100644"}

    def _snapshot(self, exchange: Exchange, model: str) -> Snapshot | None:
        revision = exchange.query.get("Revision", self.branch)
        snapshot = self.models.find(model, revision)
        if snapshot is None:
            _refuse(exchange, 404, f"revision {revision} not found")
        return snapshot

    def _file(self, exchange: Exchange, model: str) -> None:
        if not self._allowed(exchange, model) or (snapshot := self._snapshot(exchange, model)) is None:
            return
        file = snapshot.files.get(exchange.query.get("FilePath", ""))
        if file is None:
            _refuse(exchange, 404, "file not found")
        elif not (file.lfs and self.options.signed):
            exchange.file(file.path, Content(file.size, file.etag, file.local), ranges=file.lfs)
        elif not exchange.spoiled():
            exchange.redirect(self._signed.url(model, file))


def _refuse(exchange: Exchange, status: int, message: str) -> None:
    exchange.json(
        {"Code": 10_010_000_000 + status, "Message": message, "RequestId": "standin", "Success": False}, status
    )


def file_url(base: str, model: str, revision: str, path: str) -> str:
    """Where ModelScope has a file."""
    return f"{base}/api/v1/models/{model}/repo?Revision={quote(revision, safe='')}&FilePath={quote(path, safe='')}"


if __name__ == "__main__":
    main(ModelScope)
