"""`selfhost render --lint`: another command behind the same name, since it takes files instead of a plan."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from selfhost.cli import options

if TYPE_CHECKING:
    from selfhost.app.render_lint import LintedDeployment

FLAG = "--lint"


class RenderCommand(TyperCommand):
    """`render`, which becomes `lint_rendered` when `--lint` is among its arguments."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of whichever command was meant."""
        words = args[: args.index("--")] if "--" in args else args
        if FLAG not in words:
            return super().make_context(info_name, args, parent, **extra)
        # Not `rest`: what stands after `--` is files as well.
        left = [word for number, word in enumerate(args) if word != FLAG or number >= len(words)]
        return _command().make_context(f"{info_name} {FLAG}", left, parent, **extra)


def _command() -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(lint_rendered)
    return typer.main.get_command(app)


def lint_rendered(  # noqa: PLR0917 - Typer reads them by name
    what: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE|DIR...", help="Files, or directories of them.", show_default=False),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="RULE", help="Leave out a rule: `R5`; may be repeated.", show_default=False),
    ] = None,
    on: Annotated[str | None, options.hardware("The hardware they are for: `8x910B3`.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The model they are for: a recipe or a directory.", show_default=False)
    ] = None,
    variant: Annotated[str | None, options.variant("Which checkpoint of it.")] = None,
    disk_mb_s: Annotated[
        int | None,
        typer.Option("--disk-mb-s", help="How fast weights are read, MB/s [200].", min=1, show_default=False),
    ] = None,
    cuda: Annotated[
        str | None,
        typer.Option("--cuda", metavar="VERSION", help="What the driver there runs, as `nvidia-smi` prints it."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", metavar="FILE", help="List of the images that are brought.")
    ] = None,
    rules: Annotated[bool, typer.Option("--rules", help="List the rules, R1 to R20, and end.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count too.")] = False,
    as_json: options.Json = False,
) -> None:
    """Check deployment files, ours or anybody's: compose, quadlet, systemd, Kubernetes, nginx, alert rules.

    Exit code 0 when nothing is wrong (warnings allowed, unless --strict), 3 with findings; 2, 5 or 7 when the files
    cannot be checked. The rules: selfhost render --lint --rules.

    Example: selfhost render --lint compose.yaml --ignore R5.
    """
    from selfhost.app.render_lint import LintRequest, lint_files
    from selfhost.cli import output
    from selfhost.errors import ExitCode
    from selfhost.findings import Severity

    if rules:
        _print_rules(as_json=as_json)
        return
    asked = LintRequest(
        ignore=ignore or (),
        on=on,
        model=model,
        variant=variant,
        disk_bytes_per_s=disk_mb_s and disk_mb_s * 1_000_000,
        cuda=cuda,
        images=images,
    )
    linted = lint_files(what or (), asked)
    if as_json:
        output.write_json(linted.as_dict())
    else:
        with output.people():
            _print(linted)
    if linted.count(Severity.ERROR) or (strict and linted.count(Severity.WARNING)):
        raise typer.Exit(ExitCode.NO)


def _print_rules(*, as_json: bool) -> None:
    from selfhost.app.render_lint import rule_list
    from selfhost.cli import output

    listed = rule_list()
    if as_json:
        output.write_json({"schema_version": 1, "rules": [{"rule": name, "text": said} for name, said in listed]})
        return
    for name, said in listed:
        output.write(f"{name:3}  {said}")


def _print(linted: LintedDeployment) -> None:
    """One line each, with the facts; what to do about a kind of finding is said once."""
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.messages import word
    from selfhost.render.lint import rule_of

    hinted: set[str] = set()
    for finding in linted.findings:
        message, rule = finding.message, rule_of(finding)
        output.write(
            text(
                "render_lint.line",
                where=finding.where,
                severity=word(finding.severity.value),
                rule=f" {rule}" if rule else "",
                what=message.what,
            )
        )
        said = [message.why] if message.id in hinted else [message.why, message.hint]
        hinted.add(message.id)
        for line in "\n".join(filter(None, said)).splitlines():
            output.write(f"    {line}")
    if not linted.findings:
        output.note(text("render_lint.clean", count=len(linted.files)))
