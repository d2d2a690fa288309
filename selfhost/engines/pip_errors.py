"""Why an installation failed, as an error that says what to do. Values in, an error out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.engines.pip_output import Cause, Failure
from selfhost.errors import IncompleteError, IntegrityError, NoSpaceError, SelfhostError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from pathlib import PurePath

    from selfhost.engines.specs import EngineSpec

_NAMED = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class MissingWheels:
    """What a folder of wheels lacks."""

    where: str
    lock: str
    """Path of the lock, for who fetches them."""
    names: tuple[str, ...]
    """`name==version`."""


def explained(spec: EngineSpec, cause: Cause, log: PurePath, missing: MissingWheels | None) -> SelfhostError:
    """The error for a failure of pip. `missing` is None when an index was asked instead of a folder."""
    name, line = spec.name, cause.line
    if cause.failure is Failure.NOT_FOUND and missing:
        return _wheels_missing(spec, cause, missing)
    match cause.failure:
        case Failure.NOT_FOUND | Failure.UNREACHABLE:
            return _not_got(spec, cause, log)
        case Failure.HASH:
            return IntegrityError("engine.hash", what=line, wanted=cause.wanted, found=cause.found, log=log)
        case Failure.NO_SPACE:
            return NoSpaceError("engine.no_space_left", line=line, folder=log.parent)
        case Failure.CERTIFICATE:
            return IncompleteError("engine.certificate", line=line, name=name, log=log)
        case _:
            return SelfhostError("engine.pip_failed", line=line, name=name, log=log)


def _wheels_missing(spec: EngineSpec, cause: Cause, missing: MissingWheels) -> SelfhostError:
    # What pip stopped at comes first: its wheel may be there, but for another machine or Python.
    names = list(dict.fromkeys([cause.requirement, *missing.names]))
    listed = names[:_NAMED] + ([f"and {len(names) - _NAMED} more"] if len(names) > _NAMED else [])
    index = f" --extra-index-url {spec.fallback_index}" if spec.fallback_package in names else ""
    return IncompleteError(
        "engine.wheels_missing",
        name=spec.name,
        count=len(names),
        where=missing.where,
        listed="\n".join(listed),
        index=index,
        lock=missing.lock,
    )


def _not_got(spec: EngineSpec, cause: Cause, log: PurePath) -> SelfhostError:
    if cause.requirement and cause.requirement == spec.fallback_package:
        return IncompleteError(
            "engine.torch_missing",
            package=cause.requirement,
            index=spec.fallback_index,
            line=cause.line,
            name=spec.name,
            log=log,
        )
    if cause.failure is Failure.UNREACHABLE:
        return IncompleteError("engine.unreachable", line=cause.line, name=spec.name, log=log)
    return IncompleteError("engine.not_in_index", package=cause.requirement, name=spec.name, log=log)
