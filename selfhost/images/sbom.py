"""The bill of materials of an image: what selfhost puts into it. What the base brings, its own bill tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.bundle.bom import BomBundle, BomEngine, bill

if TYPE_CHECKING:
    from collections.abc import Sequence


def image_bill(reference: str, base: str, version: str, engines: Sequence[BomEngine]) -> dict[str, Any]:
    """CycloneDX 1.6, as a JSON object; the same contents give the same bytes.

    version: selfhost's.
    """
    made = bill(BomBundle(label=reference, tool_version=version), (), engines)
    said = made["metadata"]
    said["component"] |= {"type": "container", "version": version}
    said["properties"] = [{"name": "selfhost:image:base", "value": base}]
    return made
