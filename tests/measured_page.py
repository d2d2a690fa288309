"""Makes docs/measured.md from boots of public logs (`tests/data/fit`) and of the CPU engine (`tests/data/oracle`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.fit_cases import read_cases
from tests.bench.fit_predict import compare
from tests.models.kv_boots import BOOTS, ours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.fit_rows import Pair, Row

PATH = Path(__file__).resolve().parent.parent / "docs" / "measured.md"
_HEAD = """# Predicted against measured

Starts of engines that others logged in public, and what selfhost computes for the same model, device, layout and
settings. This file is made by `make docs`; `python -m tests.bench.fit_accuracy` says more: the terms that were logged,
and what other tools would have said.

These are no cases held back: ranges of terms that cannot be derived (activation, graphs, memory beside torch) rest on
public logs, and formulas were corrected where a case showed a mistake. Weights and bytes per token follow from config
and engine source alone. Most engines are older than the pinned one; their KV cache is predicted with what is known of
that release. The starts of a machine correct its own plans: `selfhost plan MODEL` shows predicted against actual where
`$SELFHOST_HOME/boots` has a record of exactly that plan.

- Weights are per rank, GiB. KV tokens are of one engine, predicted from the computed KV cache; where
  the log tells no size of the cache, `=` says that the tokens logged are a whole number of the predicted blocks.
- `*`: the model, or its layout, is not named in the log and was inferred from numbers.
- Settings that a log does not tell are the defaults of its engine.

"""


def page(rows: Sequence[Row] | None = None) -> str:
    """The whole file."""
    rows = [compare(case) for case in read_cases()] if rows is None else rows
    active = [row for row in rows if row.active]
    lines = [_HEAD, summary(rows), "\n"]
    lines.append("| model | device | engine | weights predicted | measured | apart ")
    lines.append("| KV tokens predicted | measured | apart | source |\n")
    lines.append("|---|---|---|---:|---:|---:|---:|---:|---:|---|\n")
    lines += [_line(row) for row in sorted(active, key=lambda row: ((row.case.model or "~").lower(), row.case.id))]
    lines += own_boots()
    lines.append("\n## Not compared\n\n")
    for row in rows:
        if not row.active:
            why = next(iter(row.left.values())).why
            lines.append(f"- {row.case.id}, {row.case.model or 'no model named'}: {_cell(why)} ({_source(row)})\n")
    return "".join(lines)


def own_boots() -> list[str]:
    """Starts of the CPU engine on tiny models: one for each way in which it lays KV caches out."""
    lines = [
        "\n## Starts of the CPU engine\n\nvLLM 0.32.0 on a CPU, a tiny model for each way of laying KV caches out ("
    ]
    lines.append("`tests/data/oracle`); tokens as its log has them. What did not start is told by its own words.\n\n")
    lines.append("| KV cache | tokens predicted | measured | requests at once predicted | measured | block |\n")
    lines.append("|---|---:|---:|---:|---:|---:|\n")
    refused = []
    for name, boot in BOOTS.items():
        result = boot["result"]
        if not result["started"]:
            refused.append(f"- {name}: {_cell(result['says'])}\n")
            continue
        found, _, block = ours(boot)
        figures = [f"{found.tokens:,}", f"{result['tokens']:,}", f"{found.max_concurrency:.2f}"]
        cells = [_cell(name), *figures, f"{result['max_concurrency']:.2f}", str(block)]
        lines.append(f"| {' | '.join(cells)} |\n")
    return [*lines, "\n", *refused]


def summary(rows: Sequence[Row]) -> str:
    """How many cases, and how far apart."""
    active = [row for row in rows if row.active]
    found = [f"{len(active)} of {len(rows)} cases are compared.\n\n"]
    weights = [(row.weights.error, row) for row in active if row.weights]
    tokens = [(row.tokens.error, row) for row in active if row.tokens]
    for name, errors in (("Weights", weights), ("KV tokens", tokens)):
        shares = ", ".join(
            f"{sum(abs(error) <= limit for error, _ in errors)} within {limit:.0%}" for limit in (0.02, 0.05, 0.1)
        )
        worst, row = max(errors, key=lambda one: abs(one[0]))
        assumed = f"; assumed: {', '.join(row.assumed)}" if row.assumed else ""
        about = f"{row.case.model}, {row.case.id}, engine {row.case.version_text}{assumed}"
        found.append(f"- {name}: {len(errors)} cases, {shares}; worst {worst:+.1%} ({about})\n")
    verdicts = [row.verdict for row in active if row.verdict]
    found.append(f"- Fits or not: {sum(said == was for said, was in verdicts)} of {len(verdicts)} verdicts right\n")
    return "".join(found)


def _line(row: Row) -> str:
    case = row.case
    device = case.device.id if case.device and case.device.id != "unnamed" else case.device_name or "not named"
    mark = "*" if case.inferred else ""
    cells = [
        f"{case.model or case.config or '?'}{mark}",
        f"{case.device_count or 1} x {device}",
        f"{case.engine} {case.version_text}",
        *_pair(row.weights, ".2f"),
        *(_pair(row.tokens, ",.0f") if row.tokens else _blocks(row)),
        _source(row),
    ]
    return f"| {' | '.join(map(_cell, cells))} |\n"


def _pair(pair: Pair | None, form: str) -> list[str]:
    if pair is None:
        return ["", "", ""]
    return [f"{pair.predicted:{form}}", f"{pair.measured:{form}}", f"{pair.error:+.1%}"]


def _blocks(row: Row) -> list[str]:
    if row.blocks is None:
        return ["", "", ""]
    return ["", f"{row.blocks.measured:,.0f}", "=" if row.blocks.predicted == row.blocks.measured else "not whole"]


def _source(row: Row) -> str:
    return f"[{row.case.id}]({row.case.source})" if row.case.source.startswith("https://") else row.case.source


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    PATH.write_text(page())
