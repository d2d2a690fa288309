"""Reads what an engine command line says about speculative decoding: a JSON object, single keys, or short forms.

Source: vLLM 0.32 engine/arg_utils.py `create_speculative_config`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from selfhost.errors import UsageError
from selfhost.planner.speculation import Speculation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from selfhost.engines.owned import Option

CONFIG = "--speculative-config"
_SHORT = {
    "--spec-method": "method",
    "--spec-tokens": "num_speculative_tokens",
    "--spec-model": "model",
}
FLAGS = frozenset([CONFIG, *_SHORT])
_FOREIGN = ("model", "quantization", "draft_tensor_parallel_size", "draft_sample_method", "kv_cache_dtype")
"""Keys that change what drafting takes in ways that are not planned for."""
_PLAIN = (None, "auto", "greedy")
"""Values of such keys that are the engine's defaults."""


def read_speculation(options: Iterable[Option]) -> Speculation | None:
    """What the options ask for; None when they do not ask for drafting.

    Raises UsageError for a value that is not JSON, and for a number of tokens that is none.
    """
    said: dict[str, object] = {}
    for option in options:
        if option.flag.name in FLAGS:
            said |= {key.replace("-", "_"): value for key, value in _pairs(option)}
    if not said:
        return None
    tokens = said.get("num_speculative_tokens")
    if tokens is not None:
        try:
            tokens = int(str(tokens))
        except ValueError:
            raise UsageError("owned.not_a_number", flag="num_speculative_tokens", value=tokens) from None
        if tokens < 1:
            raise UsageError("plan.not_positive", flag="num_speculative_tokens", value=tokens)
    # Without a method the engine looks at the draft model's own config.
    method = str(said.get("method") or ("draft_model" if said.get("model") else "none"))
    foreign = any(said.get(key) not in _PLAIN for key in _FOREIGN)
    return Speculation(method=method, num_speculative_tokens=tokens, foreign=foreign)


def _pairs(option: Option) -> Iterator[tuple[str, object]]:
    value = option.values[0] if option.values else ""
    if short := _SHORT.get(option.flag.name):
        yield short, value
        return
    key = option.given.partition(".")[2]
    if key:
        yield key, value
        return
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise UsageError("owned.not_an_object", flag=option.flag.name, value=value[:80])
    yield from read.items()


def not_counted(
    options: Iterable[Option], speculation: Speculation | None, others: frozenset[str] = frozenset()
) -> list[str]:
    """The words of options that a plan's figures leave out: all but `others`, which are known to be in them, and what
    drafts tokens in a way that is planned for.
    """
    counted = others | (FLAGS if speculation and speculation.is_counted else frozenset())
    return [word for option in options if option.flag.name not in counted for word in option.tokens]
