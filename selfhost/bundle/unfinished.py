"""Volumes whose making was interrupted: a marker tells which bundle they are of, and another run takes them up."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.bundle import layout
from selfhost.errors import NoError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    Left = Mapping[Path, Mapping[str, Any]]
    """What markers say, by the directory of the volume."""

MARKER = f"creating{layout.PART}"


def is_unfinished(path: Path) -> bool:
    """Whether a directory is a volume whose making was interrupted, or is empty."""
    if path.is_symlink() or not path.is_dir():
        return False
    # Power that went while the marker was written leaves only its temporary file.
    return (path / MARKER).is_file() or all(one.name.startswith(f".{MARKER}.") for one in path.iterdir())


def left(paths: Iterable[Path]) -> Left:
    """What an earlier run left of these volumes."""
    return {path: marker for path in paths if (marker := files.read_json(path / MARKER)) is not None}


def others(folder: Path, label: str, wanted: Collection[Path] = ()) -> list[Path]:
    """Volumes that an interrupted run of this label left in a folder, without those that are wanted."""
    named = re.compile(rf"{re.escape(label)}-vol\d+of\d+")
    found = sorted(folder.glob(f"{label}-vol*of*"))
    return [path for path in found if named.fullmatch(path.name) and path not in wanted and is_unfinished(path)]


def take_up(wanted: Sequence[Path], label: str) -> None:
    """Give volumes of another count the names of those that are to be made, and remove what is left of them.

    There are more or fewer of them when media have other room than they had. Raises NoError for one that is being made.
    """
    for path in wanted:
        for old in others(path.parent, label, wanted):
            same = old.name.rpartition("of")[0] == path.name.rpartition("of")[0]
            if same and not os.path.lexists(path):
                with hold(old, {}):
                    old.rename(path)
    for folder in {path.parent for path in wanted}:
        for old in others(folder, label, wanted):
            with hold(old, {}):
                shutil.rmtree(old)


def _is_of_these(path: Path, found: Left) -> bool:
    """Whether a volume is done that belongs to others which are not: power went between the last steps of each."""
    if path.is_symlink() or not found:
        return False
    made = (files.read_json(path / layout.INFO_NAME) or {}).get("id")
    return made is not None and made in {marker.get("id") for marker in found.values()}


@contextlib.contextmanager
def hold(path: Path, found: Left) -> Iterator[None]:
    """Make the directory of a volume, or take it up, and keep others from doing so.

    Raises NoError for one that is in the way, is finished or is being made.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise NoError("pack.in_the_way", path=path)
    if path.exists() and not is_unfinished(path) and not _is_of_these(path, found):
        raise NoError("pack.exists", path=path)
    files.make_directory(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoError("pack.busy", path=path) from None
        except OSError:  # a network file system that has no locks on directories
            pass
        yield
    finally:
        os.close(descriptor)


def identity(found: Left, index: str, serial: int | None) -> dict[str, Any]:
    """Id, serial and time: those of the interrupted run when it made the same bundle, else new ones.

    index: sha256 of the index of the bundle. serial: the one that was asked for.
    """
    now = datetime.now(UTC)
    made = {
        "id": secrets.token_hex(16),
        "serial": int(now.timestamp()) if serial is None else serial,
        "created": now.isoformat(timespec="seconds"),
        "index": index,
    }
    for marker in found.values():
        same = marker.get("index") == index and serial in (None, marker.get("serial"))
        if same and made.keys() <= marker.keys():
            return {name: marker[name] for name in made}
    return made
