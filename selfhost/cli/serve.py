"""`selfhost serve`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from selfhost.cli import complete, options
from selfhost.cli.options import AcceptLicense, EnginePython, EngineVersion, Model, Offline, RecipePath, takes_settings
from selfhost.planner.plan import PlanRequest  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from selfhost.planner.plan import Plan
    from selfhost.serve.certificate import Pair
    from selfhost.serve.records import Record


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("serve")(takes_settings(_serve))


def _serve(  # noqa: PLR0917 - Typer reads them by name
    model: Model,
    variant: Annotated[str | None, options.variant()] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the server.", show_default=False)] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once it is ready; it goes on.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Start although it does not fit, or the Ascend stack does not match.")
    ] = False,
    restart: Annotated[
        str,
        typer.Option(
            "--restart",
            metavar="POLICY",
            help="What to do when a server that was ready fails: never, on-failure, on-failure:N (N times in a row).",
            autocompletion=complete.restart_policies,
        ),
    ] = "never",
    ssl_certfile: Annotated[
        Path | None,
        typer.Option("--ssl-certfile", metavar="FILE", help="Serve HTTPS with this certificate.", show_default=False),
    ] = None,
    ssl_keyfile: Annotated[
        Path | None, typer.Option("--ssl-keyfile", metavar="FILE", help="The key of it.", show_default=False)
    ] = None,
    accept_license: AcceptLicense = None,
    offline: Offline = False,
    engine_python: EnginePython = None,
    engine_version: EngineVersion = None,
    recipe_path: RecipePath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object once it is ready.")] = False,
    *,
    request: PlanRequest,
) -> None:
    """Start a server: plan, make sure of the weights, start, wait until it answers. Ctrl-C stops it.

    Beside servers that run already it takes devices that they do not hold, or says which of them is in the way.

    Examples: selfhost serve qwen2.5-7b; selfhost serve ./model -d --max-model-len 8192 --devices 0,1;
    selfhost serve qwen2.5-7b -d --restart on-failure.
    """
    import signal

    from selfhost import offline as switch
    from selfhost.app import boot, serve, serve_tools, servers, start
    from selfhost.cli import output
    from selfhost.cli.moving import Terminal
    from selfhost.cli.output import text
    from selfhost.cli.progress import StatusLine
    from selfhost.errors import ExitCode, SelfhostError
    from selfhost.home import find_home
    from selfhost.serve import restart as restarting

    switch.settle(flag=offline)
    home = find_home()
    wanted = serve.ServeRequest(
        target=model,
        plan=request,
        variant=variant,
        name=name,
        force=force,
        detached=detach,
        restart=str(restarting.parse(restart)),
        engine_python=str(engine_python) if engine_python else None,
        engine_version=engine_version,
        recipe_paths=tuple(str(path) for path in recipe_path or ()),
        tls=_pair(ssl_certfile, ssl_keyfile),
    )
    options.one_engine(engine_python, engine_version)

    told: list[Record] = []

    def tell_ready(record: Record) -> None:
        told.append(record)
        line.clear()
        server = servers.look(record).as_dict()
        if as_json:
            output.write_json(server)
        else:
            output.write(record.url)
        output.note(text("serve.ready", url=record.url, model=record.served_model_name))
        for said in boot.ready_lines(home, record):
            output.note(said)
        output.note(text("serve.detached" if detach else "serve.foreground", name=record.name))

    with StatusLine() as line:
        talk = Terminal(before=line.clear)
        tools = serve_tools.real_tools(
            home, engine_python, talk, recipe_path or (), accept_license or (), engine_version
        )
        tools = tools._replace(show_plan=show_plan, tell=output.note)
        prepared = serve.prepare(home, wanted, tools)
        record, orders = serve.claim(home, wanted, prepared)
        _tell_claimed(record)
        report = start.StartReport(line.show)
        if detach:
            record = start.run_detached(home, record, orders, report)
        else:
            try:
                number = start.run_foreground(home, record, orders, report, tell_ready)
            except SelfhostError as error:
                if not (as_json and told):
                    raise
                output.print_error(error)  # stdout has its one object already
                raise typer.Exit(error.code) from error
    if detach:
        tell_ready(record)
    elif number is not None:
        output.note(text("serve.ended", name=record.name))
        raise typer.Exit(ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED)


def _pair(certfile: Path | None, keyfile: Path | None) -> Pair | None:
    from selfhost.errors import UsageError
    from selfhost.serve.certificate import Pair

    if certfile and keyfile:
        return Pair(certfile=certfile, keyfile=keyfile)
    if certfile or keyfile:
        raise UsageError("tls.both", flag="--ssl-certfile" if certfile else "--ssl-keyfile")
    return None


def _tell_claimed(record: Record) -> None:
    from selfhost.cli import output
    from selfhost.cli.output import text

    if record.forced:
        output.warn(text("serve.forced"))
    if record.devices:
        output.note(text("serve.devices", devices=", ".join(record.devices)))


def show_plan(plan: Plan) -> None:
    """A short drawing of a plan, before what it takes is fetched or started."""
    import shutil

    from selfhost.cli import output
    from selfhost.planner.picture import draw_short

    with output.people():
        output.note(draw_short(plan, width=shutil.get_terminal_size((100, 24)).columns))
