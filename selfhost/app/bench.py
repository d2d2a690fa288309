"""`bench`: load on a running server by vLLM's own generator, what it measured, and whether the promise holds."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selfhost import files
from selfhost.app import bench_run, boot, servers
from selfhost.app.orders import now_text
from selfhost.errors import NoError, SelfhostError, UsageError
from selfhost.messages import Message, text
from selfhost.records import dataclass
from selfhost.serve import load, records
from selfhost.serve.lifecycle import State
from selfhost.serve.load import Holds, Level, Promise, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from selfhost.home import Home
    from selfhost.serve.records import Record

SCHEMA_VERSION = 1
LANGUAGES = ("zh", "en")
DURATION_S = 30.0
"""Of a round, where nothing else is said: long enough for a few everyday requests on a slow machine."""
_WAVES = 2
"""Of requests when the promise is tried: places that get free are taken again."""
_KEPT = 20
"""Runs of one subject."""
_PRIVATE = 0o700


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRequest:
    """What the user asked for; None leaves the choice to us."""

    concurrency: tuple[int, ...] | None = None
    num_prompts: int | None = None
    duration_s: float | None = None
    input_len: int | None = None
    output_len: int | None = None
    languages: tuple[str, ...] = LANGUAGES
    promise: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What came of it."""

    record: Record
    started_at: str
    lengths: tuple[tuple[int, int], ...]
    languages: tuple[str, ...]
    promise: Promise
    levels: tuple[Level, ...]
    verdict: Verdict | None
    path: Path | None = None
    """Where it is kept; None when it could not be."""

    @property
    def shares_cores(self) -> bool:
        """Whether engine and load generator compute on the same cores."""
        return bool(self.record.plan["hardware"]["device"] == "cpu")

    def as_dict(self) -> dict[str, Any]:
        """The contract of `bench --json`."""
        record, plan = self.record, self.record.plan
        return {
            "schema_version": SCHEMA_VERSION,
            "name": record.name,
            "model": record.model,
            "variant": record.variant,
            "served_model_name": record.served_model_name,
            **{name: plan.get(name) for name in ("engine", "hardware", "layout", "settings")},
            "started_at": self.started_at,
            "boot_record": record.boot_record,
            "generator": bench_run.GENERATOR,
            "lengths": [{"input_tokens": prompt, "output_tokens": answer} for prompt, answer in self.lengths],
            "languages": list(self.languages),
            "promise": asdict(self.promise),
            "levels": [level.as_dict() for level in self.levels],
            "verdict": self.verdict and {"holds": self.verdict.holds.value, "reasons": list(self.verdict.reasons)},
            "path": str(self.path) if self.path else None,
        }


def bench(home: Home, name: str | None, request: BenchRequest, tell: Callable[[str, Message], None]) -> Bench:
    """Put load on a server, the only one that runs when none is named, and keep what was measured.

    Raises NoError when it does not run or completes nothing, UsageError for lengths that do not fit, EngineFailedError
    when the server or the generator ended.
    """
    server = servers.find_server(home, name) if name else servers.only_running(home)
    record = server.record
    if server.state not in (State.READY, State.ORPHANED):
        raise NoError("serve.not_ready", name=record.name, state=server.state.value)
    promise = promise_of(home, record)
    job = _job(record, request, promise)
    started_at = now_text()
    lock = records.folder(home, record.name).path / "bench.lock"
    with files.hold_lock(lock, blocking=False) as got:
        if not got:
            raise NoError("bench.busy", name=record.name)
        ran = bench_run.run(home, record, job, tell)
    verdict = _verdict(promise, ran) if request.promise else None
    if verdict is None:
        _check(record, ran)
    found = Bench(
        record=record,
        started_at=started_at,
        lengths=tuple(tuple(pair) for pair in job["rounds"][0]["lengths"]),
        languages=request.languages,
        promise=promise,
        levels=ran.levels,
        verdict=verdict,
    )
    return _keep(home, found)


def promise_of(home: Home, record: Record) -> Promise:
    """What a server is said to hold: by what the engine counted when it started or restarted, else by its plan."""
    started = boot.of_server(home, record)
    return load.promise_of(record.plan, started["measured"].get("max_concurrency") if started else None)


