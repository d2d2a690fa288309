"""Wheelhouses: the wheels that an engine is installed from where there is no registry.

    fill(spec, folder, ...)    what the lock needs on a machine, from pip's index; what is there is not fetched again
    find(spec, folder, ...)    the same from a folder that has them; proven by pip without any index

The machine may be another one than this: a host behind a gap, with its own Python and C library. A wheel is in a folder
under its own name only after it was got whole and its digest was one of the lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from selfhost import files
from selfhost.engines import environment
from selfhost.engines.install import missing_wheels, pip_command, run_with_fallback, this_machine
from selfhost.engines.lock import lock_text, needed, parse_lock, wheel_key, wheel_prefix
from selfhost.engines.needs import check_machine
from selfhost.engines.pip_errors import MissingWheels, explained
from selfhost.engines.pip_output import Failure, PipOutput, Progress
from selfhost.engines.pip_run import PipRun, captured
from selfhost.engines.wheel_file import Wheel, describe
from selfhost.engines.wheel_folder import WheelOptions, check_online, choice, keep, scratch_in, some_pip
from selfhost.engines.wheel_tags import misfit
from selfhost.errors import IncompleteError, IntegrityError, MissingError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfhost.engines.lock import LockEntry
    from selfhost.engines.needs import Machine
    from selfhost.engines.pip_output import Cause
    from selfhost.engines.specs import EngineSpec

_AT_ONCE = 8
"""Packages that one pip fetches: it gives them out at its end, so this is what an interruption may cost."""


def find(spec: EngineSpec, folder: Path, machine: Machine | None = None) -> tuple[Wheel, ...]:
    """The wheels that an engine needs on a machine (None: this one), from a folder; sorted by file name.

    pip itself chooses and hashes them, with no index. Raises MissingError when the lock has no wheels for this kind of
    machine, UsageError without the folder, IncompleteError with the names of what is not there, IntegrityError for a
    wheel that is not the locked one.
    """
    there = machine or this_machine()
    check_machine(spec, there)
    options = WheelOptions(wheelhouse=folder).for_pip
    entries = _needed(spec, there)
    with some_pip() as pip, tempfile.TemporaryDirectory(prefix="selfhost-wheels-") as work:
        told = Path(work) / "report.json"
        argv = [*pip, "install", "--dry-run", "--ignore-installed", "--report", str(told)]
        argv += ["--target", str(Path(work) / "none"), *choice(machine)]
        if choice(machine):
            # `pip install` holds Requires-Python against the Python that runs it; the lock was made for the other one.
            argv.append("--ignore-requires-python")
        argv, env = pip_command(argv, _written(entries, Path(work)), options, os.environ)
        status, output = captured(argv, env | {"TMPDIR": work})
        if status:
            raise explained(spec, output.cause(), folder / "pip.log", missing_wheels(spec, folder, there))
        urls = [str(item["download_info"]["url"]) for item in json.loads(told.read_bytes())["install"]]
    return tuple(describe(path) for path in sorted(Path(unquote(urlsplit(url).path)) for url in urls))


def fill(
    spec: EngineSpec, folder: Path, options: WheelOptions, report: Callable[[Progress], None]
) -> tuple[Wheel, ...]:
    """Have all wheels that an engine needs on a machine in `folder`; those that are there are kept.

    Raises as `find` does, IncompleteError when the index cannot be reached, or must not be, and MissingError with the
    names of the packages that have no wheel for another machine.
    """
    there = options.machine or this_machine()
    check_machine(spec, there)
    files.make_directory(folder)
    asked = options.for_pip
    with contextlib.suppress(IncompleteError, IntegrityError):
        return find(spec, folder, options.machine)
    check_online(asked, spec.name)
    entries = _needed(spec, there)
    known = frozenset(digest for entry in entries for digest in entry.hashes)
    with some_pip() as pip, scratch_in(folder, known) as partial:
        left = _not_there(folder, entries, there)
        fetch = _Fetch(spec=spec, pip=(*pip,), folder=folder, partial=partial, options=options, report=report)
        absent: list[LockEntry] = []
        total, last = len(entries), None
        for at in range(0, len(left), _AT_ONCE):
            missed, cause = fetch(left[at : at + _AT_ONCE], total - len(left) + at, total)
            absent, last = [*absent, *missed], cause or last
        if last is not None:
            raise _not_found(spec, absent, last, options, folder)
    (folder / "pip.log").unlink(missing_ok=True)
    return find(spec, folder, options.machine)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fetch:
    """Gets wheels of a lock, a few at a time."""

    spec: EngineSpec
    pip: tuple[str, ...]
    folder: Path
    partial: Path
    options: WheelOptions
    report: Callable[[Progress], None]

    def __call__(self, wanted: Sequence[LockEntry], before: int, total: int) -> tuple[list[LockEntry], Cause | None]:
        """Have them in the folder; those for which there is no wheel, and what pip said of the last of these."""
        absent: list[LockEntry] = []
        last = None
        while left := [entry for entry in wanted if entry not in absent]:
            status, output = self._run(left, before, total)
            if not status:
                keep(self.partial, self.folder)
                break
            cause = output.cause()
            named = [entry for entry in left if f"{entry.name}=={entry.version}" == cause.requirement]
            if cause.failure is not Failure.NOT_FOUND or not named:
                raise explained(self.spec, cause, self.folder / "pip.log", None)
            absent += named
            last = cause
        return absent, last

    def _run(self, entries: Sequence[LockEntry], before: int, total: int) -> tuple[int, PipOutput]:
        argv = [*self.pip, "download", "--dest", str(self.partial), *choice(self.options.machine)]
        lock = _written(entries, self.partial / "tmp")
        argv, env = pip_command(argv, lock, self.options.for_pip, os.environ)
        argv += ["--find-links", str(self.folder.absolute())]
        env["TMPDIR"] = str(self.partial / "tmp")
        run = PipRun(
            target=self.partial,
            log=self.folder / "pip.log",
            env=env,
            report=lambda seen: self.report(replace(seen, done=before + seen.done, total=total)),
            packages=len(entries),
        )
        return run_with_fallback(run, argv, self.spec, self.options.for_pip)


def _not_found(
    spec: EngineSpec, absent: Sequence[LockEntry], cause: Cause, options: WheelOptions, folder: Path
) -> Exception:
    """The error for packages that have no wheel where they were looked for."""
    names = tuple(f"{entry.name}=={entry.version}" for entry in absent)
    if options.machine is not None and options.wheelhouse is None:
        there = options.machine
        return MissingError(
            "wheels.none_there",
            name=spec.name,
            count=len(names),
            listed="\n".join(names),
            machine=there.machine,
            python=".".join(map(str, there.python)),
            glibc=".".join(map(str, there.glibc or ("unknown",))),
        )
    lock = str(environment.lock_file(spec))
    where = options.wheelhouse
    missing = MissingWheels(where=str(where), lock=lock, names=names) if where else None
    return explained(spec, replace(cause, requirement=names[0]), folder / "pip.log", missing)


def _needed(spec: EngineSpec, machine: Machine) -> tuple[LockEntry, ...]:
    return needed(parse_lock(environment.lock_file(spec).read_text()), machine)


def _written(entries: Sequence[LockEntry], folder: Path) -> Path:
    path = folder / "wanted.lock"
    path.write_text(lock_text(entries))
    return path


def _not_there(folder: Path, entries: Sequence[LockEntry], machine: Machine) -> list[LockEntry]:
    """The entries that have no whole wheel for a machine in a folder.

    Wheels under the name of a locked one that are another are removed: pip would stop at them instead of going on.
    """
    known = {digest: entry for entry in entries for digest in entry.hashes}
    prefixes = tuple(wheel_prefix(entry.name, entry.version) for entry in entries)
    there = set()
    for wheel in sorted(folder.glob("*.whl")):
        if entry := known.get(files.sha256_file(wheel)):
            there |= set() if misfit(wheel.name, machine) else {entry}
        elif wheel_key(wheel.name).startswith(prefixes):
            wheel.unlink()
    return [entry for entry in entries if entry not in there]
