"""What the file system of a medium can take."""

from __future__ import annotations

import os
from pathlib import Path

from selfhost import files
from selfhost.bundle.layout import FAT, MAX_CHUNK_BYTES, NO_LINKS

_MOUNTS = Path("/proc/self/mountinfo")


def same(one: Path, other: Path) -> bool:
    """Whether two paths, or what will be there, lie on one file system, so that links may take no space."""
    return files.existing(one).stat().st_dev == files.existing(other).stat().st_dev


def max_file_bytes(path: Path) -> int | None:
    """The largest file that is taken there; None: no limit that matters, or it cannot be told."""
    return MAX_CHUNK_BYTES if _type_there(path) in FAT else None


def takes_links(path: Path) -> bool:
    """Whether a file may have two names or share blocks there, as far as the kind of file system tells."""
    return _type_there(path) not in NO_LINKS


def _type_there(path: Path) -> str | None:
    device = files.existing(path).stat().st_dev
    try:
        mounts = _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return None
    return type_of(mounts, f"{os.major(device)}:{os.minor(device)}")


def type_of(mountinfo: str, device: str) -> str | None:
    r"""The type of the file system on a device (`8:1`), from the text of /proc/self/mountinfo (proc(5)).

    >>> type_of("36 35 8:17 / /media/usb rw,noatime shared:1 - vfat /dev/sdb1 rw\n", "8:17")
    'vfat'
    """
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[2:3] == [device] and rest:
            return rest.split()[0]
    return None
