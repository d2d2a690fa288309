"""Makes an engine environment from its lock, or leaves nothing usable behind.

The environment is built where it will stay (a venv cannot be moved) and becomes one when its marker is written, last.
pip writes to a log file beside it; progress is read from there, so nothing is lost when selfhost itself is killed.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.engines import environment
from selfhost.engines.lock import absent_wheels, lock_text, needed, parse_lock
from selfhost.engines.needs import Machine, check_driver, check_machine, parse_driver_version
from selfhost.engines.pip_errors import MissingWheels, explained
from selfhost.engines.pip_output import Failure, Phase, PipOutput, Progress
from selfhost.engines.pip_run import PipRun, child
from selfhost.engines.wheel_tags import misfit
from selfhost.errors import IntegrityError, MissingError, NoSpaceError, UsageError
from selfhost.records import dataclass
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from selfhost.engines.environment import EngineEnvironment
    from selfhost.engines.specs import EngineSpec
    from selfhost.home import Home

_NVIDIA_SMI_TIMEOUT_S = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class InstallOptions:
    """What the user may decide about an installation."""

    wheelhouse: Path | None = None
    """A folder with all wheels of the lock; no index is asked then."""
    ca_bundle: Path | None = None
    """Certificates (PEM) to trust, instead of what pip is configured with."""
    driver_check: bool = True


def install(
    home: Home,
    spec: EngineSpec,
    options: InstallOptions,
    *,
    report: Callable[[Progress], None],
    driver: Callable[[], str | None],
) -> EngineEnvironment:
    """Make the environment of this selfhost's lock; returns it, also when it was there already.

    `report` is called several times a second; `driver` tells the version of the NVIDIA driver. Raises MissingError (the
    machine does not suit) and NoSpaceError before anything is downloaded; later IntegrityError for a wheel that is not
    the locked one, IncompleteError for one that cannot be got.
    """
    check_machine(spec, this_machine())
    if options.driver_check:
        check_driver(spec, driver())
    check_options(options)
    lock = environment.lock_path(home, spec)
    with files.hold_lock(lock, blocking=False) as got:
        if got:
            return _install_alone(home, spec, options, report)
    report(Progress(phase=Phase.WAIT))
    with files.hold_lock(lock):
        return _install_alone(home, spec, options, report)


def _install_alone(
    home: Home, spec: EngineSpec, options: InstallOptions, report: Callable[[Progress], None]
) -> EngineEnvironment:
    """The installation itself; the caller holds the lock."""
    report(Progress(phase=Phase.PREPARE))
    _clean_unfinished(home, spec)
    # Another selfhost may have made it while this one waited.
    if found := environment.find(home, spec.name):
        return found
    folder = home.engines / spec.name
    _check_space(spec, folder)
    target = folder / environment.directory_name(spec, sys.version_info[:2])
    try:
        _build(spec, target, options, report)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    _finish(spec, target)
    return environment.require(home, spec.name)


def this_machine() -> Machine:
    """What decides whether wheels run here."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        name = version = ""
    major, _, minor = version.partition(".")
    return Machine(
        machine=platform.machine(),
        implementation=sys.implementation.name,
        python=sys.version_info[:2],
        glibc=(int(major), int(minor)) if name == "glibc" and major.isdigit() and minor.isdigit() else None,
    )


def read_driver_version() -> str | None:
    """Version of the NVIDIA driver that is loaded; None when there is none. Asks the kernel, else nvidia-smi."""
    try:
        return parse_driver_version(Path("/proc/driver/nvidia/version").read_text())
    except OSError:
        pass
    # WSL has no such file; its nvidia-smi knows.
    argv = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=_NVIDIA_SMI_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_driver_version(done.stdout)


def check_options(options: InstallOptions) -> None:
    """Raises UsageError for what was named and is not there."""
    if options.wheelhouse and not options.wheelhouse.is_dir():
        raise UsageError("engine.no_wheelhouse", path=options.wheelhouse)
    if options.ca_bundle and not options.ca_bundle.is_file():
        raise UsageError("engine.no_ca_bundle", path=options.ca_bundle)


def _check_space(spec: EngineSpec, folder: Path) -> None:
    free = files.free_bytes(folder)
    if free < spec.disk_bytes:
        needed = format_bytes(spec.disk_bytes) + ("" if spec.disk_measured else " (an estimate)")
        raise NoSpaceError("engine.no_space", name=spec.name, folder=folder, needed=needed, free=format_bytes(free))


def _clean_unfinished(home: Home, spec: EngineSpec) -> None:
    """Remove what interrupted installations left; the caller holds the lock, so nobody is at work on it."""
    for found in environment.find_all(home):
        broken = found.complete and found.current and not os.access(found.python, os.X_OK)
        if found.install == spec.name and (broken or not found.complete):
            shutil.rmtree(found.path)


def _build(spec: EngineSpec, target: Path, options: InstallOptions, report: Callable[[Progress], None]) -> None:
    log = target.with_name(f"{target.name}.log")
    log.unlink(missing_ok=True)
    pip = _make_venv(target, log)
    lock = environment.lock_file(spec)
    # The environment says itself what was put into it.
    shutil.copyfile(lock, target / "engine.lock")
    # On the same file system as the environment: /tmp is often too small for torch, and goes with an interrupted half.
    (target / "tmp").mkdir()
    argv, env = pip_command([*pip, "install", "--no-user"], lock, options, os.environ)
    env["TMPDIR"] = str(target / "tmp")
    run = PipRun(target=target, log=log, env=env, report=report, packages=len(parse_lock(lock.read_text())))
    status, output = run_with_fallback(run, argv, spec, options)
    if status:
        raise explained(spec, output.cause(), log, _missing(spec, options))
    if options.wheelhouse and (beside := options.wheelhouse / environment.BESIDE_LOCK).is_file():
        _add_beside(spec, run, pip, beside, options)
    shutil.rmtree(target / "tmp")


