"""What stands against a run before it begins: shapes, calibration text, disk and memory, with their numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.errors import MissingError, NoError, NoSpaceError, UsageError
from selfhost.hardware.probe_host import probe_host
from selfhost.hardware.system import System
from selfhost.quant.formats import Format
from selfhost.quantize import layers, needs
from selfhost.quantize.job import Calibration
from selfhost.quantize.needs import Needs
from selfhost.quantize.schemes import BLOCK, GROUP_SIZES
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from selfhost.app.quantize.source import SourceModel
    from selfhost.app.quantize.types import Request
    from selfhost.home import Home
    from selfhost.models.arch import ModelArch
    from selfhost.quantize.layers import Undivided
    from selfhost.quantize.schemes import Scheme

__all__ = ["Needs", "calibration", "check", "group_size", "limit", "needs_of"]

_SHOWN = 3
_NVIDIA = Path("/proc/driver/nvidia/version")
"""There where a driver is loaded."""
_TEXTS, _LINES = (".txt", ".md"), (".jsonl", ".ndjson")
_KEYS = ("text", "content", "prompt")
"""As inside/selfhost_calibrate_text.py has them."""


def group_size(arch: ModelArch, scheme: Scheme, asked: int | None, name: str) -> int | None:
    """The group size of a run; None for a scheme with one scale per channel, tensor or block.

    Raises NoError, naming the layers, where no usual size divides all of them, or the one that was asked for does not;
    UsageError for a size that the scheme has none of.
    """
    if scheme.format is Format.FP8_BLOCK and (odd := layers.undivided(arch, BLOCK[1])):
        raise NoError("quantize.no_blocks", name=name, layers=_listed(odd))
    if not scheme.grouped:
        if asked is not None and scheme.name != "w8a16":
            raise UsageError("quantize.no_groups", scheme=scheme.name, size=asked)
        if asked is None:
            return None
    size = asked if asked is not None else layers.group_size(arch)
    sizes = ", ".join(map(str, GROUP_SIZES))
    if size is not None and size not in GROUP_SIZES:
        raise UsageError("quantize.group_size", size=size, sizes=sizes)
    odd = layers.undivided(arch, size or min(GROUP_SIZES))
    if not odd:
        return size
    fits = layers.group_size(arch)
    values = {"name": name, "size": size or min(GROUP_SIZES), "layers": _listed(odd)}
    if fits is not None:
        raise NoError("quantize.undivided", **values, fits=fits)
    raise NoError("quantize.no_group_size", **values, sizes=sizes)


def limit(scheme: Scheme, wanted: float | None) -> None:
    """Raises UsageError for a `--max-kl` that would let anything through, or nothing."""
    if wanted is None:
        return
    if not math.isfinite(wanted) or wanted < 0:
        raise UsageError("quantize.bad_limit", limit=wanted)
    if scheme.format is None:
        raise UsageError("quantize.no_limit_for", scheme=scheme.name)


def _listed(odd: list[Undivided]) -> str:
    listed = ", ".join(f"{one.module} ({one.inputs} inputs)" for one in odd[:_SHOWN])
    return listed + (f" and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else "")


def calibration(scheme: Scheme, path: Path | None, samples: int) -> Calibration | None:
    """The text of a run; None for a scheme that takes none. Raises UsageError for a file that is none."""
    if not scheme.calibrated:
        if path is not None:
            raise UsageError("quantize.needs_no_text", scheme=scheme.name, path=path)
        return None
    if path is None:
        return Calibration(file=None, samples=samples)
    if path.suffix.lower() not in (*_TEXTS, *_LINES):
        raise _bad(path, f"its name ends with {path.suffix or 'nothing'}, not with {' or '.join((*_TEXTS, *_LINES))}")
    try:
        # As the script reads it, so that what is let through here is not refused there: a mark at its beginning, and no
        # end of a line but LF.
        whole = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _bad(path, error.strerror or "it cannot be read") from error
    except ValueError as error:
        raise _bad(path, f"it is no UTF-8 text: {error}") from error
    if not whole.strip():
        raise _bad(path, "it is empty")
    if "\0" in whole:
        raise _bad(path, "it holds NUL characters")
    if path.suffix.lower() in _LINES:
        _check_lines(path, whole.split("\n"))
    return Calibration(file=str(path.resolve()), samples=samples, sha256=files.sha256_file(path))


def _check_lines(path: Path, lines: list[str]) -> None:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            body = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _bad(path, f"line {number} is no JSON: {error}") from error
        if not _is_passage({"text": body} if isinstance(body, str) else body):
            raise _bad(path, f"line {number} has none of the keys {', '.join(_KEYS)}, messages")


def _is_passage(body: Any) -> bool:
    if not isinstance(body, dict):
        return False
    if any(isinstance(body.get(key), str) and body[key].strip() for key in _KEYS):
        return True
    turns = body.get("messages")
    return isinstance(turns, list) and bool(turns) and all(_is_turn(turn) for turn in turns)


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and all(isinstance(turn.get(key), str) for key in ("role", "content"))


def _bad(path: Path, detail: str) -> UsageError:
    return UsageError("quantize.bad_calibration", path=path, detail=detail)


def needs_of(source: SourceModel, request: Request, size: int | None, text_used: Calibration | None) -> Needs:
    """What a run takes, by the source's own files."""
    device = request.device
    samples = text_used.samples if text_used else needs.SAMPLES
    gpu = device == "cuda" or (device == "auto" and _NVIDIA.exists())
    tokens = needs.TOKENS if gpu else needs.TOKENS_ON_CPU
    return needs.needs(
        source.for_needs,
        request.scheme,
        group_size=size,
        samples=samples,
        tokens=tokens,
        own_text=text_used is None or text_used.file is None,
        loss=request.loss or request.max_kl is not None,
    )


def check(wanted: Needs, work: Path, home: Home, *, scheme: Scheme, have_bytes: int) -> None:
    """Raises NoSpaceError and MissingError where the disk or the memory of this machine is too small."""
    missing = max(0, wanted.disk_bytes - have_bytes)
    free = files.free_bytes(work)
    if free < missing:
        raise NoSpaceError(
            "quantize.disk_too_small",
            path=work,
            needed=format_bytes(missing),
            free=format_bytes(free),
            output=format_bytes(wanted.output_bytes),
            have=format_bytes(have_bytes),
        )
    available = _available(home)
    if available < wanted.memory_bytes:
        raise MissingError(
            "quantize.no_memory",
            scheme=scheme.name,
            needed=format_bytes(wanted.memory_bytes),
            available=format_bytes(available),
            terms=terms(wanted),
        )


def _available(home: Home) -> int:
    return probe_host(home.root, System()).available_memory_bytes


def terms(wanted: Needs) -> str:
    """`model 1.0 GiB + activations 2.0 GiB`."""
    return needs.memory_text(wanted)
