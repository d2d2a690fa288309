"""Wheelhouses: the wheels that an engine, or selfhost itself, is installed from where there is no registry.

    fill(spec, folder, ...)        what the lock needs on a machine like this one, from pip's index
    find(spec, folder)             the same from a folder that has them; proven by pip without any index
    fill_selfhost(folder, ...)     selfhost's own wheel and what it imports, in the versions that run here

A wheel is in a folder under its own name only after it was got whole and its digest was one of the lock.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from selfhost import __version__, files
from selfhost.engines import environment, own_wheel
from selfhost.engines.install import InstallOptions, pip_command, this_machine
from selfhost.engines.lock import absent_wheels, parse_lock, wheel_prefix
from selfhost.engines.needs import check_machine
from selfhost.engines.pip_errors import MissingWheels, explained
from selfhost.engines.pip_output import Failure, PipOutput, Progress
from selfhost.engines.pip_run import PipRun, captured
from selfhost.engines.wheel_file import Wheel, describe
from selfhost.errors import IncompleteError, IntegrityError, MissingError, SelfhostError, UsageError
from selfhost.offline import is_offline
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from selfhost.engines.lock import LockEntry
    from selfhost.engines.specs import EngineSpec

OWN_LOCK = "selfhost.lock"
"""Name of the hashed requirements of selfhost itself, beside its wheels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WheelOptions:
    """Where wheels come from."""

    wheelhouse: Path | None = None
    """A folder that has them; no index is asked then."""
    ca_bundle: Path | None = None
    """Certificates (PEM) to trust, instead of what pip is configured with."""

    @property
    def for_pip(self) -> InstallOptions:
        """As an installation takes them. Raises UsageError for what is not there."""
        if self.wheelhouse and not self.wheelhouse.is_dir():
            raise UsageError("engine.no_wheelhouse", path=self.wheelhouse)
        if self.ca_bundle and not self.ca_bundle.is_file():
            raise UsageError("engine.no_ca_bundle", path=self.ca_bundle)
        return InstallOptions(wheelhouse=self.wheelhouse, ca_bundle=self.ca_bundle)


def find(spec: EngineSpec, folder: Path) -> tuple[Wheel, ...]:
    """The wheels that an engine needs on a machine like this one, from a folder; sorted by file name.

    pip itself chooses and hashes them, with no index. Raises MissingError when the lock has no wheels for this kind of
    machine, UsageError without the folder, IncompleteError with the names of what is not there, IntegrityError for a
    wheel that is not the locked one.
    """
    check_machine(spec, this_machine())
    lock = environment.lock_file(spec)
    options = WheelOptions(wheelhouse=folder).for_pip
    with _pip() as pip, tempfile.TemporaryDirectory(prefix="selfhost-wheels-") as work:
        found, output = _chosen(pip, lock, options, Path(work))
    if found is None:
        raise explained(spec, output.cause(), folder / "pip.log", _missing(spec, output, folder))
    return found


def fill(
    spec: EngineSpec, folder: Path, options: WheelOptions, report: Callable[[Progress], None]
) -> tuple[Wheel, ...]:
    """Have all wheels that an engine needs on a machine like this one in `folder`; those that are there are kept.

    Raises as `find` does, and IncompleteError when the index cannot be reached, or must not be.
    """
    check_machine(spec, this_machine())
    files.make_directory(folder)
    asked = options.for_pip
    with contextlib.suppress(IncompleteError, IntegrityError):
        return find(spec, folder)
    _check_online(asked, spec.name)
    with _pip() as pip, _partial(folder) as partial:
        lock = environment.lock_file(spec)
        argv, env = pip_command([*pip, "download", "--dest", str(partial)], lock, asked, os.environ)
        argv += ["--find-links", str(folder.absolute())]
        log, entries = folder / "pip.log", parse_lock(lock.read_text())
        _drop_damaged(folder, entries)
        env["TMPDIR"] = str(partial / "tmp")
        run = PipRun(target=partial, log=log, env=env, report=report, packages=len(entries))
        status, output = run(argv)
        if status and spec.fallback_index and not asked.wheelhouse:
            cause = output.cause()
            if cause.failure is Failure.NOT_FOUND and cause.requirement == spec.fallback_package:
                status, output = run([*argv, "--extra-index-url", spec.fallback_index])
        if status:
            missing = _missing(spec, output, asked.wheelhouse) if asked.wheelhouse else None
            raise explained(spec, output.cause(), log, missing)
        _keep(partial, folder)
    log.unlink(missing_ok=True)
    return find(spec, folder)


