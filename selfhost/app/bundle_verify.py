"""`bundle verify`, `inspect`, `repair-list`: what a medium holds and whether it is right. Nothing is written to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.bundle import check, modelpack, unpack
from selfhost.bundle.check import FileCheck, Status
from selfhost.errors import IncompleteError, IntegrityError, SelfhostError
from selfhost.messages import Message
from selfhost.records import dataclass
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from selfhost.bundle.read import Bundle

SCHEMA_VERSION = 1
_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What was found on the volumes at hand."""

    bundle: Bundle
    files: tuple[FileCheck, ...]
    full: bool
    partial: bool = False
    """Whether volumes that are not at hand are no problem: one drive is looked at after the other."""

    @property
    def damaged(self) -> tuple[FileCheck, ...]:
        """Files that are there and wrong."""
        return tuple(file for file in self.files if file.damaged)

    @property
    def missing(self) -> tuple[FileCheck, ...]:
        """Files that are listed and not there."""
        return tuple(file for file in self.files if file.status is Status.MISSING)

    @property
    def bytes_read(self) -> int:
        """Of files that are right."""
        return sum(file.size or 0 for file in self.files if file.status is Status.OK) if self.full else 0

    @property
    def problem(self) -> SelfhostError | None:
        """The error of a bundle that is not right; its class is the exit code."""
        info, volumes = self.bundle.info, self.bundle.arguments
        if self.damaged:
            return IntegrityError(
                "unpack.damaged",
                label=info.label,
                count=len(self.damaged),
                files=_lines((*self.damaged, *self.missing)),
                volumes=volumes,
            )
        if self.missing:
            return IncompleteError(
                "unpack.missing", label=info.label, count=len(self.missing), files=_lines(self.missing), volumes=volumes
            )
        if self.bundle.absent and not self.partial:
            absent = self.bundle.absent
            size = format_bytes(sum(volume.size_bytes for volume in absent))
            listed = "\n".join(f"{volume.label}: {format_bytes(volume.size_bytes)}" for volume in absent)
            return IncompleteError("unpack.absent", label=info.label, size=size, volumes=listed)
        return None

    def as_dict(self) -> dict[str, Any]:
        """The contract of `bundle verify --json`."""
        return {
            "schema_version": SCHEMA_VERSION,
            **head(self.bundle),
            "ok": self.problem is None,
            "complete": not self.bundle.absent,
            "full": self.full,
            "bytes_read": self.bytes_read,
            "files": [file.as_dict() for file in self.files],
        }


def _lines(files: tuple[FileCheck, ...]) -> str:
    lines = [described(file) for file in files[:_SHOWN]]
    return "\n".join([*lines, f"... {len(files) - _SHOWN} more"] if len(files) > _SHOWN else lines)


_SAID = {
    Status.OK: "unpack.file_ok",
    Status.MISSING: "unpack.file_missing",
    Status.SIZE: "unpack.file_size",
    Status.DIGEST: "unpack.file_digest",
    Status.UNREADABLE: "unpack.file_unreadable",
    Status.EXTRA: "unpack.file_extra",
    Status.ODD: "unpack.file_odd",
}


def described(file: FileCheck) -> str:
    """One line about a file of a volume."""
    values = {
        "volume": file.volume,
        "path": file.root / file.path,
        "begin": file.begin,
        "end": file.end,
        "detail": file.detail,
    }
    if file.status is Status.DIGEST and file.begin is not None:
        return Message("unpack.file_digest_at", values).what
    return Message(_SAID[file.status], values).what


def verify(
    bundle: Bundle,
    progress: Callable[[int, int], None],
    *,
    full: bool,
    workers: int | None = None,
    partial: bool = False,
) -> Report:
    """Every file of the volumes at hand; without `full` by names and sizes. partial: as `Report` has it."""
    marks: dict[str, bytes] = {}
    if full:
        for ref in bundle.info.models:
            marks.update(unpack.marks_of(bundle, ref.manifest))
    found = check.verify(bundle, progress, full=full, marks=marks, workers=workers)
    return Report(bundle=bundle, files=tuple(found), full=full, partial=partial)


