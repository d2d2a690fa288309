"""Microseconds for the KV cache of one plan: groups of layers not seen before, and everything for layers that were.

    python -m tests.bench.bench_kv_pool

Over the public models of the oracle's cases. Aims: a model of one kind of layer at most 50 microseconds, a hybrid not
seen before at most 1000.
"""

from __future__ import annotations

import statistics
import time

from selfhost.errors import NoError
from selfhost.models import kv_groups
from selfhost.models.kv_pool import capacity
from selfhost.units import GIB
from tests.models.test_models_kv_oracle import CASES, stages_of, terms_of

ROUNDS = 50
AIM_ONE_KIND_US, AIM_HYBRID_US = 50.0, 1000.0


def median_us(action) -> float:
    """Of ROUNDS calls."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1e6


def main() -> None:
    print(f"{'caches':>6} {'new us':>8} {'known us':>8}  case")
    for name, case in CASES.items():
        if name.startswith("random"):
            continue
        stages, terms = stages_of(case), terms_of(case)
        options = {
            "block_outermost": case.get("outermost", False),
            "hybrid_manager": not case.get("no_hybrid", False),
        }
        memory = [40 * GIB] * len(stages)

        def known(stages=stages, terms=terms, options=options, memory=memory) -> None:
            capacity(kv_groups.group_caches(stages, **options), memory, 32768, terms)

        def new(stages=stages, options=options) -> None:
            kv_groups._one_kind.cache_clear()
            kv_groups._several_kinds.cache_clear()
            kv_groups.group_caches(stages, **options)

        try:
            known()
        except NoError:
            continue
        fresh, again = median_us(new), median_us(known)
        one_kind = len(set(stages[0])) == 1
        missed = again > AIM_ONE_KIND_US if one_kind else fresh > AIM_HYBRID_US
        print(f"{sum(map(len, stages)):6} {fresh:8.0f} {again:8.0f}  {name}{'  AIM MISSED' if missed else ''}")


if __name__ == "__main__":
    main()
