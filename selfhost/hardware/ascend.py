"""Everything that was told of Ascend devices, put together: rows and answers in, accelerators and notes out.

`npu_smi` reads the table, `npu_query` the sub-commands, `ascend_files` files; this says what they mean together.
The three ways of counting devices (`types.Npu`) are never taken for one another: what is not told stays unknown.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING

from selfhost.hardware import catalog, npu_codes, npu_names, npu_smi
from selfhost.hardware.npu_query import Board, Mapped, Topology
from selfhost.hardware.types import Accelerator, DeviceProcess, Npu
from selfhost.messages import Message, text
from selfhost.records import dataclass
from selfhost.units import MIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from selfhost.hardware.npu_smi import Process, Row, Table

WELL = ("OK", "UNKNOWN")
"""Health that is no reason to ask further: some containers are told no other than UNKNOWN."""
_DIES_PER_CARD = 2
_A3 = "A3"
_CONTEXT_MIB = 512
_CONTEXT_FRACTION = 0.1
"""Ranks leave 112 to 129 MB on NPU 0. Source: vllm-project/vllm-ascend#1903, #5648."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AscendReport:
    """What was found."""

    accelerators: tuple[Accelerator, ...] = ()
    driver: str | None = None
    firmware: str | None = None
    firmware_fits: bool | None = None
    links: tuple[str, ...] = ()
    notes: tuple[Message, ...] = ()
    problem: Message | None = None
    """Why npu-smi told nothing; devices are then told by another source, if at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What was asked beside the table of `npu-smi info`; empty where it was not, or had no answer."""

    mapping: tuple[Mapped, ...] = ()
    board: Board = Board()
    """Of the first card."""
    chip: Board = Board()
    """Of the first card's first chip."""
    topology: Topology | None = None
    faults: Mapping[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)
    """(card, chip) -> fault codes, of devices that are not well."""
    nodes: tuple[int, ...] = ()
    """N of each /dev/davinciN."""


def parse_info(output: str) -> AscendReport:
    """Report from the table of `npu-smi info` alone."""
    table = npu_smi.parse(output)
    return report(table, Told()) if table.rows else AscendReport(driver=table.driver, problem=npu_codes.explain(output))


def report(table: Table, told: Told) -> AscendReport:
    """Report from a table with devices, and what else is known."""
    ids = _ids(table.rows, told)
    found = [_accelerator(row, ids[row.card_id, row.chip_id], table, told) for row in table.rows]
    driver = table.driver if table.driver and table.driver[0].isdigit() else told.board.driver or table.driver
    return AscendReport(
        accelerators=tuple(found),
        driver=driver,
        firmware=told.board.firmware,
        firmware_fits=told.board.firmware_fits,
        links=told.topology.kinds if told.topology else (),
        notes=(*_state(found), *_whole(table, found, told)),
    )


def _ids(rows: Sequence[Row], told: Told) -> dict[tuple[int, int], tuple[int | None, int | None]]:
    """(card, chip) -> (physical id, logical id)."""
    mapped = {(chip.card_id, chip.chip_id): chip for chip in told.mapping}
    ids: dict[tuple[int, int], tuple[int | None, int | None]] = {}
    for row in rows:
        key = (row.card_id, row.chip_id)
        chip = mapped.get(key, Mapped(card_id=row.card_id, chip_id=row.chip_id))
        physical = row.physical_id if chip.physical_id is None else chip.physical_id
        logical = row.logical_id if chip.logical_id is None else chip.logical_id
        ids[key] = (physical, logical)
    ids = _unambiguous(ids)
    if all(physical is None for physical, _ in ids.values()):
        ids = {key: (by_node, ids[key][1]) for key, by_node in _by_nodes(rows, ids, told.nodes).items()}
    whole = sorted(physical for physical, _ in ids.values() if physical is not None) == list(range(len(ids)))
    if whole and all(logical is None for _, logical in ids.values()):
        # All devices of a machine: the runtime counts them as the driver does.
        ids = {key: (physical, physical) for key, (physical, _) in ids.items()}
    return ids


def _unambiguous(
    ids: Mapping[tuple[int, int], tuple[int | None, int | None]],
) -> dict[tuple[int, int], tuple[int | None, int | None]]:
    """Without numbers that two devices have: npu-smi prints 0 for what it could not ask."""
    physical = Counter(physical for physical, _ in ids.values())
    logical = Counter(logical for _, logical in ids.values())
    return {
        key: (mine if physical[mine] == 1 else None, counted if logical[counted] == 1 else None)
        for key, (mine, counted) in ids.items()
    }


def _by_nodes(
    rows: Sequence[Row], ids: Mapping[tuple[int, int], tuple[int | None, int | None]], nodes: Sequence[int]
) -> dict[tuple[int, int], int | None]:
    """Physical ids where no tool tells them: those of the cards (A2), where there is a node for each of them.

    On 310P the logical ids, where the nodes are just those.
    """
    cards = [row.card_id for row in rows]
    if all(row.hbm for row in rows) and len(set(cards)) == len(cards) and set(cards) <= set(nodes):
        return {(row.card_id, row.chip_id): row.card_id for row in rows}
    if sorted(logical for _, logical in ids.values() if logical is not None) == list(nodes):
        return {key: logical for key, (_, logical) in ids.items()}
    return dict.fromkeys(ids)