def head(bundle: Bundle) -> dict[str, Any]:
    """Which bundle this is, which volumes are here, and who signed it."""
    info = bundle.info
    here = {volume.number: volume for volume in bundle.volumes}
    return {
        "id": info.id,
        "label": info.label,
        "serial": info.serial,
        "created": info.created,
        "tool": info.tool,
        "signers": bundle.volumes[0].signer or None,
        "volumes": [
            {
                "number": volume.number,
                "label": volume.label,
                "size_bytes": volume.size_bytes,
                "path": str(here[volume.number].root) if volume.number in here else None,
            }
            for volume in info.volumes
        ],
    }


def inspect(bundle: Bundle) -> dict[str, Any]:
    """The contract of `bundle inspect --json`: what the metadata says; contents are not read."""
    licences: dict[str, Any] = {}
    for one in bundle.artifacts:
        if one.entry.artifact_type == modelpack.MODEL:
            descriptor = one.config.get("descriptor")
            licences[one.entry.sha256] = descriptor.get("licenses", []) if isinstance(descriptor, dict) else []
    sizes = {one.entry.sha256: _size(one.manifest.layers) for one in bundle.artifacts}
    info = bundle.info
    return {
        "schema_version": SCHEMA_VERSION,
        **head(bundle),
        "size_bytes": info.size_bytes,
        "models": [
            {
                "name": model.name,
                "variant": model.variant,
                "size_bytes": sizes.get(model.manifest),
                "licences": licences.get(model.manifest, []),
            }
            for model in info.models
        ],
        "artifacts": [
            {
                "name": one.entry.name,
                "type": one.entry.artifact_type,
                "files": len(one.manifest.layers),
                "size_bytes": sizes[one.entry.sha256],
            }
            for one in bundle.artifacts
        ],
        "images": [image.as_dict() for image in bundle.images],
        "base": list(info.base),
        "left_out": len(info.have),
    }


def _size(layers: tuple[modelpack.Layer, ...]) -> int:
    return sum({layer.sha256: layer.size for layer in layers}.values())


def difference(bundle: Bundle, other: Bundle) -> dict[str, Any]:
    """What `bundle inspect --diff` tells: files of the first that the second does not have so, and the reverse."""
    mine, theirs = _files(bundle), _files(other)
    return {
        "schema_version": SCHEMA_VERSION,
        "id": bundle.info.id,
        "other": other.info.id,
        "added": sorted(mine.keys() - theirs.keys()),
        "removed": sorted(theirs.keys() - mine.keys()),
        "changed": sorted(path for path in mine.keys() & theirs.keys() if mine[path] != theirs[path]),
        "new_bytes": sum(blob.size for sha256, blob in bundle.info.blobs.items() if sha256 not in other.info.blobs),
    }


def _files(bundle: Bundle) -> Mapping[str, str]:
    found = {
        f"{one.entry.name}: {layer.path}": layer.sha256 for one in bundle.artifacts for layer in one.manifest.layers
    }
    return found | {image.entry.name: image.entry.sha256 for image in bundle.images}


def repair_list(report: Report) -> dict[str, Any]:
    """What is damaged or missing on the volumes at hand, and what is not: the latter as an inventory.

    `bundle create --have` takes it, and makes a bundle of what is lacking: to be imported after this one.
    """
    wrong = [file for file in report.files if file.status is not Status.OK]
    info = report.bundle.info
    contents = {file.content for file in wrong if file.content}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "selfhost-repair-list",
        "bundle": info.id,
        "label": info.label,
        "lacking": [{"sha256": one, "size": info.blobs[one].size} for one in sorted(contents)],
        "files": [{"volume": file.volume, "path": file.path, "status": file.status.value} for file in wrong],
        "bundles": [info.id],
        "blobs": [
            {"sha256": sha256, "size": blob.size}
            for sha256, blob in sorted(info.blobs.items())
            if sha256 not in contents
        ],
    }
