"""What doctor asks about Ascend NPUs: files and device files, and the packages of the engine's Python."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import selfhost
from selfhost.app import compat
from selfhost.app.engine_env import inherited
from selfhost.doctor.facts import AscendFacts, Node
from selfhost.engines import cann
from selfhost.engines.compat_types import State
from selfhost.errors import MissingError
from selfhost.findings import Finding, Severity
from selfhost.hardware import ascend_files, cann_folder, probe_hccn
from selfhost.messages import Message

if TYPE_CHECKING:
    from selfhost.app.doctor.asking import Asking
    from selfhost.engines.compat_types import Judgement
    from selfhost.hardware.hccn import HccnDevice
    from selfhost.hardware.system import System
    from selfhost.hardware.types import HardwareSnapshot

_MANAGERS = ("/dev/davinci_manager", "/dev/davinci_manager_docker")
_NODES = ("/dev/devmm_svm", "/dev/hisi_hdc")
_NOTICED = {
    "hardware.npu_half_installed": "driver_complete",
    "hardware.npu_firmware": "firmware",
    "hardware.npu_incompatible": "firmware",
}
"""What detection says, and the item of the stack that says the same."""
_VERSIONS_SCRIPT = Path(selfhost.__file__).resolve().parent / "inside" / "selfhost_versions.py"


def _is_here(asking: Asking, snapshot: HardwareSnapshot) -> bool:
    """Whether anything speaks of an NPU."""
    return (
        any(a.vendor == "huawei" for a in snapshot.accelerators)
        or any(message.id.startswith("hardware.npu_") for message in snapshot.messages)
        or asking.exists("/dev/davinci_manager")
        or asking.exists(_driver_file(asking.system))
    )


def ascend_side(asking: Asking, snapshot: HardwareSnapshot) -> tuple[AscendFacts | None, tuple[Finding, ...]]:
    """Everything about NPUs that needs no model, and what the check of the stack finds; nothing where none is here."""
    if not _is_here(asking, snapshot):
        return None, ()
    python, answer = _packages(asking)
    judgement = _judge(asking, snapshot, python, answer)
    scripts, broken = _scripts(asking, judgement)
    facts = _facts(asking, snapshot, python, answer)
    told = _told_elsewhere(snapshot)
    judged = tuple(finding for finding in judgement.findings() if finding.where not in told)
    return replace(facts, scripts=scripts), (*judged, *broken)


def _judge(asking: Asking, snapshot: HardwareSnapshot, python: str, answer: dict[str, Any]) -> Judgement:
    """Of the environment that `serve` is told to take; else of a Python that has the engine, as images have it."""
    chosen = "SELFHOST_ENGINE_PYTHON" in asking.system.environ or "vllm-ascend" in answer.get("versions", {})
    return compat.judge_told(
        compat.chip_here(snapshot),
        Path(python) if python and chosen else None,
        answer,
        host=snapshot.host,
        system=asking.system,
    )


def _told_elsewhere(snapshot: HardwareSnapshot) -> set[str]:
    """Items of the stack that other findings tell already: the chip, what detection notices, and that CANN is absent.

    A host may leave CANN to images: whether that is bad, the rule of it says.
    """
    noticed = {key for message in snapshot.messages if (key := _NOTICED.get(message.id))}
    return {"chip", *noticed, *(() if snapshot.host.cann else ("cann", "nnal"))}


def _scripts(asking: Asking, judgement: Judgement) -> tuple[tuple[str, ...], list[Finding]]:
    """The scripts of CANN and NNAL that `serve` reads; or what is wrong with them, where it is not their version."""
    absent = {item.key for item in judgement.items if item.state is State.WRONG}
    if cann_folder.find_cann(asking.system) is None or "nnal" in absent:
        return (), []
    limit_s = max(0.0, min(cann.LIMIT_S, asking.deadline - time.monotonic()))
    try:
        read = cann.read(asking.system, inherited(asking.system.environ), limit_s)
    except MissingError as error:
        return (), [Finding(severity=Severity.ERROR, where="CANN", message=error.message)]
    return (str(read.toolkit_script), str(read.nnal_script)), []


def _facts(asking: Asking, snapshot: HardwareSnapshot, python: str, answer: dict[str, Any]) -> AscendFacts:
    system = asking.system
    return AscendFacts(
        driver_files=asking.exists(_driver_file(system)),
        nodes=tuple(_node(system, path) for path in (_manager(system), *_NODES)),
        davinci=_davinci(system),
        packages={str(name): str(version) for name, version in answer.get("versions", {}).items()},
        python=python,
        absent_preloads=tuple(
            path
            for path in re.split(r"[:\s]+", system.environ.get("LD_PRELOAD", ""))
            if path.startswith("/") and not asking.exists(path)
        ),
        hccn_conf=asking.exists("/etc/hccn.conf"),
        network=_network(asking, snapshot),
    )


def _network(asking: Asking, snapshot: HardwareSnapshot) -> tuple[HccnDevice, ...]:
    ids = [a.npu.physical_id for a in snapshot.accelerators if a.npu and a.npu.physical_id is not None]
    left_s = asking.deadline - time.monotonic()
    report = probe_hccn.ask(asking.system, snapshot.host.soc_family or "", ids, left_s)
    asking.not_told += report.notes
    return report.devices


def _driver_file(system: System) -> str:
    return f"{ascend_files.folder(system.read(ascend_files.INSTALL_FILE))}/driver/version.info"


def _manager(system: System) -> str:
    """Of hosts whose containers share NPUs it has another name (Ascend/mind-cluster, device plugin)."""
    others = (path for path in _MANAGERS if os.path.lexists(system.at(path)))
    return next(others, _MANAGERS[0])


def _node(system: System, path: str) -> Node:
    place = system.at(path)
    usable = os.access(place, os.R_OK | os.W_OK)
    return Node(path=path, exists=usable or os.path.lexists(place), usable=usable)


def _davinci(system: System) -> tuple[Node, ...]:
    names = [path.name for path in system.at("/dev").glob("davinci[0-9]*") if path.name[7:].isdecimal()]
    return tuple(_node(system, f"/dev/{name}") for name in sorted(names, key=lambda name: int(name[7:])))


def _packages(asking: Asking) -> tuple[str, dict[str, Any]]:
    """(the Python that has the engine, what `selfhost_versions.py` said there); nothing is imported over there."""
    python = asking.system.environ.get("SELFHOST_ENGINE_PYTHON") or asking.system.find("python3")
    if python is None:
        return "", {}
    answer = asking.ask([python, "-I", str(_VERSIONS_SCRIPT), "--metadata"])
    # The loader puts its own lines in front, for a file of LD_PRELOAD that is not there.
    line = next((line for line in reversed(answer.output.splitlines()) if line.startswith("{")), "")
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("versions"), dict):
        detail = "no answer in time" if answer.returncode is None else f"exit status {answer.returncode}"
        asking.not_told.append(Message("doctor.python_silent", {"python": python, "detail": detail}))
        return python, {}
    return python, told
