"""What the sub-commands of npu-smi say (`info -l`, `-m`, `-t ...`): text in, values out. Never raises.

Most print `name : value` lines, a few print tables. A value that is not told, or not as expected, is None.
Formats: hicann/driver src/custom/dev_prod/user/npucli/src, and its docs/en/Ascend_950_npu-smi.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ID = re.compile(r"[0-9]{1,9}")
_GAP = re.compile(r"\t|\s{2,}")
_NOTHING = {"", "NA", "N/A", "-", "xxx", "x.x.x"}
_NAME_COLUMN = "Chip Name"
_DEVICE = re.compile(r"(NPU|Phy-ID)([0-9]{1,9})")
_LINK = re.compile(r"X|[A-Z][A-Za-z]{1,6}(?:_[A-Z]{2})?")
_CPUS = re.compile(r"[0-9]+(?:-[0-9]+)?(?:,[0-9]+(?:-[0-9]+)?)*")
_PROCESS = re.compile(r"Process id:\s*([0-9]{1,9})\s+Process name:(.*?)\s+Process memory\(MB\):\s*([0-9]{1,9})")
_CODE = re.compile(r"\b[0-9A-Fa-f]{4,8}\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapped:
    """One chip, as `info -m` counts it."""

    card_id: int
    chip_id: int
    logical_id: int | None = None
    """`Chip Logic ID`; 950 does not tell."""
    physical_id: int | None = None
    """`Chip Phy-ID`; A2 and 310P do not tell."""
    name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """`info -t board -i CARD`, with `-c CHIP` for what is told of the chip; each tells a part."""

    product: str | None = None
    chip_type: str | None = None
    """`Ascend` on A2."""
    chip_name: str | None = None
    """`910B4`, `Ascend910`, `Ascend950PR`."""
    npu_name: str | None = None
    """`9392` on A3, `9579` on 950: the rest of the SoC's name."""
    driver: str | None = None
    firmware: str | None = None
    compatibility: str | None = None
    """`OK` where driver and firmware go together."""
    bus_id: str | None = None
    pci_device: str | None = None
    """`0xd802`."""

    @property
    def firmware_fits(self) -> bool | None:
        """Whether driver and firmware go together, by its own word."""
        said = (self.compatibility or "").upper()
        return (said == "OK") if said not in {"", "NA", "UNKNOWN"} else None

    @property
    def soc_version(self) -> str | None:
        """As build systems and torch_npu write it, in lower case: `ascend910b4`, `ascend910_9392`, `ascend950pr_9579`.

        Source: vllm-project/vllm-ascend setup.py, get_chip_type.
        """
        if not self.chip_name or not any(map(str.isdigit, self.chip_name)):
            return None
        name = self.chip_name if self.chip_name.startswith("Ascend") else (self.chip_type or "Ascend") + self.chip_name
        return (name + (f"_{self.npu_name}" if self.npu_name else "")).replace(" ", "").lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """`info -t topo`."""

    counted_by: str | None = None
    """`NPU` (cards) or `Phy-ID` (A3)."""
    links: Mapping[tuple[int, int], str]
    """(from, to) -> `HCCS`, `HCCS_SW`, `SIO`, `UB`, `PIX`, `PXB`, `PHB`, `SYS`, `NA`; without a device and itself."""
    cpus: Mapping[int, str]
    """CPUs near a device, as a list of the kernel's; empty where it does not tell (A3 on ARM)."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind of link there is, sorted."""
        return tuple(sorted(set(self.links.values())))


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """`info -t health`."""

    status: str | None = None
    codes: tuple[str, ...] = ()
    """Of the faults, hexadecimal."""


def blocks(output: str) -> list[dict[str, str]]:
    """`name : value` lines; a name that comes again begins the next device or chip."""
    found: list[dict[str, str]] = [{}]
    for line in output.splitlines():
        name, separator, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not separator or not name:
            continue
        if name in found[-1]:
            found.append({})
        found[-1][name] = value
    return found if found[0] else []


def fields(output: str) -> dict[str, str]:
    """`name : value` lines, the first of each name."""
    found: dict[str, str] = {}
    for block in blocks(output):
        for name, value in block.items():
            found.setdefault(name, value)
    return found


def number(values: Mapping[str, str], name: str) -> int | None:
    """A whole number; None when it is not told."""
    value = values.get(name, "")
    return int(value) if _ID.fullmatch(value) else None


