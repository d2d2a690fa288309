"""What is known of a variant's loss, for `plan` and `recipe show`: the report lies beside its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost import files
from selfhost.errors import SelfhostError
from selfhost.quantize.job import LOSS_NAME
from selfhost.quantize.loss import loss_line, loss_lines, read_loss
from selfhost.weights import store

if TYPE_CHECKING:
    from pathlib import Path

    from selfhost.home import Home
    from selfhost.quantize.loss import LossReport
    from selfhost.recipe.schema import Recipe


def report_of(directory: Path) -> LossReport | None:
    """The report in a model's directory; None where there is none. Raises IntegrityError for one that is none."""
    path = directory / LOSS_NAME
    return read_loss(files.read_json(path) or {}, path) if path.is_file() else None


def note(directory: Path) -> tuple[str, ...]:
    """The report in a line, or what is wrong with it; nothing where there is none."""
    try:
        report = report_of(directory)
    except SelfhostError as error:
        return (error.message.what,)
    return (loss_line(report),) if report else ()


def of_recipe(recipe: Recipe, home: Home) -> dict[str, tuple[str, ...]]:
    """Lines on each variant in the store that has a report, by its name."""
    found: dict[str, tuple[str, ...]] = {}
    for variant in recipe.variants:
        try:
            report = report_of(store.model_directory(home.models, recipe.name, variant.name))
        except SelfhostError as error:
            found[variant.name] = (error.message.what,)
        else:
            found |= {variant.name: tuple(loss_lines(report))} if report else {}
    return found
