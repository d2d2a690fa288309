"""The fit verdict against boots of public logs, and against what other tools would have said.

    python -m tests.bench.fit_accuracy [--json]

Every row of `tests/data/fit/cases.jsonl` is either predicted and compared or left out with its reason. Exit code 1 when
a target is missed: weights within 1 %, bytes per token within 0.35 %, the median error of the KV cache on engines since
0.21 at most 2 % of the budget, the tokens logged those of a whole number of blocks, every verdict right.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from selfhost.units import GIB
from tests.bench.fit_cases import CHECKS, read_cases
from tests.bench.fit_predict import compare
from tests.bench.fit_rules import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.fit_rows import Row

SINCE_ESTIMATE = (0, 21, 0)
"""Engines whose KV cache in GiB is a target; their log names this version for the estimate of CUDA graphs."""
WEIGHTS_TARGET = 0.01
RATE_TARGET = 0.0035
KV_TARGET = 0.02


class Target(NamedTuple):
    """One target over all rows that have the figure."""

    name: str
    rows: int
    value: float
    """Worst or median error; for verdicts the wrong ones."""
    limit: float

    @property
    def met(self) -> bool:
        """Whether it is; with no row at all it is not."""
        return self.rows > 0 and self.value <= self.limit


def since_estimate(row: Row) -> bool:
    """Whether the row's engine is one whose KV cache in GiB is a target."""
    return row.kv is not None and row.case.version is not None and row.case.version >= SINCE_ESTIMATE


def ascend(rows: Sequence[Row]) -> list[Target]:
    """The same for the rows of vllm-ascend alone, with the KV cache of any release."""
    own = [row for row in rows if row.case.on_ascend]
    weights = [abs(row.weights.error) for row in own if row.weights]
    rates = [abs(row.rate.error) for row in own if row.rate]
    caches = [abs(row.kv.error) for row in own if row.kv]
    return [
        Target("Ascend: weights, worst", len(weights), max(weights, default=1.0), WEIGHTS_TARGET),
        Target("Ascend: bytes per token, worst", len(rates), max(rates, default=1.0), RATE_TARGET),
        Target("Ascend: KV cache, worst share", len(caches), max(caches, default=1.0), KV_TARGET),
    ]


def targets(rows: Sequence[Row]) -> list[Target]:
    """All of them."""
    weights = [abs(row.weights.error) for row in rows if row.weights]
    rates = [abs(row.rate.error) for row in rows if row.rate]
    caches = [abs(row.kv.error) for row in rows if row.kv and since_estimate(row)]
    verdicts = [row.verdict for row in rows if row.verdict]
    blocks = [row.blocks for row in rows if row.blocks]
    odd = sum(found.predicted != found.measured for found in blocks)
    wrong = sum(said != was for said, was in verdicts)
    return [
        Target("weights, worst", len(weights), max(weights, default=1.0), WEIGHTS_TARGET),
        Target("bytes per token, worst", len(rates), max(rates, default=1.0), RATE_TARGET),
        Target("KV cache since 0.21, median share", len(caches), statistics.median(caches or [1.0]), KV_TARGET),
        Target("tokens of no whole number of blocks", len(blocks), odd, 0),
        Target("verdicts wrong", len(verdicts), wrong, 0),
        *ascend(rows),
    ]


def main() -> None:
    """Print tables, or one JSON object; exit 1 when a target is missed."""
    rows = [compare(case) for case in read_cases()]
    reached = targets(rows)
    if "--json" in sys.argv[1:]:
        print(json.dumps({"schema_version": 1, "rows": [as_dict(r) for r in rows], "targets": _targets_dict(reached)}))
    else:
        print_rows(rows)
        print_terms(rows)
        print_left(rows)
        print_rules(rows)
        print_targets(rows, reached)
    sys.exit(not all(target.met for target in reached))


