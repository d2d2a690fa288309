"""What the API of the Hugging Face hub says of a model, as `huggingface_hub` 2.4 reads it.

Every file is said to be in LFS, the way the hub tells a sha256: clients check what they got by it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from selfhost.mirror.catalogue import BRANCH

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfhost.mirror.catalogue import Catalogue, Repository, Snapshot
    from selfhost.weights.lock import LockedFile


def models(catalogue: Catalogue) -> list[dict[str, Any]]:
    """`/api/models`: every id; `sha` is that of the state stored last."""
    return [
        {"_id": one.snapshots[-1].commit[:24], "id": one.id, "modelId": one.id, "sha": one.snapshots[-1].commit}
        for one in catalogue.repositories.values()
    ]


def info(snapshot: Snapshot, *, blobs: bool) -> dict[str, Any]:
    """`/api/models/<id>/revision/<revision>`."""
    siblings = [
        _sibling(served.locked) if blobs else {"rfilename": path} for path, served in sorted(snapshot.files.items())
    ]
    author = snapshot.id.partition("/")[0] if "/" in snapshot.id else None
    found: dict[str, Any] = {"_id": snapshot.commit[:24], "id": snapshot.id, "modelId": snapshot.id, "author": author}
    found |= {"sha": snapshot.commit, "private": False, "gated": False, "disabled": False}
    return found | {"downloads": 0, "likes": 0, "tags": [], "siblings": siblings}


def refs(repository: Repository) -> dict[str, Any]:
    """`/api/models/<id>/refs`: its branches."""
    main = repository.find(BRANCH)
    branches = [{"name": BRANCH, "ref": f"refs/heads/{BRANCH}", "targetCommit": main.commit}] if main else []
    return {"branches": branches, "converts": [], "tags": []}


def tree(snapshot: Snapshot, folder: str, *, recursive: bool) -> list[dict[str, Any]] | None:
    """`/api/models/<id>/tree/<revision>/<folder>`: files and folders below it; None when there is no such folder."""
    start = f"{folder}/" if folder else ""
    names = [path for path in (*_folders(snapshot), *sorted(snapshot.files)) if path.startswith(start)]
    if folder and not names:
        return None
    return [_entry(snapshot, path) for path in names if recursive or "/" not in path.removeprefix(start)]


def paths_info(snapshot: Snapshot, paths: Iterable[str]) -> list[dict[str, Any]]:
    """`/api/models/<id>/paths-info/<revision>`: of these paths, those that are there."""
    there = {*_folders(snapshot), *snapshot.files}
    return [_entry(snapshot, path) for path in paths if path in there]


def _folders(snapshot: Snapshot) -> list[str]:
    found: set[str] = set()
    for path in snapshot.files:
        parts = path.split("/")
        found.update("/".join(parts[:count]) for count in range(1, len(parts)))
    return sorted(found)


def _entry(snapshot: Snapshot, path: str) -> dict[str, Any]:
    if (served := snapshot.files.get(path)) is None:
        oid = hashlib.sha1(f"{snapshot.commit} {path}".encode(), usedforsecurity=False).hexdigest()
        return {"type": "directory", "oid": oid, "size": 0, "path": path}
    file = served.locked
    pointer = _pointer(file)
    lfs = {"oid": file.sha256, "size": file.size, "pointerSize": len(pointer)}
    return {"type": "file", "oid": _git_sha1(pointer), "size": file.size, "lfs": lfs, "path": path}


def _sibling(file: LockedFile) -> dict[str, Any]:
    pointer = _pointer(file)
    lfs = {"sha256": file.sha256, "size": file.size, "pointerSize": len(pointer)}
    return {"rfilename": file.path, "blobId": _git_sha1(pointer), "size": file.size, "lfs": lfs}


def _pointer(file: LockedFile) -> bytes:
    """What git has in the place of a file that is in LFS."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{file.sha256}\nsize {file.size}\n".encode()


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
