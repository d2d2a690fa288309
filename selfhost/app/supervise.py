"""Supervise one engine: drive the state machine of `serve.lifecycle` with what is seen, and carry out what it decides.

Everything outside comes and goes through a `World`, the clock too: what is here runs in a test without a process, a
file or a second. Health checks, questions and the ending of the tree are the world's background work, which hands its
results back in `wait`: only the rolling of the log (a copy of some MB) is waited for. Whatever happens here, the tree
is ended before the loop is left, except when this process is killed: then the engine goes on as an orphan, which `ps`
shows and `stop` ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from selfhost.app import failures
from selfhost.app.world import Counted, Finding, Remains
from selfhost.errors import SelfhostError
from selfhost.serve import events, lifecycle, restart
from selfhost.serve.events import Action
from selfhost.serve.health import Health
from selfhost.serve.lifecycle import Phase, Question, State, Status
from selfhost.serve.liveness import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from selfhost.app.orders import Limits
    from selfhost.app.world import World
    from selfhost.serve.lifecycle import Identity
    from selfhost.serve.liveness import Figures
    from selfhost.serve.phases import Progress
    from selfhost.serve.records import Failure, Record

_TICK_S = 0.05
_READY_TICK_S = 0.25


Work = Callable[[], Finding]


@dataclass(kw_only=True)
class _Run:
    """One start of the engine, and what is remembered of it."""

    number: int
    began_s: float
    phase_times: dict[str, float] = field(default_factory=lambda: {Phase.LOADING.value: 0.0})
    next_probe_s: float = 0.0
    probing: bool = False
    next_count_s: float = 0.0
    counting: bool = False
    watch: Watch = field(default_factory=Watch)
    exit_told: bool = False
    deadline_told: bool = False
    hurry: bool = False
    tree: set[Identity] = field(default_factory=set)
    lost_since_s: float | None = None
    was_ready: bool = False
    remains: Remains = field(default_factory=Remains)
    not_started: Failure | None = None


class Supervisor:
    """One server from its first start to its end; `run` once."""

    def __init__(
        self,
        world: World,
        record: Record,
        limits: Limits,
        show: Callable[[Record], None] = lambda _record: None,
        show_progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> None:
        self.record = record
        self._world, self._limits = world, limits
        self._show, self._show_progress = show, show_progress
        self._status = Status(policy=restart.parse(record.restart))
        self._run = _Run(number=0, began_s=world.now_s())
        self._arrived: list[object] = []
        self._signals_told = 0
        self._finished = False

    def run(self) -> Record:
        """Start the engine, keep it until it ends for good or a signal asks for that; the last record.

        Raises MissingError, NoSpaceError when the record of a first start cannot be written: others wait for it.
        """
        world = self._world
        try:
            self._save(device_memory_before=world.device_memory())
            self._on_start()
            while not self._finished:
                for event in self._look():
                    self._feed(event)
                world.tend()
                self._arrived += world.wait(self._tick_s())
        except BaseException:
            world.end_tree(self._run.tree, self._grace_s(), lambda: False)
            self._save(state=State.FAILED, ended_at=world.now_text())
            raise
        return self.record

    # What is seen

    def _look(self) -> Iterator[events.Event]:
        run = self._run
        if len(self._world.signals()) > self._signals_told:
            self._signals_told += 1
            yield events.StopRequested()
        if self._world.exit_status() is not None:
            # Before the answers that broke off with it: the exit is what explains them.
            yield from self._engine_events(self._run)
        yield from self._results()
        if self._status.state is State.RESTARTING:
            yield from self._resume()
            return
        # A result may have begun another run.
        if run is self._run and self._status.state is not State.FAILED:
            yield from self._engine_events(run)

    def _resume(self) -> Iterator[events.Event]:
        resume_at_s = self._status.resume_at_s
        if resume_at_s is not None and self._world.now_s() >= resume_at_s:
            yield events.BackoffOver()

    def _engine_events(self, run: _Run) -> Iterator[events.Event]:
        if run.not_started:
            return
        ended = self._world.exit_status() is not None
        if self._status.state is State.STARTING:
            for progress in self._world.progress(final=ended):
                self._show_progress(progress)
                yield events.PhaseSeen(progress.phase)
            if not run.deadline_told and self._world.now_s() - run.began_s > self._limits.deadline_s:
                run.deadline_told = True
                yield events.DeadlinePassed()
        if ended and not run.exit_told:  # after its last words
            run.exit_told = True
            yield events.EngineExited()
        if self._status.state in (State.STARTING, State.READY):
            self._probe(run)
        if self._status.state is State.READY:
            yield from self._watch_tree(run)
            yield from self._watch_progress(run)

    def _results(self) -> Iterator[events.Event]:
        arrived, self._arrived = self._arrived, []
        for result in arrived:
            if isinstance(result, BaseException):
                raise result
            assert isinstance(result, _Result)  # nothing else is put there
            run = self._run
            if result.run != run.number:
                continue  # of an engine that is gone
            if isinstance(result.finding, Counted):
                yield from self._count(run, result.finding.figures)
                continue
            if isinstance(result.finding, events.Healthy | events.Unhealthy):
                run.probing = False
            elif isinstance(result.finding, events.Answered | events.NotAnswered):
                run.watch = replace(run.watch, since_s=self._world.now_s())  # asked: not again before its time
            yield result.finding

    def _count(self, run: _Run, figures: Figures | None) -> Iterator[events.Event]:
        run.counting = False
        watch = run.watch.seen(figures, self._world.now_s())
        if watch is not run.watch:
            run.watch = watch
            yield events.Moved()

    def _probe(self, run: _Run) -> None:
        now_s = self._world.now_s()
        if run.probing or now_s < run.next_probe_s or self._status.phase is Phase.CHECKING:
            return
        ready = self._status.state is State.READY
        run.next_probe_s = now_s + (self._limits.ready_poll_s if ready else self._limits.starting_poll_s)
        run.probing = True

        def ask() -> events.Event:
            found = self._world.health()
            return events.Healthy() if found is Health.OK else events.Unhealthy(dead=found is Health.DEAD)

        self._in_background(ask)

    def _watch_tree(self, run: _Run) -> Iterator[events.Event]:
        """Tell of a process that was there when the server became ready and is gone, once that had time to show."""
        now_s = self._world.now_s()
        lost = self._world.gone(run.tree)
        if lost and run.lost_since_s is None:
            run.lost_since_s = now_s
        if run.lost_since_s is not None and now_s - run.lost_since_s > self._limits.settle_s:
            run.tree -= lost
            run.lost_since_s = None
            yield events.ProcessLost()

    def _watch_progress(self, run: _Run) -> Iterator[events.Event]:
        """Look at the engine's counters from time to time, and tell when they stand still."""
        now_s = self._world.now_s()
        if run.counting:
            return
        if run.watch.stalled(now_s, self._limits.idle_s) and not self._status.asking:
            yield events.Stalled()
        if now_s >= run.next_count_s:
            run.next_count_s = now_s + self._limits.metrics_poll_s
            run.counting = True
            self._in_background(lambda: Counted(self._world.figures()))

    def _in_background(self, work: Work) -> None:
        number = self._run.number
        self._world.background(lambda: _Result(number, work()))

    def _tick_s(self) -> float:
        """Until there is something to look at again."""
        if self._status.state in (State.READY, State.RESTARTING):
            return min(_READY_TICK_S, self._limits.ready_poll_s)
        return _TICK_S

    # What is done

    def _feed(self, event: events.Event) -> None:
        self._status, actions = lifecycle.step(self._status, event)
        for action in actions:
            self._ACTIONS[action](self)

    def _on_start(self) -> None:
        world = self._world
        self._run = _Run(number=self._run.number + 1, began_s=world.now_s())
        try:
            engine = world.start()
        except (SelfhostError, OSError) as error:
            self._run.not_started = failures.not_started(self.record, error)
            self._feed(events.NotStarted())
        else:
            self._save(engine=engine)

    def _on_show(self) -> None:
        status, run = self._status, self._run
        run.phase_times.setdefault(status.phase.value, self._world.now_s() - run.began_s)
        if status.state in (State.STOPPED, State.FAILED):
            return  # `_on_finish` writes these with their reasons
        changes: dict[str, Any] = {"state": status.state, "phase": status.phase, "restarts": status.restarts}
        if status.state is State.READY:
            run.tree, run.was_ready = self._world.tree(), True
            run.watch = Watch(since_s=self._world.now_s())
            self.record = self._world.keep_boot(self.record, run.phase_times)
            changes |= {"ready_at": self._world.now_text()}
        elif status.state is State.RESTARTING:
            changes |= {"last_failure": self._failure(), "ready_at": None, "engine": None}
        self._save(**changes)
        self._show(self.record)

    def _on_ask(self) -> None:
        self._in_background(lambda: self._world.ask(Question.ANSWER))

    def _on_ask_token(self) -> None:
        self._in_background(lambda: self._world.ask(Question.TOKEN))

    def _on_end_tree(self) -> None:
        run, grace_s = self._run, self._grace_s()

        def end() -> events.Event:
            run.remains = self._world.end_tree(run.tree, grace_s, lambda: run.hurry)
            return events.Ended(at_s=self._world.now_s(), survivors=bool(run.remains.survivors))

        self._in_background(end)

    def _on_kill_tree(self) -> None:
        self._run.hurry = True

    def _on_finish(self) -> None:
        failure = self._failure()
        remains = self._run.remains
        if failure and self._status.trouble and self._status.restarts:
            failure = failures.crash_loop(self.record, failure, self._status)
        self._save(
            state=State.FAILED if failure else State.STOPPED,
            failure=failure,
            ended_at=self._world.now_text(),
            restarts=self._status.restarts,
            device_memory_held=remains.device_memory_held,
        )
        self._finished = True
        self._show(self.record)

    def _failure(self) -> Failure | None:
        """Why this run ended; None when it was asked to and did. What its start measured is kept."""
        run, status = self._run, self._status
        if status.trouble is None:
            return failures.survivors(self.record, run.remains.survivors) if run.remains.survivors else None
        if run.not_started:
            return run.not_started
        failure = self._world.explain(self.record, status)
        if not run.was_ready:
            self._world.keep_failed_boot(self.record, failure, run.phase_times)
        return failure

    _ACTIONS: Mapping[Action, Callable[[Supervisor], None]] = {
        Action.START: _on_start,
        Action.SHOW: _on_show,
        Action.ASK: _on_ask,
        Action.ASK_TOKEN: _on_ask_token,
        Action.END_TREE: _on_end_tree,
        Action.KILL_TREE: _on_kill_tree,
        Action.FINISH: _on_finish,
    }

    def _grace_s(self) -> float:
        return self._limits.grace_s if self._run.was_ready else self._limits.starting_grace_s

    def _save(self, **changes: Any) -> None:
        self.record = replace(self.record, **changes)
        first = self.record.state in (State.STARTING, State.READY) and not self._status.restarts
        try:
            self._world.save(self.record)
        except (SelfhostError, OSError) as error:
            if first:
                raise
            # A full disk is no reason to end a server that answers, nor to end it otherwise than asked. A record that
            # somebody took away is one not to start it again.
            if isinstance(error, FileNotFoundError):
                self._status = replace(self._status, unwanted=True)


class _Result(NamedTuple):
    run: int
    finding: Finding
