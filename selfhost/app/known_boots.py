"""Boot records of this machine, found for a plan: those of its model, engine and device, when that device is here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from selfhost.app import detect
from selfhost.app.engine_env import inherited
from selfhost.engines.extras import extras
from selfhost.hardware.types import Platform
from selfhost.planner.boots import fingerprint
from selfhost.serve import boots

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.engines.known import Known
    from selfhost.hardware.types import Hardware, HardwareSnapshot
    from selfhost.home import Home
    from selfhost.planner.plan import ModelToPlan, PlanRequest
    from selfhost.serve.boots import Found

_NOTHING = boots.Found((), ())


class Here(NamedTuple):
    """Where boot records are kept, and how the hardware of a plan was named."""

    home: Home
    on: str | None = None
    """`--on`; None: what was found here."""
    look: Callable[[Home], HardwareSnapshot] = detect.detect
    """What this machine has; asked only when `--on` names devices that records are of."""


def extras_of(model: ModelToPlan, request: PlanRequest, engine: Known) -> tuple[str, ...]:
    """What else decides memory: see `engines.extras`. Raises UsageError for options the engine does not have."""
    return extras(model.engine_args, request.engine_args, inherited(os.environ), engine)


def find(here: Here, model: ModelToPlan, hardware: Hardware, request: PlanRequest, engine: Known) -> Found:
    """The boot records that may speak for a plan of a model or one of its variants on hardware that is here.

    The planner compares layout and settings itself. Raises UsageError for options the engine does not have.
    """
    if not here.home.boots.is_dir():
        return _NOTHING
    found = boots.read(here.home, [fingerprint(one.arch) for one in (model, *model.variants)])
    further = extras_of(model, request, engine) if found.records else ()
    visible = None if hardware.device.platform is Platform.CPU else hardware.visible_memory_bytes
    records = tuple(
        record
        for record in found.records
        if (record.subject.engine, record.subject.device) == (engine.ref, hardware.device.id)
        and (record.subject.visible_memory_bytes, record.subject.extras) == (visible, further)
    )
    # Asked last: vendors' tools may take seconds, and most plans for other hardware have no record anyway.
    if records and not _is_here(here, hardware):
        return _NOTHING
    return found._replace(records=records)


def _is_here(here: Here, hardware: Hardware) -> bool:
    """Whether the hardware that was named with `--on` is really here: as many of that device, with that memory."""
    if here.on is None:
        return True
    if hardware.device.platform is Platform.CPU:
        return "@" not in here.on
    return hardware.nodes == 1 and any(
        group.device.id == hardware.device.id
        and group.visible_memory_bytes == hardware.visible_memory_bytes
        and group.devices_per_node >= hardware.devices_per_node
        for group in detect.hardware_here(here.look(here.home))
    )
