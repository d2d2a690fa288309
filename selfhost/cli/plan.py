"""`selfhost plan`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from selfhost.cli import complete, options
from selfhost.cli.options import EngineVersion, Json, Offline, RecipePath, takes_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfhost.planner.matrix import Matrix, Models
    from selfhost.planner.plan import Plan, PlanRequest

_MANY = "Many plans at once"


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("plan")(takes_settings(_plan))


def _plan(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A recipe, a hub id, or a directory.",
            show_default=False,
            autocompletion=complete.models,
        ),
    ] = None,
    on: Annotated[
        list[str] | None,
        options.hardware("Hardware to plan for: `8xH20`, `4xA800-80G`, `cpu@16`; several with --matrix."),
    ] = None,
    variant: Annotated[str | None, options.variant()] = None,
    *,
    explain: Annotated[
        bool, typer.Option("--explain", help="Each figure with its formula, in numbers, and its source.")
    ] = False,
    matrix: Annotated[
        bool,
        typer.Option(
            "--matrix", help="On all known devices, 1 to 16 of them; with --on on those.", rich_help_panel=_MANY
        ),
    ] = False,
    for_hardware: Annotated[
        str | None,
        typer.Option(
            "--for-hardware",
            metavar="HW",
            help="All recipes on this hardware; `here`: on this machine. Instead of MODEL.",
            show_default=False,
            rich_help_panel=_MANY,
            autocompletion=complete.hardware_or_here,
        ),
    ] = None,
    fits: Annotated[
        bool, typer.Option("--fits", help="Of many plans only those that fit.", rich_help_panel=_MANY)
    ] = False,
    offline: Offline = False,
    engine_version: EngineVersion = None,
    recipe_path: RecipePath = None,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Also write a page for people who buy hardware: `plan.html`, or a picture: `plan.svg`.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    request: PlanRequest,
) -> None:
    """Say whether a model fits: verdict, memory per rank, command line, remedies.

    Exit code 0 when it fits (of many: when one does), 3 when it does not. Nothing is downloaded or started; only of a
    repository that no recipe has, its hub is asked for configuration and sizes.

        selfhost plan qwen2.5-72b --on 4xA800-80G

        selfhost plan ./model --on 8xH20 --max-model-len auto --json

        selfhost plan qwen2.5-72b --matrix

        selfhost plan --for-hardware 8xH20

        selfhost plan deepseek-v3 --on 2x8xH100 --output plan.html
    """
    from selfhost import offline as switch
    from selfhost.cli import output
    from selfhost.errors import ExitCode, UsageError

    switch.settle(flag=offline)
    if model is not None and model.startswith("-"):
        # Without MODEL the first word after `--` lands here.
        request, model = replace(request, engine_args=(model, *request.engine_args)), None
    many = {"--matrix": matrix, "--for-hardware": for_hardware is not None}
    single = {"MODEL": model is not None, "--on": bool(on), "--variant": variant is not None}
    _check_options(many, single, on=on or [], fits=fits, explain=explain)
    if request.devices is not None and any(many.values()):
        raise UsageError("allot.with_many")
    if output_file is not None:
        from selfhost.app import sheet

        sheet.check_target(output_file)
    if for_hardware is not None:
        answer = _list(for_hardware, request, recipe_path or (), only_fitting=fits)
    else:
        named = _Model(model or "", variant, recipe_path or (), engine_version)
        if matrix:
            answer = _matrix(named, on or (), request, only_fitting=fits)
        else:
            answer = _single(named, on[0] if on else None, request, explained=explain)
    if as_json:
        output.write_json(answer.as_dict())
    else:
        with output.people():
            drawn = answer.draw(_width())
        output.write(drawn)
    if output_file is not None:
        output.note(sheet.write(output_file, answer.subject).what)
    if not answer.fits:
        raise typer.Exit(ExitCode.NO)


def _check_options(many: dict[str, bool], single: dict[str, bool], *, on: list[str], fits: bool, explain: bool) -> None:
    """Raises UsageError for options that contradict each other."""
    from selfhost.errors import UsageError

    given = [name for name, is_given in (many | single).items() if is_given]
    if many["--for-hardware"] and (others := [name for name in given if name != "--for-hardware"]):
        raise UsageError("plan.for_hardware_alone", others=", ".join(others))
    if not many["--for-hardware"] and not single["MODEL"]:
        raise UsageError("plan.no_model")
    if len(on) > 1 and not many["--matrix"]:
        raise UsageError("plan.on_twice", first=on[0], second=on[1])
    if fits and not any(many.values()):
        raise UsageError("plan.fits_of_one")
    if explain and any(many.values()):
        raise UsageError("plan.explain_many", option=given[0])


class _Answer(NamedTuple):
    """What is printed, and whether it is a yes."""

    fits: bool
    as_dict: Callable[[], dict[str, object]]
    draw: Callable[[int], str]
    subject: Plan | Matrix | Models


class _Model(NamedTuple):
    """Which model was asked for."""

    name: str
    variant: str | None
    recipe_paths: Sequence[Path]
    engine_version: str | None = None


def _single(model: _Model, on: str | None, request: PlanRequest, *, explained: bool) -> _Answer:
    from selfhost.app.plan import plan_for

    plan = plan_for(
        model.name,
        on=on,
        request=request,
        variant=model.variant,
        recipe_paths=model.recipe_paths,
        explained=explained,
    )
    if model.engine_version is not None:
        from selfhost.app import versions
        from selfhost.home import find_home

        plan = versions.with_note(find_home(), plan, model.engine_version)

    def draw(width: int) -> str:
        from selfhost.planner.picture import draw

        return draw(plan, width=width)

    return _Answer(plan.fits, plan.as_dict, draw, plan)


def _matrix(model: _Model, on: Sequence[str], request: PlanRequest, *, only_fitting: bool) -> _Answer:
    from selfhost.app import overview
    from selfhost.cli import output
    from selfhost.planner.tables import draw_matrix

    devices = [part for text in on for part in text.split(",")]
    found = overview.matrix_for(
        model.name, on=devices, request=_absorbed(request), variant=model.variant, recipe_paths=model.recipe_paths
    )
    fits = any(cell.plan.fits for cell in found.cells)
    found = found.only_fitting() if only_fitting else found
    paint = output.on_mark
    return _Answer(fits, found.as_dict, lambda width: draw_matrix(found, width=width, paint=paint), found)


def _list(where: str, request: PlanRequest, recipe_paths: Sequence[Path], *, only_fitting: bool) -> _Answer:
    from selfhost.app import overview
    from selfhost.cli import output
    from selfhost.planner.tables import draw_list

    found = overview.models_on(where, request=_absorbed(request), recipe_paths=recipe_paths)
    for line in found.skipped:
        output.warn(line)
    fits = any(cell.plan.fits for cell in found.cells)
    found = found.only_fitting() if only_fitting else found
    paint = output.on_mark
    return _Answer(fits, found.as_dict, lambda width: draw_list(found, width=width, paint=paint), found)


def _absorbed(request: PlanRequest) -> PlanRequest:
    from selfhost.app.plan import absorb, left_out
    from selfhost.cli import output
    from selfhost.cli.output import text

    request = absorb(request)
    if words := left_out(request):
        output.warn(text("plan.not_counted", options=" ".join(words)))
    return request


def _width() -> int:
    import shutil

    return shutil.get_terminal_size((100, 24)).columns
