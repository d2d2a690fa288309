"""From volumes into the store: contents by digest in any order, then models, when everything is there, and not before.

    blobs/sha256/...             each content, as soon as it was hashed and synced
    bundles/<id>.json            bundles that were imported completely
    wheelhouses/<name>/          wheels and their lock, for `engine install --wheelhouse`
    models/<recipe>/<variant>/   appears by a rename

An import needs no memory of its own: what is under its digest is right, and what is not is copied again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.bundle import canonical, cut, layout, modelpack, wheelhouse
from selfhost.bundle.check import Status, structure
from selfhost.bundle.devices import run_by_device
from selfhost.bundle.names import paths_problem
from selfhost.bundle.take import take
from selfhost.errors import IncompleteError, IntegrityError, NoSpaceError
from selfhost.records import dataclass
from selfhost.units import format_bytes
from selfhost.weights.lock import LockedFile, ModelLock, Origin, lock_from_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from selfhost.bundle.layout import BlobInfo
    from selfhost.bundle.read import Artifact, Bundle, Volume
    from selfhost.bundle.take import Source
    from selfhost.weights.blobs import Blobs

_SPARE_BYTES = 64 << 20
STAGED = "bundle"
"""Imports that are not done are among the store's downloads as `bundle <id> <label>`."""
_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Copying:
    """How contents are copied."""

    clone: bool = True
    """Share the medium's blocks where the file system can."""
    workers: int | None = None
    """At a time from each device; None: by what kind of disk it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Brought:
    """What an import has moved."""

    copied_bytes: int
    copied: int
    """Contents."""
    there_bytes: int
    """Of contents that were there already."""


# Contents


def lacking(bundle: Bundle, blobs: Blobs) -> dict[str, BlobInfo]:
    """Contents of all volumes that the store does not have, or not as they were."""
    return {sha256: blob for sha256, blob in bundle.info.blobs.items() if not blobs.is_right(sha256, blob.size)}


def check_foreign(volume: Volume) -> None:
    """Raises IntegrityError for what lies on a volume and is not listed: nobody vouches for it."""
    wrong = [one for one in structure(volume) if one.status in (Status.EXTRA, Status.ODD)]
    if wrong:
        names = ", ".join(f"`{one.path}`" for one in wrong[:5])
        raise IntegrityError("unpack.extra", path=volume.root, count=len(wrong), names=names)


def bring(
    bundle: Bundle,
    blobs: Blobs,
    progress: Callable[[int, int], None],
    beside: Sequence[Path],
    how: Copying | None = None,
) -> Brought:
    """Copy what the store lacks from the volumes at hand; what was copied stays when this is interrupted.

    beside: folders of wheelhouses and images, which may have contents that `gc` took from the store.

    The caller holds `blobs.in_use`. Raises IntegrityError for damaged files, once all others were brought;
    NoSpaceError before bytes move.
    """
    how = how or Copying()
    for volume in bundle.volumes:
        check_foreign(volume)
    blobs.want(_key(bundle), [*bundle.info.blobs, *bundle.info.have, *cut.digests(bundle)])
    _from_beside(bundle, blobs, beside)
    wanted = lacking(bundle, blobs)
    todo = [source for sha256, source in bundle.sources.items() if sha256 in wanted]
    todo += cut.sources(bundle, wanted, blobs)
    total = sum(source.size for source in todo)
    free = files.free_bytes(files.make_directory(blobs.root))
    if total and total + _SPARE_BYTES > free:
        raise NoSpaceError(
            "unpack.no_space",
            label=bundle.info.label,
            needed=format_bytes(total),
            path=blobs.root,
            free=format_bytes(free),
        )

    damaged: list[IntegrityError] = []

    def copy(source: Source, tick: Callable[[int], None]) -> int:
        try:
            take(source, blobs, tick, clone=how.clone)
        except IntegrityError as error:
            # The others are brought all the same: then a small volume with what is damaged completes it.
            damaged.append(error)
            cut.forget_damaged(source, blobs)
            return 0
        return source.size

    # The largest first: the last one to finish then has the least to do.
    todo.sort(key=lambda source: (-source.size, source.sha256))
    sizes = list(run_by_device([(one.pieces[0].medium.root, one) for one in todo], copy, total, progress, how.workers))
    if damaged:
        raise _damage(bundle, damaged)
    there = sum(blob.size for sha256, blob in bundle.info.blobs.items() if sha256 not in wanted)
    return Brought(copied_bytes=sum(sizes), copied=len(sizes), there_bytes=there)


def _damage(bundle: Bundle, damaged: list[IntegrityError]) -> IntegrityError:
    lines = [f"{error.message.what}\n{error.message.why}" for error in damaged[:_SHOWN]]
    return IntegrityError(
        "unpack.damaged",
        label=bundle.info.label,
        count=len(damaged),
        files="\n".join(lines),
        volumes=bundle.arguments,
    )


def check_complete(bundle: Bundle, blobs: Blobs) -> None:
    """Raises IncompleteError, naming the volumes that are needed or the contents that the receiver does not have."""
    wanted = lacking(bundle, blobs)
    if wanted:
        here = cut.kept(bundle, blobs)
        needed = [(v.label, sizes) for v in bundle.info.volumes if (sizes := cut.absent(v, wanted, here))]
        listed = "\n".join(f"{label}: {format_bytes(sum(sizes))}" for label, sizes in needed)
        size = format_bytes(cut.lacking_bytes(wanted.values(), here))
        raise IncompleteError("unpack.volumes_absent", label=bundle.info.label, size=size, volumes=listed)
    if gone := [sha256 for sha256 in bundle.info.have if not blobs.has(sha256)]:
        base = ", ".join(bundle.info.base) or "not told"
        raise IncompleteError(
            "unpack.base_absent", label=bundle.info.label, count=len(gone), base=base, names="\n".join(gone[:20])
        )


def done(bundle: Bundle, blobs: Blobs) -> None:
    """Models have what was brought: the rest of it may go."""
    blobs.unwant(_key(bundle))


def _key(bundle: Bundle) -> str:
    return f"{STAGED} {bundle.info.id} {bundle.info.label}"


def _from_beside(bundle: Bundle, blobs: Blobs, beside: Sequence[Path]) -> None:
    """Wheels and images that are here and that `gc` took from the contents: no model has them."""
    wanted = {*bundle.info.blobs, *bundle.info.have}
    for directory, lock in (one for root in beside for one in wheelhouse.stored(root)):
        for file in lock.files:
            if file.sha256 in wanted and not blobs.has(file.sha256):
                # Damaged or gone here: it comes from the medium.
                with contextlib.suppress(IntegrityError, OSError):
                    blobs.copy_in(
                        directory / file.path, link=True, expected_sha256=file.sha256, expected_size=file.size
                    )


# Models


def models(bundle: Bundle) -> list[tuple[ModelLock, dict[str, bytes]]]:
    """Locks of the models of a bundle, with marks of their contents. Raises IntegrityError for what contradicts.

    Reads only metadata of the volumes at hand.
    """
    by_manifest = {one.entry.sha256: one for one in bundle.artifacts if one.entry.artifact_type == modelpack.MODEL}
    found = []
    for ref in bundle.info.models:
        artifact = by_manifest.get(ref.manifest)
        if artifact is None:
            raise IntegrityError("unpack.no_manifest", label=bundle.info.label, name=ref.name, variant=ref.variant)
        path = f"{ref.name}/{ref.variant}"
        problem = paths_problem([path])
        if problem or path.count("/") != 1 or any(part.startswith(".") for part in path.split("/")):
            raise IntegrityError("bundle.bad_paths", path=layout.INFO_NAME, detail=problem or f"{path!r}")
        found.append((_lock(bundle, artifact, ref.name, ref.variant), marks_of(bundle, artifact.entry.sha256)))
    return found


def _lock(bundle: Bundle, artifact: Artifact, name: str, variant: str) -> ModelLock:
    """What will be written beside the files: they are the manifest's, their source is what the sender's lock says."""
    origin = Origin(kind="bundle", id=bundle.info.label, revision=None)
    locked = tuple(
        LockedFile(path=one.path, size=one.size, sha256=one.sha256)
        for one in sorted(artifact.manifest.layers, key=lambda one: one.path)
    )
    said = _said(bundle, artifact.entry.sha256)
    if said is not None:
        try:
            lock = lock_from_dict(said)
        except ValueError as error:
            raise IntegrityError("unpack.bad_lock", name=name, variant=variant, detail=error) from error
        if (lock.recipe, lock.variant, {*lock.files}) != (name, variant, {*locked}):
            raise IntegrityError("unpack.bad_lock", name=name, variant=variant, detail="it names other files")
        origin = lock.source
    return ModelLock(recipe=name, variant=variant, source=origin, files=locked)


def _said(bundle: Bundle, manifest: str) -> dict[str, Any] | None:
    """The sender's lock of a model."""
    for artifact in _belonging(bundle, manifest, modelpack.LOCK):
        for layer in artifact.manifest.layers:
            if layer.path == modelpack.LOCK_FILE:
                return canonical.decode(bundle.read(layer.sha256), layer.path)
    return None


def _belonging(bundle: Bundle, manifest: str, artifact_type: str) -> Iterator[Artifact]:
    for artifact in bundle.artifacts:
        if artifact.entry.artifact_type == artifact_type and artifact.manifest.subject == manifest:
            yield artifact


def marks_of(bundle: Bundle, manifest: str) -> dict[str, bytes]:
    """Marks of the contents of a model, as far as they are at hand."""
    found = {}
    for artifact in _belonging(bundle, manifest, modelpack.LOCK):
        for layer in artifact.manifest.layers:
            folder, _, content = layer.path.rpartition("/")
            if folder == modelpack.MARKS_FOLDER:
                # They only say where damage is.
                with contextlib.suppress(IncompleteError, IntegrityError):
                    found[content] = bundle.read(layer.sha256)
    return found
