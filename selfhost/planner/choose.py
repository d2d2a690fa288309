"""Model + hardware + request -> Plan: layout, settings, estimate, verdict, reasons, remedies."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.models.tensors import checkpoint_bytes
from selfhost.planner import calibration, held, layouts, memory, support
from selfhost.planner.goals import decide
from selfhost.planner.plan import NO_MEMORY, Confidence, KVCache, Layout, Plan, Verdict
from selfhost.planner.reasons import in_use, reasons, short_of
from selfhost.planner.settings import GPU_MEMORY_UTILIZATION, check_request, choose_settings, drafted
from selfhost.planner.terms import Setup

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.hardware.types import Hardware
    from selfhost.planner.measured import Use
    from selfhost.planner.memory import Estimate, Sizes
    from selfhost.planner.plan import EngineFacts, ModelToPlan, PlanRequest


class Choice(NamedTuple):
    """One layout with its settings, and what it comes to."""

    setup: Setup
    estimate: Estimate
    known: Use | None = None
    """What this machine's boot records say about it, when there are any."""


def make_plan(  # noqa: PLR0913  (three records and how much of the answer is wanted)
    model: ModelToPlan,
    hardware: Hardware,
    request: PlanRequest,
    *,
    engine: EngineFacts,
    with_remedies: bool = True,
    briefly: bool = False,
) -> Plan:
    """The plan, without a command line (that is the engine's part: `engines.vllm`).

    A model, device or layout that the engine refuses gives the verdict `unsupported`, with the reasons; nothing is
    raised for it. `briefly`: of the reasons only refusals, and no remedies; for tables of hundreds.
    Raises UsageError for settings that no engine takes.
    """
    with_remedies = with_remedies and not briefly
    check_request(request)
    refused = support.refusals(model, hardware, engine, kv_cache_dtype=request.kv_cache_dtype or "auto")
    possible = [] if refused else layouts.candidates(model.arch, hardware, request)
    if not possible:
        plan = _without_figures(model, hardware, request, engine, refused)
        return _with_remedies(model, hardware, request, plan, engine) if with_remedies and not refused else plan

    plan = _with_figures(model, hardware, request, engine, possible, briefly=briefly)
    if not briefly and plan.verdict is Verdict.DOES_NOT_FIT and plan.missing_bytes > 0:
        plan = replace(plan, reasons=(text("plan.memory", missing=short_of(plan)), *plan.reasons))
    if with_remedies and plan.verdict is not Verdict.FITS:
        plan = _with_remedies(model, hardware, request, plan, engine)
    return plan


def _with_figures(  # noqa: PLR0913
    model: ModelToPlan,
    hardware: Hardware,
    request: PlanRequest,
    engine: EngineFacts,
    possible: list[Layout],
    *,
    briefly: bool,
) -> Plan:
    (setup, estimate, known), why = _choose(model, hardware, request, possible, engine)
    settings = setup.settings
    refused = support.setting_refusals(model, request, settings) + _states(setup, estimate)
    busy = in_use(hardware, setup.layout, estimate.memory.budget_bytes)
    against = (*refused, *([busy] if busy else ()))
    verdict = Verdict.DOES_NOT_FIT if busy else estimate.verdict
    return Plan(
        model=model.name,
        variant=model.variant,
        model_path=model.model_path,
        served_model_name=request.served_model_name or model.served_model_name,
        verdict=Verdict.UNSUPPORTED if refused else verdict,
        confidence=(known and known.confidence) or _confidence(setup, engine),
        engine=engine.ref,
        hardware=hardware,
        layout=setup.layout,
        settings=settings,
        memory=estimate.memory,
        kv_cache=estimate.kv_cache,
        weight_bytes_total=_stored_bytes(model),
        reasons=(
            *against,
            *(() if briefly else reasons(model, request, setup, estimate, why=why)),
            *(known.reasons if known and not briefly else ()),
        ),
        host=request.host,
        port=request.port,
        check=model.check,
        measured=known.comparison if known else None,
        goal=request.goal,
    )


