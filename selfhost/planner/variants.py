"""Which variant of a recipe: the plan of the best one that fits, and why not a better one."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from selfhost.messages import text
from selfhost.planner.choose import make_plan
from selfhost.planner.plan import Remedy, Verdict
from selfhost.planner.reasons import short_of, unit
from selfhost.planner.remedies import LIMIT, find_remedies
from selfhost.planner.support import refusals

if TYPE_CHECKING:
    from selfhost.hardware.types import Hardware
    from selfhost.planner.plan import EngineFacts, ModelToPlan, Plan, PlanRequest


class Planned(NamedTuple):
    """A variant with its plan."""

    model: ModelToPlan
    plan: Plan
    takes: str = ""
    """Changes with which it would fit."""
    is_cut: bool = False
    """Whether `auto` gives less than the whole context; a length that was asked for is not cut."""
    runs: bool = True
    """Whether the device runs it in some layout, if not in the one that was asked for."""


def plan_variant(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, *, engine: EngineFacts, with_remedies: bool = True
) -> Planned:
    """The plan of the variant that was named, else of the best one, in this order:

    1. What fits with margin, before what fits only just, before what does not; what the device cannot run comes last.
       With `--max-model-len auto` a variant that does not hold the whole context counts as one that does not fit.
    2. Quality of the format: the one the model was released in, then 16 bits, FP8, 8 bits, 4 bits.
    3. Fewest devices.

    When none fits: the one that lacks least, or has the longest context. Raises UsageError as `make_plan` does.
    """
    if model.variant_asked or len(model.variants) < 2:  # noqa: PLR2004
        plan = make_plan(model, hardware, request, engine=engine, with_remedies=with_remedies)
        if model.variant_asked and len(model.variants) > 1:
            plan = replace(plan, reasons=(text("plan.variant_asked", variant=model.variant), *plan.reasons))
            if with_remedies and plan.verdict is not Verdict.FITS:
                plan = _with_other_variants(model, hardware, request, plan, engine)
        return Planned(model, plan)
    tried = _try(model, hardware, request, engine)
    best = min(tried, key=lambda planned: _rank(planned, model.variants))
    if with_remedies and best.plan.fits:
        tried = [_with_what_it_takes(planned, hardware, request, engine) for planned in tried]
    why = _why(tried, best, model.variants)
    if with_remedies and best.plan.verdict is not Verdict.FITS:
        best = Planned(best.model, make_plan(best.model, hardware, request, engine=engine))
    return Planned(best.model, replace(best.plan, reasons=(*why, *best.plan.reasons)))


def plan_briefly(model: ModelToPlan, hardware: Hardware, request: PlanRequest, *, engine: EngineFacts) -> Planned:
    """The same choice, without the reasons for it and without remedies; for tables of hundreds of plans."""
    if model.variant_asked or len(model.variants) < 2:  # noqa: PLR2004
        return Planned(model, make_plan(model, hardware, request, engine=engine, briefly=True))
    tried = _try(model, hardware, request, engine, briefly=True)
    return min(tried, key=lambda planned: _rank(planned, model.variants))


def quality(model: ModelToPlan, variants: tuple[ModelToPlan, ...]) -> int:
    """Place of a variant's format, the best first: its own, 16 bits, FP8, 8 bits, 4 bits."""
    quantization = model.arch.quantization
    if model.variant == variants[0].variant:
        return 0
    if quantization is None:
        return 1
    if quantization.is_fp8:
        return 2
    return 3 if quantization.bits == 8 else 4  # noqa: PLR2004


def _try(  # noqa: PLR0913  (what `plan_variant` takes, and which variants how thoroughly)
    model: ModelToPlan,
    hardware: Hardware,
    request: PlanRequest,
    engine: EngineFacts,
    *,
    but: str | None = None,
    briefly: bool = False,
) -> list[Planned]:
    """The variants by quality; those of lower quality than one that fits with margin are not looked at."""
    tried: list[Planned] = []
    by_quality = sorted(
        (v for v in model.variants if v.variant != but), key=lambda variant: quality(variant, model.variants)
    )
    for _, equals in groupby(by_quality, key=lambda variant: quality(variant, model.variants)):
        found = [_planned(v, hardware, request, engine, briefly=briefly) for v in equals]
        tried += found
        if any(planned.plan.verdict is Verdict.FITS and not planned.is_cut for planned in found):
            break
    return tried


