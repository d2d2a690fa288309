"""What an earlier run of the same job has finished, kept beside its output. Standard library only."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

from selfhost_quantize_files import write_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FOLDER = ".selfhost-quantize"
_STATE = "state.json"
_FORMAT = 1
"""Counts up when the same job makes other bytes."""


def sha256_of(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def job_digest(scheme: str, group_size: int | None, ignore: Iterable[str], files: Iterable[Path]) -> str:
    """Tells one job from another; files by name, size and time of change, where links point."""
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    said = json.dumps([_FORMAT, scheme, group_size, list(ignore), stats])
    return hashlib.sha256(said.encode()).hexdigest()


class State:
    """Finished files of a job in its target folder; what another job left there unfinished is thrown away."""

    def __init__(self, target: Path, digest: str) -> None:
        self.target, self.digest, self.folder = target, digest, target / FOLDER
        self.files: dict[str, dict[str, Any]] = {}
        found = self._read()
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        for name, said in found.items():
            path = target / name
            if path.is_file() and path.stat().st_size == said["size"] and sha256_of(path) == said["sha256"]:
                self.files[name] = said
        if self.files:
            self._write()

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            said = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            return dict(said["files"]) if said["job"] == self.digest else {}
        except (OSError, ValueError, LookupError, TypeError):
            return {}

    def _write(self) -> None:
        write_json(self.folder / _STATE, {"schema_version": 1, "job": self.digest, "files": self.files})

    def has(self, name: str) -> bool:
        """Whether a file is finished."""
        return name in self.files

    def part(self, name: str) -> Path:
        """Where a file is written until it is finished."""
        return self.folder / name

    def finished(self, name: str, size: int, sha256: str) -> None:
        """Put a file in its place, and remember it."""
        self.part(name).replace(self.target / name)
        self.files[name] = {"size": size, "sha256": sha256}
        self._write()
