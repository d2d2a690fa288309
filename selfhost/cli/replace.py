"""`selfhost replace` and `selfhost gateway`: servers that take each other's place, and what stands in front of them."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from selfhost.cli import complete, options
from selfhost.cli.options import AcceptLicense, EngineVersion, Offline, RecipePath, takes_settings
from selfhost.planner.plan import PlanRequest  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.app.replace import Means, Replaced
    from selfhost.cli.progress import StatusLine
    from selfhost.home import Home

_Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Name of the server, as `selfhost ps` shows it.", autocompletion=complete.servers
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("replace")(takes_settings(_replace))
    app.command("gateway")(_gateway)


def _replace(  # noqa: PLR0917 - Typer reads them by name
    name: _Name,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL", help="Another model [the same].", autocompletion=complete.models),
    ] = None,
    variant: Annotated[str | None, options.variant("Another checkpoint [the same].")] = None,
    gateway: Annotated[
        Path | None,
        typer.Option("--gateway", metavar="FILE", help="nginx.conf of the gateway in front of it, made by `gateway`."),
    ] = None,
    stop_first: Annotated[
        bool, typer.Option("--stop-first", help="End the old one first, where both do not fit at once: with a gap.")
    ] = False,
    drain: Annotated[
        float, typer.Option("--drain", metavar="S", min=0, help="Seconds in which the old one may finish answers.")
    ] = 600,
    force: Annotated[bool, typer.Option("--force", help="Start although it does not fit.")] = False,
    restart: Annotated[
        str | None,
        typer.Option(
            "--restart",
            metavar="POLICY",
            help="As in `serve` [the same].",
            autocompletion=complete.restart_policies,
        ),
    ] = None,
    accept_license: AcceptLicense = None,
    offline: Offline = False,
    engine_python: Annotated[
        Path | None, typer.Option("--engine-python", metavar="PYTHON", help="Python of another engine environment.")
    ] = None,
    engine_version: EngineVersion = None,
    recipe_path: RecipePath = None,
    as_json: options.Json = False,
    *,
    request: PlanRequest,
) -> None:
    """Have a new server take the place of one that serves: the old one goes on until the new one answers.

    Without settings the new one is as the old one; with them it differs in these. It listens on another port: behind a
    gateway clients notice nothing. When the new one fails, the old one goes on. Its name is NAME@2, NAME@3, ...; NAME
    means whichever serves.

        selfhost replace qwen2.5-7b --gateway gateway/nginx.conf

        selfhost replace qwen2.5-7b --engine-version 0.32.0 --max-model-len 16384

        selfhost replace qwen2.5-7b --stop-first
    """
    from selfhost import offline as switch
    from selfhost.app import replace
    from selfhost.app.gateway_switch import Gateway
    from selfhost.cli import output
    from selfhost.cli.progress import StatusLine
    from selfhost.home import find_home
    from selfhost.serve import restart as restarting

    switch.settle(flag=offline)
    options.one_engine(engine_python, engine_version)
    home = find_home()
    wish = replace.Wish(
        name=name,
        settings=request,
        target=model,
        variant=variant,
        engine_python=str(engine_python) if engine_python else None,
        engine_version=engine_version,
        recipe_paths=tuple(str(path) for path in recipe_path) if recipe_path else None,
        force=force,
        restart=str(restarting.parse(restart)) if restart else None,
        stop_first=stop_first,
        drain_s=drain,
        gateway=Gateway(gateway) if gateway else None,
    )
    with StatusLine() as line:
        done = replace.run(home, wish, _means(home, line, accept_license or ()))
    if as_json:
        output.write_json(_as_dict(done, wish.gateway is not None))
    else:
        output.write(done.new.url)


def _means(home: Home, line: StatusLine, accept: Sequence[str]) -> Means:
    from pathlib import Path

    from selfhost.app import replace, serve, serve_tools, start
    from selfhost.cli import output
    from selfhost.cli.moving import Terminal
    from selfhost.cli.serve import show_plan

    def tell(said: str) -> None:
        line.clear()
        output.note(said)

    def tools(request: serve.ServeRequest) -> serve.Tools:
        python = Path(request.engine_python) if request.engine_python else None
        recipes = [Path(path) for path in request.recipe_paths]
        found = serve_tools.real_tools(
            home, python, Terminal(before=line.clear), recipes, accept, request.engine_version
        )
        return found._replace(show_plan=show_plan, tell=tell)

    return replace.Means(tools=tools, report=start.StartReport(line.show), tell=tell)


def _as_dict(done: Replaced, behind_gateway: bool) -> dict[str, object]:
    from selfhost.app import servers

    return {
        "schema_version": 1,
        "replaced": done.old.name,
        "behind_gateway": behind_gateway,
        "server": servers.look(done.new).as_dict(),
    }


def _gateway(
    name: _Name,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where its files are written to.")],
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where it listens.")
    ] = "127.0.0.1:8080",
    certificate: Annotated[
        Path | None,
        typer.Option(
            "--certificate", metavar="DIR", help="With tls.crt and tls.key: listen with TLS.", show_default=False
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write the configuration of an nginx in front of a server: clients keep one address while servers are replaced.

    It lets through the routes of an OpenAI server and nothing else, asks for a key of its own file, and limits requests
    by key. Nothing is started.

        selfhost gateway qwen2.5-7b ./gateway --listen 0.0.0.0:8080
    """
    import os

    from selfhost.app import gateway_make
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.home import find_home

    where = os.path.abspath(certificate) if certificate else ""  # noqa: PTH100 - links stay what they are called
    made = gateway_make.make(find_home(), name, folder, listen, where)
    if as_json:
        output.write_json(made.as_dict())
        return
    output.write(str(made.configuration))
    output.note(text("gateway.made", url=made.url, listen=made.listen, folder=made.folder))
    output.note(text("gateway.key", keys=made.keys))
    output.note(text("gateway.start", command=made.command))
    output.note(text("gateway.replace", name=made.name, path=made.configuration))
