"""Whether files of a model were written to since they were known to be right: by times and inodes, reading nothing.

The time of the lock's last change says until when they were: it is written last, and set by each verification.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from selfhost.errors import IntegrityError
from selfhost.weights import store
from selfhost.weights.lock import LOCK_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.weights.lock import LockedFile, ModelLock

_STORE_DEPTH = 4
"""Parts of a path that may be `<home>/models/<recipe>/<variant>`."""


def written_since(directory: Path, lock: ModelLock) -> tuple[LockedFile, ...]:
    """Files that were written to after the model was published, or verified (`mark_verified`).

    So was a file that took the place of a link to the content since, whatever time it brought along. Raises
    IntegrityError when one is gone.
    """
    try:
        verified = (directory / LOCK_NAME).stat().st_mtime_ns
        return tuple(file for file in lock.files if _is_suspect(directory, file, verified))
    except OSError as error:
        name = f"{directory.parent.name} ({directory.name})"
        raise IntegrityError("model.damaged_store", name=name, path=directory, detail=error) from error


def _is_suspect(directory: Path, file: LockedFile, verified_ns: int) -> bool:
    info = (directory / file.path).stat()
    if info.st_mtime_ns > verified_ns:
        return True
    # Links that come and go change this time of a content, too.
    if info.st_ctime_ns <= verified_ns or len(directory.parts) < _STORE_DEPTH:
        return False
    try:
        content = store.blobs_beside(directory).path(file.sha256).stat()
    except OSError:  # not a store, or one of an older selfhost
        return False
    return not os.path.samestat(info, content)


def mark_verified(directory: Path, began_at_s: float) -> None:
    """Write down that every file was right when it was read, by the time of the lock's last change.

    A store that this user may only read stays as it is.
    """
    began = int(began_at_s * 1e9)
    with contextlib.suppress(OSError):
        os.utime(directory / LOCK_NAME, ns=(began, began))
