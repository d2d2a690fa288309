"""Runs a script of `inside/` in the quantize environment: follows what it says, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.engines import environment, pip_run
from selfhost.errors import (
    EngineFailedError,
    IncompleteError,
    IntegrityError,
    MissingError,
    NoError,
    NoSpaceError,
    SelfhostError,
    UsageError,
)
from selfhost.messages import lookup
from selfhost.quantize.job import Done, Event, Failed, read_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from selfhost.home import Home

ENVIRONMENT = "quantize"
_INSIDE = Path(__file__).resolve().parents[2] / "inside"
_POLL_S = 0.2
_LAST_LINES = 20
_KINDS: Mapping[str, type[SelfhostError]] = {
    "quantize.already": NoError,
    "quantize.bad_calibration": UsageError,
    "quantize.bad_job": UsageError,
    "quantize.bad_result": IntegrityError,
    "quantize.bad_shape": NoError,
    "quantize.broken_file": IntegrityError,
    "quantize.check_failed": IntegrityError,
    "quantize.dtype": NoError,
    "quantize.experts": NoError,
    "quantize.failed": SelfhostError,
    "quantize.merged_differ": NoError,
    "quantize.no_device": MissingError,
    "quantize.no_package": MissingError,
    "quantize.no_scale": IntegrityError,
    "quantize.no_space": NoSpaceError,
    "quantize.no_weights": IncompleteError,
    "quantize.not_finite": IntegrityError,
    "quantize.not_fp8": NoError,
    "quantize.nothing": NoError,
    "quantize.out_of_memory": MissingError,
    "quantize.scale_shape": IntegrityError,
    "quantize.shape": NoError,
    "quantize.too_large": NoError,
    "quantize.unreadable": MissingError,
    "quantize.unsupported": NoError,
    "quantize.unwritable": MissingError,
}
"""What a script may say is wrong; the sentences are ours."""


def python_of(home: Home, given: Path | None) -> Path:
    """Python of the quantize environment, or the one that was named. Raises MissingError when there is none."""
    if given is None:
        return environment.require(home, ENVIRONMENT).python
    python = Path(os.path.abspath(given))  # noqa: PTH100 - a venv's Python is a link, and works under its own name only
    if not python.is_file() or not os.access(python, os.X_OK):
        raise MissingError("quantize.no_python", python=python)
    return python


def versions(python: Path) -> dict[str, str]:
    """Versions of the packages that matter over there; empty when they cannot be told."""
    found = environment.metadata(python).get("versions")
    return {str(name): str(version) for name, version in found.items()} if isinstance(found, dict) else {}


def script(name: str) -> Path:
    """Where a script lies."""
    return _INSIDE / name


def run(python: Path, program: Path, job: Path, log: Path, tell: Callable[[Event], None]) -> Done:
    """Run a script on a job to its end.

    Raises what the script says is wrong, EngineFailedError when it ends without a word. An interruption ends it before
    it goes on; what it finished stays.
    """
    # -E -s: a PYTHONPATH meant for another Python must not decide what is imported, and scripts find what lies beside
    # them; -u: lines come as they are written.
    argv = [str(python), "-E", "-s", "-u", str(program), str(job)]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    done: Done | None = None
    failed: Failed | None = None
    with log.open("ab") as stream, log.open("rb") as reader:
        reader.seek(0, os.SEEK_END)
        with pip_run.child(argv, stdout=stream, env=env) as process:
            ended = False
            while not ended:
                ended = process.poll() is not None
                while (line := reader.readline()).endswith(b"\n"):
                    event = read_event(line.decode(errors="replace"))
                    done = event if isinstance(event, Done) else done
                    failed = event if isinstance(event, Failed) else failed
                    if event is not None:
                        tell(event)
                reader.seek(-len(line), os.SEEK_CUR)
                if not ended:
                    time.sleep(_POLL_S)
    if failed is not None:
        raise _as_error(failed, log)
    if done is None or process.returncode != 0:
        raise _without_a_word(argv, process.returncode, log)
    return done


def _as_error(failed: Failed, log: Path) -> SelfhostError:
    kind = _KINDS.get(failed.id)
    params: dict[str, Any] = {"log": log, **{str(name): value for name, value in failed.params.items()}}
    if kind is not None:
        error = kind(failed.id, **params)
        try:
            lookup(failed.id)
            _ = (error.message.what, error.message.why, error.message.hint)
        except KeyError:
            pass
        else:
            return error
    told = ", ".join(f"{name}: {value}" for name, value in sorted(failed.params.items()))
    return SelfhostError("quantize.failed", detail=f"{failed.id} {told}".strip(), log=log)


def _without_a_word(argv: list[str], returncode: int, log: Path) -> SelfhostError:
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    last = [line for line in lines if line.strip() and read_event(line) is None][-_LAST_LINES:]
    how = f"killed by signal {-returncode}" if returncode < 0 else f"exit status {returncode}"
    detail = last[-1].strip() if last else "it said nothing"
    if returncode == -signal.SIGKILL:
        return MissingError("quantize.killed", detail=detail, log=log)
    return EngineFailedError(
        "quantize.died", argv=argv, returncode=returncode, last_lines=last, how=how, detail=detail, log=log
    )


def write_job(path: Path, body: Mapping[str, Any]) -> None:
    """Write what a script reads."""
    files.write_json(path, body)
