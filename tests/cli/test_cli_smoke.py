"""`selfhost smoke` and `accept` at the command line: refusals and their exit codes, before anything is started."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("smoke", "no-such-model"), 2, "recipe.unknown_near"),
        (("smoke", "qwen2.5-0.5b", "--variant", "none"), 2, "recipe.unknown_variant"),
        (("smoke", "qwen2.5-0.5b", "--port", "80", "--", "--api-key", "x"), 2, "owned.keys"),
        (("smoke", "qwen2.5-0.5b"), 4, "engine.not_installed"),
        (("accept", "none"), 3, "serve.unknown_server"),
        (("accept",), 3, "serve.none_running"),
    ],
)
def test_what_cannot_be_asked_for(arguments, code, message, selfhost, home):
    command, *rest = arguments
    found, out, err = selfhost(command, "--json", *rest)
    assert (found, json.loads(out)["error"]["id"]) == (code, message), err
    assert not list(home.glob("servers/*/server.json"))
