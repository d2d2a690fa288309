"""`selfhost render`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfhost.cli import complete
from selfhost.cli.options import RecipePath, takes_settings
from selfhost.cli.render_lint import RenderCommand

if TYPE_CHECKING:
    from selfhost.planner.plan import PlanRequest


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("render", cls=RenderCommand)(takes_settings(_render))


def _option(kind: Any, flag: str, text: str, **more: Any) -> Any:
    return Annotated[kind, typer.Option(flag, help=text, show_default=False, **more)]


def _render(  # noqa: PLR0917 - Typer reads them by name
    target: Annotated[str, typer.Argument(metavar="TARGET", help="compose.", show_default=False)],
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A recipe or a directory.", show_default=False, autocompletion=complete.models
        ),
    ],
    on: _option(str | None, "--on", "Hardware: `8xH20`, `2x8x910B3`, `cpu@16`; without it this machine's.") = None,  # type: ignore[valid-type]
    output: _option(Path, "--output", "Directory the files are written to.", metavar="DIR") = ...,  # type: ignore[valid-type]
    variant: _option(str | None, "--variant", "Which checkpoint; without it the best that fits.") = None,  # type: ignore[valid-type]
    name: _option(str | None, "--name", "Of the deployment [the served model's].") = None,  # type: ignore[valid-type]
    image: _option(str | None, "--image", "Of the engine, best by digest: `NAME@sha256:...`.") = None,  # type: ignore[valid-type]
    gateway_image: _option(str | None, "--gateway-image", "Of the gateway, where there is one.") = None,  # type: ignore[valid-type]
    store: _option(str | None, "--store", "SELFHOST_HOME on the machines [as here].", metavar="DIR") = None,  # type: ignore[valid-type]
    disk_mb_s: _option(int | None, "--disk-mb-s", "How fast weights are read, MB/s [200].", min=1) = None,  # type: ignore[valid-type]
    force: _option(bool, "--force", "Although the plan says that it does not fit.") = False,  # type: ignore[valid-type]
    check: _option(bool, "--check", "Write nothing; exit code 3 and a diff when files differ.") = False,  # type: ignore[valid-type]
    recipe_path: RecipePath = None,
    as_json: _option(bool, "--json", "Print one JSON object.") = False,  # type: ignore[valid-type]
    *,
    request: PlanRequest,
) -> None:
    """Write the files that run a plan elsewhere.

    selfhost render compose qwen2.5-72b --on 8xH20 --output deploy
    """
    from selfhost.app import render
    from selfhost.app.plan import plan_for
    from selfhost.cli import output as out
    from selfhost.errors import ExitCode

    plan = plan_for(
        model, on=on, request=replace(request, host="127.0.0.1"), variant=variant, recipe_paths=recipe_path or ()
    )
    asked = render.RenderRequest(
        name=name,
        image=image,
        gateway_image=gateway_image,
        store=store,
        address=request.host,
        port=request.port,
        disk_bytes_per_s=disk_mb_s and disk_mb_s * 1_000_000,
        force=force,
    )
    deployment = render.deployment_of(plan, asked, request)
    rendered = render.render(target, deployment)
    if check:
        if difference := render.compare(rendered, output):
            out.write_raw(difference)
            raise typer.Exit(ExitCode.NO)
        return
    render.write(rendered, output)
    paths = [str(output / file.path) for file in rendered]
    if as_json:
        said = {"target": target, "name": deployment.name, "plan": deployment.fingerprint, "files": paths}
        out.write_json({"schema_version": render.SCHEMA_VERSION, **said})
    else:
        for path in paths:
            out.write(path)
