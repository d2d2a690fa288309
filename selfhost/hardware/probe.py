"""Asks this machine what it has: vendors' tools first, then the host.

Nothing is changed, and nothing fails: what cannot be told becomes a note. Every call has a limit of 5 s (npu-smi 8 s),
all together 10 s; torch_npu has 30 s of its own, for when npu-smi told nothing. NVML is asked only where there is a
trace of the driver, so a machine without accelerators answers at once.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost.hardware import ascend, cuda, sharing
from selfhost.hardware.probe_ascend import ask_ascend
from selfhost.hardware.probe_host import ascend_notes, probe_host
from selfhost.hardware.system import Answer, Asking, System
from selfhost.hardware.types import HardwareSnapshot
from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from selfhost.hardware.probe_ascend import EnginePython

_NVIDIA_TRACES = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/dxg")


def probe(
    home: Path, system: System | None = None, torch_npu: Callable[[], Sequence[EnginePython]] = tuple
) -> HardwareSnapshot:
    """Everything there is to know about this machine; `home` is where selfhost keeps its files, for the disks.

    torch_npu: finds Pythons that have it; called only when npu-smi told nothing of NPUs that are there.
    """
    machine = system or System()
    asking = _Nvidia(machine)
    nvidia, huawei = asking.nvidia(), ask_ascend(asking, torch_npu)
    accelerators, hidden = sharing.hide((*nvidia.accelerators, *huawei.accelerators), machine.environ)
    if huawei.accelerators or huawei.driver:
        asking.notes += ascend_notes(machine, huawei.driver, huawei.firmware)
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
            ascend_firmware=huawei.firmware or host.ascend_firmware,
            ascend_firmware_fits=huawei.firmware_fits,
            ascend_links=huawei.links,
            soc_family=ascend.soc_family(accelerators),
        ),
        notes=tuple(dict.fromkeys(_sentence(note) for note in notes)),
        messages=tuple({_sentence(note): note for note in notes}.values()),
    )


def used_bytes(system: System | None = None) -> dict[str, int]:
    """Bytes in use on each device that an engine started from here would see; for 10 s at most, and never fails."""
    machine = system or System()
    asking = _Nvidia(machine)
    found = (*asking.nvidia().accelerators, *ask_ascend(asking, tuple).accelerators)
    return {
        f"{device.vendor} {device.index}" + (f" {device.uuid}" if device.mig else ""): device.used_bytes
        for device in sharing.hide(found, machine.environ)[0]
        if device.used_bytes is not None and not device.hidden
    }


def _sentence(message: Message) -> str:
    return f"{message.what}; {message.hint}" if message.hint else message.what


class _Nvidia(Asking):
    """How the tools of NVIDIA are asked."""

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
