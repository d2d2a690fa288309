"""Whether an engine gave the memory of its devices back: a process in a driver call may end and leave it taken."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from selfhost.hardware import catalog
from selfhost.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NEAR_BYTES = 256 << 20
"""What a driver keeps of its own comes and goes."""
_BACK_S = 10.0
"""A driver frees tens of GiB within this time after the process is gone."""
_POLL_S = 0.5


def used(plan: Mapping[str, object], env: Mapping[str, str]) -> dict[str, int] | None:
    """Bytes in use on the devices that an engine with these variables sees; None where there is nothing to ask."""
    hardware = plan.get("hardware")
    if not isinstance(hardware, dict) or hardware.get("device") == catalog.CPU.id:
        return None
    from selfhost.hardware.probe import used_bytes
    from selfhost.hardware.system import System

    return used_bytes(System(environ={**os.environ, **env})) or None


def held(before: Mapping[str, int] | None, now: Mapping[str, int] | None) -> dict[str, int] | None:
    """Bytes beyond those before, by device; None when they are near, or either is not known."""
    if before is None or now is None:
        return None
    more = {name: now[name] - bytes_ for name, bytes_ in before.items() if name in now}
    return {name: bytes_ for name, bytes_ in more.items() if bytes_ > _NEAR_BYTES} or None


def wait_until_back(
    before: Mapping[str, int] | None,
    ask: Callable[[], Mapping[str, int] | None],
    *,
    hurry: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, int] | None:
    """What is still held 10 s after the engine is gone; returns at once when all is back, or in a hurry."""
    if before is None:
        return None
    until = clock() + _BACK_S
    while (left := held(before, ask())) and clock() < until and not hurry():
        sleep(_POLL_S)
    return left


def held_text(left: Mapping[str, int]) -> str:
    """For people: `nvidia 0: 12.5 GiB`."""
    return ", ".join(f"{name}: {format_bytes(bytes_)}" for name, bytes_ in left.items())
