"""What is said of a bundle that was made: `bundle create --json`, the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.app.bundle_volumes import new_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfhost.app.bundle_create import Planned
    from selfhost.bundle.layout import ModelRef
    from selfhost.bundle.pack import Packed

SCHEMA_VERSION = 1


def facts(packed: Packed) -> dict[str, object]:
    """For the audit log."""
    info = packed.info
    return {
        "bundle": info.id,
        "serial": info.serial,
        "label": info.label,
        "signed": packed.signed,
        "models": [f"{model.name}/{model.variant}" for model in info.models],
        "volumes": [str(volume.path) for volume in packed.volumes],
    }


def packed_dict(packed: Packed, planned: Planned) -> dict[str, Any]:
    """The JSON object of a bundle that was made."""
    info = packed.info
    return {
        "schema_version": SCHEMA_VERSION,
        **{name: getattr(info, name) for name in ("id", "serial", "created", "label")},
        "models": _models(info.models),
        "images": [image.as_dict() for image in planned.images],
        "volumes": [
            {
                "number": number,
                "path": str(volume.path),
                "contents": volume.blobs,
                "bytes": volume.size_bytes,
                "bytes_by_way": volume.how,
            }
            for number, volume in enumerate(packed.volumes, 1)
        ],
        "left_out": len(info.have),
        "signed": packed.signed,
        "read_back_bytes": packed.read_back_bytes,
        "findings": [finding.as_dict() for finding in planned.findings],
    }


def planned_dict(planned: Planned) -> dict[str, Any]:
    """The JSON object of a bundle that would be made."""
    bundle = planned.bundle
    new = new_bytes(bundle)
    return {
        "schema_version": SCHEMA_VERSION,
        "label": bundle.label,
        "models": _models(bundle.models),
        "images": [image.as_dict() for image in planned.images],
        "volumes": [
            {
                "number": number,
                "path": str(volume.path),
                "contents": len(bundle.sizes_on(number)),
                "bytes": sum(bundle.sizes_on(number)),
                "new_bytes": new[volume.path],
            }
            for number, volume in enumerate(bundle.volumes, 1)
        ],
        "left_out": len(bundle.have),
        "findings": [finding.as_dict() for finding in planned.findings],
    }


def _models(models: Iterable[ModelRef]) -> list[dict[str, str]]:
    return [{"name": one.name, "variant": one.variant, "manifest": one.manifest} for one in models]
