"""What filling any folder of wheels needs: a pip, a scratch folder beside the wheels, and what an interruption left."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.engines.install import InstallOptions, check_options, this_machine
from selfhost.engines.pip_run import captured
from selfhost.engines.wheel_tags import pip_arguments
from selfhost.errors import IncompleteError, MissingError
from selfhost.offline import is_offline
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from selfhost.engines.needs import Machine


@dataclass(frozen=True, kw_only=True, slots=True)
class WheelOptions:
    """Where wheels come from, and for which machine."""

    wheelhouse: Path | None = None
    """A folder that has them; no index is asked then."""
    ca_bundle: Path | None = None
    """Certificates (PEM) to trust, instead of what pip is configured with."""
    machine: Machine | None = None
    """None: this one."""

    @property
    def for_pip(self) -> InstallOptions:
        """As an installation takes them. Raises UsageError for what is not there."""
        made = InstallOptions(wheelhouse=self.wheelhouse, ca_bundle=self.ca_bundle)
        check_options(made)
        return made


def choice(machine: Machine | None) -> list[str]:
    """What makes pip choose for a machine: nothing for the one it runs on, which it knows best."""
    return [] if machine is None or machine == this_machine() else pip_arguments(machine)


def check_online(options: InstallOptions, name: str) -> None:
    """Raises IncompleteError when an index would be asked and must not be."""
    if options.wheelhouse is None and is_offline():
        raise IncompleteError("wheels.offline", name=name)


@contextlib.contextmanager
def some_pip() -> Iterator[list[str]]:
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


@contextlib.contextmanager
def scratch_in(folder: Path, known: Collection[str] = ()) -> Iterator[Path]:
    """A scratch folder beside the wheels; on their file system, as a temporary one is often too small.

    known: sha256 of wheels that are kept when they are found whole in what an interrupted run left.
    """
    with files.hold_lock(folder / ".lock"):
        partial = folder / ".partial"
        _salvage(partial, folder, known)
        try:
            (partial / "tmp").mkdir(parents=True)
            yield partial
        finally:
            _salvage(partial, folder, known)


def keep(partial: Path, folder: Path) -> list[str]:
    """Move what pip brought to where it stays; the names, sorted."""
    wheels = sorted(partial.glob("*.whl"))
    for wheel in wheels:
        wheel.chmod(0o644)  # a bundle may link it, for another user to read
        files.sync(wheel)
        wheel.replace(folder / wheel.name)
    files.sync(folder)
    return [wheel.name for wheel in wheels]


def _salvage(partial: Path, folder: Path, known: Collection[str]) -> None:
    for wheel in sorted(partial.rglob("*.whl")) if known else ():
        if files.sha256_file(wheel) in known:
            files.sync(wheel)
            wheel.replace(folder / wheel.name)
    shutil.rmtree(partial, ignore_errors=True)
