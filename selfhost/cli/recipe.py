"""`selfhost recipe ls|show|lint|new`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from selfhost.cli import complete, options
from selfhost.cli.options import Offline  # noqa: TC001 - Typer reads it
from selfhost.columns import table
from selfhost.messages import word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfhost.app.lint import LintedFile
    from selfhost.app.recipe_new import Begun
    from selfhost.app.recipes import Listed

PATHS = typer.Option(
    [],
    "--recipe-path",
    metavar="PATH",
    help="Look here first: a directory with recipes, or one .toml file. May be repeated.",
)

group = typer.Typer(name="recipe", no_args_is_help=True, rich_markup_mode=None, help="What can be served.")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(group)


@group.command("ls")
def list_recipes(  # noqa: PLR0917 - Typer calls it by keyword
    family: str | None = typer.Option(
        None, "--family", metavar="NAME", help="Only of this family: `Qwen2.5`, `qwen`.", show_default=False
    ),
    engine: str | None = typer.Option(
        None,
        "--engine",
        metavar="NAME",
        help="Only what this engine can serve: `vllm`, `vllm-cpu`.",
        show_default=False,
    ),
    fits_here: bool = typer.Option(False, "--fits-here", help="Only what fits on this machine, or on --on."),
    on: Annotated[str | None, options.hardware("With --fits-here: plan for this hardware, as in `plan`.")] = None,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    recipe_path: list[Path] = PATHS,
) -> None:
    """List the recipes: your own and the built-in ones.

    Example: selfhost recipe ls --family Qwen2.5 --fits-here --on 2xL20.
    """
    from selfhost.app import recipes
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.recipe import present

    hardware = None
    if fits_here or on:
        from selfhost.app.detect import hardware_for
        from selfhost.home import find_home

        hardware = hardware_for(on, find_home())
    filters = recipes.Filters(family=family, engine=engine, hardware=hardware)
    found, skipped = recipes.ls(recipe_path, filters)
    for line in skipped:
        output.warn(line)
    if not found:
        output.note(text("recipe.none_matches"))
    if as_json:
        output.write_json({"schema_version": 1, "recipes": [_listed_json(listed) for listed in found]})
        return
    heads = (*present.COLUMNS, "VERDICT") if hardware else present.COLUMNS
    with output.people():
        rows = [present.as_row(one.recipe, one.variants, one.verdicts) for one in found]
        lines = table([[word(head) for head in heads], *rows])
    for line in lines:
        output.write(line)


def _listed_json(listed: Listed) -> dict[str, object]:
    from selfhost.recipe import present

    body = {**present.as_dict(listed.recipe), "path": str(listed.path), "matching_variants": list(listed.variants)}
    return body if listed.verdicts is None else {**body, "verdicts": listed.verdicts}


@group.command()
def show(
    name: str = typer.Argument(help="A recipe's name.", show_default=False, autocompletion=complete.recipes),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    recipe_path: list[Path] = PATHS,
) -> None:
    """Show what a recipe says, and where its facts are from.

    Example: selfhost recipe show smollm2-135m.
    """
    from selfhost.app import recipes
    from selfhost.app.quantize import report
    from selfhost.cli import output
    from selfhost.home import find_home
    from selfhost.recipe import present

    recipe, path = recipes.find(name, recipe_path)
    losses = report.of_recipe(recipe, find_home())
    if as_json:
        output.write_json({**present.as_dict(recipe), "path": str(path), "losses": losses})
        return
    with output.people():
        lines = [*present.as_lines(recipe, str(path)), *present.loss_lines(losses)]
    for line in lines:
        output.write(present.printable(line))


@group.command("lint")
def lint_recipes(
    what: list[str] = typer.Argument(
        None,
        metavar="[NAME|FILE]...",
        help="Recipes or .toml files [all recipes].",
        autocompletion=complete.recipes,
    ),
    strict: bool = typer.Option(False, "--strict", help="Warnings count too."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    recipe_path: list[Path] = PATHS,
) -> None:
    """Look for mistakes in recipes that are valid as files.

    Exit code 0 when nothing is wrong (warnings allowed, unless --strict), 3 with findings, 2 for a file that cannot be
    read as a recipe: then with every mistake in it.

    Example: selfhost recipe lint ./my-model.toml --strict.
    """
    from selfhost.app.lint import lint_recipes
    from selfhost.cli import output
    from selfhost.cli.output import text
    from selfhost.errors import ExitCode
    from selfhost.findings import Severity

    linted = lint_recipes(what or [], recipe_path)
    errors, warnings = (sum(file.count(bad) for file in linted) for bad in (Severity.ERROR, Severity.WARNING))
    unreadable = sum(file.unreadable is not None for file in linted)
    if as_json:
        body = {"errors": errors, "warnings": warnings, "unreadable": unreadable}
        output.write_json({"schema_version": 1, **body, "recipes": [file.as_dict() for file in linted]})
    hinted: set[str] = set()
    for file in linted:
        if file.unreadable is not None:
            output.print_message(file.unreadable)
        elif not as_json:
            with output.people():
                _print_findings(file, hinted)
    clean, read = not (errors or warnings), len(linted) - unreadable
    if read or not unreadable:
        output.note(
            text("lint.clean", count=read)
            if clean
            else text("lint.count", count=read, errors=errors, warnings=warnings)
        )
    if unreadable:
        raise typer.Exit(ExitCode.USAGE)
    if errors or (strict and warnings):
        raise typer.Exit(ExitCode.NO)


@group.command("new")
def new(  # noqa: PLR0917 - Typer calls it by keyword
    what: str = typer.Argument(
        metavar="REPO|DIR",
        help="A hub id, or a directory with config.json and safetensors.",
        show_default=False,
        autocompletion=complete.directories,
    ),
    name: str | None = typer.Option(
        None, "--name", metavar="NAME", help="Of the recipe; of the variant with --variant-of.", show_default=False
    ),
    family: str | None = typer.Option(None, "--family", metavar="NAME", help="Its family.", show_default=False),
    title: str | None = typer.Option(None, "--title", metavar="TEXT", help="Its title.", show_default=False),
    variant_of: str | None = typer.Option(
        None,
        "--variant-of",
        metavar="RECIPE",
        help="Add it to this recipe: it is another checkpoint of the same model.",
        show_default=False,
        autocompletion=complete.recipes,
    ),
    output: str | None = typer.Option(
        None, "--output", metavar="FILE", help="Write NAME.toml here; `-`: to stdout.", show_default=False
    ),
    force: bool = typer.Option(False, "--force", help="Replace what is there."),
    source: str | None = typer.Option(
        None,
        "--source",
        metavar="SOURCE",
        help="`huggingface`, `modelscope`, or an address of a mirror; without it the first that answers.",
        show_default=False,
        autocompletion=complete.sources,
    ),
    revision: str | None = typer.Option(
        None, "--revision", help="Commit, branch or tag; the commit is written down.", show_default=False
    ),
    offline: Offline = False,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    recipe_path: list[Path] = PATHS,
) -> None:
    """Begin a recipe from what a hub or a directory says of a model: config, sizes, licence, sampling; no weights.

    It is written to $SELFHOST_HOME/recipes/NAME.toml; what could not be had stands in it as TODO.

    Example: selfhost recipe new org/model --output -.
    """
    from selfhost.app import recipe_new
    from selfhost.cli import output as out
    from selfhost.offline import settle

    settle(flag=offline)
    begun = recipe_new.begin(
        recipe_new.NewRequest(
            what=what,
            name=name,
            family=family,
            title=title,
            variant_of=variant_of,
            output=output,
            source=source,
            revision=revision,
            force=force,
            recipe_paths=recipe_path,
        )
    )
    if as_json:
        out.write_json(begun.as_dict())
        return
    if begun.path is None:
        out.write_raw(begun.content)
    else:
        out.write(str(begun.path))
    _tell(begun)


def _tell(begun: Begun) -> None:
    """What is left to do, on stderr: the recipe itself, or where it is, is the data."""
    from selfhost.cli import output
    from selfhost.messages import text

    for todo in begun.todos:
        output.note(text("draft.left_line", todo=todo))
    if begun.linted.unreadable is not None:
        output.print_message(begun.linted.unreadable)
    for line in _lines(begun.linted, set()):
        output.note(line)
    for note in begun.notes:
        output.warn(note)
    for line in begun.next_steps if begun.path is not None else ():
        output.note(line)


def _print_findings(file: LintedFile, hinted: set[str]) -> None:
    """One line each, with the figures; what to do about a kind of finding is said once."""
    from selfhost.cli import output

    for line in _lines(file, hinted):
        output.write(line)


def _lines(file: LintedFile, hinted: set[str]) -> Iterator[str]:
    from selfhost.cli.output import text

    for finding in file.findings:
        message = finding.message
        yield text(
            "lint.line", path=file.path, severity=word(finding.severity.value), where=finding.where, what=message.what
        )
        hints = () if message.id in hinted else message.hint.splitlines()
        hinted.add(message.id)
        for line in (*message.why.splitlines(), *(text("lint.hint", hint=line) for line in hints)):
            yield f"  {line}"
