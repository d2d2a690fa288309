"""`selfhost engine install|ls|path|remove|check`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (Typer reads the annotations when it runs)
from typing import TYPE_CHECKING

import typer

from selfhost.cli import complete

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.engines.environment import EngineEnvironment

NAME = typer.Argument(
    help="cuda, cpu, quantize or ascend; `selfhost engine ls` shows them.",
    show_default=False,
    autocompletion=complete.engines,
)
JSON = typer.Option(False, "--json", help="Print one JSON object.")

group = typer.Typer(
    name="engine",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Engine environments, from hashed locks: vLLM to serve, llm-compressor to quantize.",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(group)


@group.command()
def install(
    name: str = NAME,
    wheelhouse: Path = typer.Option(
        None, help="Install from this folder of wheels; no index is asked.", metavar="DIR", show_default=False
    ),
    ca_bundle: Path = typer.Option(
        None, help="Trust these certificates (PEM): of a corporate proxy.", metavar="FILE", show_default=False
    ),
    no_driver_check: bool = typer.Option(
        False, "--no-driver-check", help="Install although no suitable driver is here: to build an image."
    ),
) -> None:
    """Install an engine from its hashed lock.

    `quantize` is the build for NVIDIA GPUs where their driver is loaded, else the one without; `quantize-cuda` and
    `quantize-cpu` name one.

    Examples: selfhost engine install cpu; selfhost engine install cuda --wheelhouse /mnt/wheels.
    """
    import time

    from selfhost.app import engine
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.cli.progress import StatusLine
    from selfhost.engines.install import InstallOptions
    from selfhost.home import find_home
    from selfhost.units import format_duration

    home = find_home()
    spec = engine.spec_to_install(home, name, driver_check=not no_driver_check)
    if found := engine.existing(home, spec.name):
        output.note(text("engine.already", engine=found.name, version=found.version, path=found.path))
        return
    started = time.monotonic()
    options = InstallOptions(wheelhouse=wheelhouse, ca_bundle=ca_bundle, driver_check=not no_driver_check)
    if spec.note:
        output.note(text(spec.note))
    with StatusLine() as line:
        made = engine.install(
            home, spec.name, options, lambda progress: line.show(progress.phase, engine.told(spec.name, progress))
        )
    duration = format_duration(time.monotonic() - started)
    output.note(text("engine.installed", engine=made.name, version=made.version, path=made.path, duration=duration))


@group.command("ls")
def list_(json: bool = JSON) -> None:
    """List the engines that are installed, and those that can be."""
    from selfhost.app import engine, servers
    from selfhost.cli import output
    from selfhost.home import find_home

    home = find_home()

    def in_use(one: EngineEnvironment) -> list[str]:
        return servers.running_from(home, one.path)

    if json:
        output.write_json(engine.listing(home, in_use))
        return
    with output.people():
        for row in engine.rows(home, in_use):
            output.write(row)
        for line in engine.offers(home):
            output.note(line)


@group.command()
def path(name: str = NAME) -> None:
    """Print the folder of an installed engine; its Python is bin/python in it."""
    from selfhost.cli import output
    from selfhost.engines import environment
    from selfhost.home import find_home

    output.write(str(environment.require(find_home(), name).path))


@group.command()
def remove(
    name: str = typer.Argument(
        None, help="cuda, cpu or quantize; without --version all its environments.", autocompletion=complete.engines
    ),
    version: str = typer.Option(
        None,
        "--version",
        help="Only this one: 0.32.0, 0.32.0-433d4fcf.",
        metavar="V",
        show_default=False,
        autocompletion=complete.engine_versions,
    ),
    unused: bool = typer.Option(False, "--unused", help="What is of another lock, or unfinished, and runs no server."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Remove environments of an engine, unfinished ones included; never one that a server runs from.

    Examples: selfhost engine remove cpu --version 0.31.0; selfhost engine remove --unused.
    """
    from selfhost.app import engine, servers
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.engines import environment
    from selfhost.errors import UsageError
    from selfhost.home import find_home

    home = find_home()

    def in_use(one: EngineEnvironment) -> list[str]:
        return servers.running_from(home, one.path)

    if unused:
        if name or version:
            raise UsageError("versions.not_with_unused")
        found = engine.unused(home, in_use)
        if not found:
            output.note(text("versions.nothing_unused"))
            return
    elif name is None:
        raise UsageError("versions.which_to_remove")
    else:
        found = engine.removable(home, name, in_use, version)
    if not yes:
        _confirm(
            found, " ".join(filter(None, (name, version and f"--version {version}", "--unused" if unused else "")))
        )
    for one in found:
        environment.remove(one)
        output.note(text("engine.removed", path=one.path))


def _confirm(found: Sequence[EngineEnvironment], name: str) -> None:
    """Raises UsageError where nobody can be asked, NoError for a no."""
    import sys

    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.errors import NoError, UsageError

    paths = "\n".join(str(one.path) for one in found)
    if not (sys.stdin.isatty() and output.is_terminal()):
        raise UsageError("engine.remove_needs_yes", name=name, paths=paths)
    if not typer.confirm(text("engine.confirm_remove", path=paths.replace("\n", ", ")), err=True):
        raise NoError("engine.not_removed", name=name)


@group.command()
def check(name: str = NAME, json: bool = JSON) -> None:
    """Import an engine in its environment and print its versions; exit status 4 when that fails."""
    from selfhost.app import engine
    from selfhost.cli import output
    from selfhost.home import find_home

    told = engine.check(find_home(), name)
    if json:
        output.write_json(told)
    else:
        with output.people():
            for row in engine.check_rows(told):
                output.write(row)
    if warning := engine.lacks_cuda(told):
        output.warn(warning)
