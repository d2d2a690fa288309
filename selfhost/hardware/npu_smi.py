"""What the table of `npu-smi info` says: text in, rows out. One reader for the tables of npu-smi 23 to 26.

What differs between them, 98, 99, 106 or 116 columns wide:

    A2 (910B)     3 cells; second row `Chip`; memory is the last `used / total` pair (HBM)
    A3 (910C)     3 cells; second row `Chip Phy-ID`: the number of /dev/davinciN; each die is a device
    310P, 310B    3 cells; second row `Chip Device`: the logical id; one pair, no HBM; NPU ids have gaps
    950           4 cells; second row begins with two empty cells; the NPU id is the logical id

Rows are told by their shape, not by the words of the headers: those change, and output gets cut. A process has a number
where a device has its health. Layouts: hicann/driver src/custom/dev_prod/user/npucli/src/npu_info_print.c, and public
npu-smi output. Columns are never counted: figures run into their separators (`58626/ 65536`).
"""

from __future__ import annotations

import re

from selfhost.records import dataclass

_VERSION = re.compile(r"npu-smi\s+(\S+)\s+Version:\s*(\S+)")
_FIGURE = r"(-?\d{1,9}|NA)"
_PAIR = re.compile(rf"(?<![\w.]){_FIGURE}\s*/\s*{_FIGURE}(?![\w.])")
_ID = re.compile(r"[0-9]{1,9}")
_BUS = re.compile(r"[0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]{1,4}|NA")
_LONGEST_NAME = 40
_CELLS, _CELLS_950 = 3, 4
_PROCESS_CELLS = (4, 5)
"""From npu-smi 26 on the fifth is the pid within the container."""
_HALF_INSTALLED = "driver package may not be completely installed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One device: two rows of the table."""

    card_id: int
    """`NPU`, what `-i` takes."""
    chip_id: int
    """On its card: what `-c` takes."""
    name: str
    health: str
    physical_id: int | None = None
    """`Phy-ID`: N of /dev/davinciN; only A3 tells."""
    logical_id: int | None = None
    """`Device` of 310P, the NPU id of 950."""
    bus_id: str | None = None
    utilization_percent: int | None = None
    used_mib: int | None = None
    total_mib: int | None = None
    ddr_mib: int | None = None
    """Total of the pair before HBM: 0 where a device has HBM only."""
    hbm: bool = True
    """Whether there is a column of HBM: not on 310P and 310B."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """One row of the process table."""

    card_id: int
    chip_id: int
    pid: int
    name: str | None
    """None: the cell is empty."""
    memory_mib: int | None
    container_pid: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """What `npu-smi info` printed."""

    driver: str | None = None
    rows: tuple[Row, ...] = ()
    processes: tuple[Process, ...] | None = None
    """None: there is no such section (old tools, ordinary users, some containers)."""
    half_installed: bool = False
    """npu-smi warns that the driver's installation did not end."""
    unread: int = 0
    """Rows without the other half of their device, and devices that are told twice: the output is cut or damaged."""


@dataclass(frozen=True, slots=True)
class _First:
    """The first row of a device."""

    card_id: int
    name: str
    health: str


def parse(output: str) -> Table:
    """The table; no rows where there is none. Never raises."""
    driver: str | None = None
    rows: dict[tuple[int, int], Row] = {}
    processes: list[Process] | None = None
    first: _First | None = None
    unread, ends = 0, True
    for line in output.splitlines():
        line = line.strip()  # noqa: PLW2901 - some captures have trailing blanks
        if not line.startswith("|"):
            ends = ends or line.startswith("+")
            continue
        ends = False
        cells = [cell.strip() for cell in line[1:].removesuffix("|").split("|")]
        if version := _VERSION.search(line):
            driver = version[2]
        elif "process id" in line.lower():
            processes = processes or []
        elif process := _process(cells):
            processes = [*(processes or []), process]
        elif found := _first(cells):
            unread += first is not None
            first = found
        elif pairs := _second(cells):
            row = _row(first, cells, pairs) if first else None
            known = row is None or (row.card_id, row.chip_id) in rows
            unread += known
            if row and not known:
                rows[row.card_id, row.chip_id] = row
            first = None
    return Table(
        driver=driver,
        rows=tuple(rows.values()),
        processes=None if processes is None else tuple(processes),
        half_installed=_HALF_INSTALLED in output,
        unread=unread + (first is not None or (bool(rows) and not ends)),
    )


def _first(cells: list[str]) -> _First | None:
    """`NPU Name | Health | figures`, or `NPU | Name | Health | figures`."""
    if len(cells) == _CELLS:
        card, _, name = cells[0].partition(" ")
        health, figures = cells[1:]
    elif len(cells) == _CELLS_950:
        card, name, health, figures = cells
    else:
        return None
    name = name.strip()
    told = _ID.fullmatch(card) and any(map(str.isalnum, name)) and health and not _BUS.fullmatch(health)
    if not told or health.isdigit() or not _PAIR.search(figures):
        return None
    return _First(int(card), name[:_LONGEST_NAME], health[:_LONGEST_NAME])


def _second(cells: list[str]) -> list[tuple[str, str]] | None:
    """The `used / total` pairs of a second row; None for any other row."""
    if len(cells) == _CELLS_950 and cells[0] == cells[1] == "":
        cells = cells[1:]
    if len(cells) != _CELLS or not _BUS.fullmatch(cells[1]):
        return None
    ids = cells[0].split()
    if len(ids) > 2 or not all(map(_ID.fullmatch, ids)):  # noqa: PLR2004 - chip and one id beside it
        return None
    return _PAIR.findall(cells[2]) or None


def _row(first: _First, cells: list[str], pairs: list[tuple[str, str]]) -> Row:
    ids, hbm = [int(each) for each in cells[0].split()], len(pairs) > 1
    beside = ids[1] if len(ids) > 1 else None
    used, total = map(_mib, pairs[-1])
    utilization = cells[-1].split()[0]
    logical = beside if ids else first.card_id
    return Row(
        card_id=first.card_id,
        chip_id=ids[0] if ids else 0,
        name=first.name,
        health=first.health,
        physical_id=beside if hbm else None,
        logical_id=logical if not hbm or not ids else None,
        bus_id=None if cells[-2] == "NA" else cells[-2].lower(),
        utilization_percent=int(utilization) if _ID.fullmatch(utilization) else None,
        used_mib=None if used is None or total is None or used > total else used,
        total_mib=total or None,
        ddr_mib=_mib(pairs[0][1]) if hbm else None,
        hbm=hbm,
    )


def _mib(figure: str) -> int | None:
    return int(figure) if _ID.fullmatch(figure) else None


def _process(cells: list[str]) -> Process | None:
    if len(cells) not in _PROCESS_CELLS or not _ID.fullmatch(cells[1]):
        return None
    ids = cells[0].split()
    if not ids or len(ids) > 2 or not all(map(_ID.fullmatch, ids)):  # noqa: PLR2004 - card and chip
        return None
    return Process(
        card_id=int(ids[0]),
        chip_id=int(ids[1]) if len(ids) > 1 else 0,
        pid=int(cells[1]),
        name=cells[2] or None,
        memory_mib=_mib(cells[3]),
        container_pid=_mib(cells[4]) if len(cells) > 4 else None,  # noqa: PLR2004 - see _PROCESS_CELLS
    )
