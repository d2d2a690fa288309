"""`selfhost smoke|accept`."""

from __future__ import annotations

from typing import Annotated

import typer

from selfhost.cli import complete
from selfhost.cli.options import EnginePython, Model, Offline, RecipePath, takes_settings
from selfhost.planner.plan import PlanRequest  # noqa: TC001 - Typer reads the annotations


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("smoke")(takes_settings(_smoke))
    app.command("accept")(_accept)


def _smoke(  # noqa: PLR0917 - Typer reads them by name
    model: Model,
    variant: Annotated[
        str | None,
        typer.Option(
            "--variant",
            help="Which checkpoint's format; without it the one that would be served.",
            show_default=False,
            autocompletion=complete.variants,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the server [smoke-MODEL].", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Although the Ascend stack does not match.")] = False,
    offline: Offline = False,
    engine_python: EnginePython = None,
    recipe_path: RecipePath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    *,
    request: PlanRequest,
) -> None:
    """Prove this machine before weights are moved: start, ask and stop a small model of the same build and layout.

    The weights are random, few layers and experts are kept, and what was left out is told. The model's files are not
    needed. Driver, collective library, shared memory, memory and ports are those that `selfhost serve` would use.

    Examples: selfhost smoke deepseek-v3; selfhost smoke qwen2.5-72b --tensor-parallel-size 4 --json.
    """
    from selfhost import offline as switch
    from selfhost.app import serve, serve_tools, smoke
    from selfhost.cli import output
    from selfhost.cli.moving import Terminal
    from selfhost.cli.output import text
    from selfhost.cli.progress import StatusLine
    from selfhost.home import find_home
    from selfhost.units import format_duration

    switch.settle(flag=offline)
    home = find_home()
    wanted = serve.ServeRequest(target=model, plan=request, variant=variant, name=name, force=force, detached=True)
    with StatusLine() as line:
        tools = serve_tools.real_tools(home, engine_python, Terminal(before=line.clear), recipe_path or ())
        report = smoke.run(home, wanted, tools, smoke.Tell(output.note, output.warn, line.show))
    if as_json:
        output.write_json(report.as_dict())
    else:
        for stage in report.lines():
            output.write(stage)
    duration = format_duration(report.seconds)
    if report.error is None:
        output.note(text("smoke.passed", duration=duration, name=report.whole.model))
        return
    output.note(text("smoke.failed", duration=duration))
    output.print_error(report.error)
    raise typer.Exit(report.error.code)


def _accept(
    name: str = typer.Argument(
        None, help="Name of the server; may be left out when only one runs.", autocompletion=complete.servers
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Ask a running server what it must get right: template, known answer, end, tools, thoughts, streams, keys.

    A check passes, fails (exit code 3), or is not shown, where the model or the server has nothing to show it with.

    Examples: selfhost accept qwen2.5-7b; selfhost accept --json.
    """
    from selfhost.app import acceptance
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.errors import NoError
    from selfhost.home import find_home

    found = acceptance.accept(find_home(), name)
    if as_json:
        output.write_json(found.as_dict())
    else:
        for check in found.checks:
            output.write(f"{check.name:9}  {check.outcome.value.replace('_', ' '):9}  {check.detail}")
    if found.accepted:
        output.note(text("acceptance.accepted", name=found.server))
        return
    listed = "\n".join(f"{check.name}: {check.detail}" for check in found.failed)
    error = NoError("acceptance.failed", name=found.server, count=len(found.failed), listed=listed)
    output.print_error(error)
    raise typer.Exit(error.code)
