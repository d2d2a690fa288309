"""Boot records of this machine, found for a plan: those of its model, engine and device, when that device is here."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.app import detect
from selfhost.app.engine_env import inherited
from selfhost.engines import known, owned
from selfhost.engines.extras import extras
from selfhost.hardware.types import Platform
from selfhost.planner.boots import fingerprint, subject_of
from selfhost.serve import boots

if TYPE_CHECKING:
    from selfhost.app.plan import Here
    from selfhost.engines.known import Known
    from selfhost.hardware.types import Hardware
    from selfhost.planner.plan import ModelToPlan, Plan, PlanRequest
    from selfhost.serve.boots import Found

_NOTHING = boots.Found((), ())


def with_subject(plan: Plan, model: ModelToPlan, request: PlanRequest) -> Plan:
    """The plan with what its boot record is kept under. Raises UsageError for options the engine does not have."""
    engine = known.load(plan.engine.name)
    arch = next((one.arch for one in model.variants if one.variant == plan.variant), model.arch)
    further = _extras(model, owned.absorb(request, engine), engine)
    return replace(plan, subject=subject_of(plan, arch, further))


def _extras(model: ModelToPlan, request: PlanRequest, engine: Known) -> tuple[str, ...]:
    return extras(model.engine_args, request.engine_args, inherited(os.environ), engine)


def find(here: Here, model: ModelToPlan, hardware: Hardware, request: PlanRequest, engine: Known) -> Found:
    """The boot records that may speak for a plan of a model or one of its variants on hardware that is here.

    request: without the settings (`owned.absorb`). The planner compares layout and settings itself. Raises UsageError
    for options the engine does not have.
    """
    found = boots.read(here.home, [fingerprint(one.arch) for one in (model, *model.variants)])
    further = _extras(model, request, engine) if found.records else ()
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
        for group in detect.hardware_here((here.look or detect.detect)(here.home))
    )
