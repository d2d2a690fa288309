"""`selfhost render`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfhost.cli import complete, options
from selfhost.cli.options import RecipePath, takes_settings
from selfhost.cli.render_lint import RenderCommand

if TYPE_CHECKING:
    from selfhost.planner.plan import PlanRequest
    from selfhost.render.deployment import Deployment


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("render", cls=RenderCommand)(takes_settings(_render))


def _option(kind: Any, flag: str, text: str, **more: Any) -> Any:
    return Annotated[kind, typer.Option(flag, help=text, show_default=False, **more)]


def _argument(name: str, text: str, **more: Any) -> Any:
    return Annotated[str, typer.Argument(metavar=name, help=text, show_default=False, **more)]


_ON = "Hardware: `8xH20`, `2x8x910B3`, `cpu@16`; without it this machine's."
_CLUSTER = (
    "Of Kubernetes, repeatable: `version=1.30`, `namespace=NAME`, `storage=host`, `claim=NAME`, `image=NAME@sha256:...`"
    " with the model, `uid=any`, `resource=NAME`."
)
_TARGET = "What runs it: `compose`, `quadlet`, `systemd`, ...; `images` lists the images."


def _render(  # noqa: PLR0917 - Typer reads them by name
    target: _argument("TARGET", _TARGET, autocompletion=complete.targets),  # type: ignore[valid-type]
    model: _argument("MODEL", "A recipe or a directory.", autocompletion=complete.models),  # type: ignore[valid-type]
    on: Annotated[str | None, options.hardware(_ON)] = None,
    output: _option(Path, "--output", "Directory the files are written to.", metavar="DIR") = ...,  # type: ignore[valid-type]
    variant: Annotated[str | None, options.variant()] = None,
    name: _option(str | None, "--name", "Of the deployment [the served model's].") = None,  # type: ignore[valid-type]
    image: _option(str | None, "--image", "Of the engine, best by digest: `NAME@sha256:...`.") = None,  # type: ignore[valid-type]
    gateway_image: _option(str | None, "--gateway-image", "Of the gateway, where there is one.") = None,  # type: ignore[valid-type]
    store: _option(str | None, "--store", "SELFHOST_HOME on the machines [as here].", metavar="DIR") = None,  # type: ignore[valid-type]
    directory: _option(str | None, "--directory", "Where MODEL, a directory, lies there.", metavar="DIR") = None,  # type: ignore[valid-type]
    disk_mb_s: _option(int | None, "--disk-mb-s", "How fast weights are read there, MB/s [200].", min=1) = None,  # type: ignore[valid-type]
    cluster: _option(list[str] | None, "--cluster", _CLUSTER, metavar="KEY=VALUE") = None,  # type: ignore[valid-type]
    force: _option(bool, "--force", "Although the plan says that it does not fit.") = False,  # type: ignore[valid-type]
    check: _option(bool, "--check", "Write nothing; exit code 3 and a diff when files differ.") = False,  # type: ignore[valid-type]
    recipe_path: RecipePath = None,
    as_json: options.Json = False,
    *,
    request: PlanRequest,
) -> None:
    """Write the files that run a plan elsewhere.

    `--host` and `--port` are where the API is published on the machines; `-- --shutdown-timeout 60` lets running
    requests finish. `render --lint FILE...` checks files instead, ours or anybody's: `render --lint --help`.

    selfhost render compose qwen2.5-72b --on 8xH20 --output deploy
    """
    from selfhost.app import render
    from selfhost.app.plan import plan_for
    from selfhost.app.render_cluster import parse_cluster

    render.check_target(target)
    paths = tuple(recipe_path or ())
    here = replace(request, host="127.0.0.1")  # of the engine's own command, which each target rewrites
    plan = plan_for(model, on=on, request=here, variant=variant, recipe_paths=paths, beside=False)
    asked = render.RenderRequest(
        name=name,
        image=image,
        gateway_image=gateway_image,
        store=store,
        address=request.host,
        port=request.port,
        disk_bytes_per_s=disk_mb_s and disk_mb_s * 1_000_000,
        recipe_paths=paths,
        directory=directory,
        kubernetes=parse_cluster(cluster or ()),
        force=force,
    )
    _act(target, render.deployment_of(plan, asked, request), output, check=check, as_json=as_json)


def _act(target: str, deployment: Deployment, output: Path, *, check: bool, as_json: bool) -> None:
    import shlex

    from selfhost.app import render, render_output
    from selfhost.cli import output as out
    from selfhost.cli.output import text
    from selfhost.errors import ExitCode

    rendered = render.render(target, deployment)
    difference = render_output.compare(rendered, output) if check else ""
    replaced = [] if check else render_output.write(rendered, output)
    if as_json:
        out.write_json(render.as_dict(target, deployment, rendered, output, difference if check else None))
    elif check:
        out.write_raw(difference)
    else:
        for file in rendered:
            out.write(str(output / file.path))
    for note in render.notes(target, deployment):
        out.note(note)
    if left := render_output.left_over(rendered, output):
        paths = [str(output / path) for path in left]
        out.note(text("render.left_over", command=shlex.join(["rm", "--", *paths])))
    if replaced:
        out.note(text("render.replaced", paths=", ".join(replaced)))
    if difference:
        raise typer.Exit(ExitCode.NO)
