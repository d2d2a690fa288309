"""A plan beside the servers that run already: what they hold is left to them, and what stands in the way is named."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost.hardware.sharing import ranges
from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.planner import allot
from selfhost.planner.allot import Holder
from selfhost.serve.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfhost.app.servers import Server
    from selfhost.hardware.types import Hardware
    from selfhost.home import Home
    from selfhost.planner.plan import Plan
    from selfhost.serve.records import Record

    Make = Callable[[Hardware, bool], Plan]
    """The plan on some hardware; whether as an answer, with its remedies, or one of many that are tried."""

_BINDING, _UNBOUND = "VLLM_CPU_OMP_THREADS_BIND", "nobind"


def holders_of(home: Home) -> tuple[Holder, ...]:
    """What servers of this home hold that run."""
    if not home.servers.is_dir():
        return ()
    from selfhost.app import servers

    return tuple(_holder(server) for server in servers.list_servers(home)[0] if server.state.running)


def _holder(server: Server) -> Holder:
    from selfhost.serve.resident import resident_bytes

    record = server.record
    # One that is started again takes its memory anew, although it was ready once.
    has_all = record.ready_at is not None and server.state in (State.READY, State.STOPPING, State.ORPHANED)
    return Holder(
        server=record.name,
        devices=record.devices,
        promised_bytes=record.promised_bytes,
        before_bytes=record.before_bytes,
        loading=not has_all,
        taken_bytes=0 if record.devices else resident_bytes(member.pid for member in server.members),
        cpus=record.cpus,
    )


def left_of(hardware: Hardware, home: Home) -> Hardware:
    """What running servers leave of hardware that was found here: for tables of many plans."""
    shared = allot.share(hardware, holders_of(home))
    return allot.unheld(shared) or shared


def facts_of(plan: Plan) -> dict[str, Any]:
    """What the record of a server keeps of its plan for those that come after it, by the names of `Record`."""
    hardware, count = plan.hardware, plan.layout.world_size
    memory = plan.memory
    if hardware.device.platform is Platform.CPU:
        return {"promised_bytes": memory.budget_bytes * count, "cpus": _cpus_of(plan)}
    # On Ascend graphs come beside the budget.
    beside = memory.cudagraph_bytes if hardware.device.platform is Platform.ASCEND else 0
    visible = hardware.visible_memory_bytes
    return {
        "devices": hardware.device_names[:count],
        "promised_bytes": memory.budget_bytes + beside,
        "before_bytes": tuple(visible - free for free in hardware.free_memory_bytes[:count]),
    }


def _cpus_of(plan: Plan) -> tuple[int, ...]:
    """Where the engine's threads will be bound: by the plan, by the caller's environment, or by itself."""
    from selfhost.hardware.probe_cpus import probe_cpus, read_binding

    if plan.hardware.cpus:
        return plan.hardware.cpus
    binding = plan.env.get(_BINDING) or os.environ.get(_BINDING, "auto")
    if binding != "auto":
        return read_binding(binding)
    return allot.bound_by_engine(probe_cpus())


def plan_beside(make: Make, hardware: Hardware, holders: Sequence[Holder]) -> Plan:
    """The plan on what servers leave of hardware that was found, else the whole of it with the servers in the way.

    hardware: as it was detected. Raises what `make` raises.
    """
    if hardware.device.platform is Platform.CPU:
        return _on_cpu(make, hardware, holders)
    shared = allot.share(hardware, holders)
    free = None if hardware.named else allot.unheld(shared)
    on = free or shared
    plan = make(on, False)
    if free and not plan.fits:
        # On all of them, if only to say what stands in the way.
        on = shared
        plan = make(on, False)
    return _told(make(allot.ordered(on, plan.layout.world_size), True), make, hardware, holders)


def _on_cpu(make: Make, hardware: Hardware, holders: Sequence[Holder]) -> Plan:
    shared, others = allot.share(hardware, holders), [holder for holder in holders if holder.on_cpu]
    # Whoever binds threads in the environment has said where they belong.
    if others and not hardware.cpus and _BINDING not in os.environ:
        shared = _with_cpus(shared, others)
    plan = _told(make(shared, True), make, hardware, holders)
    cpus, bound = ranges(shared.cpus), plan.env.get(_BINDING, _UNBOUND) != _UNBOUND
    if shared.cpus and bound:
        line = text("allot.cpus_named" if hardware.cpus else "allot.cpus", cpus=cpus)
    elif others and _BINDING not in os.environ:
        line = text("allot.cpus_shared", servers=", ".join(holder.server for holder in others))
    else:
        return plan
    return replace(plan, reasons=(*plan.reasons, line))


def _with_cpus(hardware: Hardware, others: Sequence[Holder]) -> Hardware:
    """With cores that no server is bound to, where there are some."""
    from selfhost.hardware.probe_cpus import probe_cpus

    held = {number for holder in others for number in holder.cpus}
    return replace(hardware, cpus=allot.cpus_beside(probe_cpus(), held))


def _told(plan: Plan, make: Make, hardware: Hardware, holders: Sequence[Holder]) -> Plan:
    """With what is held, and by whom; and which servers it would fit without, if it does not fit."""
    lines = allot.told(hardware, holders)
    blocked = () if plan.fits else _in_the_way(make, hardware, holders)
    if len(blocked) == 1:
        lines.append(text("allot.blocked", server=blocked[0]))
    elif blocked:
        lines.append(text("allot.blocked_by_all", servers=" ".join(blocked)))
    return replace(plan, reasons=(*plan.reasons, *lines), blocked_by=blocked)


def _in_the_way(make: Make, hardware: Hardware, holders: Sequence[Holder]) -> tuple[str, ...]:
    """One server without which the plan would fit, else all of them if that is enough; empty when it is not."""
    names = allot.servers_on(hardware, holders)
    for stopped in ([name] for name in names):
        if _fits_without(make, hardware, holders, stopped):
            return tuple(stopped)
    return tuple(names) if len(names) > 1 and _fits_without(make, hardware, holders, names) else ()


def _fits_without(make: Make, hardware: Hardware, holders: Sequence[Holder], stopped: Sequence[str]) -> bool:
    shared = allot.share(hardware, holders, stopped=stopped)
    plan = make(shared, False)
    best = allot.ordered(shared, plan.layout.world_size)
    return (plan if best == shared else make(best, False)).fits


def name_of(record: Record) -> str:
    """What `ps` shows: the devices of a server, or the cores it is bound to."""
    if record.devices:
        # Of a uuid as much as tells slices apart; `--json` has it whole.
        return ",".join(name[:12] for name in record.devices)
    return f"cpu:{ranges(record.cpus)}" if record.cpus else "-"
