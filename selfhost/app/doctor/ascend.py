"""What doctor asks about Ascend NPUs: files and device files, and the packages of the engine's Python."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import selfhost
from selfhost.doctor.facts import AscendFacts, Node
from selfhost.hardware import ascend_files, probe_hccn
from selfhost.messages import Message

if TYPE_CHECKING:
    from selfhost.app.doctor.asking import Asking
    from selfhost.hardware.hccn import HccnDevice
    from selfhost.hardware.system import System
    from selfhost.hardware.types import HardwareSnapshot

_NODES = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")
# Written when vllm-ascend is built (setup.py @ 0.23.0).
_BUILT_FOR = re.compile(r"^__device_type__\s*=\s*['\"]?(?:AscendDeviceType\.)?(\w+)", re.MULTILINE)
_VERSIONS_SCRIPT = Path(selfhost.__file__).resolve().parent / "inside" / "selfhost_versions.py"


def is_here(asking: Asking, snapshot: HardwareSnapshot) -> bool:
    """Whether anything speaks of an NPU."""
    return (
        any(a.vendor == "huawei" for a in snapshot.accelerators)
        or any(message.id.startswith("hardware.npu_") for message in snapshot.messages)
        or asking.exists("/dev/davinci_manager")
        or asking.exists(_driver_file(asking.system))
    )


def ascend_facts(asking: Asking, snapshot: HardwareSnapshot) -> AscendFacts:
    """Everything about NPUs that needs no model."""
    system = asking.system
    python, answer = _packages(asking)
    return AscendFacts(
        driver_files=asking.exists(_driver_file(system)),
        nodes=tuple(_node(system, path) for path in _NODES),
        davinci=_davinci(system),
        packages={str(name): str(version) for name, version in answer.get("versions", {}).items()},
        python=python,
        built_for=_built_for(system, str(answer.get("prefix", ""))),
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


def _built_for(system: System, prefix: str) -> str | None:
    places = [Path("/vllm-workspace/vllm-ascend")]
    if prefix.startswith("/"):
        places += sorted(system.at(prefix).glob("lib/python3*/site-packages"))
    for place in places:
        path = place if place.is_relative_to(system.root) else system.at(str(place))
        if found := _BUILT_FOR.search(system.read(path / "vllm_ascend" / "_build_info.py")):
            return found[1]
    return None