def _accelerator(row: Row, ids: tuple[int | None, int | None], table: Table, told: Told) -> Accelerator:
    physical, logical = ids
    named = npu_names.resolve(row.name, row.total_mib, row.ddr_mib)
    if named.device is None and told.board.chip_name:
        # The name in the table of a 950 may be short; that of the board is whole.
        by_board = npu_names.resolve(told.board.chip_name, row.total_mib, row.ddr_mib)
        named = by_board if by_board.device else named
    total, used = (None if figure is None else figure * MIB for figure in (row.total_mib, row.used_mib))
    visible, assumed = catalog.visible_memory(named.device, "huawei", total) if total else (None, False)
    beside = row.logical_id if row.physical_id is None else row.physical_id
    reason = named.reason or ("" if total else text("hardware.npu_no_memory"))
    return Accelerator(
        vendor="huawei",
        name=named.shown,
        index=next(number for number in (physical, beside, row.card_id) if number is not None),
        memory_bytes=total,
        visible_memory_bytes=visible,
        visible_memory_assumed=assumed,
        used_bytes=used,
        supported=not reason,
        reason=reason,
        device_id=named.device.id if named.device else None,
        npu=Npu(
            card_id=row.card_id,
            chip_id=row.chip_id,
            physical_id=physical,
            logical_id=logical,
            soc_version=_soc_version(row, named, told),
            health=row.health,
            fault_codes=told.faults.get((row.card_id, row.chip_id), ()),
            utilization_percent=row.utilization_percent,
            bus_id=row.bus_id,
        ),
        processes=_processes(row, table.processes or ()),
    )


def _soc_version(row: Row, named: npu_names.Named, told: Told) -> str | None:
    """As the chip's board tells it, for devices of its name; else `ascend910b3`, where the name is the whole of it."""
    for board in (told.chip, told.board):
        if board.chip_name and board.soc_version and named.shown == npu_names.resolve(board.chip_name, None).shown:
            return board.soc_version
    plain = re.fullmatch(r"910B[1-4](?:C|-1)?|310P\d", row.name)
    return f"ascend{row.name.lower()}" if plain else None


def _processes(row: Row, processes: Iterable[Process]) -> tuple[DeviceProcess, ...]:
    """Those of a device; 950 tells the card only."""
    everyone = tuple(processes)
    most = {each.pid: 0 for each in everyone}
    for each in everyone:
        most[each.pid] = max(most[each.pid], each.memory_mib or 0)
    return tuple(
        DeviceProcess(
            pid=each.pid,
            name=each.name,
            memory_bytes=None if each.memory_mib is None else each.memory_mib * MIB,
            container_pid=each.container_pid,
            context_only=each.memory_mib is not None
            and each.memory_mib <= _CONTEXT_MIB
            and each.memory_mib < _CONTEXT_FRACTION * most[each.pid],
        )
        for each in everyone
        if (each.card_id, each.chip_id) == (row.card_id, row.chip_id)
    )


def _state(found: Sequence[Accelerator]) -> list[Message]:
    """What is wrong with single devices."""
    return [
        Message(
            "hardware.npu_faulty" if a.npu.fault_codes else "hardware.npu_unhealthy",
            {"index": a.npu.card_id, "name": a.name, "health": a.npu.health, "codes": " ".join(a.npu.fault_codes)},
        )
        for a in found
        if a.npu and a.npu.health not in WELL
    ]


def _whole(table: Table, found: Sequence[Accelerator], told: Told) -> list[Message]:
    """What is wrong with all of them together."""
    notes: list[Message] = []
    if table.half_installed:
        notes.append(Message("hardware.npu_half_installed"))
    if table.unread:
        notes.append(Message("hardware.npu_cut", {"count": table.unread, "read": len(found)}))
    compatibility = told.board.compatibility
    if compatibility and compatibility != "OK":
        values = {"said": compatibility, "driver": told.board.driver, "firmware": told.board.firmware}
        notes.append(Message("hardware.npu_incompatible", values))
    physical = {a.npu.physical_id for a in found if a.npu and a.npu.physical_id is not None}
    if told.nodes and len(physical) == len(found) and (lacking := sorted(physical - set(told.nodes))):
        notes.append(Message("hardware.npu_no_node", {"nodes": ", ".join(f"/dev/davinci{n}" for n in lacking)}))
    if len(physical) == len(found) and (extra := sorted(set(told.nodes) - physical)):
        listed = ", ".join(f"/dev/davinci{n}" for n in extra)
        notes.append(Message("hardware.npu_not_listed", {"nodes": listed, "read": len(found)}))
    return [*notes, *_kinds(found)]


def _kinds(found: Sequence[Accelerator]) -> list[Message]:
    """Devices of several kinds, and half cards of A3."""
    kinds = sorted({a.name for a in found})
    notes = [Message("hardware.npu_mixed", {"kinds": ", ".join(kinds)})] if len(kinds) > 1 else []
    dies: dict[int, int] = {}
    for each in found:
        device = each.device_id and catalog.lookup(each.device_id)
        if each.npu and each.npu.card_id is not None and device and device.family == _A3:
            dies[each.npu.card_id] = dies.get(each.npu.card_id, 0) + 1
    halves = [str(card) for card, count in dies.items() if count < _DIES_PER_CARD]
    return [*notes, *([Message("hardware.npu_half_card", {"cards": ", ".join(halves)})] if halves else [])]


def soc_family(accelerators: Iterable[Accelerator]) -> str | None:
    """`A2`, `A3`, `310P`, `950`: what the engine's image is chosen by; None without a known Ascend device."""
    devices = (catalog.lookup(a.device_id) for a in accelerators if a.vendor == "huawei" and a.device_id)
    families = sorted({device.family for device in devices if device})
    return ", ".join(families) or None
