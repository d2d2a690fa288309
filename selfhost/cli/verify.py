"""`selfhost verify`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from selfhost.cli import complete, output
from selfhost.cli.options import Offline  # noqa: TC001 - Typer reads it

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfhost.app.verify import Report
    from selfhost.cli.progress import StatusLine

_PANEL = "Files"
_QUIET_S = 1.0


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("verify", rich_help_panel=_PANEL)(_verify)


def _verify(  # noqa: PLR0917 - Typer reads them by name
    model: str = typer.Argument(
        help="A recipe's name or hub id, `org/name`, or a directory.",
        show_default=False,
        autocompletion=complete.stored_models,
    ),
    variant: str = typer.Option(None, "--variant", help="Which one, where several are stored.", show_default=False),
    repair: bool = typer.Option(False, "--repair", help="Put right what is wrong; fetches only that."),
    source: str = typer.Option(
        None,
        "--source",
        metavar="SOURCE",
        help="Where to repair from, as for `pull`; without it where the model came from.",
        show_default=False,
        autocompletion=complete.sources,
    ),
    offline: Offline = False,
    workers: int = typer.Option(
        None, "--workers", min=1, help="Files to read at a time [one per core].", metavar="N", show_default=False
    ),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Read every byte of a model and compare it with what was written down when it was downloaded. Asks no network.

    An interrupted run goes on where it was. Exit code 5: damaged, with file and range; 7: files are missing.

    Examples: selfhost verify qwen2.5-7b; selfhost verify qwen2.5-7b --repair; selfhost verify ./DIRECTORY.
    """
    from selfhost import offline as switch
    from selfhost.app import verify
    from selfhost.cli.progress import StatusLine
    from selfhost.home import find_home

    switch.settle(flag=offline)
    home = find_home()
    target = verify.find_target(model, variant, home)
    with StatusLine() as line:

        def note(said: str) -> None:
            line.clear()
            output.note(said)

        told = verify.Told(progress=_progress(line), note=lambda message: note(message.what))
        report = verify.run(target, home, workers, told)
        if repair:
            from selfhost.app import pieces

            for file in (*report.damaged, *report.missing):
                note(verify.described(file))
            report = verify.put_right(report, home, lambda lock: pieces.open_source(lock, source), told)
    if as_json:
        output.write_json(report.as_dict())
    _print_report(report, quiet=as_json)
    if report.problem:
        output.print_error(report.problem)
        raise typer.Exit(int(report.problem.code))


def _progress(line: StatusLine, clock: Callable[[], float] = time.monotonic) -> Callable[[str, int, int], None]:
    """Shows how far a phase is, once it has taken a second: what is over at once needs no line."""
    began: dict[str, float] = {}

    def show(phase: str, done: int, total: int) -> None:
        from selfhost.cli.output import text
        from selfhost.units import format_bytes, format_duration

        now = clock()
        spent = now - began.setdefault(phase, now)
        if spent < _QUIET_S:
            return
        rate = done / spent
        left = format_duration((total - done) / rate) if rate else "?"
        line.show(
            phase,
            text(
                "verify.progress",
                phase=phase,
                done=format_bytes(done),
                total=format_bytes(total),
                rate=format_bytes(rate),
                left=left,
            ),
        )

    return show


def _print_report(report: Report, *, quiet: bool) -> None:
    from selfhost.app.verify import described
    from selfhost.cli.output import text
    from selfhost.units import format_bytes

    for file in report.extra:
        with output.people():
            output.warn(described(file))
    for error in report.structure:
        if error is not report.problem:
            output.warn(text("verify.structure_lacks", what=error.message.what))
    if report.problem is None and not quiet:
        size = sum(file.size or 0 for file in report.files if file not in report.extra)
        count = len(report.files) - len(report.extra)
        output.write(text("verify.whole", name=report.target.name, count=count, size=format_bytes(size)))
