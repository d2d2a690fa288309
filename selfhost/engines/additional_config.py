"""`--additional-config`: what vllm-ascend takes besides the options of vLLM. It ignores keys that it does not know."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from selfhost.errors import UsageError
from selfhost.messages import word

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from selfhost.engines.known import Known

FLAG = "--additional-config"


def check(given: str, values: Sequence[str], known: Known) -> None:
    """Raises UsageError for a value that is no object, and for a key that the engine's release does not read.

    given: the option as it was written, which may name a key itself: `--additional-config.enable_cpu_binding`.
    """
    if known.additional_config is None:
        return
    for key in unknown(given, values, known):
        of, _, name = key.rpartition(".")
        has = (known.additional_config.get(of) if of else known.additional_config) or ()
        near = difflib.get_close_matches(name, has, n=3, cutoff=0.6)
        raise UsageError(
            "owned.unknown_key",
            flag=FLAG,
            key=key,
            engine=known.ref.name,
            version=known.ref.version,
            nearest=", ".join(f"`{key}`" for key in near) or word("none"),
        )


def unknown(given: str, values: Sequence[str], known: Known) -> list[str]:
    """Keys of an option that the engine does not read, `outer.inner` for those of an object in it.

    Raises UsageError for a value that is no object.
    """
    has = known.additional_config
    if has is None:
        return []
    found: list[str] = []
    for outer, inner in read(given, values).items():
        if outer not in has:
            found.append(outer)
        elif (parts := has[outer]) is not None and isinstance(inner, dict):
            found += [f"{outer}.{key}" for key in inner if key not in parts]
    return found


def joined(before: Mapping[str, Any], after: Mapping[str, Any], *, extend: bool = False) -> dict[str, Any]:
    """One object of two: objects in them are joined as well, of anything else the later value counts.

    extend: lists are put one behind the other.

    >>> joined({"a": {"b": 1, "c": 1}, "d": 1}, {"a": {"c": 2}, "e": 3})
    {'a': {'b': 1, 'c': 2}, 'd': 1, 'e': 3}
    """
    found = dict(before)
    for key, value in after.items():
        old = found.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            found[key] = joined(old, value, extend=extend)
        else:
            found[key] = [*old, *value] if extend and isinstance(old, list) and isinstance(value, list) else value
    return found


def read(given: str, values: Sequence[str]) -> dict[str, Any]:
    """The object that an option gives: its value, or one with the keys that its own name has.

    As vLLM 0.23 does (utils/argparse_utils.py `FlexibleArgumentParser.parse_args`), but for sizes like `80g`, which
    stay text.

    Raises UsageError for a value that is no object.
    """
    _, *path = given.removesuffix("+").split(".")
    if not path:
        return _object(" ".join(values))
    text = " ".join(values)
    value: Any = text.split(",") if given.endswith("+") else _value(text)
    for key in reversed(path):
        value = {key: value}
    return dict(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError("owned.not_an_object", flag=FLAG, value=text)
    return value
