"""Reading a medium that somebody else wrote: no link is followed, nothing but files and folders is opened.

Whoever had the medium can have put anything on it: a link to `/etc/shadow`, a pipe that never ends, a device. So every
path is walked folder by folder with `O_NOFOLLOW`, and what is no regular file is told, not read. Nothing is written.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import IO, TYPE_CHECKING

from selfhost.bundle import layout
from selfhost.errors import IncompleteError, IntegrityError, MissingError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking: to open a pipe that nobody writes to would wait for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAX_DEPTH = 8
"""Folders in folders; a volume has four."""
_MAX_ENTRIES = 200_000
SYSTEM_FOLDERS = ("lost+found", "System Volume Information", "$RECYCLE.BIN", ".Trashes")
"""What operating systems put at the root of a drive: nobody's attack, and no part of a volume."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One thing below the root of a medium."""

    size: int
    kind: str
    """`file`, or what it is instead."""


class Medium:
    """One directory that holds a volume."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, path: str) -> IO[bytes]:
        """A file, unbuffered. `path` was checked: plain names with `/` between them.

        Raises IncompleteError when it is not there, IntegrityError for what is no file or cannot be read, MissingError
        when this user may not.
        """
        *folders, name = path.split("/")
        try:
            here = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for folder in folders:
                    below = os.open(folder, _FOLDER, dir_fd=here)
                    os.close(here)
                    here = below
                descriptor = os.open(name, _FILE, dir_fd=here)
            finally:
                os.close(here)
        except OSError as error:
            raise self.explained(path, error) from error
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            os.close(descriptor)
            raise IntegrityError("unpack.odd_file", path=self.root / path, kind=_kind(info.st_mode))
        return os.fdopen(descriptor, "rb", buffering=0)

    def read(self, path: str, limit: int) -> bytes:
        """A small file as a whole. Raises what `open` does, and IntegrityError above `limit` bytes."""
        with self.open(path) as stream:
            try:
                data = bytearray()
                while len(data) <= limit and (piece := stream.read(limit + 1 - len(data))):
                    data += piece
            except OSError as error:
                raise self.explained(path, error) from error
        if len(data) > limit:
            raise IntegrityError("unpack.too_large", path=self.root / path, limit=limit)
        return bytes(data)

    def explained(self, path: str, error: OSError) -> Exception:
        """What an error of the system means for the file of a bundle."""
        where = self.root / path
        if error.errno == errno.ENOENT:
            return IncompleteError("unpack.file_absent", path=where)
        if error.errno == errno.ENOTDIR:  # a link, too: the folder was asked for, and no link is followed
            return IntegrityError("unpack.odd_file", path=where, kind="a file or a link where a folder should be")
        if error.errno == errno.ELOOP:
            return IntegrityError("unpack.odd_file", path=where, kind="symbolic link")
        if error.errno in (errno.EACCES, errno.EPERM):
            return MissingError("unpack.not_readable", path=where, detail=error.strerror)
        return IntegrityError("unpack.unreadable", path=where, detail=error.strerror)

    def entries(self) -> dict[str, Entry]:
        """Everything below the root but folders, by path; names as bytes that are no UTF-8 are escaped.

        Raises IntegrityError for a tree that is too deep or has too many names, and for folders that cannot be read.
        """
        found: dict[str, Entry] = {}
        try:
            root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise self.explained("", error) from error
        self._walk(root, "", found, 0)
        return found

    def _walk(self, folder: int, prefix: str, found: dict[str, Entry], depth: int) -> None:
        """By descriptor, which is closed: what takes the place of a folder meanwhile is not followed either."""
        try:
            if depth > _MAX_DEPTH:
                raise IntegrityError("unpack.too_deep", path=self.root / prefix, limit=_MAX_DEPTH)
            with os.scandir(folder) as listing:
                names = sorted(listing, key=lambda entry: entry.name)
            for entry in names:
                path = f"{prefix}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if depth or entry.name not in SYSTEM_FOLDERS:
                        below = os.open(entry.name, _FOLDER, dir_fd=folder)
                        self._walk(below, f"{path}/", found, depth + 1)
                    continue
                info = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
                found[path] = Entry(size=info.st_size, kind=_kind(info.st_mode))
                if len(found) > _MAX_ENTRIES:
                    raise IntegrityError("unpack.too_many_files", path=self.root, limit=_MAX_ENTRIES)
        except OSError as error:
            raise self.explained(prefix, error) from error
        finally:
            os.close(folder)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFLNK: "symbolic link",
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    return kinds.get(stat.S_IFMT(mode), "unknown")


# Which volumes


def find_volumes(paths: Sequence[Path]) -> list[Path]:
    """The directories of volumes: those given, or what lies in them (a mounted drive). Raises IncompleteError."""
    found: dict[str, Path] = {}
    for path in paths:
        try:
            is_there = path.is_dir()
        except OSError as error:  # a folder on the way that this user may not enter, a drive that does not answer
            raise Medium(path).explained("", error) from error
        if not is_there:
            raise IncompleteError("unpack.no_directory", path=path)
        inside = [path] if _is_volume(path) else [below for below in _below(path) if _is_volume(below)]
        if not inside:
            raise IncompleteError("unpack.no_volume", path=path, sums=layout.SUMS_NAME)
        found.update({os.path.realpath(one): one for one in inside})
    return list(found.values())


def _is_volume(path: Path) -> bool:
    return os.path.lexists(path / layout.SUMS_NAME) or os.path.lexists(path / layout.INFO_NAME)


def _below(path: Path) -> list[Path]:
    try:
        return sorted(one for one in path.iterdir() if one.is_dir() and not one.is_symlink())
    except OSError as error:
        raise Medium(path).explained("", error) from error
