"""`--additional-config`: what vllm-ascend takes besides the options of vLLM. It ignores keys that it does not know."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Any

from selfhost.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
            nearest=", ".join(f"`{key}`" for key in near) or "none",
        )


def unknown(given: str, values: Sequence[str], known: Known) -> list[str]:
    """Keys of an option that the engine does not read, `outer.inner` for those of an object in it.

    Raises UsageError for a value that is no object.
    """
    has = known.additional_config
    if has is None:
        return []
    found: list[str] = []
    for outer, inner in _objects(given.removesuffix("+"), values):
        if outer not in has:
            found.append(outer)
        elif (parts := has[outer]) is not None and isinstance(inner, dict):
            found += [f"{outer}.{key}" for key in inner if key not in parts]
    return found


def _objects(given: str, values: Sequence[str]) -> Iterable[tuple[str, Any]]:
    """Keys with their values."""
    _, *path = given.split(".")
    value: Any = None
    if not path:
        value = _object(" ".join(values))
        return list(value.items())
    for key in reversed(path[1:]):
        value = {key: value}
    return [(path[0], value)]


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UsageError("owned.not_an_object", flag=FLAG, value=text)
    return value
