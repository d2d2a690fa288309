"""`selfhost detect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from selfhost.cli import output
from selfhost.columns import table
from selfhost.messages import text, word

if TYPE_CHECKING:
    from selfhost.engines.environment import EngineEnvironment
    from selfhost.hardware.types import Accelerator, HardwareSnapshot


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("detect")(_detect)


def _detect(as_json: bool = typer.Option(False, "--json", help="One JSON object.")) -> None:
    """Show the accelerators, the host and the engines that are here; nothing is changed.

    Example: selfhost detect --json
    """
    from selfhost.app import detect
    from selfhost.home import find_home

    home = find_home()
    snapshot, engines = detect.detect(home), detect.engines_here(home)
    if as_json:
        output.write_json(detect.as_dict(snapshot, engines))
        return
    with output.people():
        lines = [*_accelerators(snapshot.accelerators), *_host(snapshot), *_engines(engines)]
    for line in lines:
        output.write(line)
    for note in snapshot.notes:
        output.warn(note)


def _accelerators(found: tuple[Accelerator, ...]) -> list[str]:
    """One row per kind: equal devices share it."""
    from selfhost.hardware.sharing import ranges
    from selfhost.units import format_bytes

    kinds: dict[tuple[object, ...], list[Accelerator]] = {}
    for a in found:
        kinds.setdefault((a.vendor, a.name, a.memory_bytes, a.visible_memory_bytes, a.reason, a.hidden), []).append(a)
    heads = ("ACCELERATORS", "INDEX", "MEMORY", "ENGINE SEES", "IN USE")
    rows: list[tuple[str, ...]] = [(*map(word, heads), "")]
    for same in kinds.values():
        first = same[0]
        sizes = [first.memory_bytes, first.visible_memory_bytes, max((a.used_bytes or 0 for a in same), default=0)]
        remark = first.reason or (text("detect.hidden") if first.hidden else _logical(same))
        rows.append((
            f"{len(same)}x {first.name}",
            ranges([a.index for a in same]),
            *("?" if size is None else format_bytes(size) for size in sizes),
            remark,
        ))  # fmt: skip
    return table(rows if found else [(word("ACCELERATORS"),), (word("none"),)])


def _logical(same: list[Accelerator]) -> str:
    """How an engine counts NPUs, where that is not as they are listed."""
    from selfhost.hardware.sharing import ranges

    ids = [a.npu.logical_id for a in same if a.npu]
    known = [each for each in ids if each is not None]
    if not ids or len(known) < len(ids) or known == [a.index for a in same]:
        return ""
    return f"ASCEND_RT_VISIBLE_DEVICES counts them {ranges(known)}"


def _host(snapshot: HardwareSnapshot) -> list[str]:
    from selfhost.units import format_bytes

    host = snapshot.host
    total, free = format_bytes(host.memory_bytes), format_bytes(host.available_memory_bytes)
    memory = str(text("detect.memory", total=total, free=free))
    if host.cgroup_memory_limit_bytes is not None:
        memory += str(text("detect.limited", limit=format_bytes(host.cgroup_memory_limit_bytes)))
    numa = f", {host.numa_nodes} NUMA nodes" if host.numa_nodes > 1 else ""
    flags = f" ({' '.join(host.cpu_flags)})" if host.cpu_flags else ""
    drivers = {"NVIDIA": host.nvidia_driver, "CUDA up to": host.cuda_ceiling, "Ascend": host.ascend_driver}
    drivers |= {"firmware": host.ascend_firmware, "CANN": host.cann, "SoC": host.soc_family}
    usable = text("detect.cpu", count=host.cpu_count, name=host.cpu_name or "unknown")
    rows: list[tuple[str, ...]] = [
        ("", ""),
        ("HOST", host.hostname),
        ("system", f"{host.os}, kernel {host.kernel}, glibc {host.glibc or '?'}, {host.architecture}"),
        ("python", host.python),
        ("cpu", f"{usable}{flags}{numa}"),
        ("memory", memory),
        ("drivers", ", ".join(f"{name} {version}" for name, version in drivers.items() if version) or word("none")),
        ("containers", ", ".join(host.container_engines) or word("none")),
    ]
    for disk in host.disks:
        free, total = format_bytes(disk.free_bytes), format_bytes(disk.total_bytes)
        kind = disk.file_system or "unknown"
        rows.append(("disk", text("detect.disk", path=disk.path, free=free, total=total, kind=kind)))
    return table([(word(label), value) for label, value in rows])


def _engines(engines: tuple[EngineEnvironment, ...]) -> list[str]:
    rows: list[tuple[str, ...]] = [("", "", ""), (word("ENGINES"), "", "")]
    rows += [(engine.name, engine.version, str(engine.path)) for engine in engines]
    return table(rows if engines else [*rows, (word("none"), "", "")])
