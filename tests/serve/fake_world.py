"""A world for a supervisor without processes, files or seconds: an engine that is a few flags, a clock that is told."""

from __future__ import annotations

import heapq
import itertools

from selfhost.app.orders import Limits
from selfhost.app.supervise import Supervisor
from selfhost.app.world import Remains
from selfhost.serve.events import Answered, NotAnswered
from selfhost.serve.health import Health
from selfhost.serve.lifecycle import Identity, Phase, Question, State
from selfhost.serve.liveness import Figures
from selfhost.serve.records import Failure
from tests.serve.test_serve_records import make_record

LIMITS = Limits(deadline_s=3000.0, wedge_s=300.0)
WORKER = 1000


class FakeWorld:
    """Behaves as vLLM does where nothing else is set; `at(second, act)` changes that while time goes on."""

    def __init__(self) -> None:
        self.clock = 0.0
        self.loads_s = 30.0
        self.answers: dict[Question, Answered | NotAnswered] = {}
        self.answer_s = 1.0
        self.end_s = 2.0
        self.healthy = True
        self.computes = True
        self.busy = False
        self.counts = True
        self.start_error: list[Exception | None] = []
        self.save_error: dict[str, Exception] = {}
        self.survivors: tuple[Identity, ...] = ()
        self.held: dict[str, int] | None = None
        self.told: list[str] = []
        self.saved = []
        self.starts: list[float] = []
        self.asked: list[tuple[float, Question]] = []
        self.ended: list[tuple[float, float, bool]] = []
        self._signals: list[int] = []
        self._status: int | None = None
        self._dead: set[int] = set()
        self._tokens = 0.0
        self._queue: list[tuple[float, int, object]] = []
        self._order = itertools.count()

    # What a test does

    def at(self, second: float, act) -> None:
        heapq.heappush(self._queue, (second, next(self._order), ("act", act)))

    def crash(self) -> None:
        self._status = -9

    def crash_after_start(self, seconds: float) -> None:
        self.crash_in = seconds

    crash_in: float | None = None

    def signal(self) -> None:
        self._signals.append(15)

    def kill_worker(self) -> None:
        self._dead.add(WORKER + len(self.starts))

    def hang(self) -> None:
        self.computes = False
        self.answers = {q: NotAnswered("timed out", late=True) for q in Question}

    # World

    def now_s(self):
        return self.clock

    def now_text(self):
        return f"2026-11-28T00:00:00+00:00 +{self.clock:.0f}s"

    def signals(self):
        return self._signals

    def background(self, work):
        before = len(self.asked)
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - as a thread would
            result = error
        took = 0.0
        if len(self.asked) > before:
            kind = self.asked[-1][1]
            took = LIMITS.wedge_s if kind in self.answers and getattr(self.answers[kind], "late", False) else 1.0
        heapq.heappush(self._queue, (self.clock + took, next(self._order), ("result", result)))

    def wait(self, timeout_s):
        assert self.clock < 1e6, "it never ends"
        until, results = self.clock + timeout_s, []
        while self._queue and self._queue[0][0] <= until and not results:
            when, _order, (kind, what) = heapq.heappop(self._queue)
            self.clock = max(self.clock, when)
            if kind == "result":
                results.append(what)
            else:
                what()
        self.clock = self.clock if results else until
        if self.crash_in is not None and self.starts and self.clock >= self.starts[-1] + self.crash_in:
            self._status = -9
        return results

    def tend(self):
        pass

    def save(self, record):
        if error := self.save_error.get(record.state.value):
            raise error
        self.saved.append(record)
        if not self.told or self.told[-1] != record.state.value:
            self.told.append(record.state.value)

    def device_memory(self):
        return {"nvidia 0": 5}

    def start(self):
        error = self.start_error.pop(0) if self.start_error else None
        if error:
            raise error
        self._status = None
        self.starts.append(self.clock)
        return Identity(pid=len(self.starts), start_ticks=0, boot_id="b")

    def exit_status(self):
        return self._status

    def progress(self, *, final):
        return []

    def tree(self):
        return {Identity(pid=n, start_ticks=0, boot_id="b") for n in (len(self.starts), WORKER + len(self.starts))}

    def gone(self, known):
        return {identity for identity in known if identity.pid in self._dead}

    def health(self):
        up = self.starts and self.clock - self.starts[-1] >= self.loads_s
        return Health.OK if up and self.healthy else Health.SILENT

    def figures(self):
        self._tokens += self.computes and self.busy
        return Figures(self._tokens, 0.0, 0.0) if self.counts else None

    def ask(self, question):
        self.asked.append((self.clock, question))
        self._tokens += self.computes
        return self.answers.get(question) or Answered(right=True, at_s=self.clock)

    def end_tree(self, known, grace_s, hurry):
        self.ended.append((self.clock, grace_s, hurry()))
        self._status = self._status if self._status is not None else 0
        return Remains(self.survivors, self.held)

    def keep_boot(self, record, phase_times):
        assert phase_times[Phase.SERVING.value] >= self.loads_s
        return record

    def keep_failed_boot(self, record, failure, phase_times):
        self.told.append("a failed start is kept")

    def explain(self, record, status):
        params = {"name": record.name, "phase": "x", "line": f"{status.trouble}: {status.detail}", "model": "m"}
        return Failure(message_id="serve.unhealthy", params=params, code=1, returncode=self._status)


def supervise(world: FakeWorld, restart: str = "never"):
    """The last record of a server in a world."""
    fresh = make_record(restart=restart, failure=None, engine=None, state=State.STARTING, phase=Phase.LOADING)
    return Supervisor(world, fresh, LIMITS).run()
