"""Reads keys of a `config.json` and collects what is wrong with them, so that everything is said at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from selfhost.messages import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST = 1 << 32
"""No size in a config is beyond this."""


class Reader:
    """A config, or a section of one; `problems` grows as keys are read."""

    def __init__(self, config: Mapping[str, Any], problems: list[Message] | None = None) -> None:
        self.config = config
        self.problems: list[Message] = [] if problems is None else problems

    def integer(self, key: str, *aliases: str, default: int | None = None, minimum: int = 1) -> int:
        """A whole number of at least `minimum`; `default` when absent or null, a problem when there is none."""
        name = next((k for k in (key, *aliases) if self.config.get(k) is not None), key)
        value = self.config.get(name)
        if value is None:
            if default is None:
                self.problems.append(Message("arch.key_missing", {"key": key}))
            return minimum if default is None else default
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= LARGEST:
            self.bad(name, value, f"a whole number from {minimum} to {LARGEST}")
            return minimum
        return value

    def number(self, key: str, default: float, *sections: Mapping[str, Any]) -> float:
        """A positive number from the first section that has it, the config itself being the last."""
        value = next((part[key] for part in (*sections, self.config) if part.get(key) is not None), default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST:
            self.bad(key, value, "a positive number")
            return default
        return float(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """A boolean; `default` when absent or null."""
        value = self.config.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.bad(key, value, "true or false")
        return value is True

    def section(self, key: str) -> Mapping[str, Any]:
        """A nested object; empty when absent."""
        value = self.config.get(key)
        if value is not None and not isinstance(value, dict):
            self.bad(key, value, "an object")
        return value if isinstance(value, dict) else {}

    def numbers(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers; empty when absent."""
        value = self.config.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(x, int) for x in value)):
            self.bad(key, value, "a list of whole numbers")
            return ()
        return tuple(value or ())

    def words(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty when absent."""
        value = self.config.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(x, str) for x in value)):
            self.bad(key, value, "a list of strings")
            return ()
        return tuple(value or ())

    def bad(self, key: str, found: object, expected: str) -> None:
        """Note a value that cannot be."""
        self.problems.append(Message("arch.bad_value", {"key": key, "found": repr(found)[:80], "expected": expected}))

    def check(self, key: str, value: int, expected: str, *, good: bool) -> None:
        """A relation between values that are well-formed by themselves."""
        if not good:
            self.bad(key, value, expected)
