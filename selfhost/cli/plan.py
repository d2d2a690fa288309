"""`selfhost plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from selfhost.cli.options import RecipePath, takes_settings

if TYPE_CHECKING:
    from selfhost.planner.plan import Plan, PlanRequest


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("plan")(takes_settings(_plan))


def _plan(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A recipe, a hub id, or a directory.")],
    on: Annotated[
        str | None,
        typer.Option(
            "--on", metavar="HW", help="Hardware to plan for: `8xH20`, `4xA800-80G`, `cpu@16`.", show_default=False
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option("--variant", help="Which checkpoint; without it the best that fits.", show_default=False),
    ] = None,
    recipe_path: RecipePath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    *,
    request: PlanRequest,
) -> None:
    """Say whether a model fits: verdict, memory per rank, command line, remedies.

    Exit code 0 when it fits, 3 when it does not. Nothing is downloaded or started.

        selfhost plan qwen2.5-72b --on 4xA800-80G

        selfhost plan ./model --on 8xH20 --max-model-len auto --json
    """
    from selfhost.app.plan import plan_for
    from selfhost.cli import output
    from selfhost.errors import ExitCode

    plan = plan_for(model, on=on, request=request, variant=variant, recipe_paths=recipe_path or ())
    if as_json:
        output.write_json(plan.as_dict())
    else:
        _print(plan)
    if not plan.fits:
        raise typer.Exit(ExitCode.NO)


def _print(plan: Plan) -> None:
    import shutil

    from selfhost.cli import output
    from selfhost.planner.picture import draw

    output.write(draw(plan, width=shutil.get_terminal_size((100, 24)).columns))
