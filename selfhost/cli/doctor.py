"""`selfhost doctor`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from selfhost.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfhost.app.doctor import Examined
    from selfhost.app.doctor.log import ReadLog
    from selfhost.doctor.log import Seen
    from selfhost.messages import Message


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("doctor")(_doctor)


def _doctor(  # noqa: PLR0917 - Typer reads them by name
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Read an engine's log instead (plain, gzip, or - for stdin)."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", help="Also write a redacted report of machine and log, for others to help."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Also whether this one runs here, and how long it takes to load.")
    ] = None,
    node: Annotated[
        list[Path] | None,
        typer.Option(
            "--node", metavar="FILE", help="Report of another node (--keep-addresses): compare the NPUs' network."
        ),
    ] = None,
    keep_addresses: Annotated[
        bool, typer.Option("--keep-addresses", help="Leave network addresses in the report.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Find out what is wrong with this machine, or what a log says; nothing is changed.

    Exit code 0 without errors (warnings allowed), 3 with errors: of the machine, or a failure in the log.

    Example: selfhost doctor --log engine.log
    """
    from selfhost.app.doctor.report import check_target
    from selfhost.errors import ExitCode, UsageError

    if report is not None:
        check_target(report)
    if log is not None and (model or node):
        raise UsageError("doctor.two_questions")
    if log is not None:
        failed = _of_log(log, report, keep_addresses=keep_addresses, as_json=as_json)
    else:
        failed = _of_machine(model, report, node or (), keep_addresses=keep_addresses, as_json=as_json)
    if failed:
        raise typer.Exit(ExitCode.NO)


def _of_machine(
    model: str | None, report: Path | None, others: Sequence[Path], *, keep_addresses: bool, as_json: bool
) -> bool:
    from selfhost.app.doctor import examine_here
    from selfhost.app.doctor.nodes import read_nodes
    from selfhost.app.doctor.report import write_report
    from selfhost.findings import Severity
    from selfhost.home import find_home

    home = find_home()
    examined = examine_here(home, model, nodes=read_nodes(others))
    if as_json:
        output.write_json(examined.as_dict())
    else:
        with output.people():
            _print_findings(examined)
    if report is not None:
        _print_note(write_report(report, examined, home, keep_addresses=keep_addresses))
    return bool(examined.count(Severity.ERROR))


def _print_note(message: Message) -> None:
    with output.people():
        for part in (message.what, message.why, message.hint):
            output.note(part)


def _print_findings(examined: Examined) -> None:
    from selfhost.cli.output import text
    from selfhost.doctor.links import link
    from selfhost.findings import Severity

    said = {
        Severity.ERROR: text("doctor.is_error"),
        Severity.WARNING: text("doctor.is_warning"),
        Severity.NOTE: text("doctor.is_note"),
    }
    for finding in examined.findings:
        message = finding.message
        output.write(
            text("doctor.line", severity=said[finding.severity], where=finding.where, what=message.what),
        )
        _print_details(message.why, message.hint, link(message.id))
    if not examined.findings:
        output.write(text("doctor.clean"))
    for missing in examined.facts.not_told:
        output.note(text("doctor.not_told", what=missing.what))
    counts = {f"{severity.value}s": examined.count(severity) for severity in Severity}
    output.note(text("doctor.summary", **counts))


def _print_details(why: str, hint: str, address: str | None) -> None:
    from selfhost.cli.output import text

    lines = why.splitlines()
    first, *rest = hint.splitlines() or [""]
    if first:
        lines += [text("doctor.fix", hint=first), *(f"     {line}" for line in rest)]
    if address:
        lines.append(text("doctor.see", link=address))
    for line in lines:
        output.write(f"    {line}")


def _of_log(path: Path, report: Path | None, *, keep_addresses: bool, as_json: bool) -> bool:
    from selfhost.app.doctor.log import read_log
    from selfhost.cli.output import text

    read = read_log(path)
    if as_json:
        output.write_json(read.as_dict())
    else:
        with output.people():
            _print_log(read)
        if read.cut:
            output.warn(read.cut)
        if read.reading.cause is None:
            output.note(text("doctor.log_clean", lines=read.reading.lines))
    if report is not None:
        from selfhost.app.doctor import examine_here
        from selfhost.app.doctor.report import write_report
        from selfhost.home import find_home

        home = find_home()
        examined = examine_here(home, None)
        _print_note(write_report(report, examined, home, read=read, keep_addresses=keep_addresses))
    return read.reading.cause is not None


def _print_log(read: ReadLog) -> None:
    from selfhost.cli.output import text

    if read.reading.cause:
        _print_seen(read.reading.cause, "doctor.log_cause")
    for seen in read.reading.others:
        _print_seen(seen, "doctor.log_symptom" if seen.clue else "doctor.log_also")
    if read.reading.others and read.reading.cause:
        output.note(text("doctor.log_first"))


def _print_seen(seen: Seen, message_id: str) -> None:
    from selfhost.cli.output import text
    from selfhost.doctor.links import link

    output.write(text(message_id, number=seen.number, what=seen.what))
    times = [text("doctor.log_times", count=seen.count)] if seen.count > 1 else []
    _print_details("\n".join([*seen.message.why.splitlines(), *times]), seen.message.hint, link(seen.message.id))
