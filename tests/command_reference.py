"""Makes docs/commands.md from the help pages: `python -m tests.command_reference` writes it, a test compares it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from selfhost.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Iterator

PATH = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
_HEAD = """# Commands

The help pages, as `selfhost COMMAND --help` prints them. `selfhost --install-completion` completes commands, options,
recipes, variants, devices and the names of servers, keys and engines in bash, zsh and fish. Exit codes are in the
README. This file is made by `make docs`.
"""


def help_of(*words: str) -> str:
    """A help page, the same on every terminal."""
    done = CliRunner().invoke(app, [*words, "--help"], prog_name="selfhost", env={"COLUMNS": "100", "TERM": "dumb"})
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def commands(*words: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every command below some words, itself included, with its page; in the order of the pages."""
    page = help_of(*words)
    yield words, page
    _, _, listed = page.partition("\nCommands:\n")
    # A description goes on in the next line, further to the right.
    for name in re.findall(r"^  (\S+)", listed, re.MULTILINE):
        yield from commands(*words, name)


def reference() -> str:
    """The whole file."""
    parts = [_HEAD]
    for words, page in commands():
        title = " ".join(("selfhost", *words))
        parts.append(f"## {title}\n\n```text\n{page}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PATH.write_text(reference())