def _add_beside(spec: EngineSpec, run: PipRun, pip: Sequence[str], beside: Path, options: InstallOptions) -> None:
    """Install what a wheelhouse has beside the lock. Raises IntegrityError when it names what does not go with it."""
    entries = parse_lock(beside.read_text())
    if odd := [entry.name for entry in entries if not entry.name.startswith(spec.companions)]:
        raise IntegrityError("engine.beside_odd", path=beside, name=spec.name, names=", ".join(odd))
    kept = run.target / environment.BESIDE_LOCK
    kept.write_text(lock_text(entries))
    argv, _ = pip_command([*pip, "install", "--no-user"], kept, options, os.environ)
    status, output = replace(run, packages=len(entries))(argv)
    if status:
        raise explained(spec, output.cause(), run.log, _missing(spec, options))


def run_with_fallback(
    run: PipRun, argv: Sequence[str], spec: EngineSpec, options: InstallOptions
) -> tuple[int, PipOutput]:
    """Run pip, and once more with the engine's own index where the configured one does not have its package."""
    status, output = run(argv)
    if status and spec.fallback_index and not options.wheelhouse:
        cause = output.cause()
        if cause.failure is Failure.NOT_FOUND and cause.requirement == spec.fallback_package:
            return run([*argv, "--extra-index-url", spec.fallback_index])
    return status, output


def pip_command(
    pip: Sequence[str], lock: Path, options: InstallOptions, environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Argv and environment of pip for a lock."""
    return pip_source([*pip, "--require-hashes", "--no-deps", "--requirement", str(lock)], options, environ)


def pip_source(
    pip: Sequence[str], options: InstallOptions, environ: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """Argv and environment with where wheels come from: pip's own configuration, unless a wheelhouse is named."""
    argv = [*pip, "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    # A lock leaves nothing for constraints to decide; with them pip tells of a conflict where a wheel is not there.
    env = dict(environ) | {"PIP_CONSTRAINT": os.devnull}
    if options.wheelhouse:
        # Not a find-links or an index of pip's own configuration either: nothing but this folder.
        env = {name: value for name, value in env.items() if not name.startswith("PIP_")}
        env |= {"PIP_CONFIG_FILE": os.devnull}
        argv += ["--no-index", "--find-links", str(options.wheelhouse.absolute())]
    if options.ca_bundle:
        # Both: pip's requests asks REQUESTS_CA_BUNDLE, where it is set, before it asks `--cert`.
        argv += ["--cert", str(options.ca_bundle.absolute())]
        env["REQUESTS_CA_BUNDLE"] = str(options.ca_bundle.absolute())
    return argv, env


def _make_venv(target: Path, log: Path) -> list[str]:
    """Make an empty environment; returns the argv of a pip that installs into it."""
    version = ".".join(map(str, sys.version_info[:2]))
    own_pip = importlib.util.find_spec("pip") is not None
    with_pip = importlib.util.find_spec("ensurepip") is not None
    if importlib.util.find_spec("venv") is None or not (with_pip or own_pip):
        raise MissingError("engine.no_venv", python=sys.executable, version=version)
    argv = [sys.executable, "-I", "-m", "venv", *([] if with_pip else ["--without-pip"]), str(target)]
    with log.open("ab") as stream, child(argv, stdout=stream, env=os.environ) as process:
        status = process.wait()
    if status:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise MissingError("engine.venv_failed", path=target, cause="".join(last), version=version)
    python = str(target / "bin" / "python")
    return [python, "-I", "-m", "pip"] if with_pip else [sys.executable, "-I", "-m", "pip", "--python", python]


def _finish(spec: EngineSpec, target: Path) -> None:
    # The marker must not reach the disk before the files that it vouches for.
    os.sync()
    marker = {
        "schema_version": environment.SCHEMA_VERSION,
        "engine": spec.engine,
        "version": spec.version,
        "lock_sha256": environment.lock_sha256(spec),
        "python": platform.python_version(),
        "created": _now().isoformat(timespec="seconds"),
    }
    files.write_json(target / environment.MARKER, marker)


def _now() -> datetime:
    """The time that is written down: `SOURCE_DATE_EPOCH` where an image is built that is to be the same each time.

    Source: reproducible-builds.org, specification of SOURCE_DATE_EPOCH (seconds since 1970, UTC).
    """
    said = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(said), UTC) if said.isdecimal() else datetime.now(UTC)


def _missing(spec: EngineSpec, options: InstallOptions) -> MissingWheels | None:
    """What the wheelhouse lacks; None when an index was asked."""
    return missing_wheels(spec, options.wheelhouse, this_machine()) if options.wheelhouse else None


def missing_wheels(spec: EngineSpec, folder: Path, machine: Machine) -> MissingWheels:
    """What a folder lacks of an engine's lock for a machine; pip itself stops at the first."""
    lock = environment.lock_file(spec)
    fitting = (found.name for found in folder.iterdir() if not misfit(found.name, machine))
    names = absent_wheels(needed(parse_lock(lock.read_text()), machine), fitting)
    return MissingWheels(where=str(folder), lock=str(lock), names=tuple(names))