def print_rows(rows: Sequence[Row]) -> None:
    """A line for each row that is compared."""
    print("Predicted / measured. KV cache: low..likely..high, its error as a share of the budget; * outside low..high")
    figures = f"{'weights GiB':>23}{'bytes per token':>26}{'KV cache GiB':>37}{'tokens':>29}"
    print(f"{'row':29}{'engine':10}{figures}  verdict")
    for row in (row for row in rows if row.active):
        weights = rate = kv = tokens = verdict = "-"
        if row.weights:
            weights = f"{row.weights.predicted:.2f} / {row.weights.measured:.2f} {row.weights.error:+.2%}"
        if row.rate:
            rate = f"{row.rate.predicted:.0f} / {row.rate.measured:.0f} {row.rate.error:+.2%}"
        if row.kv:
            k = row.kv
            mark = " " if k.in_range else "*"
            kv = f"{k.low:.1f}..{k.likely:.2f}..{k.high:.1f} / {k.measured:.2f} {k.error:+.1%}{mark}"
        if row.tokens:
            tokens = f"{row.tokens.predicted:,.0f} / {row.tokens.measured:,} {row.tokens.error:+.1%}"
        elif row.blocks:
            tokens = f"{row.blocks.predicted:,.0f} / {row.blocks.measured:,} in blocks"
        if row.verdict:
            said, was = ("fits" if x else "does not" for x in row.verdict)
            verdict = said if said == was else f"{said}, WRONG: {was}"
        line = row.line.runner if row.line else ""
        engine = f"{row.case.version_text[:6]} {line}"
        print(f"{row.case.id:29}{engine:10}{weights:>23}{rate:>26}{kv:>37}{tokens:>29}  {verdict}")


def print_terms(rows: Sequence[Row]) -> None:
    """What the KV cache of each row is left over from, and the logged figures there are."""
    print("\nTerms of a rank, GiB (logged in brackets), and what the source does not tell")
    for row in (row for row in rows if row.kv):
        logged = {name: row.case.measured.get(f"{name}_gib") for name in row.terms}
        logged["graphs"] = row.case.measured.get("cudagraph_estimate_gib")
        terms = (f"{n} {v:.2f}" + (f" [{logged[n]:g}]" if logged[n] is not None else "") for n, v in row.terms.items())
        print(f"{row.case.id:29}{', '.join(terms)}; assumed: {', '.join(row.assumed) or 'nothing'}")


def print_left(rows: Sequence[Row]) -> None:
    """Every row that is not compared, and every check that is not, with the reason."""
    out = [row for row in rows if not row.active]
    print(f"\n{len(out)} of {len(rows)} rows are not compared")
    for row in out:
        for left in list(row.left.values())[:1]:
            print(f"{row.case.id:29}{left.reason.value:21}{left.why}")
    print("\nChecks left out of rows that are compared")
    for row in (row for row in rows if row.active):
        for check, left in row.left.items():
            print(f"{row.case.id:29}{check:9}{left.reason.value:21}{left.why}")


def print_rules(rows: Sequence[Row]) -> None:
    """The same rows by the rules of other tools."""
    print("\nThe same rows by other rules: weights of a rank (their total shared evenly), bytes per token, verdict")
    print(f"{'row':29}{'selfhost':>24}" + "".join(f"{name:>24}" for name in RULES))
    for row in (row for row in rows if row.active and (row.weights or row.rate or row.verdict)):
        print(f"{row.case.id:29}{_own(row):>24}" + "".join(f"{_theirs(row, name):>24}" for name in RULES))
    for name in RULES:
        weights = [abs(error) for row in rows if (error := _weight_error(row, name)) is not None]
        rates = [abs(error) for row in rows if (error := _rate_error(row, name)) is not None]
        told = [(answer.fits, row.verdict[1]) for row in rows if row.verdict and (answer := row.rules[name])]
        right = sum(said == was for said, was in told)
        silent = sum(said is None for said, _ in told)
        rate = f"worst {max(rates):.0%}, median {statistics.median(rates):.0%} of {len(rates)}" if rates else "none"
        print(
            f"{name:11}weights: worst {max(weights):.0%}, median {statistics.median(weights):.1%} of {len(weights)}; "
            f"bytes per token: {rate}; verdicts: {right} of {len(told)} right, {silent} not given"
        )


