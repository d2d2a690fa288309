"""`selfhost recipe ls|show`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations

import typer

PATHS = typer.Option(
    [], "--recipe-path", help="Look here first: a directory with recipes, or one .toml file. May be repeated."
)

group = typer.Typer(name="recipe", no_args_is_help=True, rich_markup_mode=None, help="What can be served.")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(group)


@group.command("ls")
def list_recipes(
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    recipe_path: list[Path] = PATHS,
) -> None:
    """List the recipes: your own and the built-in ones."""
    from selfhost.app import recipes
    from selfhost.cli import output
    from selfhost.recipe import present

    found, skipped = recipes.ls(recipe_path)
    for line in skipped:
        output.warn(line)
    if as_json:
        output.write_json({"schema_version": 1, "recipes": [present.as_dict(recipe) for recipe in found]})
        return
    rows = [present.COLUMNS, *(present.as_row(recipe) for recipe in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(present.COLUMNS))]
    for row in rows:
        output.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@group.command()
def show(
    name: str = typer.Argument(help="A recipe's name.", show_default=False),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
    recipe_path: list[Path] = PATHS,
) -> None:
    """Show what a recipe says, and where its facts are from.

    Example: selfhost recipe show smollm2-135m.
    """
    from selfhost.app import recipes
    from selfhost.cli import output
    from selfhost.recipe import present

    recipe, path = recipes.find(name, recipe_path)
    if as_json:
        output.write_json({**present.as_dict(recipe), "path": str(path)})
        return
    for line in present.as_lines(recipe, str(path)):
        output.write(line)
