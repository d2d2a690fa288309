"""Whether a wheel installs on a machine, by its file name, and how pip is told to choose for that machine.

pip chooses wheels for where it runs; a machine behind a gap may have an older C library, or another Python.
Sources: packaging.python.org, "Platform compatibility tags"; PEP 600 (manylinux_x_y), 513, 571, 599 (older names).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfhost.engines.needs import Machine

_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(.+)")
_OLDER = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_CPYTHON = re.compile(r"cp3([0-9]{1,4})")
_PLAIN = re.compile(r"py3([0-9]{0,4})")
_OLDEST_GLIBC = _OLDER["manylinux1"]
_TAGS = 3


def misfit(file_name: str, machine: Machine) -> str:
    """Why a wheel does not install there, in a few words; empty when it does.

    >>> from selfhost.engines.needs import Machine
    >>> misfit("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", Machine("x86_64", "cpython", (3, 11), (2, 27)))
    'needs glibc 2.28'
    """
    parts = file_name.removesuffix(".whl").split("-")
    if len(parts) <= _TAGS:
        return "has no tags in its name"
    pythons, abis, platforms = (part.split(".") for part in parts[-_TAGS:])
    if not any(_python_fits(python, abi, machine.python[1]) for python in pythons for abi in abis):
        return f"is for {parts[-3]}"
    return _platform_misfit(platforms, machine)


def pip_arguments(machine: Machine) -> list[str]:
    """What tells pip to choose wheels for another machine.

    pip takes platforms as they are named, so each older glibc is named too; `abi3` and `none` it adds by itself.
    """
    python = f"{machine.python[0]}{machine.python[1]}"
    argv = ["--python-version", python, "--implementation", "cp", "--abi", f"cp{python}"]
    major, minor = machine.glibc or (0, 0)
    names = [f"manylinux_{major}_{one}" for one in range(minor, _OLDEST_GLIBC[1] - 1, -1)]
    names += [name for name, glibc in _OLDER.items() if machine.glibc is not None and glibc <= machine.glibc]
    for name in (*names, "linux"):
        argv += ["--platform", f"{name}_{machine.machine}"]
    return argv


def lowest_glibc(file_names: Iterable[str], kind: str) -> tuple[int, int] | None:
    """The oldest glibc on which all of these wheels install, on a kind of machine; None: none of them asks for one.

    >>> lowest_glibc(["a-1-py3-none-any.whl", "b-1-cp311-abi3-manylinux_2_28_x86_64.whl"], "x86_64")
    (2, 28)
    """
    wanted = []
    for name in file_names:
        platforms = name.removesuffix(".whl").split("-")[-1].split(".")
        of_kind = [glibc for glibc, machine in map(_glibc, platforms) if machine == kind and glibc]
        wanted += [min(of_kind)] if of_kind else []
    return max(wanted, default=None)


def _python_fits(python: str, abi: str, minor: int) -> bool:
    if plain := _PLAIN.fullmatch(python):
        return int(plain[1] or 0) <= minor
    built = _CPYTHON.fullmatch(python)
    if built is None:
        return False
    if abi == "abi3":
        return int(built[1]) <= minor
    return int(built[1]) == minor and abi in ("none", f"cp3{minor}")


def _platform_misfit(platforms: list[str], machine: Machine) -> str:
    if "any" in platforms or f"linux_{machine.machine}" in platforms:
        return ""
    wanted = [glibc for glibc, kind in map(_glibc, platforms) if kind == machine.machine and glibc]
    if not wanted:
        return f"is for {'.'.join(platforms)}"
    lowest = min(wanted)
    if machine.glibc is None or machine.glibc < lowest:
        return f"needs glibc {lowest[0]}.{lowest[1]}"
    return ""


def _glibc(platform: str) -> tuple[tuple[int, int] | None, str]:
    """(lowest glibc, kind of machine) of a platform tag; None for one that is not of glibc."""
    if found := _MANYLINUX.fullmatch(platform):
        return (int(found[1]), int(found[2])), found[3]
    name, _, kind = platform.partition("_")
    return _OLDER.get(name), kind
