"""`selfhost bench`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from selfhost.cli import complete, output

if TYPE_CHECKING:
    from selfhost.app.bench import Bench
    from selfhost.messages import Message
    from selfhost.serve.load import Level, Spread

_MOST_DIGITS = 6
"""Nobody asks a million requests at once."""
_HEADINGS = (
    *("AT ONCE", "REQUESTS", "ERRORS", "TTFT MS", "P99", "PER TOKEN MS", "P99", "ITL P99"),
    *("TOKENS/S", "REQUESTS/S", "PREEMPTED"),
)


class Language(StrEnum):
    """Of the prompts."""

    ZH = "zh"
    EN = "en"
    BOTH = "both"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("bench")(_bench)


def _bench(  # noqa: PLR0917 - Typer reads them by name
    name: str = typer.Argument(
        None, help="Name of the server; may be left out when only one runs.", autocompletion=complete.servers
    ),
    concurrency: str = typer.Option(
        None,
        "--concurrency",
        metavar="N[,N...]",
        help="Requests at once, a round for each [1, 4, 16, 64 up to the promise].",
        show_default=False,
    ),
    num_prompts: int = typer.Option(None, min=1, help="Requests in each round.", metavar="N", show_default=False),
    duration: float = typer.Option(
        None, min=1, help="About so many seconds for each round [30].", metavar="S", show_default=False
    ),
    input_len: int = typer.Option(None, min=1, help="Tokens of each prompt.", metavar="TOKENS", show_default=False),
    output_len: int = typer.Option(None, min=1, help="Tokens of each answer.", metavar="TOKENS", show_default=False),
    language: Language = typer.Option(Language.BOTH, help="Of the prompts."),
    promise: bool = typer.Option(
        False, "--promise", help="Do as many requests of full length run at once as the engine said at its start?"
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Put load on a running server and measure it, by vLLM's own load generator.

    Times in milliseconds, median and 99th percentile: TTFT to the first token, then per token of an answer, and ITL
    between two of its pieces, which is where a stall shows (a fast engine puts several tokens into one). Prompts are
    text of selfhost's own, in everyday lengths unless told; answers go to their full length. With --promise the exit
    code is 3 when it does not hold.

    Examples: selfhost bench qwen2.5-7b; selfhost bench qwen2.5-7b --concurrency 1,8,64 --duration 60;
    selfhost bench qwen2.5-7b --promise.
    """
    from selfhost.app import bench
    from selfhost.cli.output import text
    from selfhost.cli.progress import StatusLine
    from selfhost.home import find_home

    request = bench.BenchRequest(
        concurrency=_levels(concurrency),
        num_prompts=num_prompts,
        duration_s=duration,
        input_len=input_len,
        output_len=output_len,
        languages=bench.LANGUAGES if language is Language.BOTH else (language.value,),
        promise=promise,
    )
    home = find_home()
    with StatusLine() as line:

        def tell(step: str, message: Message) -> None:
            line.show(step, message.what)

        found = bench.bench(home, name, request, tell)
    if as_json:
        output.write_json(found.as_dict())
    else:
        _show(found)
    output.note(text("bench.kept", path=found.path) if found.path else text("bench.not_kept", path=home.benches))
    if error := bench.broken(found):
        output.print_error(error)
        raise typer.Exit(error.code)


def _levels(given: str | None) -> tuple[int, ...] | None:
    from selfhost.errors import UsageError

    if given is None:
        return None
    parts = [part.strip() for part in given.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) <= _MOST_DIGITS and int(part) for part in parts):
        raise UsageError("bench.bad_levels", given=given)
    return tuple(int(part) for part in parts)


def _show(found: Bench) -> None:
    from selfhost.cli.output import text
    from selfhost.serve.load import Holds

    rows = [_HEADINGS, *(_row(level) for level in found.levels)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        output.write("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    pairs = ", ".join(f"{prompt} + {answer}" for prompt, answer in found.lengths)
    output.note(text("bench.lengths", lengths=pairs, languages=", ".join(found.languages)))
    promise = found.promise
    output.note(
        text("bench.promise", source=promise.source, concurrency=promise.concurrency, tokens=promise.max_model_len)
    )
    if found.shares_cores:
        output.note(text("bench.same_cores"))
    if found.verdict is None:
        for level in found.levels:
            _warn(level)
    elif found.verdict.holds is Holds.YES:
        usage = found.levels[0].peak.kv_cache_fraction
        output.write(text("bench.holds", usage="?" if usage is None else f"{usage:.0%}"))


def _warn(level: Level) -> None:
    from selfhost.cli.output import text

    if level.error_rate:
        error = level.errors[0] if level.errors else "?"
        numbers = {"requests": level.requests, "failed": level.failed, "truncated": level.truncated}
        output.warn(text("bench.some_failed", **numbers, error=error))


def _row(level: Level) -> tuple[str, ...]:
    preempted = level.peak.preemptions
    return (
        str(level.concurrency),
        str(level.requests),
        f"{level.error_rate:.1%}",
        *_spread(level.time_to_first_token),
        *_spread(level.time_per_output_token),
        _spread(level.inter_token_latency)[1],
        f"{level.output_tokens_per_s:.1f}",
        f"{level.requests_per_s:.2f}",
        "?" if preempted is None else str(preempted),
    )


def _spread(spread: Spread) -> tuple[str, str]:
    def shown(seconds: float | None) -> str:
        return "-" if seconds is None else f"{seconds * 1000:,.1f}"

    return shown(spread.median_s), shown(spread.p99_s)
