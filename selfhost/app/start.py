"""Start a claimed server: in the foreground, or under a detached supervisor that is followed until it is ready."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.app import failures, servers
from selfhost.app.machine import Machine
from selfhost.app.orders import Orders
from selfhost.app.supervise import Supervisor
from selfhost.errors import IntegrityError, NoError, SelfhostError
from selfhost.messages import Message, text
from selfhost.serve import logs, phases, process, records
from selfhost.serve.lifecycle import Phase, State
from selfhost.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfhost.home import Home
    from selfhost.serve.phases import Progress
    from selfhost.serve.records import Record

_POLL_S = 0.05
_STOP_S = 30.0
_SUPERVISOR = "selfhost.app.detached"

# Warming is entered by a line of the engine's log, which is told itself.
_PHASES = {Phase.LOADING: "serve.phase_loading", Phase.CHECKING: "serve.phase_checking"}


class StartReport:
    """Turns changes of a starting server into lines for people: `show(step, line)`."""

    def __init__(self, show: Callable[[str, str], None]) -> None:
        self._show = show
        self._began = time.monotonic()
        self._last: tuple[State, Phase] | None = None

    def changed(self, record: Record) -> None:
        """Tell of a new phase or state; nothing when it is the same."""
        now = (record.state, record.phase)
        if now == self._last:
            return
        self._last = now
        if record.state is State.STARTING and record.phase in _PHASES:
            self._line(record.phase.value, Message(_PHASES[record.phase], {"name": record.name}))
        elif record.state is State.RESTARTING and record.last_failure:
            cause = Message(record.last_failure.message_id, record.last_failure.params).what
            self._line("restarting", Message("supervise.restarting", {"cause": cause}))
        elif record.state is State.READY and record.restarts:
            self._line("ready", Message("supervise.ready_again", {"name": record.name}))
        elif record.state is State.STOPPING:
            self._line("stopping", Message("serve.phase_stopping", {"name": record.name}))

    def progress(self, progress: Progress) -> None:
        """Tell how far a phase is."""
        self._line(progress.message.id, progress.message)

    def _line(self, step: str, message: Message) -> None:
        elapsed = format_duration(time.monotonic() - self._began)
        self._show(step, text("serve.progress", elapsed=elapsed, what=message.what))


def run_foreground(
    home: Home, record: Record, orders: Orders, report: StartReport, on_ready: Callable[[Record], None]
) -> int | None:
    """Supervise until a signal or a failure ends the server; the number of the signal.

    `on_ready` is called once. Raises EngineFailedError with the cause.
    """

    def changed(now: Record) -> None:
        report.changed(now)
        if now.state is State.READY and not now.restarts:
            on_ready(now)

    report.changed(record)
    last, signals = _supervise(home, record, orders, changed, report.progress)
    if last.failure:
        raise failures.as_error(last, last.failure)
    return signals[0] if signals else None


def _supervise(
    home: Home,
    record: Record,
    orders: Orders,
    show: Callable[[Record], None] = lambda _record: None,
    show_progress: Callable[[Progress], None] = lambda _progress: None,
) -> tuple[Record, Sequence[int]]:
    """Supervise in this process and its main thread; the last record, and the signals that arrived."""
    machine = Machine(home, record, orders)
    with machine.catching_signals():
        me = replace(record, supervisor=process.identify(os.getpid()))
        return Supervisor(machine, me, orders.limits, show, show_progress).run(), machine.signals()


def run_detached(home: Home, record: Record, orders: Orders, report: StartReport) -> Record:
    """Start a supervisor of its own and follow it until the server is ready; the record then.

    Raises EngineFailedError, NoError when somebody stopped it. Interrupted, it stops the server it began.
    """
    folder = records.folder(home, record.name)
    files.write_json(folder.launch, orders.as_dict(), 0o600)
    # -P: else Python would look for modules in the current directory first, and run what lies there.
    argv = [sys.executable, "-P", "-m", _SUPERVISOR, record.name]
    child = process.spawn(argv, os.environ, folder.supervisor_log)
    try:
        ready = _follow(home, record, child, report)
    except BaseException as error:
        if not isinstance(error, SelfhostError):
            _take_back(home, record, child)
        raise
    process.let_go(child)
    return ready


def _follow(home: Home, begun: Record, child: subprocess.Popen[bytes], report: StartReport) -> Record:
    folder = records.folder(home, begun.name)
    tail = logs.Tail(folder.engine_log)
    while True:
        ended = child.poll() is not None  # looked at first: a supervisor writes its last record before it ends
        record = records.read(home, begun.name)
        if record is None or record.mark != begun.mark:
            process.let_go(child)  # it finds out by itself
            raise NoError("serve.replaced", name=begun.name)
        report.changed(record)
        if record.state in (State.STARTING, State.READY):
            for line in phases.split_lines(tail.read()):
                if progress := phases.read_line(line):
                    report.progress(progress)
        if record.state is State.READY:
            return record
        if record.failure and record.state is State.FAILED:
            child.wait()
            raise failures.as_error(record, record.failure)
        if record.state is State.STOPPED:
            child.wait()
            raise NoError("serve.stopped_meanwhile", name=begun.name)
        if ended:
            _take_back(home, begun, child)
            last = (logs.read_end(folder.supervisor_log).splitlines() or [""])[-1]
            raise SelfhostError("serve.supervisor_died", name=begun.name, line=last, log=folder.supervisor_log)
        time.sleep(_POLL_S)


def _take_back(home: Home, record: Record, child: subprocess.Popen[bytes]) -> None:
    """Stop what was begun, whatever state it is in."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(_STOP_S + 10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    with contextlib.suppress(NoError):  # the supervisor had done it
        servers.stop(home, record.name, _STOP_S)


def run_supervisor(home: Home, name: str) -> int:
    """What a detached supervisor does: read its orders, supervise to the end; the exit code."""
    folder = records.folder(home, name)
    value, record = files.read_json(folder.launch), records.read(home, name)
    folder.launch.unlink(missing_ok=True)
    if value is None or record is None or value.get("mark") != record.mark:
        raise IntegrityError("serve.no_orders", name=name, path=folder.launch)
    last, _signals = _supervise(home, record, Orders.from_dict(value))
    return last.failure.code if last.failure else 0
