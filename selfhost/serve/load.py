"""What load a benchmark puts on a server, and what its figures say: pure arithmetic.

Two kinds. A sweep: requests of everyday lengths, ever more at once. The promise: as many requests as the engine said at
its start would fit (`Maximum concurrency for N tokens per request`), each of full length, all at once. An engine
that starts has room for them by its own count; whether it also runs with them is another question.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from selfhost.messages import text
from selfhost.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from selfhost.serve.series import Peak

EVERYDAY = ((64, 128), (256, 256), (1024, 256), (3072, 384))
"""Prompt and answer in tokens, in turns: a question, a paragraph, a page, a few pages with passages that were found."""
_STEP = 4
_MOST_LEVELS = 5
_TOGETHER_TOKENS = 64
"""Answers go on this much longer than it takes until all prompts are read, so that all are seen to run at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Promise:
    """What a server is said to hold."""

    concurrency: int
    """Requests of full length at once; all data-parallel engines together."""
    max_model_len: int
    source: str
    """`measured`: by the engine at this start; `planned`."""


class Holds(StrEnum):
    """What became of a promise."""

    YES = "yes"
    NO = "no"
    NOT_SHOWN = "not_shown"
    """Nothing went wrong, but the requests were not seen to run at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A promise that was tried."""

    holds: Holds
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Of a time, in seconds; None where nothing was measured."""

    mean_s: float | None
    median_s: float | None
    p99_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """One round: so many requests, so many at once."""

    concurrency: int
    requests: int
    completed: int
    failed: int
    truncated: int
    """Completed for the generator, but shorter than the answer that was asked for."""
    duration_s: float
    input_tokens: int
    output_tokens: int
    requests_per_s: float
    output_tokens_per_s: float
    total_tokens_per_s: float
    time_to_first_token: Spread
    inter_token_latency: Spread
    """Between two pieces of an answer; a fast engine puts several tokens into one."""
    time_per_output_token: Spread
    """The same per token, of whole answers, without the first token."""
    end_to_end: Spread
    peak: Peak
    errors: tuple[str, ...] = ()
    """Some of the different ones."""

    @property
    def error_rate(self) -> float:
        """Requests that failed or broke off, of all."""
        return (self.failed + self.truncated) / self.requests if self.requests else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "error_rate": self.error_rate}


def promise_of(plan: Mapping[str, Any], measured_concurrency: float | None) -> Promise:
    """The promise of a plan (as its JSON has it), by what the engine measured where that is known.

    Check: 45.5 requests of 1024 tokens in each of 2 engines that take 32 at once -> 64.
    """
    settings = plan["settings"]
    each = measured_concurrency if measured_concurrency is not None else plan["kv_cache"]["max_concurrency"]
    engines = plan["layout"]["data_parallel_size"]
    return Promise(
        concurrency=max(1, min(math.floor(each), settings["max_num_seqs"])) * engines,
        max_model_len=settings["max_model_len"],
        source="planned" if measured_concurrency is None else "measured",
    )


def promise_lengths(promise: Promise, max_num_batched_tokens: int, block_size: int) -> tuple[int, int]:
    """Prompt and answer, together of full length, of requests that run all at once when they are sent at once.

    A step of the engine reads at most max_num_batched_tokens, of which each running request takes one; so the first
    has made about N * prompt / batch tokens when the last begins to answer. Its answer has to be longer than that, and
    than a block or two: a cache that is too small shows when requests that were let in grow.
    Check: 8 requests of 32768 tokens, 8192 in a step, blocks of 16 -> 96 of them are the answer.
    """
    whole, many = promise.max_model_len, promise.concurrency
    answer = math.ceil(many * whole / (max_num_batched_tokens + many)) + _TOGETHER_TOKENS
    answer = max(1, min(max(answer, 2 * block_size), whole // 2))
    return whole - answer, answer


def sweep(most: int) -> tuple[int, ...]:
    """Levels of concurrency up to the promised one: ever four times as many.

    >>> sweep(45), sweep(4), sweep(1), sweep(5000)
    ((1, 4, 16, 45), (1, 4), (1,), (1, 4, 16, 64, 5000))
    """
    steps = [_STEP**n for n in range(_MOST_LEVELS - 1)]
    return (*(step for step in steps if step < most), most)


def lengths(max_model_len: int, input_len: int | None, output_len: int | None) -> tuple[tuple[int, int], ...]:
    """Prompts and answers of a round, in turns: those asked for, or everyday ones as far as the context has room.

    What is asked for must leave room for a token of the other.

    >>> lengths(2048, None, None), lengths(512, 100, None)
    (((64, 128), (256, 256), (1024, 256)), ((100, 128), (100, 256)))
    """
    pairs = [(input_len or prompt, output_len or answer) for prompt, answer in EVERYDAY]
    fitting = tuple(dict.fromkeys(pair for pair in pairs if sum(pair) <= max_model_len))
    if fitting:
        return fitting
    # A context smaller than any of them, or an odd wish: what is left, or half and half.
    prompt = input_len or max_model_len - (output_len or max_model_len // 2)
    return ((prompt, output_len or max_model_len - prompt),)


def level_of(event: Mapping[str, Any], seen: Peak) -> Level:
    """A round from what the generator reported of it (vllm/benchmarks/serve.py @ 0.32.0) and what the engine showed."""
    found = event["figures"]

    def spread(name: str) -> Spread:
        def seconds(kind: str) -> float | None:
            value = found.get(f"{kind}_{name}_ms")
            return value / 1000 if value is not None and found["completed"] else None

        return Spread(mean_s=seconds("mean"), median_s=seconds("median"), p99_s=seconds("p99"))

    return Level(
        concurrency=event["concurrency"],
        requests=event["requests"],
        completed=found["completed"],
        # Older generators do not count them.
        failed=found.get("failed", event["requests"] - found["completed"]),
        truncated=event["truncated"],
        duration_s=found["duration"],
        input_tokens=found["total_input_tokens"],
        output_tokens=found["total_output_tokens"],
        requests_per_s=found["request_throughput"],
        output_tokens_per_s=found["output_throughput"],
        total_tokens_per_s=found["total_token_throughput"],
        time_to_first_token=spread("ttft"),
        inter_token_latency=spread("itl"),
        time_per_output_token=spread("tpot"),
        end_to_end=spread("e2el"),
        peak=seen,
        errors=tuple(event["errors"]),
    )


def judge(promise: Promise, level: Level | None, ended: str | None) -> Verdict:
    """Whether a promise holds, by the round that tried it; `ended`: why the server is no longer there."""
    reasons: list[str] = []
    if ended:
        reasons.append(text("bench.server_ended", what=ended))
    if level is None:
        return Verdict(holds=Holds.NO, reasons=tuple(reasons) or (text("bench.no_round"),))
    if level.failed:
        error = level.errors[0] if level.errors else "?"
        reasons.append(text("bench.failed", failed=level.failed, requests=level.requests, error=error))
    if level.truncated:
        reasons.append(text("bench.truncated", truncated=level.truncated, requests=level.requests))
    if level.peak.preemptions:
        reasons.append(text("bench.preempted", preemptions=level.peak.preemptions))
    reasons += _queued(promise, level.peak)
    if reasons:
        return Verdict(holds=Holds.NO, reasons=tuple(reasons))
    return Verdict(holds=Holds.YES) if not (missing := _not_shown(promise, level.peak)) else missing


def _queued(promise: Promise, seen: Peak) -> list[str]:
    """Why requests waited though their number was promised: no more of them fitted into the cache.

    Each takes at most its share of the cache, by the promise. Where less than a share was free and not all of them ran,
    they take more.
    """
    if (
        seen.running is None
        or seen.kv_cache_fraction is None
        or not seen.waiting
        or seen.running >= promise.concurrency
    ):
        return []
    if seen.kv_cache_fraction <= 1 - 1 / promise.concurrency:
        return []
    usage = f"{seen.kv_cache_fraction:.0%}"
    return [text("bench.queued", running=seen.running, promised=promise.concurrency, usage=usage)]


def _not_shown(promise: Promise, seen: Peak) -> Verdict | None:
    reasons: Sequence[str] = ()
    if seen.preemptions is None or seen.running is None:
        reasons = (text("bench.no_metrics"),)
    elif seen.running < promise.concurrency:
        reasons = (text("bench.not_together", running=seen.running, promised=promise.concurrency),)
    return Verdict(holds=Holds.NOT_SHOWN, reasons=tuple(reasons)) if reasons else None