def fill_selfhost(folder: Path, options: WheelOptions, own: Path | None = None) -> tuple[Wheel, ...]:
    """Have selfhost's own wheel and all that it needs in `folder`, in the versions that run here, with `OWN_LOCK`.

    own: a wheel of selfhost to take instead of making it from the installation; one in the wheelhouse is taken too.
    Raises MissingError when it can be neither made nor found, IntegrityError when the installation was changed,
    IncompleteError when the index lacks something.
    """
    files.make_directory(folder)
    asked = options.for_pip
    with _pip() as pip, _partial(folder) as partial:
        wheel = _own(pip, partial, own or _given(asked.wheelhouse))
        pins = partial / "tmp" / "constraints.txt"
        pins.write_text(_versions_here())
        argv = [*pip, "download", "--dest", str(partial), "--constraint", str(pins)]
        status, output = _download([*argv, str(wheel)], asked, folder)
        if status:
            raise IncompleteError("wheels.own_incomplete", line=output.cause().line, wheel=wheel.name)
        names = _keep(partial, folder)
    found = tuple(describe(folder / name) for name in names)
    lock = "".join(f"{w.name}=={w.version} \\\n    --hash=sha256:{w.sha256}\n" for w in found)
    with files.atomic_write(folder / OWN_LOCK) as stream:
        stream.write(lock.encode())
    return found


# Running pip


@contextlib.contextmanager
def _pip() -> Iterator[list[str]]:
    """Argv of a pip of this Python; one in a scratch environment where this one has none."""
    if importlib.util.find_spec("pip") is not None:
        yield [sys.executable, "-I", "-m", "pip"]
        return
    version = ".".join(map(str, sys.version_info[:2]))
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise MissingError("engine.no_venv", python=sys.executable, version=version)
    with tempfile.TemporaryDirectory(prefix="selfhost-pip-") as scratch:
        status, output = captured([sys.executable, "-I", "-m", "venv", scratch], os.environ)
        if status:
            raise MissingError("engine.venv_failed", path=scratch, cause=output.cause().line, version=version)
        yield [str(Path(scratch) / "bin" / "python"), "-I", "-m", "pip"]


def _source(argv: list[str], options: InstallOptions) -> tuple[list[str], dict[str, str]]:
    """Argv and environment with where packages come from, for requirements that have no lock."""
    taken, env = pip_command([], Path(os.devnull), options, os.environ)
    wanted = [*argv, "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    for flag in ("--find-links", "--cert"):
        if flag in taken:
            wanted += taken[taken.index(flag) : taken.index(flag) + 2]
    return [*wanted, *(["--no-index"] if "--no-index" in taken else [])], env


def _download(argv: list[str], options: InstallOptions, folder: Path) -> tuple[int, PipOutput]:
    """Run `pip download`: from what `folder` has already, else from where packages come from."""
    if options.wheelhouse is None and any(folder.glob("*.whl")):
        status, output = captured(*_source(argv, InstallOptions(wheelhouse=folder)))
        if not status:
            return status, output
    _check_online(options, own_wheel.DISTRIBUTION)
    return captured(*_source(argv, options))


def _check_online(options: InstallOptions, name: str) -> None:
    if options.wheelhouse is None and is_offline():
        raise IncompleteError("wheels.offline", name=name)


def _chosen(
    pip: list[str], lock: Path, options: InstallOptions, work: Path
) -> tuple[tuple[Wheel, ...] | None, PipOutput]:
    """What pip would install of a lock, each file hashed by it; None when it cannot."""
    told = work / "report.json"
    argv, env = pip_command(
        [*pip, "install", "--dry-run", "--ignore-installed", "--report", str(told)], lock, options, os.environ
    )
    status, output = captured(argv, env | {"TMPDIR": str(work)})
    if status:
        return None, output
    urls = [str(item["download_info"]["url"]) for item in json.loads(told.read_bytes())["install"]]
    paths = sorted(Path(unquote(urlsplit(url).path)) for url in urls)
    return tuple(describe(path) for path in paths), output


def _missing(spec: EngineSpec, output: PipOutput, folder: Path) -> MissingWheels:
    path = environment.lock_file(spec)
    names = absent_wheels(parse_lock(path.read_text()), (found.name for found in folder.iterdir()), output.ignored)
    return MissingWheels(where=str(folder), lock=str(path), names=tuple(names))


@contextlib.contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """A scratch folder beside the wheels; on their file system, as a temporary one is often too small."""
    with files.hold_lock(folder / ".lock"):
        partial = folder / ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            (partial / "tmp").mkdir(parents=True)
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _drop_damaged(folder: Path, entries: Sequence[LockEntry]) -> None:
    """Remove wheels under the name of a locked one that are another: pip would stop at them instead of going on."""
    known = {digest for entry in entries for digest in entry.hashes}
    prefixes = tuple(wheel_prefix(entry.name, entry.version) for entry in entries)
    for wheel in folder.glob("*.whl"):
        if wheel.name.lower().startswith(prefixes) and files.sha256_file(wheel) not in known:
            wheel.unlink()


def _keep(partial: Path, folder: Path) -> list[str]:
    """Move what pip brought to where it stays; the names, sorted."""
    wheels = sorted(partial.glob("*.whl"))
    for wheel in wheels:
        files.sync(wheel)
        wheel.replace(folder / wheel.name)
    files.sync(folder)
    return [wheel.name for wheel in wheels]


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


def _versions_here() -> str:
    """Constraints: every package as it is installed here."""
    here = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    here.pop(own_wheel.DISTRIBUTION, None)
    return "".join(f"{name}=={version}\n" for name, version in sorted(here.items()))
