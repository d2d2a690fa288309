"""Folders of wheels as an index needs them: names, digests and metadata, read once per file and again on a change."""

from __future__ import annotations

import hashlib
import re
import stat
import threading
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.engines import wheel_file
from selfhost.errors import IntegrityError
from selfhost.mirror.simple_index import Distribution, name_and_version
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_REQUIRES_PYTHON = re.compile(r"^Requires-Python:[ \t]*(\S[^\r\n]*?)[ \t]*\r?$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """A file of a wheelhouse, read."""

    path: Path
    distribution: Distribution
    metadata: bytes | None
    """Its METADATA."""


class Wheelhouse:
    """Several folders as one: of two files with one name that of the first folder counts. Used by many threads.

    A link that leads out of them is no file of theirs: a folder may lie on a medium that somebody else wrote.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folder.resolve() for folder in folders)
        self._guard = threading.Lock()
        self._known: dict[Path, tuple[tuple[int, ...], Described]] = {}

    def projects(self) -> list[str]:
        """Their normal names, sorted."""
        return sorted({name for name, _, _ in self._all()})

    def project(self, name: str) -> list[Described]:
        """The files of a project by its normal name, sorted; each is read the first time, which takes a while."""
        found: dict[str, Described] = {}
        for project, version, path in self._all():
            if project == name and path.name not in found and (one := self._describe(path, version)):
                found[path.name] = one
        return [found[filename] for filename in sorted(found)]

    def _all(self) -> Iterator[tuple[str, str, Path]]:
        for folder in self._folders:
            try:
                paths = sorted(folder.iterdir())
            except OSError:
                continue
            for path in paths:
                if named := name_and_version(path.name):
                    yield *named, path

    def _describe(self, path: Path, version: str) -> Described | None:
        with self._guard:
            try:
                real = path.resolve(strict=True)
                if not any(real.is_relative_to(folder) for folder in self._folders):
                    return None
                info = path.stat()
                if not stat.S_ISREG(info.st_mode):
                    return None
                state = (info.st_mtime_ns, info.st_size, info.st_ino)
                if path not in self._known or self._known[path][0] != state:
                    self._known[path] = (state, _read(path, version, info.st_size))
            except (OSError, RuntimeError):  # RuntimeError: links in a circle, as Python 3.11 says it
                return None
            return self._known[path][1]


def _read(path: Path, version: str, size: int) -> Described:
    metadata = _metadata(path) if path.suffix == ".whl" else None
    match = _REQUIRES_PYTHON.search(metadata.decode(errors="replace").partition("\n\n")[0]) if metadata else None
    distribution = Distribution(
        filename=path.name,
        version=version,
        size=size,
        sha256=files.sha256_file(path),
        requires_python=match[1] if match else None,
        metadata_sha256=hashlib.sha256(metadata).hexdigest() if metadata else None,
    )
    return Described(path=path, distribution=distribution, metadata=metadata)


def _metadata(path: Path) -> bytes | None:
    """What a wheel says of itself; None for a file that is no wheel: pip refuses it when it gets it."""
    try:
        return wheel_file.metadata(path)
    except IntegrityError:
        return None
