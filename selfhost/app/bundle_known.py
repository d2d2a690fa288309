"""What bundles brought here: each import is remembered, and `bundle inventory` tells what need not come again."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.bundle import image_store, wheelhouse
from selfhost.errors import IntegrityError
from selfhost.weights import store
from selfhost.weights.blobs import Blobs

if TYPE_CHECKING:
    from selfhost.bundle.read import Bundle
    from selfhost.home import Home

SCHEMA_VERSION = 1


def remember(bundle: Bundle, home: Home) -> None:
    """Write down that a bundle is here completely."""
    info = bundle.info
    files.make_directory(home.bundles)
    files.write_json(
        home.bundles / f"{info.id}.json",
        {
            "schema_version": SCHEMA_VERSION,
            "id": info.id,
            "serial": info.serial,
            "label": info.label,
            "signers": bundle.volumes[0].signer or None,
            "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


def inventory(home: Home) -> dict[str, Any]:
    """What this machine has, for a bundle that leaves it out: `bundle create --have`.

    Digests and sizes, and names of images.
    """
    sizes: dict[str, int] = {}
    for sha256, info in Blobs(home.blobs).sizes().items():
        sizes[sha256] = info.st_size
    for directory in store.directories(home.models):
        with contextlib.suppress(IntegrityError):
            sizes.update({file.sha256: file.size for file in store.read_lock(directory).files})
    for _, lock in (one for root in (home.wheelhouses, home.images) for one in wheelhouse.stored(root)):
        sizes.update({file.sha256: file.size for file in lock.files})
    bundles = [files.read_json(path) or {} for path in sorted(home.bundles.glob("*.json"))]
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "selfhost-inventory",
        "bundles": [str(one["id"]) for one in bundles if "id" in one],
        "images": [one.as_dict() for one in image_store.stored(home.images)],
        "blobs": [{"sha256": sha256, "size": sizes[sha256]} for sha256 in sorted(sizes)],
    }
