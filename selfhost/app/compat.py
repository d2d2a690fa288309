"""The Ascend stack of this machine, judged before anything is downloaded or started."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.engines import compat_gather, environment, known
from selfhost.engines.compat import judge
from selfhost.engines.compat_files import device_type
from selfhost.errors import MissingError
from selfhost.hardware import catalog
from selfhost.hardware.system import System
from selfhost.hardware.types import Platform
from selfhost.home import user_path
from selfhost.messages import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from selfhost.app.model import ResolvedModel
    from selfhost.engines.compat_types import Found, Item, Judgement
    from selfhost.hardware.types import Device, Hardware, HardwareSnapshot, Host
    from selfhost.planner.plan import Plan

ENGINE = "vllm-ascend"


class Chip(NamedTuple):
    """What kind of NPU a machine has."""

    family: str | None = None
    name: str = ""


def chip_of(device: Device) -> Chip:
    """Of the device a plan is for."""
    return Chip(device.family or None, device.name)


def chip_here(snapshot: HardwareSnapshot) -> Chip:
    """Of the NPUs that were found, unsupported ones included; nothing where there is none, or several kinds."""
    found = {
        (device.family, accelerator.name)
        for accelerator in snapshot.accelerators
        if accelerator.vendor == "huawei" and (device := catalog.lookup(accelerator.device_id or ""))
    }
    return Chip(*found.pop()) if len({family for family, _ in found}) == 1 else Chip()


def applies(hardware: Hardware) -> bool:
    """Whether there is a stack here to judge: Ascend devices that were found, not supposed by `--on`."""
    return hardware.device.platform is Platform.ASCEND and not hardware.assumed


def judge_here(
    chip: Chip,
    python: Path | None,
    *,
    host: Host | None = None,
    weights: str | None = None,
    system: System | None = None,
) -> Judgement:
    """What this machine and the environment of a Python have, against what plans are written for.

    python: None looks at no environment. host: as it was detected; npu-smi is not asked again. weights: method of
    quantization, empty for none, None when it is not asked.
    """
    told = environment.metadata(python) if python else {}
    return judge_told(chip, python, told, host=host, weights=weights, system=system)


def judge_told(  # noqa: PLR0913 - chip, environment and machine, each as it was found
    chip: Chip,
    python: Path | None,
    told: Mapping[str, Any],
    *,
    host: Host | None,
    weights: str | None = None,
    system: System | None = None,
) -> Judgement:
    """The same where the environment has answered already. told: as `environment.metadata` gives it."""
    found = compat_gather.look(system or System(), host)
    found = replace(found, family=chip.family, chip=chip.name, weights=weights)
    return judge(_with_packages(found, python, told) if python else found, known.load(ENGINE).ref.version)


def _with_packages(found: Found, python: Path, told: Mapping[str, Any]) -> Found:
    if told.get("error") is not None or not isinstance(told.get("versions"), dict):
        return found
    return replace(
        found,
        python=str(told["python"]) if "python" in told else None,
        executable=shlex.quote(str(python)),
        packages={str(name): str(version) for name, version in told["versions"].items()},
        build=device_type(str(told.get("build_info", ""))),
    )


def with_notes(plan: Plan) -> Plan:
    """A plan for this machine with what of its Ascend stack does not match, and what to change first.

    The environment that is looked at is the one that `serve` would take: `SELFHOST_ENGINE_PYTHON`.
    """
    python = os.environ.get("SELFHOST_ENGINE_PYTHON")
    here = plan.hardware
    judgement = judge_here(chip_of(here.device), user_path(python) if python else None, host=here.host)
    return replace(plan, reasons=(*plan.reasons, *notes(judgement)))


def notes(judgement: Judgement) -> tuple[str, ...]:
    """Lines for a plan: what does not match and what to change first; what could not be told."""
    lines = [text("compat.mismatch", item=item.label, wanted=item.wanted, found=item.found) for item in judgement.wrong]
    lines += [text("compat.first", remedy=judgement.remedy)] if judgement.remedy else []
    return (*lines, *remarks(judgement))


def remarks(judgement: Judgement) -> tuple[str, ...]:
    """What is no mismatch and still worth a line."""
    lines = [
        text("compat.remark", item=item.label, found=item.found, note=item.note)
        for item in judgement.items
        if item.note
    ]
    if judgement.unknown:
        lines.append(text("compat.unchecked", items=_labels(judgement.unknown)))
    return tuple(lines)


def check(
    found: ResolvedModel,
    plan: Plan,
    engine_python: Path | None,
    warn: Callable[[str], object],
    *,
    force: bool,
) -> None:
    """For `serve`: as `check_start`, for a plan on Ascend devices that are here; nothing for others."""
    if not applies(plan.hardware):
        return
    quantization = found.of_variant(plan.variant).to_plan().arch.quantization
    python = environment.from_python(engine_python).python if engine_python else None
    method = quantization.method if quantization else ""
    judgement = judge_here(chip_of(plan.hardware.device), python, host=plan.hardware.host, weights=method)
    for line in check_start(judgement, plan.model, force=force):
        warn(line)


def check_start(judgement: Judgement, name: str, *, force: bool) -> tuple[str, ...]:
    """Raises MissingError with the table when something does not match; lines to warn with when it may be started."""
    if not judgement.wrong:
        return remarks(judgement)
    if force:
        return (text("compat.forced", items=_labels(judgement.wrong)), *remarks(judgement))
    raise MissingError(
        "compat.not_started",
        name=name,
        engine=ENGINE,
        version=judgement.release,
        items=_labels(judgement.wrong),
        table="\n".join(judgement.rows()),
        remedy=judgement.remedy,
        details=judgement.as_dict(),
    )


def _labels(items: Iterable[Item]) -> str:
    return ", ".join(item.label for item in items)
