"""The keys that lint knows are those that the reader of configs asks for: one list must not drift from the other."""

from __future__ import annotations

import ast
from pathlib import Path

from selfhost import models
from selfhost.recipe.lint_config import KEYS

READERS = {(owner, name) for owner in ("reader", "config", "self") for name in ("integer", "number", "flag", "get")} | {
    ("reader", name) for name in ("section", "numbers", "words")
}

# Keys of nested objects, which lint does not look into.
OF_SECTIONS = {"factor", "original_max_position_embeddings"}


def keys_that_are_read() -> set[str]:
    """First arguments of `reader.integer("key", "alias")`, `reader.flag`, `reader.section` and `config.get("key")`."""
    found = set()
    for module in sorted(Path(models.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = node.func.value
            if isinstance(owner, ast.Name) and (owner.id, node.func.attr) in READERS:
                found |= {word.value for word in node.args if isinstance(word, ast.Constant) and word.value != ""}
    return {word for word in found if isinstance(word, str)} - OF_SECTIONS


def test_every_key_that_is_read_is_known_to_lint():
    read = keys_that_are_read()
    assert {"hidden_size", "n_routed_experts", "torch_dtype"} <= read
    assert read - KEYS == set()
