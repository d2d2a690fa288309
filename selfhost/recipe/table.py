"""Reads one table of a recipe: typed values, and every mistake with the path of its key. Nothing is raised here.

A mistake yields an empty value of the right type, so that reading goes on and the next mistake is found too.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from selfhost.messages import text

if TYPE_CHECKING:
    import re
    from enum import StrEnum

Choice = TypeVar("Choice", bound="StrEnum")

_NAMES = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a table",
    dt.date: "a date",
    dt.datetime: "a date with time",
    dt.time: "a time",
}
_LARGEST = (1 << 63) - 1
"""Of TOML's integers; Python's reader takes longer ones, which nothing after it expects."""
_DEEPEST = 16
"""Tables in tables; a config.json has three."""
_SHOWN = 60
"""Characters of a value that are repeated in a message."""


def shown(value: object) -> str:
    """A value for a message: one line, cut when it is long.

    >>> shown("x" * 100)[-5:], shown(1 << 99)
    ('xx...', 'a number of 100 bits')
    """
    if isinstance(value, int) and abs(value) > _LARGEST:
        return f"a number of {value.bit_length()} bits"
    line = repr(value)[1:-1] if isinstance(value, str) and not value.isprintable() else str(value)
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."


class Table:
    """One table; `path` is its place in the document, problems are shared by all tables of it."""

    def __init__(self, data: Mapping[str, Any], path: str = "", problems: list[str] | None = None) -> None:
        self._data = data
        self._path = path
        self._problems = [] if problems is None else problems
        self._asked: set[str] = set()
        self._children: list[Table] = []

    def __contains__(self, key: str) -> bool:
        return key in self._data

    def problem(self, key: str, message: str) -> None:
        """Note a mistake at a key."""
        self._problems.append(f"{self._path}{key}: {message}")

    def finish(self) -> list[str]:
        """All mistakes of the document, those of unknown keys last."""
        for key in self._data:
            if key not in self._asked:
                near = difflib.get_close_matches(key[:_SHOWN].lower(), sorted(self._asked), n=1)
                known = f"`{near[0]}`" if near else ", ".join(f"`{name}`" for name in sorted(self._asked))
                name = "recipe.unknown_key_near" if near else "recipe.unknown_key"
                self.problem(shown(key), text(name, known=known))
        for child in self._children:
            child.finish()
        return self._problems

    def string(self, key: str) -> str:
        """A string that must be there and not be empty."""
        value = self._get(key, str, required=True)
        if value is not None and not value.strip():
            self.problem(key, text("recipe.empty"))
        return value or ""

    def optional_string(self, key: str) -> str | None:
        """A string, not empty; None when the key is absent."""
        return self.string(key) if key in self._asking(key) else None

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        """A string that must be there and match."""
        value = self.string(key)
        if value and not pattern.fullmatch(value):
            self.problem(key, text("recipe.form", value=shown(value), pattern=pattern.pattern))
        return value

    def choice(self, key: str, choices: type[Choice]) -> Choice:
        """One of a closed set."""
        value = self.string(key)
        known = [choice.value for choice in choices]
        if value and value not in known:
            near = difflib.get_close_matches(value[:_SHOWN].lower(), known, n=1)
            message = "recipe.choice_near" if near else "recipe.choice"
            self.problem(key, text(message, value=shown(value), known=", ".join(near or known)))
        return choices(value) if value in known else next(iter(choices))

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty when the key is absent."""
        values = self._get(key, list, required=False) or []
        for number, value in enumerate(values):
            if not isinstance(value, str):
                self._wrong_type(f"{key}[{number}]", value, str)
        return tuple(value for value in values if isinstance(value, str))

    def integer(self, key: str, *, required: bool = True) -> int | None:
        """A whole number above 0; None when it is absent or wrong."""
        value: int | None = self._get(key, int, required=required)
        if value is not None and value <= 0:
            self.problem(key, text("recipe.not_positive", value=shown(value)))
            return None
        if value is not None and value > _LARGEST:
            self.problem(key, text("recipe.too_large", value=shown(value)))
            return None
        return value

    def number(self, key: str) -> float | None:
        """A number, whole or not; None when it is absent or wrong."""
        value: float | None = self._get(key, float, required=False)
        if value is not None and not 0 <= value <= _LARGEST:
            self.problem(key, text("recipe.negative" if value < 0 else "recipe.not_finite", value=shown(value)))
            return None
        return value

    def flag(self, key: str) -> bool:
        """A boolean; False when it is not there."""
        return bool(self._get(key, bool, required=False))

    def date(self, key: str) -> str:
        """A date that must be there (2026-11-22, without quotes), as ISO 8601."""
        value = self._get(key, dt.date, required=True)
        return "" if value is None else str(value.isoformat())

    def mapping(self, key: str) -> dict[str, object]:
        """A table that must be there and whose keys are not ours to know."""
        value = self._get(key, dict, required=True)
        if value is not None and not value:
            self.problem(key, text("recipe.empty"))
        self._json_only(key, value or {}, 0)
        return dict(value or {})

    def _json_only(self, key: str, value: object, depth: int) -> None:
        """What config.json cannot hold or no config.json has, at any depth."""
        if depth > _DEEPEST:
            self.problem(key, text("recipe.too_deep", limit=_DEEPEST))
        elif isinstance(value, Mapping):
            for name, inner in value.items():
                self._json_only(f"{key}.{shown(name)}", inner, depth + 1)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                self._json_only(f"{key}[{number}]", inner, depth + 1)
        elif isinstance(value, (dt.date, dt.time)):
            self.problem(key, text("recipe.not_json", found=_NAMES.get(type(value), "a date")))
        elif isinstance(value, float) and not math.isfinite(value):
            self.problem(key, text("recipe.not_json", found=value))
        elif isinstance(value, int) and abs(value) > _LARGEST:
            self.problem(key, text("recipe.too_large", value=shown(value)))

    def table(self, key: str, *, required: bool = True) -> Table:
        """A table with keys of ours."""
        value = self._get(key, dict, required=required)
        if value is None:
            # One mistake is enough: what an absent table lacks is not told.
            return Table({}, problems=[])
        return self._child(value, f"{self._path}{key}.")

    def tables(self, key: str, *, required: bool = False) -> list[Table]:
        """A list of tables with keys of ours."""
        values = self._get(key, list, required=required)
        if required and values == []:
            self.problem(key, text("recipe.empty"))
        found = []
        for number, value in enumerate(values or []):
            if isinstance(value, Mapping):
                found.append(self._child(value, f"{self._path}{key}[{number}]."))
            else:
                self._wrong_type(f"{key}[{number}]", value, dict)
        return found

    def _child(self, data: Mapping[str, Any], path: str) -> Table:
        child = Table(data, path, self._problems)
        self._children.append(child)
        return child

    def _asking(self, key: str) -> Mapping[str, Any]:
        self._asked.add(key)
        return self._data

    def _get(self, key: str, kind: type, *, required: bool) -> Any:
        data = self._asking(key)
        if key not in data:
            if required:
                self.problem(key, text("recipe.missing_key", wanted=_NAMES[kind]))
            return None
        value = data[key]
        fits = isinstance(value, (int, float) if kind is float else kind)
        if not fits or (isinstance(value, bool) and kind is not bool) or isinstance(value, dt.datetime):
            self._wrong_type(key, value, kind)
            return None
        return value

    def _wrong_type(self, key: str, value: object, wanted: type) -> None:
        self.problem(
            key, text("recipe.type", found=_NAMES.get(type(value), type(value).__name__), wanted=_NAMES[wanted])
        )
