"""Supervise one engine: drive the state machine of `serve.lifecycle` with what is seen, and carry out what it decides.

The loop never blocks: health checks, the checked answer and the ending of the tree run in threads that put their
result in one queue. A signal only counts itself. Whatever happens here, the tree is ended before the loop is left,
except when this process is killed: then the engine goes on as an orphan, which `ps` shows and `stop` ends.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.app import boot, failures
from selfhost.app.engine_env import engine_env
from selfhost.app.orders import now_text
from selfhost.serve import health, lifecycle, logs, phases, process, records
from selfhost.serve.health import Endpoint, Health
from selfhost.serve.lifecycle import Action, State, Status

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping

    from selfhost.app.orders import Orders
    from selfhost.home import Home
    from selfhost.serve.phases import Progress
    from selfhost.serve.records import Record

_TICK_S = 0.05
_READY_TICK_S = 0.25
_REAP_S = 2.0
_FIRST_PROCESS = 1
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Supervisor:
    """One engine from start to end; `run` once, in the main thread."""

    def __init__(
        self,
        home: Home,
        record: Record,
        orders: Orders,
        show: Callable[[Record], None],
        show_progress: Callable[[Progress], None],
    ) -> None:
        self._home = home
        self._folder = records.folder(home, record.name)
        self._orders, self._limits = orders, orders.limits
        self._show, self._show_progress = show, show_progress
        me = process.identify(os.getpid())
        self.record = replace(record, supervisor=me)
        self.signals: list[int] = []
        self._status = Status()
        self._engine: subprocess.Popen[bytes]
        self._results: queue.SimpleQueue[lifecycle.Event | BaseException] = queue.SimpleQueue()
        self._arrived: list[lifecycle.Event | BaseException] = []
        self._tail = logs.Tail(self._folder.engine_log)
        self._endpoint = Endpoint(
            host=record.host,
            port=record.port,
            model=record.served_model_name,
            key=records.read_control_key(home, record.name),
        )
        self._started = time.monotonic()
        self._phase_times = {lifecycle.Phase.LOADING.value: 0.0}
        self._next_probe = 0.0
        self._probing = False
        self._signals_fed = 0
        self._exit_fed = False
        self._deadline_fed = False
        self._hurry = False
        self._oom_before = process.oom_kills()
        self._tree: set[lifecycle.Identity] = set()
        self._lost_since: float | None = None
        self._next_reap = 0.0
        self._ready_offset = 0
        self._finished = False
        self._survivors: tuple[lifecycle.Identity, ...] = ()

    def run(self) -> Record:
        """Start the engine, keep it until it ends or a signal asks for that; the last record. Raises MissingError."""
        with self._catching_signals():
            self._save()
            self._spawn()
            try:
                while not self._finished:
                    for event in self._look():
                        self._feed(event)
                    self._reap()
                    self._wait()
            except BaseException:
                self._end_tree()
                self._save(state=State.FAILED, ended_at=now_text())
                raise
        return self.record

    @contextlib.contextmanager
    def _catching_signals(self) -> Iterator[None]:
        def count(number: int, _frame: object) -> None:
            self.signals.append(number)

        before = {number: signal.signal(number, count) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _spawn(self) -> None:
        cache = self._home.root / "cache"
        has_home = os.access(os.environ.get("HOME", ""), os.W_OK)
        if not has_home:
            files.make_directory(cache, records.PRIVATE)
        env = engine_env(
            os.environ,
            self._orders.env,
            mark=self._orders.mark,
            gate=self._folder.gate,
            cache=cache,
            has_home=has_home,
        )
        try:
            self._engine = process.spawn(self.record.argv, env, self._folder.engine_log)
        except OSError as error:
            failure = failures.not_runnable(self.record, error)
            self._save(state=State.FAILED, failure=failure, ended_at=now_text())
            raise failures.as_error(self.record, failure) from error
        self._save(engine=process.identify(self._engine.pid))

    # What is seen

    def _look(self) -> Iterator[lifecycle.Event]:
        if len(self.signals) > self._signals_fed:
            self._signals_fed += 1
            yield lifecycle.StopRequested()
        yield from self._finished_work()
        ended = self._engine.poll() is not None
        if self._status.state is State.STARTING:
            for line in phases.split_lines(self._tail.read(final=ended)):
                if progress := phases.read_line(line):
                    self._show_progress(progress)
                    yield lifecycle.PhaseSeen(progress.phase)
            if not self._deadline_fed and time.monotonic() - self._started > self._limits.deadline_s:
                self._deadline_fed = True
                yield lifecycle.DeadlinePassed()
        if ended and not self._exit_fed:  # after its last words
            self._exit_fed = True
            yield lifecycle.EngineExited()
        if self._status.state in (State.STARTING, State.READY):
            self._probe()
            yield from self._watch_tree()

    def _reap(self) -> None:
        """As the first process of a container, wait for the orphans that nobody else waits for."""
        if os.getpid() == _FIRST_PROCESS and time.monotonic() >= self._next_reap:
            self._next_reap = time.monotonic() + _REAP_S
            process.reap_orphans(self._engine.pid)

    def _wait(self) -> None:
        """Until a thread has a result, or it is time to look around again."""
        ready = self._status.state is State.READY
        with contextlib.suppress(queue.Empty):
            self._arrived.append(
                self._results.get(timeout=min(_READY_TICK_S, self._limits.ready_poll_s) if ready else _TICK_S)
            )

    def _finished_work(self) -> Iterator[lifecycle.Event]:
        arrived, self._arrived = self._arrived, []
        for result in arrived:
            if isinstance(result, BaseException):
                raise result
            if isinstance(result, lifecycle.Healthy | lifecycle.Unhealthy):
                self._probing = False
            yield result

    def _probe(self) -> None:
        if self._probing or time.monotonic() < self._next_probe or self._status.phase is lifecycle.Phase.CHECKING:
            return
        ready = self._status.state is State.READY
        self._next_probe = time.monotonic() + (self._limits.ready_poll_s if ready else self._limits.starting_poll_s)
        self._probing = True

        def ask() -> lifecycle.Event:
            found = health.ask_health(self._endpoint, self._limits.health_timeout_s)
            return lifecycle.Healthy() if found is Health.OK else lifecycle.Unhealthy(dead=found is Health.DEAD)

        self._in_background(ask)

    def _watch_tree(self) -> Iterator[lifecycle.Event]:
        """Tell of a process that was there when the server became ready and is gone, once that had time to show."""
        if self._status.state is not State.READY:
            return
        now = time.monotonic()
        lost = {identity for identity in self._tree if not process.is_alive(identity)}
        if lost and self._lost_since is None:
            self._lost_since = now
        if self._lost_since is not None and now - self._lost_since > self._limits.settle_s:
            self._tree -= lost
            self._lost_since = None
            yield lifecycle.ProcessLost()

    def _in_background(self, work: Callable[[], lifecycle.Event]) -> None:
        def run() -> None:
            try:
                self._results.put(work())
            except BaseException as error:  # noqa: BLE001  # raised again in the main loop
                self._results.put(error)

        threading.Thread(target=run, daemon=True).start()

    # What is done

    def _feed(self, event: lifecycle.Event) -> None:
        self._status, actions = lifecycle.step(self._status, event)
        for action in actions:
            self._ACTIONS[action](self)

    def _on_show(self) -> None:
        status = self._status
        self._phase_times.setdefault(status.phase.value, time.monotonic() - self._started)
        if status.state in (State.STOPPED, State.FAILED):
            return  # `_on_finish` writes these with their reasons
        ready = status.state is State.READY and self.record.ready_at is None
        kept = None
        if ready:
            self._tree = set(process.members(self._orders.mark, self.record.engine))
            self._ready_offset = self._folder.engine_log.stat().st_size
            kept = boot.write(self._home, self.record, self._orders.subject, self._phase_times)
        self._save(
            state=status.state,
            phase=status.phase,
            ready_at=now_text() if ready else self.record.ready_at,
            chat=self._endpoint.chat,
            boot_record=str(kept) if kept else self.record.boot_record,
        )
        self._show(self.record)

    def _on_ask(self) -> None:
        orders = self._orders

        def ask() -> lifecycle.Event:
            try:
                answer = health.check_answer(
                    self._endpoint,
                    orders.prompt,
                    orders.expect,
                    max_tokens=orders.max_tokens,
                    timeout_s=self._limits.answer_s,
                )
            except health.RefusedError as error:
                return lifecycle.NotAnswered(error.detail)
            self._endpoint = replace(self._endpoint, chat=answer.chat)
            return lifecycle.Answered(right=answer.right, text=answer.text)

        self._in_background(ask)

    def _on_end_tree(self) -> None:
        def end() -> lifecycle.Event:
            self._end_tree()
            return lifecycle.Ended()

        self._in_background(end)

    def _on_kill_tree(self) -> None:
        self._hurry = True

    def _end_tree(self) -> None:
        limits = self._limits
        ended = process.end_tree(
            self._orders.mark,
            self.record.engine,
            grace_s=limits.grace_s if self.record.ready_at else limits.starting_grace_s,
            follow_s=limits.follow_s,
            known=self._tree,
            hurry=lambda: self._hurry,
        )
        self._survivors = ended.survivors

    def _on_finish(self) -> None:
        with contextlib.suppress(Exception):
            self._engine.wait(timeout=1)  # reap: a zombie would look like a process of ours
        failure = None
        if self._status.trouble:
            failure = failures.explain(
                self.record,
                self._status,
                failures.Evidence(
                    log=self._log_text(),
                    returncode=self._engine.poll(),
                    oom_killed=(process.oom_kills() or 0) > (self._oom_before or 0),
                    deadline_s=self._limits.deadline_s,
                    prompt=self._orders.prompt,
                    expect=self._orders.expect,
                ),
            )
            if self.record.ready_at is None:
                subject = self._orders.subject
                boot.write_failed(self._home, self.record, subject, failure, self._phase_times)
        elif self._survivors:
            failure = failures.survivors(self.record, self._survivors)
        self._save(state=State.FAILED if failure else State.STOPPED, failure=failure, ended_at=now_text())
        self._finished = True
        self._show(self.record)

    _ACTIONS: Mapping[Action, Callable[[Supervisor], None]] = {
        Action.SHOW: _on_show,
        Action.ASK: _on_ask,
        Action.END_TREE: _on_end_tree,
        Action.KILL_TREE: _on_kill_tree,
        Action.FINISH: _on_finish,
    }

    def _log_text(self) -> str:
        # While serving, what the engine said at its start is no longer the cause of anything.
        if self.record.ready_at:
            return logs.read_end(self._folder.engine_log, since=self._ready_offset)
        return logs.read_ends(self._folder.engine_log)

    def _save(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)
        records.write(self._home, self.record)
