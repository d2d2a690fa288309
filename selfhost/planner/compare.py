"""Predicted against actual, as a small table: what was computed for a plan and what its last start measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.messages import text
from selfhost.units import GIB, format_duration

if TYPE_CHECKING:
    from selfhost.planner.measured import Comparison

_LABEL, _FIGURE = 12, 13
_UNKNOWN = "-"


def table(comparison: Comparison) -> str:
    """Four rows and where the record is; `-` for what was not logged, or has no prediction."""
    computed, kv, actual = comparison.memory, comparison.kv_cache, comparison.boot.measured
    rows = (
        (text("plan.compare_weights"), _gib(computed.weight_bytes), _gib(actual.weight_bytes)),
        (text("plan.compare_kv"), _gib(computed.kv_cache_bytes), _gib(actual.kv_cache_bytes)),
        (text("plan.compare_tokens"), _count(kv.tokens), _count(actual.kv_cache_tokens)),
        (text("plan.compare_ready"), _time(comparison.earlier_ready_s), _time(comparison.boot.ready_s)),
    )
    head = ("", text("plan.compare_predicted"), text("plan.compare_actual"))
    title = text("plan.title_compare", when=comparison.boot.started_at, starts=comparison.starts)
    return "\n".join([title, *(_row(*row) for row in (head, *rows))])


def _row(label: str, predicted: str, actual: str) -> str:
    return f"  {label:<{_LABEL}} {predicted:>{_FIGURE}} {actual:>{_FIGURE}}"


def _gib(size: int | None) -> str:
    return _UNKNOWN if size is None else f"{size / GIB:,.2f}"


def _count(number: int | None) -> str:
    return _UNKNOWN if number is None else f"{number:,}"


def _time(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else format_duration(seconds)