def _planned(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, engine: EngineFacts, *, briefly: bool
) -> Planned:
    plan = make_plan(model, hardware, request, engine=engine, with_remedies=False, briefly=briefly)
    cut = request.wants_longest and plan.fits and plan.settings.max_model_len < model.max_model_len
    runs = plan.verdict is not Verdict.UNSUPPORTED or not refusals(model, hardware, engine)
    return Planned(model, plan, is_cut=cut, runs=runs)


def _rank(planned: Planned, variants: tuple[ModelToPlan, ...]) -> tuple[int, int, int, int]:
    model, plan = planned.model, planned.plan
    place = quality(model, variants)
    if plan.verdict is Verdict.UNSUPPORTED:
        return 5, int(not planned.runs), place, 0
    if not plan.memory.budget_bytes:
        return 4, 0, place, 0
    if plan.verdict is Verdict.DOES_NOT_FIT:
        # Nothing is missing when it is other processes that are in the way: then quality decides.
        return 3, max(0, plan.missing_bytes) * plan.layout.world_size, place, 0
    if planned.is_cut and plan.settings.max_model_len < max(v.max_model_len for v in variants):
        return 2, -plan.settings.max_model_len, place, plan.layout.world_size
    return int(plan.verdict is Verdict.TIGHT), 0, place, plan.layout.world_size


def _why(tried: list[Planned], best: Planned, variants: tuple[ModelToPlan, ...]) -> list[str]:
    name, own = best.model.variant, quality(best.model, variants) == 0
    if best.plan.verdict is Verdict.UNSUPPORTED or not best.plan.memory.budget_bytes:
        found = [] if best.plan.reasons == tried[-1].plan.reasons else [text("plan.variant_none_runs")]
    elif best.plan.verdict is Verdict.DOES_NOT_FIT:
        found = [text("plan.variant_nearest", variant=name)]
    elif best.is_cut and len(tried) == len(variants):
        found = [text("plan.variant_longest", variant=name)]
    else:
        found = [text("plan.variant_own" if own else "plan.variant_best", variant=name)]
    reasons = {}
    for other in tried:
        better = quality(other.model, variants) < quality(best.model, variants)
        if other is not best and (better or not best.plan.fits):
            reasons[other.model.variant] = _against(other)
    main, same = best.plan.reasons[0], dict[str, list[str]]()
    for variant, why in reasons.items():
        same.setdefault(why, []).append(variant)
    return [
        *found,
        *(text("plan.variant_not", variant=", ".join(names), why=why) for why, names in same.items() if why != main),
    ]


def _against(planned: Planned) -> str:
    """What stands against a variant, with its numbers, and what it would take."""
    plan = planned.plan
    if plan.verdict is Verdict.UNSUPPORTED or not plan.memory.budget_bytes:
        return plan.reasons[0]
    if plan.verdict is Verdict.DOES_NOT_FIT:
        why = short_of(plan) if plan.missing_bytes > 0 else plan.reasons[0]
        return text("plan.variant_would", why=why, changes=planned.takes) if planned.takes else why
    if planned.is_cut:
        return text("plan.variant_shorter", length=plan.settings.max_model_len)
    return text("plan.variant_tight", per=unit(plan.hardware))


def _with_what_it_takes(planned: Planned, hardware: Hardware, request: PlanRequest, engine: EngineFacts) -> Planned:
    """For a variant that does not fit: the first changes on the same hardware with which it would."""
    model, plan = planned.model, planned.plan
    if plan.verdict is not Verdict.DOES_NOT_FIT or not plan.memory.budget_bytes:
        return planned
    remedies = find_remedies(model, hardware, request, plan, engine=engine)
    changes = [f"--variant {model.variant} {r.change}" for r in remedies if not r.change.startswith("--on")]
    return planned._replace(takes="` or `".join(changes[:2]))


def _with_other_variants(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, plan: Plan, engine: EngineFacts
) -> Plan:
    """With the best other variant that fits, before the other remedies."""
    for found in sorted(
        _try(model, hardware, request, engine, but=model.variant), key=lambda planned: _rank(planned, model.variants)
    )[:1]:
        if found.plan.verdict is Verdict.FITS or (found.plan.fits and not plan.fits):
            length = found.plan.settings.max_model_len
            remedy = Remedy(change=f"--variant {found.model.variant}", fits=True, max_model_len=length)
            return replace(plan, remedies=(remedy, *plan.remedies)[:LIMIT])
    return plan
