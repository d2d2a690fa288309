"""The models a server has: `<root>/<org>/<name>/...`, each directory one commit whose name follows from its content."""

from __future__ import annotations

import functools
import hashlib
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LFS_SUFFIXES = (".safetensors", ".bin", ".model", ".gguf", ".pt", ".pth", ".onnx", ".h5", ".msgpack")
LFS_BYTES = 10 << 20
"""The hub takes nothing larger outside LFS."""
LFS_TOKENIZER_BYTES = 1 << 20


_reading = threading.Lock()


@dataclass(frozen=True)
class File:
    """One file of a model."""

    path: str
    local: Path
    size: int
    mtime_ns: int
    inode: int

    @property
    def sha256(self) -> str:
        return self._digest("sha256", b"")

    @property
    def git_sha1(self) -> str:
        return self._digest("sha1", b"blob %d\0" % self.size)

    def _digest(self, kind: str, start: bytes) -> str:
        # One reader at a time: the others find what it found.
        with _reading:
            return _digest(kind, start, self.local, (self.size, self.mtime_ns, self.inode))

    @property
    def lfs(self) -> bool:
        if self.path.endswith("tokenizer.json") and self.size > LFS_TOKENIZER_BYTES:
            return True
        return self.path.endswith(LFS_SUFFIXES) or self.size > LFS_BYTES

    @property
    def pointer(self) -> bytes:
        """What git holds in the place of a file under LFS."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @property
    def blob(self) -> str:
        """The name of git's blob: of the pointer, for a file under LFS."""
        return git_sha1(self.pointer) if self.lfs else self.git_sha1

    @property
    def etag(self) -> str:
        """As the hub has it, without quotes."""
        return self.sha256 if self.lfs else self.git_sha1


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@functools.lru_cache(maxsize=4096)
def _digest(kind: str, start: bytes, local: Path, _state: tuple[int, int, int]) -> str:
    digest = hashlib.new(kind, start)
    with local.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


@dataclass(frozen=True)
class Snapshot:
    """One revision of a model."""

    model: str
    files: Mapping[str, File]
    named: str | None = None
    """A commit that somebody pinned: these files are given for it."""

    @property
    def commit(self) -> str:
        """40 hex digits that follow from the names and bytes of all files."""
        if self.named is not None:
            return self.named
        lines = [self.model, *(f"{file.blob} {path}" for path, file in self.files.items())]
        return hashlib.sha1("\n".join(lines).encode()).hexdigest()

    @property
    def folders(self) -> list[str]:
        found = {path[:place] for path in self.files for place in range(len(path)) if path[place] == "/"}
        return sorted(found)


class Models:
    """All models under a root, with the extra revisions that `org/name@revision` names."""

    def __init__(self, root: Path, revisions: Mapping[str, Path] | None = None, branch: str = "main") -> None:
        self.root, self.revisions, self.branch = root, dict(revisions or {}), branch

    def has(self, model: str) -> bool:
        org, _, name = model.partition("/")
        if not org or not name or "/" in name or org.startswith(".") or name.startswith("."):
            return False
        return (self.root / org / name).is_dir()

    def names(self, model: str) -> list[str]:
        """Its revisions that are not commits, the branch first."""
        return [self.branch, *(key.partition("@")[2] for key in self.revisions if key.partition("@")[0] == model)]

    def read_all(self) -> None:
        """Read every file once, for its digests."""
        for directory in self.root.glob("*/*"):
            model = directory.relative_to(self.root).as_posix()
            for revision in self.names(model) if self.has(model) else []:
                assert self.find(model, revision).commit

    def find(self, model: str, revision: str) -> Snapshot | None:
        """A revision by its name or commit."""
        for name in self.names(model):
            directory = self.revisions.get(f"{model}@{name}", self.root / model)
            snapshot = Snapshot(model, read(directory), name if re.fullmatch(r"[0-9a-f]{40}", name) else None)
            if revision in (name, f"refs/heads/{name}") or revision == snapshot.commit:
                return snapshot
        return None


def read(directory: Path) -> dict[str, File]:
    """The files under a directory, by path, sorted."""
    found = {}
    for local in sorted(path for path in directory.rglob("*") if path.is_file()):
        path, stat = local.relative_to(directory).as_posix(), local.stat()
        found[path] = File(path, local, stat.st_size, stat.st_mtime_ns, stat.st_ino)
    return found
