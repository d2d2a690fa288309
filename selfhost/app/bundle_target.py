"""What the planner knows against models of a bundle on the devices that `--for` tells of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.app import detect
from selfhost.app.model import resolve
from selfhost.app.plan import engine_for
from selfhost.errors import SelfhostError
from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.planner.support import refusals

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from selfhost.engines.specs import EngineSpec
    from selfhost.hardware.types import Hardware, HardwareSnapshot


def model_findings(
    models: Iterable[tuple[str, Path]], target: HardwareSnapshot, engine: EngineSpec | None
) -> list[Finding]:
    """Errors: models that none of the devices there runs, however much memory they have, with the reasons.

    models: names with directories. engine: that is bundled; None: what drives the devices there is there already. A
    model that cannot be planned is not known to be refused.
    """
    there = detect.hardware_here(target)
    groups = there[:-1] or there
    if engine is not None:
        groups = [group for group in there if group.device.platform is engine.platform]
    return [
        Finding(severity=Severity.ERROR, where=name, message=Message("target.model", {"name": name, **against}))
        for name, directory in models
        if groups and (against := _against(directory, groups))
    ]


def _against(directory: Path, groups: Iterable[Hardware]) -> dict[str, object]:
    """The devices and what stands against them; empty when one of them takes the model, or nothing is known."""
    reasons: dict[str, list[str]] = {}
    for group in groups:
        try:
            model = resolve(str(directory)).to_plan()
            found = refusals(model, group, engine_for(group).for_planner)
        except (KeyError, SelfhostError):
            return {}
        if not found:
            return {}
        reasons[group.device.name] = found
    listed = "\n".join(dict.fromkeys(line for found in reasons.values() for line in found))
    return {"devices": ", ".join(reasons), "listed": listed}
