"""Asks about Ascend devices: npu-smi, then torch_npu of an engine, then the device nodes and the PCI bus.

npu-smi is asked for its table first; what adds to it (`-m` for ids, `-t board` for versions and names, `-t topo` for
links, `-t health` of what is not well) only when that gave devices, and only while it keeps answering. Changes nothing.
Written from sources and from output of others; it has not been run on a device.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware import ascend, ascend_files, ascend_other, npu_codes, npu_names, npu_query, npu_smi
from selfhost.messages import Message, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from selfhost.hardware.system import Asking

_TRACES = ("/dev/davinci_manager", "/dev/davinci_manager_docker", "/dev/davinci0")
_LIBRARIES = ("driver/lib64/common", "driver/lib64/driver")
_MOST_FAULTY = 4
"""NPUs whose faults are asked for, one call each."""
_TORCH_SCRIPT = Path(__file__).resolve().parent.parent / "inside" / "selfhost_npus.py"


class EnginePython(NamedTuple):
    """A Python that has torch_npu."""

    python: Path
    environ: Mapping[str, str]
    """What CANN's and NNAL's scripts set for it: without, torch_npu cannot be imported."""


def ask_ascend(asking: Asking, torch_npu: Callable[[], Sequence[EnginePython]]) -> ascend.AscendReport:
    """What is here. What went wrong is added to `asking.notes`."""
    npu = _Npu(asking)
    report = npu.smi()
    if report.problem:
        asking.notes.append(report.problem)
        report = npu.otherwise(report, torch_npu)
    asking.notes += report.notes
    return report


class _Npu:
    """One round of questions."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.nodes = ascend_files.nodes(path.name for path in asking.system.at("/dev").glob("davinci*"))
        # In a container the driver's libraries are mounted, but nobody sets the path to them.
        self.folder = ascend_files.folder(asking.system.read(ascend_files.INSTALL_FILE))
        own = (f"{self.folder}/{library}" for library in _LIBRARIES)
        paths = [asking.system.environ.get("LD_LIBRARY_PATH", ""), *own]
        self.environ = {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths))}
        self.tool = asking.system.find("npu-smi")
        self.hangs = False

    def smi(self) -> ascend.AscendReport:
        """By npu-smi; nothing at all where there is no trace of an NPU."""
        system = self.asking.system
        if not self.tool:
            if self.nodes or self.asking.traces(_TRACES):
                return ascend.AscendReport(problem=Message("hardware.npu_no_tool"))
            return ascend.AscendReport(problem=self._bare())
        limit_s = self.asking.left_s(system.npu_limit_s)
        answer = self.asking.ask([self.tool, "info"], self.environ, limit_s)
        table = npu_smi.parse(answer.output)
        self.hangs = answer.returncode is None
        if self.hangs:
            seconds = f"{max(0.0, limit_s):.1f}".removesuffix(".0")
            hanging = Message("hardware.npu_hangs", {"seconds": seconds})
            if not table.rows:
                return ascend.AscendReport(driver=table.driver, problem=hanging)
            self.asking.notes.append(hanging)
        if not table.rows:
            return ascend.AscendReport(driver=table.driver, problem=npu_codes.explain(answer.output))
        return ascend.report(table, self._more(table))

    def _bare(self) -> Message | None:
        """What to say of NPUs on the bus that have no driver here."""
        found = self.asking.on_bus.get("huawei", [])
        if not found:
            return None
        if self.asking.system.read(f"{self.folder}/driver/version.info"):
            return Message("hardware.npu_not_loaded", {"count": len(found)})
        families = sorted({ascend_files.FAMILIES.get(device, device) for device in found})
        return Message("hardware.npu_on_bus", {"count": len(found), "families": ", ".join(families)})

    def _more(self, table: npu_smi.Table) -> ascend.Told:
        first = table.rows[0]
        card = str(first.card_id)
        mapping = npu_query.parse_mapping(self._info("-m"))
        board = npu_query.parse_board(self._info("-t", "board", "-i", card))
        # Only the chip of an A3 has a name that is longer than the table's.
        dies = npu_names.resolve(first.name, None).shown == "910C"
        more = ("-t", "board", "-i", card, "-c", str(first.chip_id))
        chip = npu_query.parse_board(self._info(*more)) if dies else npu_query.Board()
        topology = npu_query.parse_topology(self._info("-t", "topo")) if len(table.rows) > 1 else None
        return ascend.Told(
            mapping=mapping, board=board, chip=chip, topology=topology, faults=self._faults(table), nodes=self.nodes
        )

    def _faults(self, table: npu_smi.Table) -> dict[tuple[int, int], tuple[str, ...]]:
        """(card, chip) -> fault codes of those that are not well."""
        found = {}
        for row in [row for row in table.rows if row.health not in ascend.WELL][:_MOST_FAULTY]:
            # 950 takes no chip id.
            chip = ("-c", str(row.chip_id)) if row.logical_id is None or not row.hbm else ()
            told = npu_query.parse_health(self._info("-t", "health", "-i", str(row.card_id), *chip))
            found[row.card_id, row.chip_id] = told.codes
        return found

    def _info(self, *arguments: str) -> str:
        """What a sub-command of `npu-smi info` says; nothing after one that did not end in time."""
        if self.hangs or not self.tool:
            return ""
        answer = self.asking.ask([self.tool, "info", *arguments], self.environ)
        self.hangs = answer.returncode is None
        if self.hangs:
            self.asking.notes.append(Message("hardware.npu_part_hangs", {"question": " ".join(arguments)}))
        return answer.output if answer.returncode == 0 else ""

    def otherwise(
        self, report: ascend.AscendReport, torch_npu: Callable[[], Sequence[EnginePython]]
    ) -> ascend.AscendReport:
        """What other sources tell of NPUs that npu-smi did not."""
        if not self.nodes:
            return report
        for python, environ in torch_npu():
            limit_s = self.asking.system.torch_limit_s
            answer = self.asking.ask([str(python), str(_TORCH_SCRIPT)], {**self.environ, **environ}, limit_s)
            found, wrong = ascend_other.from_torch(answer.output)
            if found:
                note = Message("hardware.npu_by_torch", {"python": python})
                return replace(report, accelerators=found, notes=(note,))
            detail = text("hardware.npu_torch_silent") if answer.returncode is None else wrong or "device_count is 0"
            self.asking.notes.append(Message("hardware.npu_torch_failed", {"python": python, "detail": detail}))
        families = [ascend_files.FAMILIES.get(device, "") for device in self.asking.on_bus.get("huawei", [])]
        detail = report.problem.what if report.problem else ""
        return replace(report, accelerators=ascend_other.unread(self.nodes, families, detail))
