"""`ps`, `stop`: servers as they are now, from their records and their processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost.app import device_memory
from selfhost.app.orders import STARTING_GRACE_S, now_text
from selfhost.engines import vllm
from selfhost.errors import NoError, NoSpaceError, SelfhostError, UsageError
from selfhost.messages import Message, word
from selfhost.records import dataclass
from selfhost.serve import generations, health, lifecycle, ports, process, records
from selfhost.serve.lifecycle import State
from selfhost.serve.times import stop_grace_s

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from selfhost.home import Home
    from selfhost.serve.records import Failure, Record

SCHEMA_VERSION = 1
_POLL_S = 0.03
_SUPERVISOR_S = 15.0
"""For a supervisor to write its last record once its tree is gone."""
_PORT_S = 2.0
"""For a port to close after its process is gone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A record, and what is true now."""

    record: Record
    state: State
    members: tuple[lifecycle.Identity, ...]

    def as_dict(self) -> dict[str, Any]:
        """The contract of `serve --json` and of each server of `ps --json`."""
        record = self.record
        running = self.state.running
        return {
            "schema_version": SCHEMA_VERSION,
            "name": record.name,
            "pid": record.engine.pid if record.engine and process.is_alive(record.engine) else None,
            "url": record.url,
            "state": self.state.value,
            "phase": record.phase.value if self.state is State.STARTING else None,
            "model": record.model,
            "variant": record.variant,
            "served_model_name": record.served_model_name,
            "host": record.host,
            "port": record.port,
            "devices": list(record.devices),
            "cpus": list(record.cpus),
            "promised_bytes": record.promised_bytes,
            "require_key": record.require_key,
            "detached": record.detached,
            "forced": record.forced,
            "supervisor_pid": record.supervisor.pid
            if record.supervisor and process.is_alive(record.supervisor)
            else None,
            "process_count": len(self.members),
            "started_at": record.started_at,
            "ready_at": record.ready_at,
            "ended_at": record.ended_at,
            "uptime_s": _uptime_s(record) if running else None,
            "failure": _failure_dict(record.failure),
            "restart": record.restart,
            "restarts": record.restarts,
            "last_failure": _failure_dict(record.last_failure),
            "device_memory_held": record.device_memory_held,
        }


def _failure_dict(failure: Failure | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    message = Message(failure.message_id, failure.params)
    return {
        "id": failure.message_id,
        "code": failure.code,
        "what": message.what,
        "why": message.why,
        "hint": message.hint,
        "returncode": failure.returncode,
    }


def _uptime_s(record: Record) -> float:
    # The time of day may have been set meanwhile: a living process knows better.
    if record.engine and process.is_alive(record.engine):
        return round(process.age_s(record.engine), 1)
    began = datetime.fromisoformat(record.started_at)
    return round(max(0.0, (datetime.now(began.tzinfo) - began).total_seconds()), 1)


def look(record: Record) -> Server:
    """A server as it is now."""
    members = tuple(process.members(record.mark, record.engine))
    supervised = process.is_alive(record.supervisor)
    # A detached supervisor is not one of its own engine's processes, whatever it inherited.
    members = tuple(identity for identity in members if identity != record.supervisor)
    return Server(
        record=record,
        state=lifecycle.observe(record.state, supervised=supervised, processes=bool(members)),
        members=members,
    )


def find_server(home: Home, name: str) -> Server:
    """A server by name: of several generations the one that serves, else the newest. Raises NoError."""
    found = _generations(home, name)
    return max(found, key=_rank) if found else exact_server(home, name)


def exact_server(home: Home, name: str) -> Server:
    """The server with that very record. Raises NoError when there is none."""
    record = records.read(home, name)
    if record is None:
        known = [server.record.name for server in list_servers(home)[0]]
        raise NoError("serve.unknown_server", name=name, known=", ".join(known) or word("none"))
    return look(record)


def _generations(home: Home, name: str) -> list[Server]:
    """Those with a record; of one generation's name itself."""
    named = generations.of(records.names(home), name)
    return [look(record) for each in named if (record := records.read(home, each)) is not None]


