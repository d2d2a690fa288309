"""What `npu-smi info` and the files of an Ascend installation say: text in, records and notes out.

One reader for the tables of npu-smi 23 to 26. What differs between them:

    A2 (910B)     3 cells; second row `Chip`, memory is the last `used / total` pair (HBM)
    A3 (910C)     3 cells; second row `Chip Phy-ID`; each die is a device, named only `Ascend910`
    310P, 310B    3 cells; second row `Chip Device`; no HBM pair, sparse NPU ids
    950           4 cells; second row starts with two empty cells, Bus-Id may be `NA`

Rows of the process table look like device rows, so reading stops at its header. Names and layouts: public npu-smi
output, and hicann/driver src/custom/dev_prod/user/npucli.
"""

from __future__ import annotations

import re

from selfhost.hardware import catalog
from selfhost.hardware.types import Accelerator
from selfhost.messages import Message, text
from selfhost.records import dataclass
from selfhost.units import MIB

_VERSION = re.compile(r"npu-smi\s+(\S+)\s+Version:\s*(\S+)")
_HEALTH = {"ok", "warning", "alarm", "critical", "unknown"}
_PAIR = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})")
_ID = re.compile(r"\d{1,9}")
_FAILED = re.compile(r"dcmi mod\w+ initialized? failed.*?(-\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class AscendReport:
    """What npu-smi found."""

    accelerators: tuple[Accelerator, ...] = ()
    driver: str | None = None
    notes: tuple[Message, ...] = ()
    problem: Message | None = None
    """Why nothing could be told; then the rest is empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """The first row of a device."""

    npu: int
    name: str
    health: str


def parse_info(output: str) -> AscendReport:
    """Report from `npu-smi info`."""
    driver: str | None = None
    found: list[Accelerator] = []
    unhealthy: list[Message] = []
    row: _Row | None = None
    for line in output.splitlines():
        if "Process id" in line:
            break
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if version := _VERSION.search(line):
            driver = version[2]
        elif first := _first_row(cells):
            row = first
        elif row and len(cells) in (3, 4) and (accelerator := _accelerator(row, cells)):
            found.append(accelerator)
            if row.health not in ("OK", "UNKNOWN"):
                values = {"index": accelerator.index, "name": accelerator.name, "health": row.health}
                unhealthy.append(Message("hardware.npu_unhealthy", values))
            row = None
    if not found:
        return AscendReport(driver=driver, problem=explain(output))
    return AscendReport(accelerators=tuple(found), driver=driver, notes=tuple(unhealthy))


def explain(said: str) -> Message:
    """The message for what npu-smi said instead of a table."""
    if failed := _FAILED.search(said):
        held = failed[1] in ("-8005", "-8020")
        return Message("hardware.npu_held" if held else "hardware.npu_dcmi_failed", {"code": failed[1]})
    if "no NPU card" in said:
        return Message("hardware.npu_none")
    lines = [line.strip() for line in said.splitlines() if any(c.isalnum() for c in line)]
    shown = "".join(c if c.isprintable() else "?" for c in (lines[0] if lines else "no output")[:160])
    return Message("hardware.npu_failed", {"detail": shown})


def _first_row(cells: list[str]) -> _Row | None:
    if len(cells) == 3 and cells[1].lower() in _HEALTH:  # noqa: PLR2004 - NPU and name | health | figures
        npu, _, name = cells[0].partition(" ")
        health = cells[1]
    elif len(cells) == 4 and cells[2].lower() in _HEALTH:  # noqa: PLR2004 - NPU | name | health | figures
        npu, name, health = cells[:3]
    else:
        return None
    return _Row(npu=int(npu), name=name.strip(), health=health) if _ID.fullmatch(npu) and name.strip() else None


def _accelerator(row: _Row, cells: list[str]) -> Accelerator | None:
    """From the second row: the index an engine uses, where it is told, and the memory. None for another row."""
    pairs = _PAIR.findall(cells[-1])
    ids = cells[0].split()
    if not pairs or not all(map(_ID.fullmatch, ids)):
        return None
    used, total = (int(figure) * MIB for figure in pairs[-1])
    # The second number is `Phy-ID` (A3) or `Device` (310P): card numbers repeat on A3 and have gaps on 310P.
    index = int(ids[1]) if len(ids) > 1 else row.npu
    device = catalog.match(row.name, total)
    visible, assumed = catalog.visible_memory(device, "huawei", total)
    reason = device.reason if device else text("hardware.npu_unknown", name=row.name)
    return Accelerator(
        vendor="huawei",
        name="910C" if row.name == "Ascend910" else row.name,
        index=index,
        memory_bytes=total,
        visible_memory_bytes=visible,
        visible_memory_assumed=assumed,
        used_bytes=used,
        supported=not reason,
        reason=reason,
        device_id=device.id if device else None,
    )


def soc_family(accelerators: tuple[Accelerator, ...]) -> str | None:
    """`A2`, `A3`, `310P`, `950`: what the engine's image is chosen by; None without a known Ascend device."""
    devices = (catalog.lookup(a.device_id) for a in accelerators if a.vendor == "huawei" and a.device_id)
    families = sorted({device.family for device in devices if device})
    return ", ".join(families) or None


def parse_install_info(content: str) -> str | None:
    """The version in `ascend_toolkit_install.info` (CANN) or the driver's `version.info`."""
    found = re.search(r"^version\s*=\s*\[?([\w.\-]+)", content, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else None
