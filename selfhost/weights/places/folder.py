"""A directory on this machine that has a model: as a hub's client, a copy, or another store left it."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from selfhost.errors import IntegrityError, MissingError, UsageError
from selfhost.weights.lock import LOCK_NAME, Origin
from selfhost.weights.places.mirror import locked_files, read_lock, read_sums
from selfhost.weights.places.sums import SUMS_NAME
from selfhost.weights.remote import Listing, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIND = "directory"
_BLOBS, _SNAPSHOTS, _REFS = "blobs", "snapshots", "refs"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_REVISION = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_SHA1 = re.compile(r"[0-9a-f]{40}")


class Folder:
    """A model in a directory, or in the Hugging Face hub's cache: `models--org--name`, or a snapshot in it.

    With `model`, its hub id, the directory may also be one of many models: `<path>/<org>/<name>`, or the whole cache.
    """

    def __init__(self, path: Path, model: str | None = None) -> None:
        """Raises UsageError for what is no directory, or a cache with several snapshots."""
        if not path.is_dir():
            message = "model.not_a_directory" if path.exists() else "places.no_directory"
            raise UsageError(message, path=path, parent=path.parent)
        self._path = _snapshot(_of_many(path.absolute(), model))

    @property
    def label(self) -> str:
        """`directory /srv/models/qwen`."""
        return f"directory {self._path}"

    def listing(self) -> Listing:
        """Its files, with digests where a lock, SHA256SUMS or the cache tells them; names with a dot in front are not
        listed.

        Raises MissingError for what this user may not read, IntegrityError for a list that is none.
        """
        try:
            found = {path: (self._path / path).stat().st_size for path in sorted(self._walk())}
            revision, promised = self._promised()
        except PermissionError as error:
            raise MissingError(
                "model.not_readable", path=error.filename, detail=error.strerror, directory=self._path
            ) from error
        files = []
        for path, size in found.items():
            known = promised.get(path) or self._by_blob(path) or RemoteFile(path=path)
            # A size that is not as promised is kept as it is: the digest then tells that the file is another.
            files.append(RemoteFile(path=path, size=size, sha256=known.sha256, git_sha1=known.git_sha1))
        # What a list promises and the directory lacks is listed too: it is missed by its name then, if it is needed.
        absent = [file for path, file in promised.items() if path not in found]
        origin = Origin(kind=KIND, id=str(self._path), revision=revision)
        return Listing(origin=origin, files=tuple(sorted((*files, *absent), key=lambda file: file.path)))

    def local_path(self, path: str) -> Path:
        """The file itself, links followed.

        Raises IntegrityError for a link that leads out of the directory (into the cache's own blobs it may), UsageError
        when there is no such file.
        """
        try:
            real = (self._path / path).resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise UsageError("places.no_file", path=self._path / path, detail=error) from error
        blobs = self._blobs()
        inside = real.is_relative_to(self._path.resolve()) or (blobs is not None and real.is_relative_to(blobs))
        if not inside:
            raise IntegrityError("places.leads_out", path=self._path / path, target=real)
        if not stat.S_ISREG(real.stat().st_mode):
            raise IntegrityError("places.no_plain_file", path=self._path / path)
        return real

    def _blobs(self) -> Path | None:
        """Where the links of a snapshot of the cache lead."""
        cache = self._path.parent.parent
        is_snapshot = self._path.parent.name == _SNAPSHOTS and (cache / _BLOBS).is_dir()
        return (cache / _BLOBS).resolve() if is_snapshot else None

    def _walk(self) -> Iterator[str]:
        """Files by path; links to directories are not followed, links that lead nowhere are no files."""
        for folder, folders, names in os.walk(self._path, onerror=_raise):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in names:
                path = os.path.join(folder, name)  # noqa: PTH118 - for a hundred thousand files
                if not name.startswith(".") and os.path.isfile(path):  # noqa: PTH113
                    relative = os.path.relpath(path, self._path)
                    if relative not in (LOCK_NAME, SUMS_NAME):
                        yield relative

    def _promised(self) -> tuple[str | None, dict[str, RemoteFile]]:
        """The revision, and what a list beside the files says of them."""
        lock, sums = self._path / LOCK_NAME, self._path / SUMS_NAME
        if lock.is_file():
            found = read_lock(lock.read_bytes(), str(lock))
            return found.source.revision, {file.path: file for file in locked_files(found)}
        revision = self._path.name if self._blobs() is not None else None
        digests = read_sums(sums.read_bytes(), str(sums)) if sums.is_file() else {}
        return revision, {path: RemoteFile(path=path, sha256=digest) for path, digest in digests.items()}

    def _by_blob(self, path: str) -> RemoteFile | None:
        """The cache names a file in LFS by its sha256, another one by git's digest."""
        link = self._path / path
        if self._blobs() is None or not link.is_symlink():
            return None
        name = link.readlink().name
        if _SHA256.fullmatch(name):
            return RemoteFile(path=path, sha256=name)
        return RemoteFile(path=path, git_sha1=name) if _SHA1.fullmatch(name) else None


def _of_many(path: Path, model: str | None) -> Path:
    """The directory of one model in one of many; the directory itself when it has none of that name."""
    if model is None or (path / "config.json").exists():
        return path
    inside = (path / model, path / f"models--{model.replace('/', '--')}")
    return next((one for one in inside if one.is_dir()), path)


def _snapshot(path: Path) -> Path:
    """The directory itself; of a model in the cache, the snapshot that `main` is, or the only one."""
    snapshots = path / _SNAPSHOTS
    if (path / "config.json").exists() or not snapshots.is_dir():
        return path
    main = path / _REFS / "main"
    # A name, not a path: `../..` would lead to files that are not of this model.
    name = main.read_text(errors="replace").strip() if main.is_file() else ""
    if _REVISION.fullmatch(name) and (named := snapshots / name).is_dir():
        return named
    there = sorted(child for child in snapshots.iterdir() if child.is_dir())
    if len(there) != 1:
        raise UsageError("places.which_snapshot", path=path, count=len(there), example=there[0] if there else snapshots)
    return there[0]


def _raise(error: OSError) -> None:
    raise error
