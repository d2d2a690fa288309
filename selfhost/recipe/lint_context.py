"""Lint rule: the context a recipe is served with against what its positions reach."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from selfhost.findings import Finding, Severity
from selfhost.messages import Message
from selfhost.recipe.table import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selfhost.models.arch import ModelArch
    from selfhost.recipe.schema import Recipe, Variant

# With these the config's `max_position_embeddings` is already the extended one (vLLM 0.32 config/model.py
# `_get_and_verify_max_len`).
_ALREADY_EXTENDED = ("default", "llama3", "longrope", "su", "mrope")
_OVERRIDES = "--hf-overrides"


def context_findings(where: str, recipe: Recipe, variant: Variant, arch: ModelArch) -> Iterator[Finding]:
    """A finding when more tokens are served than the positions reach; one when `long_context` promises too much."""
    served = recipe.serving.max_model_len or recipe.context
    key = "serving.max_model_len" if recipe.serving.max_model_len else "context"
    longest = max(_reach(arch), _overridden(recipe.serving.engine_args) or 0)
    if served > longest:
        params = {"variant": shown(variant.name), "found": served, "longest": longest, "key": key}
        yield Finding(severity=Severity.ERROR, where=key, message=Message("lint.context", params))
    if recipe.long_context is None or where != "variant[0]":
        return
    wanted = recipe.long_context.context
    reached = _scaled(recipe.long_context.rope_scaling)
    if not recipe.context < wanted <= (wanted if reached is None else reached):
        params = {"found": wanted, "context": recipe.context, "longest": wanted if reached is None else reached}
        yield Finding(
            severity=Severity.ERROR, where="long_context.context", message=Message("lint.long_context", params)
        )


def _reach(arch: ModelArch) -> int:
    """Tokens the engine derives from the config."""
    if arch.rope.rope_type in _ALREADY_EXTENDED:
        return arch.max_position_embeddings
    base = arch.rope.original_max_position_embeddings if arch.rope.rope_type == "yarn" else arch.max_position_embeddings
    return max(arch.max_position_embeddings, int((base or 0) * arch.rope.factor))


def _overridden(engine_args: Sequence[str]) -> int | None:
    """Tokens that `--hf-overrides` reaches; None when there is none that can be read."""
    text = ""
    for number, argument in enumerate(engine_args):
        name, _, inline = argument.partition("=")
        if name == _OVERRIDES:
            text = inline or "".join(engine_args[number + 1 : number + 2])
    try:
        overrides = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(overrides, dict):
        return None
    longest = overrides.get("max_position_embeddings")
    rope = _scaled(overrides.get("rope_parameters") or overrides.get("rope_scaling")) or 0
    return max(rope, longest if isinstance(longest, int) else 0)


def _scaled(rope: object) -> int | None:
    """Factor times original positions; None when either is not given."""
    if not isinstance(rope, dict):
        return None
    factor, original = rope.get("factor"), rope.get("original_max_position_embeddings")
    if isinstance(factor, (int, float)) and isinstance(original, int) and 0 < factor < 1 << 20:
        return int(factor * original)
    return None