def _states(setup: Setup, estimate: Estimate) -> list[str]:
    """Whether more requests were asked for than there are states."""
    seqs = setup.settings.max_num_seqs
    if seqs <= estimate.blocks or estimate.verdict is Verdict.DOES_NOT_FIT:
        return []
    most = memory.most_requests(setup, memory.sizes_of(setup), estimate)
    if most is None:
        return []
    return [text("plan.too_many_states", seqs=seqs, blocks=estimate.blocks, most=most)]


def _with_remedies(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, plan: Plan, engine: EngineFacts
) -> Plan:
    # Imported here: remedies are planned themselves before they are offered, through `make_plan`.
    from selfhost.planner.remedies import find_remedies

    return replace(plan, remedies=find_remedies(model, hardware, request, plan, engine=engine))


def _choose(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, possible: list[Layout], engine: EngineFacts
) -> tuple[Choice, str | None]:
    """The first layout that fits, the first of all when none does; with a goal the best for it, and why."""
    too_heavy = _too_heavy(model, hardware, request)
    first = evaluate(model, hardware, request, possible[0], engine)
    choices = (evaluate(model, hardware, request, layout, engine) for layout in possible[1:] if not too_heavy(layout))
    if request.goal is not None and len(possible) > 1:
        return decide(request.goal, [first, *choices])
    if first.estimate.verdict is not Verdict.DOES_NOT_FIT:
        return first, None
    found = (choice for choice in choices if choice.estimate.verdict is not Verdict.DOES_NOT_FIT)
    return next(found, first), None


def _too_heavy(model: ModelToPlan, hardware: Hardware, request: PlanRequest) -> Callable[[Layout], bool]:
    """Whether the weights alone are too much in a layout: nothing else has to be looked at then."""
    usable = hardware.visible_memory_bytes * (request.gpu_memory_utilization or GPU_MEMORY_UTILIZATION)
    on_device = held.held_by(hardware.device, model.arch)
    return lambda layout: held.heaviest(model.arch, layout, on_device) > usable


def holds_weights(model: ModelToPlan, hardware: Hardware, request: PlanRequest) -> bool:
    """Whether there is a layout with room for more than the weights; where not, no context is short enough."""
    too_heavy = _too_heavy(model, hardware, request)
    return not all(map(too_heavy, layouts.candidates(model.arch, hardware, request)))


def evaluate(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, layout: Layout, engine: EngineFacts
) -> Choice:
    """A layout with the settings that were asked for; with `auto`, with the longest context that fits in it."""
    at, step = by_length(model, hardware, request, layout, engine)
    if request.wants_longest:
        return at(longest(at, model.max_model_len, step) or min(step, model.max_model_len))
    return at(request.max_model_len or model.max_model_len)


def by_length(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, layout: Layout, engine: EngineFacts
) -> tuple[Callable[[int], Choice], int]:
    """(`max_model_len` -> what a layout comes to with it, the tokens of a block).

    Remembered by length: a search ends with one that it tried.
    """
    sizes = memory.measure(model.arch, hardware, layout, request.kv_cache_dtype or "auto", drafted(request))

    @cache
    def at(length: int) -> Choice:
        settings = choose_settings(model.arch, hardware, layout, request, max_model_len=length)
        choice = known_of(Setup(arch=model.arch, hardware=hardware, layout=layout, settings=settings), sizes, engine)
        most = memory.most_requests(choice.setup, sizes, choice.estimate)
        if most is None or request.max_num_seqs or not 0 < most < settings.max_num_seqs:
            return choice
        # Fewer requests need less for the sampler, so that there are more blocks, not fewer.
        fewer = replace(settings, max_num_seqs=most)
        return known_of(choice.setup._replace(settings=fewer), sizes, engine)

    return at, sizes.caches.block_size


