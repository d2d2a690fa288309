"""docs/commands.md says what the commands say of themselves."""

from __future__ import annotations

from selfhost.cli.main import app
from tests import command_reference


def test_the_reference_is_what_the_help_pages_are():
    """`make docs` writes it again."""
    assert command_reference.PATH.read_text() == command_reference.reference()


def test_every_command_has_its_page():
    found = {words for words, _ in command_reference.commands()}
    groups = {group.typer_instance.info.name for group in app.registered_groups}
    names = {command.name for command in app.registered_commands}
    assert {(name,) for name in groups | names} <= found
    assert ("key", "new") in found
    assert ("engine", "install") in found


def test_every_command_says_what_it_does_and_how():
    for words, page in command_reference.commands():
        usage, _, rest = page.partition("\n\n")
        assert usage.startswith(" ".join(["Usage: selfhost", *words]))
        assert rest.strip()[0].isupper(), words
