"""Runs the load generator in a server's engine environment, and looks at the engine meanwhile."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.app import failures, servers
from selfhost.app.endpoint import endpoint_of
from selfhost.app.engine_env import INSIDE, cann_env, inherited
from selfhost.engines import pip_run
from selfhost.errors import EngineFailedError, NoError, SelfhostError
from selfhost.messages import Message, text
from selfhost.records import dataclass
from selfhost.serve import health, load, logs, records, series

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from selfhost.home import Home
    from selfhost.serve.load import Level
    from selfhost.serve.records import Record
    from selfhost.serve.series import Load

GENERATOR = "vllm bench serve"
SCRIPT = "selfhost_bench.py"
_POLL_S = 0.2
_METRICS_S = 5.0
_SETTLE_S = 20.0
"""For a supervisor to find out, and to say, why the server that stopped answering ended."""
_LAST_LINES = 20
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What came of a job."""

    levels: tuple[Level, ...]
    """Of the rounds that came to their end."""
    ended: SelfhostError | None
    """Why the server is no longer there."""
    died: SelfhostError | None
    """How the generator ended before its time."""


def run(home: Home, record: Record, job: Mapping[str, Any], tell: Callable[[str, Message], None]) -> Ran:
    """Run a job to its end; its output lies in `bench.log` beside the server's record.

    An interruption ends the generator first; requests that are under way end with it.
    """
    log = records.folder(home, record.name).path / "bench.log"
    with tempfile.TemporaryDirectory(prefix="selfhost-bench-") as folder:
        path, events = Path(folder) / "job.json", Path(folder) / "events.jsonl"
        files.write_json(path, {**job, **_about(record), "events": str(events)}, 0o600)
        events.touch(0o600)
        # -s: a user's own packages are not the engine's.
        argv = [record.argv[0], "-s", "-u", str(INSIDE / SCRIPT), str(path)]
        watch = _Watch(home, record, events, tell)
        with log.open("wb") as output:
            log.chmod(0o600)
            with pip_run.child(argv, stdout=output, env=_environment(home, record)) as process:
                watch.follow(process)
    ended = _why_ended(home, record)
    died = None
    if process.returncode != 0:
        died = _died(argv, process.returncode, log)
    return Ran(levels=tuple(watch.levels), ended=ended, died=died)


def _about(record: Record) -> dict[str, Any]:
    """What the generator needs to know of a server; its engine's own flags name another tokenizer, if any."""
    argv = record.plan["argv"]

    def flag(name: str) -> str | None:
        return argv[argv.index(name) + 1] if name in argv[:-1] else None

    return {
        "base_url": record.url,
        "insecure": record.certfile is not None,
        "model": record.served_model_name,
        "tokenizer": flag("--tokenizer") or record.plan["model_path"],
        "tokenizer_mode": flag("--tokenizer-mode"),
        "trust_remote_code": "--trust-remote-code" in argv,
    }


def _environment(home: Home, record: Record) -> dict[str, str]:
    """As the engine's, without proxies, which would be asked for this machine, too; with the key.

    A variable can be read by its own user and root only; an argument by everybody.
    """
    env = {name: value for name, value in inherited(os.environ).items() if name.lower() not in _PROXIES}
    if record.plan["engine"]["name"] == "vllm-ascend":
        from selfhost.hardware.system import System

        env |= cann_env(System(), Path(record.argv[0]))
    env |= record.plan["env"]
    key = records.read_control_key(home, record.name)
    return env | ({"OPENAI_API_KEY": key} if key else {})


class _Watch:
    """Follows the generator's events and the engine's metrics, and puts them together."""

    def __init__(self, home: Home, record: Record, events: Path, tell: Callable[[str, Message], None]) -> None:
        self._endpoint = endpoint_of(home, record)
        self._tell = tell
        self._tail = logs.Tail(events)
        self._looks: list[Load] = []
        self._round: Mapping[str, Any] | None = None
        self._began_finished = 0
        self.levels: list[Level] = []

    def follow(self, process: subprocess.Popen[bytes]) -> None:
        """Until the generator ends."""
        self._tell("starting", Message("bench.starting"))
        while True:
            ended = process.poll() is not None
            self._look()
            for line in self._tail.read(final=ended).splitlines():
                self._take(json.loads(line))
            self._show()
            if ended:
                return
            time.sleep(_POLL_S)

    def _look(self) -> None:
        if told := health.ask_metrics(self._endpoint, _METRICS_S):
            self._looks.append(series.read(told))

    def _take(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "result":
            self._look()  # a short round may have come and gone since the last one
            self.levels.append(load.level_of(event, series.peak(self._looks)))
            self._round = None
        else:
            self._round = event
            self._began_finished = (self._looks[-1].finished or 0) if self._looks else 0
        # The last look before a round is its first: counters go on from there, so that nothing falls between two.
        self._looks = self._looks[-1:]

    def _show(self) -> None:
        if (event := self._round) is None:
            return
        about = {name: event[name] for name in ("number", "of", "requests", "concurrency")}
        if event["event"] == "warm_up":
            self._tell(f"warm-up {event['number']}", Message("bench.warming", about))
            return
        finished = (self._looks[-1].finished or 0) if self._looks else 0
        done = min(max(0, finished - self._began_finished), event["requests"])
        self._tell(f"round {event['number']}", Message("bench.round", {**about, "done": done}))


def _why_ended(home: Home, record: Record) -> SelfhostError | None:
    """Why the server no longer runs, or was started again meanwhile; None when neither.

    A failure is told by its own error.
    """
    until = time.monotonic() + _SETTLE_S
    endpoint = endpoint_of(home, record)
    while True:
        now = records.read(home, record.name)
        if now is None or now.mark != record.mark:
            return NoError("serve.replaced", name=record.name)
        if failure := now.failure or (now.last_failure if now.restarts > record.restarts else None):
            return failures.as_error(now, failure)
        if not servers.look(now).state.running:
            return NoError("serve.not_running", name=record.name)
        if health.ask_health(endpoint, _METRICS_S) is health.Health.OK or time.monotonic() > until:
            return None
        time.sleep(_POLL_S)


def _died(argv: list[str], returncode: int, log: Path) -> EngineFailedError:
    lines = [line for line in logs.read_end(log).splitlines() if line.strip()][-_LAST_LINES:]
    how = f"killed by signal {-returncode}" if returncode < 0 else f"exit status {returncode}"
    detail = lines[-1].strip() if lines else text("bench.no_round")
    return EngineFailedError(
        "bench.died", argv=argv, returncode=returncode, last_lines=lines, how=how, detail=detail, log=log
    )
