"""Versions of an engine side by side: which one `--engine-version` means, and what it means to start another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.engines import environment, specs
from selfhost.errors import MissingError, UsageError
from selfhost.messages import text, word

if TYPE_CHECKING:
    from selfhost.engines.environment import EngineEnvironment
    from selfhost.home import Home
    from selfhost.planner.plan import Plan


def matches(found: EngineEnvironment, version: str) -> bool:
    """Whether a version, or the beginning of its folder's name from there on, means that environment.

    `0.32.0`, `0.32.0-433d` and `0.32.0-433d4fcf-py3.11`, but not `0.3`.
    """
    name = found.path.name
    return version in (found.version, name) or (version.startswith(f"{found.version}-") and name.startswith(version))


def choose(home: Home, engine: str, version: str) -> EngineEnvironment:
    """The environment of an engine that a version means; of several of one version that of this selfhost's lock.

    Raises MissingError with what there is, UsageError when it means several.
    """
    installed = [one for one in environment.find_all(home) if engine in (one.name, one.install) and one.complete]
    found = [one for one in installed if matches(one, version)]
    current = [one for one in found if one.current]
    if len(current or found) == 1:
        return (current or found)[0]
    names = ", ".join(one.path.name for one in found or installed) or word("none")
    if found:
        raise UsageError("versions.several", version=version, found=names, first=found[0].path.name)
    name = next((spec.name for spec in specs.SPECS if spec.engine == engine), engine)
    pin = next((spec.version for spec in specs.SPECS if spec.engine == engine), "?")
    raise MissingError("versions.unknown", engine=engine, version=version, found=names, name=name, pin=pin)


def with_note(home: Home, plan: Plan, version: str) -> Plan:
    """With what it would be started with. Raises as `choose`."""
    found = choose(home, plan.engine.name, version)
    same = text("versions.same", engine=found.name, version=found.version, path=found.path)
    return replace(plan, reasons=(*plan.reasons, differs(found, plan) or same))


def differs(found: EngineEnvironment, plan: Plan) -> str | None:
    """What it means that another version is started than the plan is made for; None when it is the same."""
    if found.version == plan.engine.version:
        return None
    return text(
        "versions.differs", engine=plan.engine.name, version=found.version, planned=plan.engine.version, path=found.path
    )