def _rank(server: Server) -> tuple[bool, bool, str, int]:
    record = server.record
    serves = server.state in (State.READY, State.ORPHANED) and record.ready_at is not None
    return serves, server.state.running, record.started_at, generations.number(record.name)


def running_generations(home: Home, name: str) -> list[Server]:
    """Servers of a name that run, the one that serves first: more than one only while it is replaced."""
    return sorted((s for s in _generations(home, name) if s.state.running), key=_rank, reverse=True)


def forget_generations(home: Home, name: str, keep: Collection[str]) -> None:
    """Remove what is left of other generations of a name that do not run, but for some; `name` itself stays."""
    for each in generations.of(records.names(home), generations.base(name)):
        record = records.read(home, each)
        if each not in (*keep, name) and record and not look(record).state.running:
            shutil.rmtree(records.folder(home, each).path, ignore_errors=True)


def list_servers(home: Home) -> tuple[list[Server], list[Message]]:
    """Every server that was not stopped, sorted by name; and what could not be read."""
    found: list[Server] = []
    problems: list[Message] = []
    for name in records.names(home):
        try:
            record = records.read(home, name)
        except SelfhostError as error:
            problems.append(error.message)
            continue
        if record is None:
            problems.append(Message("serve.bad_record", {"path": records.folder(home, name).record}))
            continue
        server = look(record)
        if server.state is not State.STOPPED:
            found.append(server)
    return found, problems


def only_running(home: Home) -> Server:
    """The one server that runs. Raises UsageError when there are several, NoError when there is none."""
    running = [server for server in list_servers(home)[0] if server.state.running]
    if not running:
        raise NoError("serve.none_running")
    if len(running) > 1:
        raise UsageError("serve.several_running", names=", ".join(server.record.name for server in running))
    return running[0]


# stop


def stop(home: Home, name: str, timeout_s: float | None = None) -> Message:
    """End every process of a server and make sure; what was ended, and what of its memory did not come back.

    timeout_s: for an orderly end; None: what the server's own supervisor gives it.

    Raises NoError when it does not run (a stale record is cleaned), SelfhostError when something could not be ended.
    """
    server = exact_server(home, name)
    if not server.state.running:
        raise _not_running(home, server)
    record = server.record
    if timeout_s is None:
        timeout_s = stop_grace_s(vllm.drain_s(record.argv))
    started = time.monotonic()
    _stop_supervisor(record, timeout_s)
    follow_s = min(process.FOLLOW_S, timeout_s)
    # Before it was ever ready vLLM does not hear TERM while it builds its engine process.
    grace_s = timeout_s if record.ready_at else min(timeout_s, STARTING_GRACE_S)
    ended = process.end_tree(record.mark, record.engine, grace_s=grace_s, follow_s=follow_s, known=server.members)
    count = len(set(server.members)) or ended.ended
    if ended.survivors:
        pids = " ".join(str(identity.pid) for identity in ended.survivors)
        raise SelfhostError("serve.survivors", name=name, pids=pids)
    _check_port(record)
    held = _record_the_end(home, record, orphaned=server.state is State.ORPHANED)
    seconds = f"{time.monotonic() - started:.1f}"
    said = {"name": name, "count": count, "seconds": seconds, "port": record.port}
    if held:
        return Message("supervise.stopped_held", {**said, "held": device_memory.held_text(held)})
    return Message("serve.stopped", said)


def _record_the_end(home: Home, record: Record, *, orphaned: bool) -> Mapping[str, int] | None:
    """Write that a server is stopped; what of its devices' memory did not come back.

    Asked here where no supervisor did: of an orphan, and when it had to be killed.
    """
    latest = records.read(home, record.name) or record
    if latest.mark != record.mark:
        return None
    held = latest.device_memory_held
    if orphaned or latest.ended_at is None:
        env = record.plan.get("env", {})
        held = device_memory.wait_until_back(latest.device_memory_before, lambda: device_memory.used(record.plan, env))
    ended_at = latest.ended_at or now_text()
    with contextlib.suppress(NoSpaceError):  # it has ended all the same, and that is what was asked for
        records.write(home, replace(latest, state=State.STOPPED, ended_at=ended_at, device_memory_held=held))
    return held


