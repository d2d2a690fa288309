"""What interrupted runs left that nobody went on with."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from selfhost import files

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.home import Home


def remove(home: Home, before: float, *, dry_run: bool) -> tuple[list[Path], int]:
    """Remove folders in which nothing was written since a time, in seconds since 1970; those and the bytes freed.

    One that a run works in stays.
    """
    found, freed = [], 0
    for folder in sorted(path for path in home.quantize.glob("*/*") if path.is_dir()):
        there = [path.lstat() for path in (folder, *folder.rglob("*"))]
        if max(info.st_mtime for info in there) >= before:
            continue
        with files.hold_lock(lock_of(folder), blocking=False) as got:
            if not got:
                continue
            found.append(folder)
            freed += sum(info.st_size for info in there[1:] if info.st_nlink == 1)
            if not dry_run:
                shutil.rmtree(folder, ignore_errors=True)
        if not dry_run:
            lock_of(folder).unlink(missing_ok=True)
    return found, freed


def lock_of(folder: Path) -> Path:
    """Held by the run that works in a folder."""
    return folder.with_name(f"{folder.name}.lock")
