"""What an engine needs of this machine, before anything is downloaded. Facts in, an error or nothing out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.errors import MissingError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.engines.specs import EngineSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What decides whether the wheels of a lock run here."""

    machine: str
    """As `uname -m` says: `x86_64`, `aarch64`."""
    implementation: str
    """`cpython`."""
    python: tuple[int, int]
    glibc: tuple[int, int] | None
    """None: another C library, or none that tells its version."""


def parse_driver_version(text: str) -> str | None:
    """NVIDIA driver version in `/proc/driver/nvidia/version` or nvidia-smi's `driver_version`; None: no version there.

    >>> parse_driver_version("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023")
    '535.104.05'
    """
    match = re.search(r"(?m)(?:^|\s)(\d{3,}\.\d+(?:\.\d+)?)(?:\s|$)", text)
    return match[1] if match else None


def check_machine(spec: EngineSpec, here: Machine) -> None:
    """Raises MissingError with what is wanted and what was found, when the lock has no wheels for this machine."""
    if here.machine not in spec.glibc:
        raise MissingError("engine.machine", name=spec.name, wanted=" or ".join(spec.glibc), found=here.machine)
    if here.implementation != "cpython" or not spec.python_from <= here.python < spec.python_below:
        last = (spec.python_below[0], spec.python_below[1] - 1)
        wanted = f"CPython {_dotted(spec.python_from)} to {_dotted(last)}"
        found = f"{here.implementation} {_dotted(here.python)}"
        raise MissingError("engine.python", name=spec.name, wanted=wanted, found=found, last=_dotted(last))
    wanted_glibc = spec.glibc[here.machine]
    if here.glibc is None or here.glibc < wanted_glibc:
        found = f"glibc {_dotted(here.glibc)}" if here.glibc else "no glibc (musl?)"
        raise MissingError("engine.glibc", name=spec.name, wanted=_dotted(wanted_glibc), found=found)


def check_driver(spec: EngineSpec, driver: str | None) -> None:
    """Raises MissingError when the engine needs an NVIDIA driver and this one is absent or too old for its CUDA."""
    need = spec.cuda
    if need is None:
        return
    facts = {"name": spec.name, "toolkit": need.toolkit, "wanted": need.minimum_driver, "cpu": spec.without_gpu}
    if driver is None:
        raise MissingError("engine.no_driver", **facts)
    if _numbers(driver) < _numbers(need.minimum_driver):
        raise MissingError("engine.old_driver", **facts, found=driver)


def suited(builds: Sequence[EngineSpec], driver: str | None) -> EngineSpec:
    """The first build that a machine with this NVIDIA driver can use; one whose driver is too old is told so later."""
    return next((spec for spec in builds if spec.cuda is None or driver is not None), builds[0])


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
