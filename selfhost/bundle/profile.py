"""The machine behind the gap, as `detect --json` told it there, and what of a bundle could not run on it.

What does not fit is found before a drive has been carried, not after. Whether a model fits into the accelerators is the
planner's question: `target_from_dict` gives the snapshot that it takes.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from selfhost.bundle.layout import NO_LINKS
from selfhost.engines.needs import Machine, check_driver, check_machine
from selfhost.engines.wheel_tags import misfit
from selfhost.errors import MissingError, UsageError
from selfhost.findings import Finding, Severity
from selfhost.hardware.types import Accelerator, DeviceProcess, Disk, HardwareSnapshot, Host, Npu, Platform
from selfhost.messages import Message, word
from selfhost.records import dataclass
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from selfhost.engines.specs import EngineSpec

SCHEMA_VERSION = 1
OLDEST_PYTHON = (3, 11)
"""That selfhost itself runs on."""
_SHOWN = 5
_MEMORY_SLACK = 50
"""Two devices of one kind tell of memory that differs by less than one part in so many (ECC, driver)."""
_VENDORS = {Platform.CUDA: "nvidia", Platform.ASCEND: "huawei"}
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What a bundle asks of a machine."""

    engine: EngineSpec | None = None
    wheels: tuple[str, ...] = ()
    """File names of all wheels of the bundle."""
    model_bytes: int = 0
    """Of all models together, each content counted once."""


