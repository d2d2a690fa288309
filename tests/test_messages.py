"""Every message id that is used exists, gets the values its sentences name, and keeps to the rules of the catalogue."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import string
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import selfhost.messages.en as english
import selfhost.messages.zh as chinese
from selfhost.messages import Message

if TYPE_CHECKING:
    from selfhost.messages import Text


PACKAGE = Path(english.__file__).resolve().parents[2]
RAISERS = {"text", "Message", "EngineFailedError"} | {
    f"{name}Error" for name in ("Selfhost", "Usage", "No", "Missing", "Integrity", "Trust", "Incomplete", "NoSpace")
}
GIVEN_BY_ERROR = {"EngineFailedError": {"returncode"}}


def catalogue(language=english) -> dict[str, Text]:
    """All messages of all areas."""
    found: dict[str, Text] = {}
    for module in pkgutil.iter_modules(language.__path__):
        messages = importlib.import_module(f"{language.__name__}.{module.name}").MESSAGES
        assert all(key.startswith(f"{module.name}.") for key in messages), module.name
        found |= messages
    return found


def uses() -> list[tuple[str, str, list[str] | None, str]]:
    """(where, id, keyword names or None when they are built elsewhere, callable) of each literal use in the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if name not in RAISERS or not isinstance(first, ast.Constant) or "." not in str(first.value):
                continue
            names: set[str] | None = {keyword.arg for keyword in node.keywords if keyword.arg}
            if any(keyword.arg is None for keyword in node.keywords):
                names = None
            if name == "Message":
                values = node.args[1] if len(node.args) > 1 else None
                if isinstance(values, ast.Dict) and all(isinstance(key, ast.Constant) for key in values.keys):
                    names = {key.value for key in values.keys if isinstance(key, ast.Constant)}
                else:
                    names = set() if values is None else None
            given = None if names is None else sorted(names)
            found.append((f"{path.relative_to(PACKAGE)}:{node.lineno}", str(first.value), given, name))
    return found


def fields(text: Text) -> set[str]:
    """Names of the placeholders in the three templates."""
    return {
        name.split(".")[0].split("[")[0]
        for template in text
        for _, name, _, _ in string.Formatter().parse(template)
        if name is not None
    }


@pytest.mark.parametrize(("where", "message_id", "given", "callee"), uses(), ids=lambda value: str(value)[:60])
def test_each_message_that_is_used_exists_and_gets_its_values(where, message_id, given, callee):
    text = catalogue().get(message_id)
    assert text is not None, f"{where}: no message {message_id}"
    if given is not None:
        lacking = fields(text) - {*given} - GIVEN_BY_ERROR.get(callee, set())
        assert not lacking, f"{where}: {message_id} needs {sorted(lacking)}"


def test_no_message_is_unused():
    sources = "\n".join(p.read_text() for p in PACKAGE.rglob("*.py") if "messages" not in p.parts)
    # `messages.word` finds its own by what they say in English; some callers put spaces for underscores first.
    names = {key: text.what if key.startswith("word.") else key for key, text in catalogue().items()}
    quoted = set(re.findall(r"""["']([\w .-]+)["']""", sources))
    unused = [key for key, name in names.items() if not {name, name.replace(" ", "_")} & quoted]
    assert unused == []


@pytest.mark.parametrize(("key", "text"), sorted(catalogue().items()), ids=lambda value: str(value)[:40])
def test_sentences_keep_to_the_rules(key, text):
    assert text.what, f"{key}: what happened must be said"
    assert "\n" not in text.what, f"{key}: `what` is one line"
    for template in text:
        assert not template.endswith("."), f"{key}: no trailing period"
        assert "simply" not in template.lower(), key


def test_what_a_server_says_does_not_drive_the_terminal():
    said = Message("places.bad_list", {"path": "a\x1b]0;owned\x07\x9b2J", "detail": "x\u202e\ny\ud800"})
    assert said.what == r"`a\u001b]0;owned\u0007\u009b2J` is not a list of files"
    assert said.why == "x\\u202e\ny\\ud800"


def filled(template: str) -> list[tuple[str | None, ...]]:
    """The placeholders with their conversions and formats, wherever they stand."""
    found = {(name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(template) if name}
    return sorted(found, key=str)


def literals(template: str) -> set[str]:
    """What stands in backticks: commands, options, paths, names."""
    return set(re.findall(r"`[^`]+`", template))


def test_every_message_is_translated_and_none_besides():
    assert set(catalogue(chinese)) == set(catalogue())


@pytest.mark.parametrize(("key", "text"), sorted(catalogue(chinese).items()), ids=lambda value: str(value)[:40])
def test_a_translation_says_what_english_says(key, text):
    for name, said, meant in zip(text._fields, text, catalogue()[key], strict=True):
        where = f"{key}.{name}"
        assert bool(said) == bool(meant), f"{where}: is said in both languages, or in none"
        assert filled(said) == filled(meant), f"{where}: the same placeholders"
        assert literals(said) == literals(meant), f"{where}: what can be pasted stays as it is"
        assert said.count("\n") == meant.count("\n"), f"{where}: as many lines"
        assert not said.endswith(("。", ".")), f"{where}: no stop at the end"
        said.encode("gb18030")
        prose = re.sub(r"`[^`]*`|{[^}]*}", "", said)
        assert not re.search(r"[\u4e00-\u9fff][,;:?!()]", prose), f"{where}: punctuation of Chinese is full-width"
