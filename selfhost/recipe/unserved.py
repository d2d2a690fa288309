"""Models that no engine here serves: which recipes are of such, and what they say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfhost.models.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.recipe.schema import Recipe, Support


def unserved(recipe: Recipe) -> tuple[Support, ...]:
    """The records by which no engine serves it; empty for a model that can be planned.

    That one engine lacks it is a matter of the plan as long as another has it: then selfhost knows its architecture.
    """
    names = recipe.config.get("architectures")
    known = isinstance(names, (list, tuple)) and any(isinstance(name, str) and name in FAMILIES for name in names)
    return () if known else recipe.lacking


def reasons(records: Sequence[Support]) -> list[str]:
    """One sentence for each engine that does not have the model, and why."""
    return [f"{record.engine} ({record.versions}): {record.note}" for record in records]


def is_about(record: Support, engine: str) -> bool:
    """Whether a record is about that engine; the CPU build is the same code as `vllm`."""
    return engine in {record.engine, f"{record.engine}-cpu"}


def instead(records: Sequence[Support]) -> list[str]:
    """What can serve it, or do its work, one sentence each."""
    return list(dict.fromkeys(way for record in records for way in record.instead))
