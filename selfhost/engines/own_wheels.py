"""The wheels that selfhost itself is installed from on a machine that has a Python and nothing else.

They are the versions that run here, in the builds that fit that machine. pip cannot be asked for them as a whole: it
chooses wheels for another Python, but follows dependencies by the markers of the Python that runs it. So what a wheel
requires is read from it, level by level, and at the end all of it is checked.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from selfhost import __version__, files
from selfhost.engines import own_wheel
from selfhost.engines.install import InstallOptions, pip_source, this_machine
from selfhost.engines.lock import LockEntry, lock_text, marker_environment, wheel_prefix
from selfhost.engines.pip_run import captured
from selfhost.engines.wheel_file import Wheel, describe, metadata
from selfhost.engines.wheel_folder import WheelOptions, check_online, choice, keep, scratch_in, some_pip
from selfhost.errors import IncompleteError, MissingError, SelfhostError, UsageError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from selfhost.engines.needs import Machine
    from selfhost.engines.pip_output import PipOutput

OWN_LOCK = "selfhost.lock"
"""Name of the hashed requirements of selfhost itself, beside its wheels."""
_LEVELS = 20
"""Of packages that need packages; more is a circle of names."""


def fill(folder: Path, options: WheelOptions, own: Path | None = None) -> tuple[Wheel, ...]:
    """Have selfhost's own wheel and all that it needs in `folder`, in the versions that run here, with `OWN_LOCK`.

    own: a wheel of selfhost to take instead of making it from the installation; one in the wheelhouse is taken too.
    Raises MissingError when it can be neither made nor found, or when packages do not go together over there,
    IntegrityError when the installation was changed, IncompleteError when the index lacks something.
    """
    files.make_directory(folder)
    asked = options.for_pip
    with some_pip() as pip, scratch_in(folder) as partial:
        wheel = _own(pip, partial, own or _given(asked.wheelhouse))
        _Closure(pip=(*pip,), partial=partial, folder=folder, options=options).follow(wheel)
        names = keep(partial, folder)
    found = tuple(describe(folder / name) for name in names)
    with files.atomic_write(folder / OWN_LOCK) as stream:
        stream.write(lock_text(LockEntry(one.name, one.version, "", (one.sha256,)) for one in found).encode())
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Closure:
    """Gets what a wheel needs, and what that needs, into one folder."""

    pip: tuple[str, ...]
    partial: Path
    folder: Path
    options: WheelOptions

    def follow(self, wheel: Path) -> None:
        """Have everything in `partial`. Raises IncompleteError, MissingError."""
        there = self.options.machine or this_machine()
        here = _versions_here()
        wanted = [(wheel, frozenset[str]())]
        seen: set[tuple[str, frozenset[str]]] = set()
        rules: list[Requirement] = []
        for _ in range(_LEVELS):
            level = [rule for path, extras in wanted for rule in requirements(metadata(path), there, extras)]
            rules += level
            new = {(canonicalize_name(rule.name), frozenset(rule.extras)): rule for rule in level}
            todo = {key: rule for key, rule in new.items() if key not in seen}
            if not todo:
                break
            seen |= todo.keys()
            got = self._named()
            self._get({name: rule for (name, _), rule in todo.items() if name not in got}, here, wheel)
            got = self._named()
            wanted = [(got[name], extras) for name, extras in todo]
        _check(rules, {name: describe(path).version for name, path in self._named().items()})

    def _named(self) -> dict[str, Path]:
        return {canonicalize_name(describe(path).name): path for path in sorted(self.partial.glob("*.whl"))}

    def _get(self, rules: Mapping[str, Requirement], here: Mapping[str, str], wheel: Path) -> None:
        """Download one wheel for each name: the version that runs here, else the newest that its rule allows."""
        if not rules:
            return
        listed = self.partial / "tmp" / "wanted.txt"
        lines = (f"{name}=={here[name]}" if name in here else f"{name}{rules[name].specifier}" for name in rules)
        listed.write_text("".join(f"{line}\n" for line in sorted(lines)))
        argv = [*self.pip, "download", "--no-deps", "--dest", str(self.partial), *choice(self.options.machine)]
        status, output = self._download([*argv, "--requirement", str(listed)])
        if status:
            raise IncompleteError("wheels.own_incomplete", line=output.cause().line, wheel=wheel.name)

    def _download(self, argv: list[str]) -> tuple[int, PipOutput]:
        """Run pip: from what the folder has already, else from where packages come from."""
        asked = self.options.for_pip
        if asked.wheelhouse is None and any(self.folder.glob("*.whl")):
            status, output = captured(*pip_source(argv, InstallOptions(wheelhouse=self.folder), os.environ))
            if not status:
                return status, output
        check_online(asked, own_wheel.DISTRIBUTION)
        return captured(*pip_source(argv, asked, os.environ))


def requirements(said: bytes, machine: Machine, extras: Iterable[str] = ()) -> list[Requirement]:
    """What a wheel with this METADATA needs on a machine, with the extras that are asked of it."""
    there = marker_environment(machine)
    listed = [
        Requirement(line) for line in Parser().parsestr(said.decode(errors="replace")).get_all("Requires-Dist", [])
    ]
    asked = [*extras, ""]
    return [
        rule for rule in listed if rule.marker is None or any(rule.marker.evaluate(there | {"extra": e}) for e in asked)
    ]


def _check(rules: Sequence[Requirement], versions: Mapping[str, str]) -> None:
    """Raises MissingError where a version that was chosen is not one that each package allows."""
    wrong = {
        f"{rule.name}{rule.specifier}: {versions[name]}"
        for rule in rules
        if not rule.specifier.contains(versions[name := canonicalize_name(rule.name)], prereleases=True)
    }
    if wrong:
        raise MissingError("wheels.own_conflict", listed="\n".join(sorted(wrong)))


def _given(wheelhouse: Path | None) -> Path | None:
    """The wheel of this selfhost in a folder."""
    prefix = wheel_prefix(own_wheel.DISTRIBUTION, __version__)
    return next(iter(sorted(wheelhouse.glob(f"{prefix}*.whl"))), None) if wheelhouse else None


def _own(pip: list[str], partial: Path, given: Path | None) -> Path:
    """Selfhost's own wheel in `partial`."""
    if given is not None:
        if describe(given).name != own_wheel.DISTRIBUTION:
            raise UsageError("wheels.not_own", path=given, name=own_wheel.DISTRIBUTION)
        shutil.copyfile(given, partial / given.name)
        return partial / given.name
    package = Path(__file__).parents[1]
    source = own_wheel.checkout(package)
    if source is None:
        return own_wheel.rebuild(own_wheel.installed(package), partial)
    argv = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(partial), str(source)]
    status, output = captured(argv, os.environ)
    built = list(partial.glob("*.whl"))
    if status or len(built) != 1:
        raise SelfhostError("wheels.not_built", source=source, line=output.cause().line)
    return built[0]


def _versions_here() -> dict[str, str]:
    """Every package as it is installed here, by its normal name."""
    here = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return {canonicalize_name(name): version for name, version in here.items()}
