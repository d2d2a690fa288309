"""Asks `hccn_tool` about the network ports of this machine's NPUs; changes nothing, and nothing fails."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from selfhost.hardware import hccn
from selfhost.hardware.sharing import ranges
from selfhost.hardware.system import run
from selfhost.messages import Message
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.hardware.hccn import HccnDevice
    from selfhost.hardware.system import System

TOTAL_LIMIT_S = 20.0
_TOOLS = "/usr/local/Ascend/driver/tools/hccn_tool"
_CONF = "/etc/hccn.conf"
_LIBRARIES = ("/usr/local/Ascend/driver/lib64/common", "/usr/local/Ascend/driver/lib64/driver")
_AT_ONCE = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class HccnReport:
    """What was found, and why not more."""

    devices: tuple[HccnDevice, ...] = ()
    notes: tuple[Message, ...] = ()


def ask(system: System, family: str, physical_ids: Sequence[int], limit_s: float = TOTAL_LIMIT_S) -> HccnReport:
    """The ports of devices of a chip family; of one that has none, nothing.

    Without the tool, what /etc/hccn.conf sets. A device that lets one question hang is not asked the others.
    """
    questions = hccn.QUESTIONS.get(family, ())
    if not questions or not physical_ids:
        return HccnReport()
    tool = system.find("hccn_tool") or (str(system.at(_TOOLS)) if os.access(system.at(_TOOLS), os.X_OK) else None)
    if tool is None:
        known = tuple(device for device in hccn.from_conf(system.read(_CONF)) if device.index in physical_ids)
        return HccnReport(devices=known, notes=(Message("hccn.no_tool"),))
    deadline = time.monotonic() + limit_s
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        found = list(pool.map(partial(_device, system, tool, questions, deadline), physical_ids))
    hung = [device.index for device, whole in found if not whole]
    values = {"devices": ranges(hung), "first": min(hung, default=0), "seconds": f"{system.call_limit_s:g}"}
    notes = (Message("hccn.hangs", values),) if hung else ()
    return HccnReport(devices=tuple(device for device, _ in found), notes=notes)


def _device(
    system: System, tool: str, questions: Sequence[str], deadline: float, index: int
) -> tuple[HccnDevice, bool]:
    """(the device, whether every question had an answer in time)."""
    # In a container the driver's libraries are mounted, but nobody sets the path to them.
    paths = filter(None, (system.environ.get("LD_LIBRARY_PATH", ""), *map(str, map(system.at, _LIBRARIES))))
    environ = {**system.environ, "LC_ALL": "C", "LD_LIBRARY_PATH": os.pathsep.join(paths)}
    device = hccn.HccnDevice(index=index)
    for question in questions:
        left_s = min(system.call_limit_s, deadline - time.monotonic())
        answer = run([tool, "-i", str(index), f"-{question}", "-g"], environ, left_s)
        if answer.returncode is None:
            return replace(device, told=(*device.told, (question, "no answer"))), False
        device = hccn.read(device, question, answer.output)
    return device, True
