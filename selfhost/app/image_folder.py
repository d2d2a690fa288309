"""The temporary folder that an image is built from: beside the wheels, gone at the end, whoever ended it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFT_S = 60
"""A folder that is older and that nobody holds was left by a build that was killed."""


@contextlib.contextmanager
def work_folder(wheels: Path) -> Iterator[Path]:
    """A folder of this build's own. Raises MissingError, NoSpaceError.

    Beside the wheels, so that they are linked: a temporary file system is often too small for them.
    """
    files.make_directory(wheels)
    _sweep(wheels)
    with (
        files.explain_os_errors(wheels),
        tempfile.TemporaryDirectory(prefix=".image-", dir=wheels) as work,
        files.hold_lock(Path(work) / ".lock"),
    ):
        yield Path(work)


def _sweep(wheels: Path) -> None:
    for left in wheels.glob(".image-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime < _LEFT_S:
                continue
            with files.hold_lock(left / ".lock", blocking=False) as got:
                if got:
                    shutil.rmtree(left, ignore_errors=True)


def link(source: Path, target: Path) -> None:
    """Have a file under another name; copied where it lies on another file system."""
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copyfile(source, target)
