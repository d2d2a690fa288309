"""Wheels that go into a bundle or an image, as bills of materials name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.bundle.bom import BomEngine, BomWheel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfhost.engines.wheel_file import Wheel


def bom_engine(name: str, version: str, wheels: Iterable[Wheel]) -> BomEngine:
    """An engine, or selfhost itself, with its wheels."""
    return BomEngine(
        name=name,
        version=version,
        wheels=tuple(
            BomWheel(
                name=wheel.name,
                version=wheel.version,
                file_name=wheel.path.name,
                sha256=wheel.sha256,
                size=wheel.size,
                licence=wheel.licence,
            )
            for wheel in wheels
        ),
    )
