"""What a server was started with, kept in its record: for it, or one that differs in little, to be started again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost.app.model import DIRECTORY_VARIANT
from selfhost.planner.plan import Goal, PlanRequest
from selfhost.serve.certificate import Pair

if TYPE_CHECKING:
    from selfhost.app.serve import ServeRequest
    from selfhost.serve.records import Record

_DEFAULTS = PlanRequest()
_PLACE = ("host", "port")
"""Settings whose default can be asked for as well."""
_LEFT_OUT = frozenset({"speculation"})
"""Read anew from the options that say it."""


def kept(request: ServeRequest) -> dict[str, Any]:
    """For the record; nothing in it is secret."""
    settings = {name: value for name, value in dataclasses.asdict(request.plan).items() if name not in _LEFT_OUT}
    return {
        "settings": settings | {"engine_args": list(request.plan.engine_args)},  # as it is read back
        "force": request.force,
        "tls": [_absolute(request.tls.certfile), _absolute(request.tls.keyfile)] if request.tls else None,
        "engine_python": _absolute(request.engine_python) if request.engine_python else None,
        "engine_version": request.engine_version,
        "recipe_paths": [_absolute(path) for path in request.recipe_paths],
    }


def _absolute(path: str | Path) -> str:
    """The next command may be given in another directory. Links stay: they may point elsewhere by then, on purpose."""
    return str(Path(path).absolute())


def target_of(record: Record) -> str:
    """The model that a server serves, as another command means it: a directory by its whole path."""
    return str(record.plan["model_path"]) if record.variant == DIRECTORY_VARIANT else record.target


def settings_of(record: Record) -> PlanRequest:
    """The settings that a server was started with; those of the engine's defaults where none were kept."""
    if record.request is None:
        return PlanRequest(host=record.host, port=record.port, served_model_name=record.served_model_name)
    known = {field.name for field in dataclasses.fields(PlanRequest)} - _LEFT_OUT
    given = {name: value for name, value in record.request.get("settings", {}).items() if name in known}
    goal = given.get("goal")
    given |= {"goal": Goal(goal) if goal else None, "engine_args": tuple(given.get("engine_args", ()))}
    return PlanRequest(**given)


def tls_of(record: Record) -> Pair | None:
    """Certificate and key that a server was started with."""
    named = (record.request or {}).get("tls")
    return Pair(certfile=Path(named[0]), keyfile=Path(named[1])) if named else None


def changed(before: PlanRequest, asked: PlanRequest) -> PlanRequest:
    """The settings of before with those that were asked for now.

    What follows `--` replaces all that followed it before. The port is another one anyway, unless it is asked for.
    """
    changes = {
        field.name: value
        for field in dataclasses.fields(PlanRequest)
        if (value := getattr(asked, field.name)) != getattr(_DEFAULTS, field.name)
    }
    for name in _PLACE:
        free = f"{name}_is_free"
        changes.pop(name, None)
        changes[free] = getattr(asked, free)
        if not changes[free]:
            changes[name] = getattr(asked, name)
    if asked.max_model_len is not None:
        changes["auto_max_model_len"] = False
    if asked.auto_max_model_len:
        changes["max_model_len"] = None
    return dataclasses.replace(before, **changes)