def known_of(setup: Setup, sizes: Sizes, engine: EngineFacts) -> Choice:
    """What a layout with its settings comes to: computed, calibrated, and as this machine measured it."""
    row = calibration.find(setup, engine.ref)
    computed = calibration.calibrated(setup, memory.estimate(setup, sizes), row)
    if not engine.boots:
        return Choice(setup, computed)
    # Imported where something was ever started: most plans need none of it.
    from selfhost.planner import measured

    known = measured.use_records(setup, sizes, computed, engine)
    return Choice(setup, known.estimate, known)


def longest(at: Callable[[int], Choice], limit: int, step: int) -> int | None:
    """The longest `max_model_len` up to `limit` that fits, in whole blocks; None when not even one block does.

    What is left for the KV cache hardly depends on the length, so each estimate says nearly how long it may be: mostly
    three estimates are enough, and bisection takes over where they are not.
    """
    choice = at(limit)
    if choice.estimate.verdict is not Verdict.DOES_NOT_FIT:
        return limit
    low, high = 0, -(-limit // step)
    middle, hints = _told(choice, high), _HINTS
    while high - low > 1:
        middle = min(max(middle, low + 1), high - 1) if hints else (low + high) // 2
        choice, hints = at(middle * step), max(0, hints - 1)
        fits = choice.estimate.verdict is not Verdict.DOES_NOT_FIT
        low, high = (middle, high) if fits else (low, middle)
        middle = _told(choice, middle) + fits
    return low * step or None


_HINTS = 4


def _told(choice: Choice, length_blocks: int) -> int:
    """The length that an estimate has room for, in blocks of it."""
    estimate = choice.estimate
    return (estimate.blocks - 1) * length_blocks // estimate.blocks_per_request


def _without_figures(
    model: ModelToPlan, hardware: Hardware, request: PlanRequest, engine: EngineFacts, refused: list[str]
) -> Plan:
    """A plan for what cannot run: the reasons, and no figures, since there is no engine process they would be of."""
    layout = layouts.explicit(request)
    if layout.decode_context_parallel_size > 1 and request.tensor_parallel_size is None:
        # What stands against the widest says more than that one rank cannot share with itself.
        layout = replace(layout, tensor_parallel_size=hardware.devices_per_node)
    too_few = layout.world_size > hardware.device_count and hardware.device.platform is not Platform.CPU
    eager = bool(request.enforce_eager)
    why = refused or [message.what for message in layouts.problems(model.arch, hardware, layout, eager=eager)]
    why = why or [text("plan.no_layout", model=model.name, hardware=hardware.text)]
    length = request.max_model_len or model.max_model_len
    return Plan(
        model=model.name,
        variant=model.variant,
        model_path=model.model_path,
        served_model_name=request.served_model_name or model.served_model_name,
        verdict=Verdict.DOES_NOT_FIT if too_few and not refused else Verdict.UNSUPPORTED,
        confidence=Confidence.DERIVED,
        engine=engine.ref,
        hardware=hardware,
        layout=layout,
        settings=choose_settings(model.arch, hardware, layout, request, max_model_len=length),
        memory=NO_MEMORY,
        kv_cache=KVCache(bytes_per_token=0, bytes_per_request_fixed=0, block_size=0, tokens=0, max_concurrency=0.0),
        weight_bytes_total=_stored_bytes(model),
        reasons=tuple(why),
        host=request.host,
        port=request.port,
        check=model.check,
        goal=request.goal,
    )


def _stored_bytes(model: ModelToPlan) -> int:
    return model.weight_bytes_total if model.weight_bytes_total is not None else checkpoint_bytes(model.arch)


def _confidence(setup: Setup, engine: EngineFacts) -> Confidence:
    """Calibrated where starts of the pinned engine were compared with the formulas; everything else is derived."""
    return Confidence.CALIBRATED if calibration.find(setup, engine.ref) else Confidence.DERIVED
