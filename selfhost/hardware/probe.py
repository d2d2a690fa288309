"""Asks this machine what it has: vendors' tools first, then the host.

Nothing is changed, and nothing fails: what cannot be told becomes a note. Every call has a limit of 5 s, all together
10 s. NVML is asked only where there is a trace of the driver, so a machine without accelerators answers at once.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.hardware import ascend, cuda, sharing
from selfhost.hardware.probe_host import probe_host
from selfhost.hardware.system import Answer, System, run
from selfhost.hardware.types import HardwareSnapshot
from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_NVIDIA_TRACES = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/dxg")
_NPU_TRACES = ("/dev/davinci_manager", "/dev/davinci0")
_NPU_LIBRARIES = ("/usr/local/Ascend/driver/lib64/common", "/usr/local/Ascend/driver/lib64/driver")
_PCI_VENDORS = {"0x10de": "nvidia", "0x19e5": "huawei"}
_PCI_CLASSES = ("0x03", "0x12")
"""Display controllers and processing accelerators; network and storage controllers have other classes."""


def probe(home: Path, system: System | None = None) -> HardwareSnapshot:
    """Everything there is to know about this machine; `home` is where selfhost keeps its files, for the disks."""
    machine = system or System()
    asking = _Asking(machine)
    nvidia, huawei = asking.nvidia(), asking.huawei()
    accelerators, hidden = sharing.hide((*nvidia.accelerators, *huawei.accelerators), machine.environ)
    notes = (*asking.notes, *hidden, *sharing.busy_notes(accelerators), *sharing.assumed_notes(accelerators))
    host = probe_host(home, machine)
    return HardwareSnapshot(
        captured_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        accelerators=accelerators,
        host=replace(
            host,
            nvidia_driver=nvidia.driver,
            cuda_ceiling=nvidia.cuda_ceiling,
            ascend_driver=huawei.driver or host.ascend_driver,
            soc_family=ascend.soc_family(accelerators),
        ),
        notes=tuple(dict.fromkeys(_sentence(note) for note in notes)),
        messages=tuple({_sentence(note): note for note in notes}.values()),
    )


def _sentence(message: Message) -> str:
    return f"{message.what}; {message.hint}" if message.hint else message.what


class _Asking:
    """The calls to the vendors' tools, the time they have together, and what went wrong."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.deadline = time.monotonic() + system.total_limit_s
        self.notes: list[Message] = []
        self.on_bus = _accelerators_on_bus(system)

    def ask(self, argv: Sequence[str], more: Mapping[str, str] | None = None) -> Answer:
        limit_s = min(self.system.call_limit_s, self.deadline - time.monotonic())
        return run(argv, {**self.system.environ, "LC_ALL": "C", **(more or {})}, limit_s)

    def traces(self, paths: Sequence[str]) -> bool:
        return any(self.system.at(path).exists() for path in paths)

    def nvidia(self) -> cuda.CudaReport:
        """NVML first; nvidia-smi when that fails, unless it hung: nvidia-smi would wait for the same driver."""
        tool = self.system.find("nvidia-smi")
        if not tool and not self.traces(_NVIDIA_TRACES):
            if "nvidia" in self.on_bus:
                self.notes.append(Message("hardware.nvidia_no_driver"))
            return cuda.CudaReport()
        answer = self.ask(self.system.nvml_argv)
        report = self._failed(answer) or cuda.parse_nvml(answer.output)
        if report.problem and tool and answer.returncode is not None:
            second = self._nvidia_smi(tool)
            if second.problem and second.problem.id in ("hardware.nvidia_hangs", "hardware.nvidia_crashed"):
                self.notes.append(second.problem)
            report = report if second.problem else second
        self.notes += [report.problem] if report.problem else report.notes
        return report

    def _nvidia_smi(self, tool: str) -> cuda.CudaReport:
        query = self.ask([tool, f"--query-gpu={','.join(cuda.SMI_FIELDS)}", "--format=csv,noheader,nounits"])
        if failed := self._failed(query):
            return failed
        listing = self.ask([tool, "-L"]).output if "Enabled" in query.output else ""
        return cuda.parse_smi(query.output, listing, self.ask([tool]).output)

    def _failed(self, answer: Answer) -> cuda.CudaReport | None:
        """The report when the process did not end, or not by itself."""
        if answer.returncode is None:
            seconds = f"{self.system.call_limit_s:g}"
            return cuda.CudaReport(problem=Message("hardware.nvidia_hangs", {"seconds": seconds}))
        if answer.returncode < 0:
            return cuda.CudaReport(problem=Message("hardware.nvidia_crashed", {"signal": -answer.returncode}))
        return None

    def huawei(self) -> ascend.AscendReport:
        """`npu-smi info`, where there is one."""
        tool = self.system.find("npu-smi")
        if not tool:
            if "huawei" in self.on_bus or self.traces(_NPU_TRACES):
                self.notes.append(Message("hardware.npu_no_tool"))
            return ascend.AscendReport()
        # In a container the driver's libraries are mounted, but nobody sets the path to them.
        paths = [self.system.environ.get("LD_LIBRARY_PATH", ""), *_NPU_LIBRARIES]
        answer = self.ask([tool, "info"], {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths))})
        if answer.returncode is None:
            self.notes.append(Message("hardware.npu_hangs", {"seconds": f"{self.system.call_limit_s:g}"}))
            return ascend.AscendReport()
        report = ascend.parse_info(answer.output)
        self.notes += [report.problem] if report.problem else report.notes
        return report


def _accelerators_on_bus(system: System) -> set[str]:
    """Vendors of accelerators on the PCI bus, driver or not."""
    found = set()
    for device in system.at("/sys/bus/pci/devices").glob("*"):
        with contextlib.suppress(OSError):
            vendor = _PCI_VENDORS.get((device / "vendor").read_text().strip())
            if vendor and (device / "class").read_text().startswith(_PCI_CLASSES):
                found.add(vendor)
    return found
