"""`selfhost plan --matrix` of every recipe: every device of the catalogue with 1, 2, 4, 8 and 16 of them.

    python -m tests.bench.bench_plan_matrix

Prints how many cells there are, the processor time, and for each recipe the ratio of its whole matrix to one plan of
`selfhost plan`, both without the process around them: find the recipe, read it, plan it. The aim is at most 20. Where a
model does not fit, a cell is more than a plan: the longest context that would fit is looked for too.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from functools import _lru_cache_wrapper
from typing import TYPE_CHECKING

from selfhost.app.model import resolve
from selfhost.app.overview import every_hardware, matrix_for
from selfhost.app.plan import plan_for, plan_model
from selfhost.hardware import catalog
from selfhost.hardware.types import Hardware
from selfhost.home import find_home
from selfhost.planner.matrix import COUNTS, hardware_of
from selfhost.planner.plan import PlanRequest
from selfhost.recipe.load import find_recipes, read_recipe
from selfhost.recipe.unserved import unserved
from selfhost.units import GIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfhost.planner.matrix import Cell
    from selfhost.planner.plan import Plan

AIM = 20.0
CPU_GIB = (16, 64, 512)
ONE = "8xH20"
RUNS = 5
SHORT = 10
REMEMBERING = ("selfhost.models.", "selfhost.planner.", "selfhost.quant.", "selfhost.app.")


def hardware() -> list[Hardware]:
    """For the tests more than a matrix has: devices without an engine, and CPUs of three sizes."""
    refused = [device for device in catalog.DEVICES if not device.supported]
    found = [*every_hardware(), *(hardware_of(device, count) for device in refused for count in COUNTS)]
    return found + [Hardware(device=catalog.CPU, visible_memory_bytes=size * GIB) for size in CPU_GIB]


def recipes() -> list[str]:
    """Names of the recipes that ship with selfhost, and of those in the home directory, that an engine here serves."""
    return [name for name, path in find_recipes(find_home()).items() if not unserved(read_recipe(path))]


def plans(recipe: str) -> Iterator[Plan]:
    """One recipe on everything."""
    model = resolve(recipe).to_plan()
    for one in hardware():
        yield plan_model(model, one, PlanRequest(), with_remedies=False)


def forget() -> None:
    """Empty what functions remember of models and plans; what a process reads once, like the catalogue, stays."""
    for name, module in list(sys.modules.items()):
        if name.startswith(REMEMBERING):
            for value in vars(module).values():
                if isinstance(value, _lru_cache_wrapper):
                    value.cache_clear()


def _seconds(task: Callable[[], object], times: int = 1) -> float:
    """Processor time of a task with nothing remembered; times: how often a short one is done, so that what disturbs a
    long one disturbs it as much.
    """
    spent = 0.0
    for _ in range(times):
        forget()
        start = time.process_time()
        task()
        spent += time.process_time() - start
    return spent / times


def ratio(recipe: str) -> tuple[float, float, float, Counter[str]]:
    """Seconds of one plan and of the matrix, both with nothing remembered, their ratio, and the verdicts.

    The two are measured in turn: the ratio is the median of the rounds, the seconds are the least.
    """
    cells: list[Cell] = []

    def whole() -> None:
        cells[:] = matrix_for(recipe, on=(), request=PlanRequest()).cells

    def alone() -> None:
        plan_for(recipe, on=ONE, request=PlanRequest())

    rounds = [(_seconds(alone, SHORT), _seconds(whole)) for _ in range(RUNS)]
    found = statistics.median(taken / one for one, taken in rounds)
    one, taken = (min(column) for column in zip(*rounds, strict=True))
    return one, taken, found, Counter(cell.plan.verdict.value for cell in cells)


def main() -> None:
    """Print a line per recipe and the total; exit 1 when a recipe is above the aim."""
    ratio(recipes()[0])  # imports
    total, count, worst, verdicts = 0.0, 0, 0.0, Counter[str]()
    for recipe in recipes():
        one, whole, times, found = ratio(recipe)
        total, count, worst, verdicts = total + whole, count + found.total(), max(worst, times), verdicts + found
        print(f"{recipe:32} one {one * 1e3:6.1f} ms, {found.total()} {whole * 1e3:6.1f} ms, ratio {times:5.1f}")
    print(f"{count} plans in {total:.2f} s, {total / count * 1e6:.0f} us each; worst ratio {worst:.1f} (aim {AIM:g})")
    print(", ".join(f"{number} {verdict}" for verdict, number in verdicts.most_common()))
    sys.exit(worst > AIM)


if __name__ == "__main__":
    main()
