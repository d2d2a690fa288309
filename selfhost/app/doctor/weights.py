"""Whether a model runs here, how much there is to load of it, and how fast this disk gives it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from selfhost.app import stored
from selfhost.app.detect import choose_hardware
from selfhost.doctor.facts import Weights
from selfhost.errors import SelfhostError
from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.planner.plan import PlanRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selfhost.app.model import ResolvedModel
    from selfhost.hardware.types import HardwareSnapshot
    from selfhost.home import Home

_REASONS = 4

_READ_BYTES = 512 << 20
_READ_S = 3.0
_PIECE_BYTES = 4 << 20
_LEAST_BYTES = 32 << 20
"""Less than that says nothing about a disk."""


def judge_plan(model: ResolvedModel, name: str, snapshot: HardwareSnapshot) -> Iterator[Finding]:
    """Whether the model, with the recipe's own settings, runs on what was found."""
    from selfhost.app.plan import plan_model

    try:
        plan = plan_model(model.to_plan(), choose_hardware(snapshot, None), PlanRequest(), with_remedies=False)
    except SelfhostError as error:
        yield Finding(severity=Severity.ERROR, where=model.name, message=error.message)
        return
    if not plan.fits:
        values = {"name": model.name, "model": name, "verdict": plan.verdict.value.replace("_", " ")}
        message = Message("doctor.no_plan", {**values, "reasons": "\n".join(plan.reasons[:_REASONS])})
        yield Finding(severity=Severity.ERROR, where=model.name, message=message)


def weights_of(model: ResolvedModel, name: str, home: Home, not_told: list[Message]) -> Weights | None:
    """The model's size, and the speed of the disk it lies on."""
    folders = [model.directory] if model.directory else stored.find(name, None, home)
    files = _weight_files(folders[0]) if folders else []
    size = sum(file.stat().st_size for file in files) or model.weight_bytes_total
    if not size:
        return None
    speed = None
    if not files:
        not_told.append(Message("doctor.not_stored", {"name": model.name}))
    else:
        try:
            speed = read_speed(max(files, key=lambda file: file.stat().st_size))
        except OSError as error:
            not_told.append(Message("doctor.unread", {"detail": error}))
    return Weights(name=model.name, bytes=size, stored=bool(files), read_bytes_per_s=speed)


def _weight_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.safetensors")) if path.is_file()]


def read_speed(path: Path) -> float | None:
    """Bytes per second from the disk, at most 512 MiB or 3 s of reading; None for a file that is too small to tell.

    The kernel is asked to forget the file first; it does so for pages that nobody else holds.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        began, done = time.perf_counter(), 0
        while done < _READ_BYTES and time.perf_counter() - began < _READ_S:
            piece = os.read(descriptor, _PIECE_BYTES)
            if not piece:
                break
            done += len(piece)
        seconds = time.perf_counter() - began
    finally:
        os.close(descriptor)
    return done / seconds if done >= _LEAST_BYTES and seconds > 0 else None
