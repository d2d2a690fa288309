"""What the scripts refuse with has a class and a sentence here, and gives that its values."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from selfhost.app.quantize import run
from selfhost.messages import lookup
from tests.test_messages import fields

INSIDE = Path(run.__file__).resolve().parents[2] / "inside"


def refusals() -> list[tuple[str, str, list[str] | None]]:
    """(where, id, names of the values or None where they are built elsewhere)."""
    found = []
    for path in sorted(INSIDE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") != "Refused":
                continue
            if node.args and isinstance(node.args[0], ast.Constant):
                names = {keyword.arg for keyword in node.keywords}
                given = None if None in names else sorted(names)
                found.append((f"{path.name}:{node.lineno}", node.args[0].value, given))
    return found


def ids() -> dict[str, str]:
    """Every id that stands anywhere in a script: where."""
    found = {}
    for path in sorted(INSIDE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and re.fullmatch(r"quantize\.[a-z0-9_]+", text):
                found[text] = f"{path.name}:{node.lineno}"
    return found


def test_each_id_has_a_class_and_a_sentence():
    """Also those that are chosen before they are given to an error, or told as an event."""
    assert {"quantize.unwritable", "quantize.failed", "quantize.no_space"} <= set(ids())
    assert set(ids()) == set(run._KINDS)
    for message_id, where in ids().items():
        assert lookup(message_id).what, where


def test_there_are_some():
    assert len(refusals()) > 20


@pytest.mark.parametrize(("where", "message_id", "given"), refusals(), ids=lambda value: str(value)[:50])
def test_each_refusal_is_worded(where, message_id, given):
    assert message_id in run._KINDS, where
    wanted = fields(lookup(message_id)) - {"log"}
    assert given is None or wanted <= {*given}, where
