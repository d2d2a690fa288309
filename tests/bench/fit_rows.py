"""Records of a comparison: a pair of figures, a KV cache with its range, and the row of a boot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.bench.fit_cases import Case, Left
    from tests.bench.fit_engines import Line
    from tests.bench.fit_rules import Answer


class Pair(NamedTuple):
    """Predicted and measured."""

    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """Relative."""
        return self.predicted / self.measured - 1


class KV(NamedTuple):
    """KV cache of a rank, GiB."""

    low: float
    likely: float
    high: float
    measured: float
    budget: float

    @property
    def error(self) -> float:
        """As a share of the budget."""
        return (self.likely - self.measured) / self.budget

    @property
    def in_range(self) -> bool:
        """Whether the measured one, rounded to two digits by the log, lies between low and high."""
        return self.low - 0.005 <= self.measured <= self.high + 0.005


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One boot with its plan; a check that is not made has its reason in `left`."""

    case: Case
    left: dict[str, Left] = field(default_factory=dict)
    line: Line | None = None
    assumed: tuple[str, ...] = ()
    """Settings that the source does not tell, as the engine's defaults fill them in."""
    weights: Pair | None = None
    """GiB."""
    rate: Pair | None = None
    """Bytes per token."""
    kv: KV | None = None
    tokens: Pair | None = None
    blocks: Pair | None = None
    """Tokens of the nearest whole number of blocks."""
    verdict: tuple[bool, bool] | None = None
    """(predicted, measured)."""
    terms: dict[str, float] = field(default_factory=dict)
    """Of the prediction, GiB."""
    rules: dict[str, Answer] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """Whether anything is compared."""
        return any(x is not None for x in (self.weights, self.rate, self.kv, self.blocks, self.verdict))

    @property
    def ranks(self) -> int:
        """Devices that share the weights."""
        sizes = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
        product = 1
        for size in sizes:
            product *= self.case.layout.get(size, 1)
        return product
