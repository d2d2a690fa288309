"""What a server was started with, kept in its record: for it, or one that differs in little, to be started again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost.planner.plan import Goal, PlanRequest
from selfhost.serve.certificate import Pair

if TYPE_CHECKING:
    from selfhost.app.serve import ServeRequest
    from selfhost.serve.records import Record

_DEFAULTS = PlanRequest()
_LEFT_OUT = frozenset({"speculation"})
"""Read anew from the options that say it."""


def kept(request: ServeRequest) -> dict[str, Any]:
    """For the record; nothing in it is secret."""
    settings = {name: value for name, value in dataclasses.asdict(request.plan).items() if name not in _LEFT_OUT}
    return {
        "settings": settings | {"engine_args": list(request.plan.engine_args)},  # as it is read back
        "force": request.force,
        "tls": [str(request.tls.certfile), str(request.tls.keyfile)] if request.tls else None,
        "engine_python": request.engine_python,
        "engine_version": request.engine_version,
        "recipe_paths": list(request.recipe_paths),
    }


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
    changes.pop("port_is_free", None)
    if asked.port_is_free:
        changes.pop("port", None)
    if asked.max_model_len is not None:
        changes["auto_max_model_len"] = False
    if asked.auto_max_model_len:
        changes["max_model_len"] = None
    return dataclasses.replace(before, **{**changes, "port_is_free": asked.port_is_free})
