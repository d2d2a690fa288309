"""Published ways to run a variant: on which hardware, with which options, by whom; and the rule that checks them.

A claim is evidence that was found, not something selfhost ran (that is `support`). Where the planner's own arithmetic
disagrees with what was published, the recipe says by how much, and `recipe lint` holds it to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.recipe.table import shown
from selfhost.records import dataclass
from selfhost.units import GIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from selfhost.recipe.table import Table

ENGINES = ("vllm", "vllm-ascend", "vllm-cpu")
"""What a recipe may speak of."""
_TOLERANCE_GIB = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """That somebody published how a variant is run."""

    variant: str
    by: str
    """Who: `vLLM Ascend, tutorial`."""
    engine: str
    """`vllm`, `vllm-ascend`."""
    versions: str
    """Of the engine that it was published for."""
    hardware: str
    """As `--on` has it: `2x8x910B3`; the nearest device of the catalogue where the source names a series."""
    where: str
    """The hardware in the source's words."""
    url: str
    options: tuple[str, ...] = ()
    """The engine's options that decide layout and memory, in its spelling; without addresses and names, and without
    what selfhost sets itself."""
    environment: Mapping[str, object] | None = None
    """Variables that decide memory: `HCCL_BUFFSIZE`; evidence only, a plan computes its own."""
    lacks_gib: float | None = None
    """GiB that a device lacks for it by selfhost's arithmetic; None: it fits."""
    refused: bool = False
    """Whether selfhost's planner refuses it; `note` says why."""
    note: str = ""


class Judged(NamedTuple):
    """What the planner says of a claim."""

    engine: str = ""
    """The one that drives the hardware here."""
    fits: bool = False
    missing_bytes: int = 0
    """Per device; 0 when it fits or is refused."""
    reason: str = ""
    """Its first reason."""
    refused: bool = False
    problems: tuple[Message, ...] = ()
    """Mistakes in the claim itself: hardware or options that are not known."""


def read_claim(table: Table) -> Claim:
    """The claim in one table of a recipe."""
    return Claim(
        variant=table.string("variant"),
        by=table.string("by"),
        engine=table.string("engine"),
        versions=table.string("versions"),
        hardware=table.string("hardware"),
        where=table.string("where"),
        url=table.string("url"),
        options=table.strings("options"),
        environment=table.mapping("environment") if "environment" in table else None,
        lacks_gib=table.number("lacks_gib"),
        refused=table.flag("refused"),
        note=table.optional_string("note") or "",
    )


def claim_findings(
    claims: Sequence[Claim], variants: Sequence[str], judge: Callable[[Claim], Judged]
) -> Iterator[Finding]:
    """A finding for each claim that the planner does not bear out and that does not say so, or says it wrongly.

    variants: the names that the recipe has.
    """
    for number, claim in enumerate(claims):
        where = f"claim[{number}]"
        if claim.variant not in variants:
            names = {"found": shown(claim.variant), "known": ", ".join(variants)}
            yield _error(f"{where}.variant", Message("lint.claim_variant", names))
            continue
        if claim.engine not in ENGINES:
            names = {"found": shown(claim.engine), "known": ", ".join(ENGINES)}
            yield _error(f"{where}.engine", Message("lint.engine_unknown", names))
            continue
        judged = judge(claim)
        if judged.engine and judged.engine != claim.engine:
            names = {"found": claim.engine, "engine": judged.engine, "hardware": shown(claim.hardware)}
            yield _error(f"{where}.engine", Message("lint.claim_engine", names))
        elif judged.problems:
            yield from (_error(where, problem) for problem in judged.problems)
        elif (message := _disagreement(claim, judged)) is not None:
            yield _error(where, message)


def _disagreement(claim: Claim, judged: Judged) -> Message | None:
    names = {"variant": shown(claim.variant), "hardware": shown(claim.hardware)}
    missing = round(judged.missing_bytes / GIB, 1)
    if judged.refused:
        return None if claim.refused else Message("lint.claim_refused", {**names, "reason": judged.reason})
    if judged.fits:
        said = claim.refused or claim.lacks_gib is not None
        return Message("lint.claim_fits", names) if said else None
    if claim.lacks_gib is None:
        return Message("lint.claim_lacks", {**names, "missing": missing, "reason": judged.reason})
    if abs(claim.lacks_gib - missing) > _TOLERANCE_GIB:
        return Message("lint.claim_figure", {**names, "missing": missing, "found": claim.lacks_gib})
    return None


def _error(where: str, message: Message) -> Finding:
    return Finding(severity=Severity.ERROR, where=where, message=message)
