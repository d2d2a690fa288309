"""The rules, by number; each is a function from the picture of a site to findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.render.lint.rules import devices, engine, exposure, images, probes, storage, times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfhost.findings import Finding
    from selfhost.render.lint.site import Site

RULES: tuple[tuple[int, Callable[[Site], Iterator[Finding]]], ...] = (
    (1, images.pinned),
    (2, engine.offline),
    (3, exposure.ports),
    (4, times.grace),
    (5, times.start),
    (6, probes.paths),
    (7, probes.headless),
    (8, exposure.service_names),
    (9, devices.reservations),
    (10, devices.layout),
    (11, storage.shared_memory),
    (12, exposure.secrets),
    (13, engine.downloads),
    (14, storage.mounts),
    (15, images.same_on_all_nodes),
    (16, engine.metrics),
    (17, devices.ascend),
    (18, images.cuda),
    (19, exposure.network),
    (20, engine.flags),
)
