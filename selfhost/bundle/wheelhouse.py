"""Wheels that bundles brought, as folders for `engine install --wheelhouse`; each has a lock, as models have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.bundle import modelpack
from selfhost.errors import IntegrityError
from selfhost.weights import store
from selfhost.weights.lock import LockedFile, ModelLock, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from selfhost.bundle.read import Artifact, Bundle
    from selfhost.weights.blobs import Blobs

_ODD_NAME = re.compile(r"[^A-Za-z0-9._+-]+")


def stored(wheelhouses: Path) -> Iterator[tuple[Path, ModelLock]]:
    """Every wheelhouse that a bundle brought, with its files."""
    for directory in sorted(path for path in wheelhouses.glob("*") if not path.name.startswith(".")):
        try:
            yield directory, store.read_lock(directory)
        except IntegrityError:
            continue


def folder_name(artifact: Artifact) -> str:
    """The folder of a wheelhouse, from the artifact's name."""
    return _ODD_NAME.sub("-", artifact.entry.name).strip(".-") or artifact.entry.sha256[:12]


def publish(bundle: Bundle, wheelhouses: Path, blobs: Blobs, waiting: Callable[[], None]) -> list[Path]:
    """Make the folders that `engine install --wheelhouse` takes; those that are there as they should be stay."""
    made = []
    for artifact in bundle.artifacts:
        if artifact.entry.artifact_type != modelpack.WHEELHOUSE:
            continue
        directory = wheelhouses / folder_name(artifact)
        lock = ModelLock(
            recipe=wheelhouses.name,
            variant=directory.name,
            source=Origin(kind="bundle", id=bundle.info.label, revision=None),
            files=tuple(
                LockedFile(path=one.path, size=one.size, sha256=one.sha256) for one in artifact.manifest.layers
            ),
        )
        with store.hold(directory, waiting):
            if not is_there(directory, lock.files):
                store.publish(directory, lock, blobs, symbolic=False)
        made.append(directory)
    return made


def is_there(directory: Path, wanted: Iterable[LockedFile]) -> bool:
    """Whether a folder has these files and no others, by names and sizes."""
    try:
        lock = store.look_up(directory)
    except IntegrityError:
        return False
    return lock is not None and set(lock.files) == set(wanted)
