"""`selfhost plan --matrix` and `--for-hardware`: one model on many devices, many models on one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.app.plan import engine_for, plan_unserved, with_options
from selfhost.app.unserved import UnservedError
from selfhost.errors import SelfhostError
from selfhost.messages import text
from selfhost.planner import matrix
from selfhost.planner.settings import check_request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from selfhost.hardware.types import Hardware
    from selfhost.planner.plan import ModelToPlan, PlanRequest

HERE = "here"
"""Instead of a device: what is found on this machine."""
_COUNTED = re.compile(r"\s*\d+\s*[x\u00d7*]", re.IGNORECASE)


def matrix_for(
    name: str, *, on: Sequence[str], request: PlanRequest, variant: str | None = None, recipe_paths: Sequence[Path] = ()
) -> matrix.Matrix:
    """The model on every device of the catalogue that some engine drives, or on those that `on` names.

    A device that is named without a number is planned in all numbers. Raises UsageError as `plan_for` does.
    """
    from selfhost.app.model import resolve

    model = resolve(name, variant=variant, recipe_paths=recipe_paths).to_plan()
    hardware = [one for part in on for one in _named(part)] if on else every_hardware()
    return matrix_of(model, hardware, request)


def matrix_of(model: ModelToPlan, hardware: Sequence[Hardware], request: PlanRequest) -> matrix.Matrix:
    """The model on each hardware, with the engine that drives it; `request` must have been read with `absorb`."""
    model, request, _ = with_options(model, request)
    return matrix.matrix_of(model, hardware, request, engine_of=lambda on: engine_for(on).for_planner)


def every_hardware() -> list[Hardware]:
    """Every device of the catalogue that is supported, in all numbers; no CPU, since that is as large as its host."""
    from selfhost.hardware import catalog

    devices = [device for device in catalog.DEVICES if device.supported and device is not catalog.CPU]
    return [matrix.hardware_of(device, count) for device in devices for count in matrix.COUNTS]


def _named(on: str) -> list[Hardware]:
    from selfhost.hardware import catalog, spec

    if on.strip().lower() == catalog.CPU.id:
        from selfhost.app.detect import hardware_for
        from selfhost.home import find_home

        return [hardware_for(on, find_home())]
    one = spec.parse(on)
    if _COUNTED.match(on) or one.device is catalog.CPU:
        return [one]
    return [matrix.hardware_of(one.device, count, one.visible_memory_bytes) for count in matrix.COUNTS]


def models_on(where: str, *, request: PlanRequest, recipe_paths: Sequence[Path] = ()) -> matrix.Models:
    """Every recipe on one hardware, as after `--on`; `here`: what is found on this machine, with its boot records.

    A recipe that cannot be read or understood is skipped with its reason: one mistake must not hide the others.
    Raises UsageError for malformed hardware and settings that no engine takes.
    """
    from selfhost.app.detect import hardware_for
    from selfhost.app.model import from_recipe
    from selfhost.app.plan import Here
    from selfhost.home import find_home
    from selfhost.models.checkpoint import parameter_count
    from selfhost.recipe import load

    home = find_home()
    here = where.strip().lower() == HERE
    hardware = hardware_for(None if here else where, home)
    if here:
        from selfhost.app.allotment import left_of

        hardware = left_of(hardware, home)
    engine = engine_for(hardware)
    check_request(request)
    cells, skipped, parameters = [], [], {}
    for name, path in load.find_recipes(home, recipe_paths).items():
        try:
            model = from_recipe(load.read_recipe(path), path, None, home).to_plan()
            model, asked, _ = with_options(model, request, engine)
            facts = engine.for_planner
            if here and home.boots.is_dir():
                from selfhost.app import known_boots

                facts = replace(facts, boots=known_boots.find(Here(home), model, hardware, asked, engine).records)
            cells.append(matrix.cell_of(model, hardware, asked, engine=facts))
        except UnservedError as error:
            cells.append(matrix.Cell(plan_unserved(error.recipe, None, hardware, request)))
            parameters[name] = error.recipe.parameters or 0
            continue
        except SelfhostError as error:
            skipped.append(text("recipe.skipped", path=path, problem=error, name=name))
            continue
        parameters[model.name] = parameter_count(model.arch)
    return matrix.Models(hardware, matrix.by_use(cells, parameters), skipped, len(cells))
