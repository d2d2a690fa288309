"""The world of a supervisor as it is: processes, HTTP, files, signals, threads and the clock of this machine."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from selfhost import files
from selfhost.app import boot, device_memory, failures
from selfhost.app.endpoint import endpoint_of
from selfhost.app.engine_env import engine_env
from selfhost.app.orders import now_text
from selfhost.app.world import Remains
from selfhost.serve import events, health, liveness, logs, phases, process, records
from selfhost.serve.lifecycle import Question

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from selfhost.app.orders import Orders
    from selfhost.home import Home
    from selfhost.serve.health import Health
    from selfhost.serve.lifecycle import Identity, Status
    from selfhost.serve.liveness import Figures
    from selfhost.serve.phases import Progress
    from selfhost.serve.records import Failure, Record

_REAP_S = 2.0
_EXIT_POLL_S = 0.02
_ROLL_S = 1.0
"""An engine that fails at every request can write many MiB in a second."""
_FIRST_PROCESS = 1
_HTTP_ERRORS = 500
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Machine:
    """What a supervisor of one server needs; see `app.world.World`."""

    def __init__(self, home: Home, record: Record, orders: Orders) -> None:
        self._home, self._orders = home, orders
        self._argv, self._name = record.argv, record.name
        self._plan = record.plan
        self._memory_before: Mapping[str, int] | None = None
        self._folder = records.folder(home, record.name)
        self._endpoint = endpoint_of(home, record)
        self._engine: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None
        self._tail = logs.Tail(self._folder.engine_log)
        self._results: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._signals: list[int] = []
        self._oom_before = process.oom_kills()
        self._next_reap = self._next_roll = 0.0
        self._ready_offset: int | None = None
        self._run_began = record.started_at

    # Clock, signals, threads

    @staticmethod
    def now_s() -> float:
        """See `World`."""
        return time.monotonic()

    @staticmethod
    def now_text() -> str:
        """See `World`."""
        return now_text()

    @contextlib.contextmanager
    def catching_signals(self) -> Iterator[None]:
        """Count what asks for an end instead of dying of it; in the main thread.

        Under `nohup` a terminal that closes asks for nothing.
        """

        def count(number: int, _frame: object) -> None:
            self._signals.append(number)

        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        caught = [number for number in STOP_SIGNALS if number != signal.SIGHUP or not ignored]
        before = {number: signal.signal(number, count) for number in caught}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def signals(self) -> Sequence[int]:
        """See `World`."""
        return self._signals

    def background(self, work: Callable[[], object]) -> None:
        """See `World`."""

        def run() -> None:
            try:
                self._results.put(work())
            except BaseException as error:  # noqa: BLE001  # raised again in the main loop
                self._results.put(error)

        threading.Thread(target=run, daemon=True).start()

    def wait(self, timeout_s: float) -> Sequence[object]:
        """See `World`."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._results.get(timeout=timeout_s))
            while True:
                found.append(self._results.get_nowait())
        return found

    def tend(self) -> None:
        """See `World`."""
        self._roll()
        self.reap()

    def reap(self) -> None:
        """As the first process of a container, wait for the orphans that nobody else waits for."""
        if os.getpid() == _FIRST_PROCESS and self._engine and time.monotonic() >= self._next_reap:
            self._next_reap = time.monotonic() + _REAP_S
            process.reap_orphans(self._engine.pid)

    def _roll(self) -> None:
        if time.monotonic() < self._next_roll:
            return
        self._next_roll = time.monotonic() + _ROLL_S
        # A disk that is full is no reason to end a server: the log goes on in one piece.
        with contextlib.suppress(OSError):
            went = logs.roll(self._folder.engine_log, self._orders.log_bytes)
            if self._ready_offset is not None:
                self._ready_offset -= went

    # Files

    def save(self, record: Record) -> None:
        """See `World`."""
        records.write(self._home, record)

    def keep_boot(self, record: Record, phase_times: Mapping[str, float]) -> Record:
        """See `World`."""
        self._ready_offset = self._folder.engine_log.stat().st_size
        began = replace(record, started_at=self._run_began)
        kept = boot.write(self._home, began, self._orders.subject, phase_times)
        return replace(record, chat=self._endpoint.chat, boot_record=str(kept) if kept else record.boot_record)

    def keep_failed_boot(self, record: Record, failure: Failure, phase_times: Mapping[str, float]) -> None:
        """See `World`."""
        began = replace(record, started_at=self._run_began)
        boot.write_failed(self._home, began, self._orders.subject, failure, phase_times)

    def explain(self, record: Record, status: Status) -> Failure:
        """See `World`."""
        orders = self._orders
        with contextlib.suppress(Exception):
            if self._engine:
                self._engine.wait(timeout=1)  # reap: a zombie would look like a process of ours
        evidence = failures.Evidence(
            log=self._log_text(),
            returncode=self._engine.poll() if self._engine else None,
            oom_killed=(process.oom_kills() or 0) > (self._oom_before or 0),
            deadline_s=orders.limits.deadline_s,
            wedge_s=orders.limits.wedge_s,
            prompt=orders.prompt,
            expect=orders.expect,
        )
        return failures.explain(record, status, evidence)

    def _log_text(self) -> str:
        # While serving, what the engine said at its start is no longer the cause of anything.
        if self._ready_offset is not None:
            return logs.read_end(self._folder.engine_log, since=self._ready_offset)
        return logs.read_ends(self._folder.engine_log)

    # The engine

    def device_memory(self) -> Mapping[str, int] | None:
        """See `World`."""
        self._memory_before = device_memory.used(self._plan, self._orders.env)
        return self._memory_before

    def start(self) -> Identity | None:
        """See `World`."""
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
        if self._engine:
            self._begin_again()
        self._engine = process.spawn(self._argv, env, self._folder.engine_log)
        self._identity = process.identify(self._engine.pid)
        return self._identity

    def _begin_again(self) -> None:
        """Forget the engine before, and keep its log."""
        self._folder.set_log_aside()
        self._engine, self._identity = None, None
        self._tail = logs.Tail(self._folder.engine_log)
        self._ready_offset = None
        self._oom_before = process.oom_kills()
        self._run_began = now_text()

    def _let_it_exit(self) -> None:
        """Wait a little for the engine's end: what ends closes its connections first, and is to be told as ended."""
        until = time.monotonic() + self._orders.limits.settle_s
        while self.exit_status() is None and time.monotonic() < until:
            time.sleep(_EXIT_POLL_S)

    def exit_status(self) -> int | None:
        """See `World`."""
        return self._engine.poll() if self._engine else None

    def progress(self, *, final: bool) -> Iterable[Progress]:
        """See `World`."""
        lines = phases.split_lines(self._tail.read(final=final))
        return [progress for line in lines if (progress := phases.read_line(line))]

    def tree(self) -> set[Identity]:
        """See `World`."""
        return set(process.members(self._orders.mark, self._identity))

    @staticmethod
    def gone(known: Iterable[Identity]) -> set[Identity]:
        """See `World`."""
        return {identity for identity in known if not process.is_alive(identity)}

    def end_tree(self, known: Iterable[Identity], grace_s: float, hurry: Callable[[], bool]) -> Remains:
        """See `World`."""
        ended = process.end_tree(
            self._orders.mark,
            self._identity,
            grace_s=grace_s,
            follow_s=self._orders.limits.follow_s,
            known=known,
            hurry=hurry,
        )
        with contextlib.suppress(Exception):
            if self._engine:
                self._engine.wait(timeout=1)
        held = device_memory.wait_until_back(
            self._memory_before, lambda: device_memory.used(self._plan, self._orders.env), hurry=hurry
        )
        return Remains(ended.survivors, held)

    # Questions

    def health(self) -> Health:
        """See `World`."""
        return health.ask_health(self._endpoint, self._orders.limits.health_timeout_s)

    def figures(self) -> Figures | None:
        """See `World`."""
        return liveness.read_figures(health.ask_metrics(self._endpoint, self._orders.limits.health_timeout_s))

    def ask(self, question: Question) -> events.Answered | events.NotAnswered:
        """See `World`."""
        orders, checked = self._orders, question is Question.ANSWER
        try:
            answer = health.check_answer(
                self._endpoint,
                orders.prompt,
                orders.expect if checked else "",
                max_tokens=orders.max_tokens if checked else 1,
                timeout_s=orders.limits.answer_s if checked else orders.limits.wedge_s,
            )
        except health.RefusedError as error:
            declined = error.status is not None and error.status < _HTTP_ERRORS
            if error.status is None and not error.late:
                self._let_it_exit()
            return events.NotAnswered(error.detail, late=error.late, declined=declined)
        self._endpoint = replace(self._endpoint, chat=answer.chat)
        return events.Answered(right=answer.right, text=answer.text, at_s=time.monotonic())