def _job(record: Record, request: BenchRequest, promise: Promise) -> dict[str, Any]:
    return {
        "languages": list(request.languages),
        "seed": secrets.token_hex(4),
        "rounds": _promise_round(record, request, promise) if request.promise else _rounds(record, request, promise),
    }


def _promise_round(record: Record, request: BenchRequest, promise: Promise) -> list[dict[str, Any]]:
    _exclude(request, "--promise", ("--concurrency", "--duration", "--input-len", "--output-len"))
    settings, kv_cache = record.plan["settings"], record.plan["kv_cache"]
    pair = load.promise_lengths(promise, settings["max_num_batched_tokens"], kv_cache["block_size"])
    requests = request.num_prompts or _WAVES * promise.concurrency
    return [{"concurrency": promise.concurrency, "lengths": [pair], "requests": requests, "warm_up": 0}]


def _rounds(record: Record, request: BenchRequest, promise: Promise) -> list[dict[str, Any]]:
    if request.num_prompts:
        _exclude(request, "--num-prompts", ("--duration",))
    longest = promise.max_model_len
    wanted = (request.input_len or 1) + (request.output_len or 1)
    if wanted > longest:
        raise UsageError("bench.too_long", name=record.name, wanted=wanted, max_model_len=longest)
    pairs = load.lengths(longest, request.input_len, request.output_len)
    seconds = None if request.num_prompts else request.duration_s or DURATION_S
    levels = request.concurrency or load.sweep(promise.concurrency)
    return [
        {
            "concurrency": level,
            "lengths": pairs,
            "requests": request.num_prompts,
            "duration_s": seconds,
            # A round by the clock is as long as its warm-up says; others are warmed up once, by one request.
            "warm_up": max(level, len(pairs)) if seconds else int(number == 0),
        }
        for number, level in enumerate(levels)
    ]


def _exclude(request: BenchRequest, flag: str, others: Sequence[str]) -> None:
    given = {
        "--concurrency": request.concurrency,
        "--duration": request.duration_s,
        "--input-len": request.input_len,
        "--output-len": request.output_len,
    }
    why = text("bench.either_promise" if request.promise else "bench.either_rounds")
    for other in others:
        if given[other] is not None:
            raise UsageError("bench.either", one=flag, other=other, why=why)


def _verdict(promise: Promise, ran: bench_run.Ran) -> Verdict:
    if ran.ended is None and ran.died is not None:
        raise ran.died
    return load.judge(promise, ran.levels[0] if ran.levels else None, str(ran.ended) if ran.ended else None)


def _check(record: Record, ran: bench_run.Ran) -> None:
    """Raises what ended the server, or the generator; NoError when nothing was answered."""
    if error := ran.ended or ran.died:
        raise error
    if not any(level.completed for level in ran.levels):
        errors = [error for level in ran.levels for error in level.errors]
        raise NoError("bench.nothing_completed", name=record.name, error=errors[0] if errors else "?")


def _keep(home: Home, found: Bench) -> Bench:
    """Beside the boot records, under the name of the server's own; the oldest of that name go."""
    record = found.record
    stem = Path(record.boot_record).stem if record.boot_record else record.name
    moment = found.started_at.replace(":", "").replace("+0000", "Z")
    path = home.benches / f"{stem}.{moment}.json"
    kept = replace(found, path=path)
    try:
        files.make_directory(home.benches, _PRIVATE)
        files.write_json(path, kept.as_dict(), 0o600)
    except (SelfhostError, OSError):
        return found
    for old in sorted(home.benches.glob(f"{stem}.*.json"))[:-_KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return kept


def broken(found: Bench) -> SelfhostError | None:
    """The error of a promise that does not hold, or was not shown to; None when it holds, or was not tried."""
    verdict, promise = found.verdict, found.promise
    if verdict is None or verdict.holds is Holds.YES:
        return None
    given: Mapping[str, object] = {
        "name": found.record.name,
        "model": found.record.target,
        "concurrency": promise.concurrency,
        "tokens": promise.max_model_len,
    }
    if verdict.holds is Holds.NO:
        reasons = "\n".join(verdict.reasons)
        return NoError("bench.broken", **given, reasons=reasons, fewer=max(1, promise.concurrency * 3 // 4))
    more = 2 * _WAVES * promise.concurrency
    return NoError("bench.not_shown", **given, reasons="; ".join(verdict.reasons), more=more)
