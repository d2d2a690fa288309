"""GGUF -> safetensors, in the engine's environment: the core has neither numpy nor torch."""

from __future__ import annotations

import subprocess
from pathlib import Path

from selfhost.errors import IntegrityError, MissingError, NoError, NoSpaceError, SelfhostError

_SCRIPT = Path(__file__).resolve().parent.parent / "inside" / "selfhost_gguf.py"
# The script's exit statuses.
_BY_STATUS: dict[int, type[SelfhostError]] = {3: NoError, 5: IntegrityError}


def convert_gguf(gguf: Path, directory: Path, python: Path) -> None:
    """Make a model directory from a GGUF; the same bytes each time.

    Raises IntegrityError for a damaged GGUF, NoError for one of another kind, NoSpaceError, and MissingError when the
    engine's Python cannot do it.
    """
    # -I: a PYTHONPATH meant for another Python must not decide what is imported.
    argv = [str(python), "-I", str(_SCRIPT), str(gguf), str(directory)]
    try:
        done = subprocess.run(
            argv, check=False, capture_output=True, stdin=subprocess.DEVNULL, text=True, errors="replace"
        )
    except OSError as error:
        raise MissingError("model.conversion_failed", name=gguf.name, detail=f"{python}: {error.strerror}") from error
    if done.returncode == 0:
        return
    detail = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"exit {done.returncode}")
    if done.returncode < 0:
        detail = f"the converter was killed by signal {-done.returncode}"
    if "No space left on device" in detail or "Disk quota exceeded" in detail:
        raise NoSpaceError("model.conversion_no_space", name=gguf.name, detail=detail, path=directory)
    kind = _BY_STATUS.get(done.returncode, MissingError)
    raise kind("model.conversion_failed", name=gguf.name, detail=detail)
