"""The keys that lint knows are those that the reader of configs asks for: one list must not drift from the other."""

from __future__ import annotations

import ast
import inspect

from selfhost.models import arch
from selfhost.recipe.lint_config import KEYS


def keys_that_are_read() -> set[str]:
    """First arguments of `reader.integer("key", "alias")`, `reader.flag`, `reader.section` and `config.get("key")`."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(arch))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value
        if isinstance(owner, ast.Name) and (owner.id, node.func.attr) in {
            ("reader", "integer"),
            ("reader", "flag"),
            ("reader", "section"),
            ("config", "get"),
        }:
            found |= {
                word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)
            }
    return found - {""}  # a default


def test_every_key_that_is_read_is_known_to_lint():
    read = keys_that_are_read()
    assert {"hidden_size", "n_routed_experts", "torch_dtype"} <= read
    assert read - KEYS == set()