def _own(row: Row) -> str:
    weights = f"{row.weights.error:+.1%}" if row.weights else "-"
    rate = f"{row.rate.error:+.1%}" if row.rate else "-"
    return f"{weights} {rate} {_word(row.verdict)}"


def _word(verdict: tuple[bool | None, bool] | None) -> str:
    if verdict is None:
        return "-"
    said, was = verdict
    return "none" if said is None else "right" if said == was else "wrong"


def _theirs(row: Row, name: str) -> str:
    weights, rate = _weight_error(row, name), _rate_error(row, name)
    verdict = _word((row.rules[name].fits, row.verdict[1])) if row.verdict else "-"
    return " ".join((*("-" if x is None else f"{x:+.1%}" for x in (weights, rate)), verdict))


def _weight_error(row: Row, name: str) -> float | None:
    answer = row.rules.get(name)
    if not row.weights or not answer or answer.weight_bytes is None:
        return None
    return answer.weight_bytes / row.ranks / GIB / row.weights.measured - 1


def _rate_error(row: Row, name: str) -> float | None:
    """Theirs is of all devices together; shared evenly here, as the tool's sum over devices means it."""
    answer = row.rules.get(name)
    if not row.rate or not answer or answer.bytes_per_token is None:
        return None
    return answer.bytes_per_token / row.ranks / row.rate.measured - 1


def print_targets(rows: Sequence[Row], reached: Sequence[Target]) -> None:
    """Counts, and which targets are met."""
    active = [row for row in rows if row.active]
    checks = Counter(check for row in active for check in CHECKS if getattr(row, check) is not None)
    reasons = Counter(next(iter(row.left.values())).reason.value for row in rows if not row.active)
    print(f"\n{len(active)} of {len(rows)} rows compared: " + ", ".join(f"{n} {check}" for check, n in checks.items()))
    print("not compared: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common()))
    print(f"{sum(row.case.inferred for row in active)} of the compared rows have a model or layout inferred by numbers")
    inside = [row.kv.in_range for row in rows if row.kv and since_estimate(row)]
    print(f"KV cache since 0.21 within low..high: {sum(inside)} of {len(inside)}")
    for target in reached:
        limit = "0" if target.limit == 0 else f"{target.limit:.2%}"
        value = f"{target.value:g}" if target.limit == 0 else f"{target.value:.2%}"
        print(f"{'met' if target.met else 'MISSED':7}{target.name}: {value} (at most {limit}), {target.rows} rows")


def as_dict(row: Row) -> dict[str, object]:
    """A row for `--json`."""
    return {
        "id": row.case.id,
        "model": row.case.model,
        "inferred": row.case.inferred,
        "engine": row.case.version_text,
        "runner": row.line.runner if row.line else None,
        "compared": row.active,
        "left": {check: {"reason": left.reason.value, "why": left.why} for check, left in row.left.items()},
        "assumed": list(row.assumed),
        "weights_gib": row.weights and {**row.weights._asdict(), "error": row.weights.error},
        "bytes_per_token": row.rate and {**row.rate._asdict(), "error": row.rate.error},
        "kv_gib": row.kv and {**row.kv._asdict(), "error": row.kv.error, "in_range": row.kv.in_range},
        "kv_tokens_of_blocks": row.blocks and row.blocks._asdict(),
        "kv_tokens": row.tokens and {**row.tokens._asdict(), "error": row.tokens.error},
        "fits": row.verdict and {"predicted": row.verdict[0], "measured": row.verdict[1]},
        "terms_gib": row.terms,
        "rules": {name: answer._asdict() for name, answer in row.rules.items()},
    }


def _targets_dict(reached: Sequence[Target]) -> list[dict[str, object]]:
    return [{**target._asdict(), "met": target.met} for target in reached]


if __name__ == "__main__":
    main()