def target_from_dict(data: Mapping[str, Any], path: object) -> HardwareSnapshot:
    """The snapshot in the output of `detect --json`; keys of a newer selfhost are left out.

    path: where it was read, for the error. Raises UsageError when it is none, or of a newer format.
    """
    found = data.get("schema_version")
    if type(found) is not int:
        raise UsageError("target.not_a_profile", path=path, detail=f"schema_version: {found!r}")
    if found > SCHEMA_VERSION:
        raise UsageError("target.newer", path=path, found=found, known=SCHEMA_VERSION)
    try:
        host = dict(data["host"])
        host["disks"] = tuple(_record(Disk, disk) for disk in host.get("disks", ()))
        return HardwareSnapshot(
            captured_at=str(data["captured_at"]),
            accelerators=tuple(_accelerator(one) for one in data["accelerators"]),
            host=_record(Host, host),
            notes=tuple(str(note) for note in data.get("notes", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError("target.not_a_profile", path=path, detail=f"{type(error).__name__}: {error}") from error


def _accelerator(data: Mapping[str, Any]) -> Accelerator:
    """One accelerator with the records within it. Raises KeyError, TypeError."""
    plain = _record(Accelerator, {**data, "npu": None, "processes": ()})
    npu, processes = data.get("npu"), data.get("processes", ())
    return replace(
        plain,
        npu=None if npu is None else _record(Npu, {**npu}),
        processes=tuple(_record(DeviceProcess, {**one}) for one in processes),
    )


def _record(kind: type[_T], data: Mapping[str, Any]) -> _T:
    """A record from a JSON object. Raises KeyError, TypeError."""
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name not in data:
            if field.default is MISSING:
                raise KeyError(field.name)
            continue
        value = data[field.name]
        value = tuple(value) if isinstance(value, list) else value
        if not _is_of(value, str(field.type)):
            msg = f"{field.name} is {value!r}, not {field.type}"
            raise TypeError(msg)
        values[field.name] = value
    return kind(**values)


def _is_of(value: object, annotation: str) -> bool:
    """Whether a value of JSON is of a field's type."""
    if value is None:
        return annotation.endswith("| None")
    plain = annotation.removesuffix(" | None")
    if plain.startswith("tuple[str"):
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    if plain.startswith("tuple[int"):
        return isinstance(value, tuple) and [type(one) for one in value] == [int, int]
    return type(value).__name__ == plain.partition("[")[0]


def machine_of(host: Host) -> Machine:
    """What decides whether wheels run there. A profile does not tell which Python it is: CPython is taken."""
    python, glibc = _numbers(host.python), _numbers(host.glibc or "")
    return Machine(machine=host.architecture, implementation="cpython", python=python or (0, 0), glibc=glibc)


def findings(target: HardwareSnapshot, needs: Needs) -> list[Finding]:
    """What of a bundle cannot run on a machine (errors), and what may surprise there; errors first."""
    found = [*_system(target.host, needs), *_devices(target, needs), *_space(target.host, needs)]
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)


def lacking(here: HardwareSnapshot, made_for: HardwareSnapshot, needs: Needs) -> list[Finding]:
    """Errors about what a bundle was made for, or asks for, and this machine does not have; space is not among them.

    A better device will do: as much memory, as new a generation.
    """
    found = [*_system(here.host, needs), *_devices(here, needs)]
    found += [*_fewer(here, made_for), *_older(here.host, made_for.host)]
    errors = [finding for finding in found if finding.severity is Severity.ERROR]
    # What the bundle asks for and what it was made for may lack for one reason.
    return list({finding.message.what: finding for finding in errors}.values())


def _fewer(here: HardwareSnapshot, made_for: HardwareSnapshot) -> Iterator[Finding]:
    usable = [one for one in here.accelerators if one.supported and not one.hidden]
    groups: dict[str, list[Accelerator]] = {}
    for one in made_for.accelerators:
        if one.supported and not one.hidden:
            groups.setdefault(one.name, []).append(one)
    for name, wanted in groups.items():
        count = sum(any(_serves(one, other) for other in wanted) for one in usable)
        if count < len(wanted):
            listed = ", ".join(sorted({one.name for one in usable})) or word("none")
            params = {"wanted": len(wanted), "name": name, "found": count, "listed": listed}
            yield _error("accelerators", Message("target.fewer_devices", params))


def _serves(one: Accelerator, other: Accelerator) -> bool:
    """Whether a device can stand in for another."""
    if one.vendor != other.vendor or (one.compute_capability or (0, 0)) < (other.compute_capability or (0, 0)):
        return False
    memory, wanted = one.visible_memory_bytes or 0, other.visible_memory_bytes or 0
    return memory >= wanted - wanted // _MEMORY_SLACK


def _older(here: Host, made_for: Host) -> Iterator[Finding]:
    if here.architecture != made_for.architecture:
        params = {"what": "processor", "wanted": made_for.architecture, "found": here.architecture}
        yield _error("host.architecture", Message("target.differs", params))
    if made_for.soc_family and here.soc_family != made_for.soc_family:
        params = {"wanted": made_for.soc_family, "found": here.soc_family or word("none")}
        yield _error("host.soc_family", Message("target.soc_family", params))
    for what, wanted, found in (
        ("NVIDIA driver", made_for.nvidia_driver, here.nvidia_driver),
        ("Ascend driver", made_for.ascend_driver, here.ascend_driver),
        ("CANN", made_for.cann, here.cann),
    ):
        if wanted and _digits(found or "") < _digits(wanted):
            params = {"what": what, "wanted": f"{wanted} or newer", "found": found or word("none")}
            yield _error("host", Message("target.differs", params))


def _digits(version: str) -> tuple[int, ...]:
    """All numbers of a version, in order."""
    return tuple(int(number) for number in re.findall(r"\d{1,9}", version))


def refuse(found: Iterable[Finding], path: object) -> None:
    """Raises MissingError with all errors among the findings; path: of the profile."""
    errors = [finding.message for finding in found if finding.severity is Severity.ERROR]
    if errors:
        problems = "\n".join(f"{message.what}\n{message.why}".rstrip() for message in errors)
        raise MissingError("target.cannot_run", path=path, problems=problems)


def _error(where: str, message: Message) -> Finding:
    return Finding(severity=Severity.ERROR, where=where, message=message)


def _system(host: Host, needs: Needs) -> Iterator[Finding]:
    machine = machine_of(host)
    if machine.python < OLDEST_PYTHON:
        yield _error("host.python", Message("target.old_python", {"found": host.python}))
        return
    if needs.engine is not None:
        try:
            check_machine(needs.engine, machine)
        except MissingError as error:
            yield _error("host", error.message)
            return
    reasons = {name: reason for name in needs.wheels if (reason := misfit(name, machine))}
    if reasons:
        listed = [f"{name} {reason}" for name, reason in sorted(reasons.items())]
        more = [f"and {len(listed) - _SHOWN} more"] if len(listed) > _SHOWN else []
        there = f"{host.architecture}, Python {host.python}, glibc {host.glibc or 'unknown'}"
        params = {"count": len(listed), "there": there, "listed": "\n".join(listed[:_SHOWN] + more)}
        yield _error("host", Message("target.wheels", params))


def _devices(target: HardwareSnapshot, needs: Needs) -> Iterator[Finding]:
    engine, host = needs.engine, target.host
    if engine is None:
        return
    vendor = _VENDORS.get(engine.platform)
    usable = [one for one in target.accelerators if one.supported]
    if vendor is None:
        if usable and engine.serves:
            idle = {"engine": engine.name, "found": usable[0].name, "count": str(len(usable))}
            message = Message("target.idle_accelerators", idle)
            yield Finding(severity=Severity.WARNING, where="accelerators", message=message)
        return
    if not any(one.vendor == vendor for one in usable):
        listed = "\n".join(f"{one.name}: {one.reason or one.vendor}" for one in target.accelerators) or word("none")
        yield _error("accelerators", Message("target.no_accelerator", {"engine": engine.name, "listed": listed}))
        return
    try:
        check_driver(engine, host.nvidia_driver)
    except (MissingError, ValueError) as error:
        message = error.message if isinstance(error, MissingError) else _unread_driver(host)
        yield _error("host.nvidia_driver", message)


def _unread_driver(host: Host) -> Message:
    return Message("target.unread_driver", {"found": host.nvidia_driver})


def _space(host: Host, needs: Needs) -> Iterator[Finding]:
    wanted = needs.model_bytes + (needs.engine.disk_bytes if needs.engine else 0)
    if not host.disks:
        message = Message("target.disk_unknown", {"needed": format_bytes(wanted)})
        yield Finding(severity=Severity.WARNING, where="host.disks", message=message)
        return
    # The first is where selfhost keeps models and engines.
    disk = host.disks[0]
    if disk.file_system in NO_LINKS:
        yield _error(disk.path, Message("target.no_links", {"path": disk.path, "file_system": disk.file_system}))
    if disk.free_bytes < wanted:
        params = {"path": disk.path, "needed": format_bytes(wanted), "free": format_bytes(disk.free_bytes)}
        yield _error(disk.path, Message("target.no_space", params))


def _numbers(version: str) -> tuple[int, int] | None:
    """The first two numbers of a version."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    return (int(found[1]), int(found[2])) if found else None