def _told(values: Mapping[str, str], *names: str) -> str | None:
    """The first that is told; placeholders of the documentation are not."""
    for name in names:
        value = values.get(name, "")
        if value not in _NOTHING:
            return "".join(c for c in value if c.isprintable())[:80]
    return None


def parse_list(output: str) -> tuple[int | None, tuple[int, ...]]:
    """(how many there are, NPU ids) from `info -l`."""
    values = fields(output)
    count = number(values, "Total Count")
    ids = (number(block, "NPU ID") for block in blocks(output))
    return (number(values, "Card Count") if count is None else count), tuple(i for i in ids if i is not None)


def parse_mapping(output: str) -> tuple[Mapped, ...]:
    """Chips from `info -m`; rows of the board's controller (`Mcu`) have no logical id and are left out."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    start = next((i for i, line in enumerate(lines) if line.startswith("NPU ID") and "Chip ID" in line), None)
    if start is None:
        return ()
    columns = [column for column in _GAP.split(lines[start]) if column]
    found: dict[tuple[int, int], Mapped] = {}
    for line in lines[start + 1 :]:
        # The name is the only cell with a blank in it, and the last.
        cells = dict(zip(columns, line.split(None, len(columns) - 1), strict=False))
        card, chip = number(cells, "NPU ID"), number(cells, "Chip ID")
        logical, physical = number(cells, "Chip Logic ID"), number(cells, "Chip Phy-ID")
        if card is not None and chip is not None and (logical is not None or physical is not None):
            name = _told(cells, _NAME_COLUMN)
            row = Mapped(card_id=card, chip_id=chip, logical_id=logical, physical_id=physical, name=name)
            found.setdefault((card, chip), row)
    return tuple(found.values())


def parse_board(output: str) -> Board:
    """From `info -t board -i CARD [-c CHIP]`."""
    values = fields(output)
    device = _told(values, "PCI Device ID")
    bus = _told(values, "PCIe Bus Info")
    return Board(
        product=_told(values, "Product Name"),
        chip_type=_told(values, "Chip Type"),
        chip_name=_told(values, _NAME_COLUMN),
        npu_name=_told(values, "NPU Name"),
        driver=_told(values, "Software Version"),
        firmware=_told(values, "Firmware Version"),
        compatibility=_told(values, "Compatibility"),
        bus_id=bus and bus.lower(),
        pci_device=device and device.lower(),
    )


def parse_topology(output: str) -> Topology:
    """From `info -t topo`; the first matrix counts, network cards beside it do not."""
    header: list[int] = []
    counted_by: str | None = None
    links: dict[tuple[int, int], str] = {}
    cpus: dict[int, str] = {}
    for line in output.splitlines():
        named = _DEVICE.findall(line)
        if not header:
            # One capture has lost the blanks before its header: a row has a link in its second place.
            header = [int(n) for _, n in named] if len(named) > 1 else []
            counted_by = named[0][0] if header else None
            continue
        cells = line.split()
        row = _DEVICE.fullmatch(cells[0]) if cells else None
        if row is None or len(cells) <= len(header):
            continue
        mine, told = int(row[2]), cells[1 : len(header) + 1]
        beside = ((other, link) for other, link in zip(header, told, strict=True) if other != mine)
        links |= {(mine, other): link for other, link in beside if _LINK.fullmatch(link)}
        if _CPUS.fullmatch(cells[-1]):
            cpus[mine] = cells[-1]
    return Topology(counted_by=counted_by, links=links, cpus=cpus)


def parse_health(output: str) -> Health:
    """From `info -t health -i CARD [-c CHIP]`."""
    values = fields(output)
    codes = _CODE.findall(values.get("Error Code", ""))
    return Health(status=_told(values, "Health Status", "Health"), codes=tuple(code.upper() for code in codes))


def parse_processes(output: str) -> tuple[tuple[int, str | None, int], ...]:
    """(pid, name, MiB) from `info -t proc-mem -i CARD [-c CHIP]`."""
    return tuple((int(pid), name.strip() or None, int(mib)) for pid, name, mib in _PROCESS.findall(output))


def figures(output: str) -> dict[str, int]:
    """Every whole number of `-t usages`, `memory`, `common`, `ecc` and `spod-info`, by its name: `HBM Capacity(MB)`.

    Of several chips, the first one's.
    """
    return dict(_numbers(fields(output)))


def _numbers(values: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    for name in values:
        value = number(values, name)
        if value is not None:
            yield name, value