def _stop_supervisor(record: Record, timeout_s: float) -> None:
    """Let the supervisor end its tree; when it does not within the time, it is killed and the caller ends the tree."""
    supervisor = record.supervisor
    if supervisor is None or not process.is_alive(supervisor) or supervisor.pid == os.getpid():
        return
    process.send(supervisor, signal.SIGTERM)
    process.send(supervisor, signal.SIGCONT)  # one that was suspended with Ctrl-Z would not notice
    until = time.monotonic() + timeout_s + _SUPERVISOR_S
    tree_until = time.monotonic() + timeout_s
    while process.is_alive(supervisor) and time.monotonic() < until:
        if time.monotonic() >= tree_until:
            process.send(supervisor, signal.SIGTERM)  # the second one means: no more grace
            tree_until = until
        time.sleep(_POLL_S)
    process.send(supervisor, signal.SIGKILL)


def _not_running(home: Home, server: Server) -> NoError:
    """Clean the record of a server that does not run, and say what it was."""
    record, was = server.record, server.state
    if was is State.STOPPED:
        return NoError("serve.not_running", name=record.name)
    records.write(home, replace(record, state=State.STOPPED, ended_at=record.ended_at or now_text()))
    if was is State.DEAD:
        return NoError("serve.was_dead", name=record.name, state=record.state.value)
    what = Message(record.failure.message_id, record.failure.params).what if record.failure else ""
    return NoError("serve.was_failed", name=record.name, failure=what)


def _check_port(record: Record) -> None:
    """Raises SelfhostError when somebody still accepts connections where the server was."""
    host = health.reachable_host(record.host)
    until = time.monotonic() + _PORT_S
    while ports.is_open(host, record.port):
        if time.monotonic() > until:
            holder = ports.port_holder(record.port)
            who = f"{holder.name} (pid {holder.pid})" if holder and holder.pid else "?"
            raise SelfhostError("serve.port_still_open", name=record.name, port=record.port, holder=who)
        time.sleep(_POLL_S)


def orphan_names(home: Home) -> list[str]:
    """Names of the servers whose supervisor is gone while processes are left, for `stop --orphans`."""
    return [server.record.name for server in list_servers(home)[0] if server.state is State.ORPHANED]


def running_names(home: Home) -> list[str]:
    """Names of the servers that run, for `stop --all`."""
    return [server.record.name for server in list_servers(home)[0] if server.state.running]


def running_marks(home: Home) -> frozenset[str]:
    """Marks of the servers that run: they tell one start from the next."""
    return frozenset(server.record.mark for server in list_servers(home)[0] if server.state.running)


def running_from(home: Home, directory: Path) -> list[str]:
    """Names of the servers that run with a Python below `directory`: an engine's environment."""
    root = directory.resolve()
    return [
        server.record.name
        for server in list_servers(home)[0]
        # The folder, not the file: a venv's Python is a link to one elsewhere.
        if server.state.running and Path(server.record.argv[0]).parent.resolve().is_relative_to(root)
    ]


def names_meant(home: Home, name: str) -> list[str]:
    """The servers that a user means by a name: every generation that runs, else the last; for `stop NAME`."""
    return [server.record.name for server in running_generations(home, name)] or [_last(home, name)]


def _last(home: Home, name: str) -> str:
    try:
        return find_server(home, name).record.name
    except SelfhostError:
        return name  # `stop` says what is wrong with it


def stop_all(home: Home, names: Iterable[str], timeout_s: float | None) -> Iterator[Message | SelfhostError]:
    """Stop one after the other, each just that one; a failure does not keep the rest from being stopped."""
    for name in names:
        try:
            yield stop(home, name, timeout_s)
        except SelfhostError as error:
            yield error
