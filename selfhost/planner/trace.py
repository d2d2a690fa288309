"""Numbers that remember how they were computed: for showing a formula that is the one that was used.

`traced(record)` gives the same record with such numbers in it. The planner's own functions, called with it, return
numbers that carry their formula: there is no second arithmetic beside the first that could drift from it.

    arch, settings = traced(arch), traced(settings)
    found = terms.sampler_state(arch, settings)
    found, formula(found), in_numbers(found)
    -> 661782528, "max_num_seqs * (vocab_size * 4 + 2 * ceil(vocab_size / 32) * 4)", "1024 * (152064 * 4 + ...)"

Not remembered: which branch was taken and what `min` and `max` left out (the winner's formula is shown), and what goes
through `int()`, a cache or a sum of generators over plain numbers, which comes out as a plain number.
"""

from __future__ import annotations

import math
import operator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class _Step(NamedTuple):
    """How a number came about: a name, or an operation on numbers."""

    name: str
    parts: tuple[Any, ...] = ()


class Whole(int):
    """A whole number that remembers its formula."""

    step: _Step


class Real(float):
    """A real number that remembers its formula."""

    step: _Step


_SYMBOLS = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2}
"""Binary operations with how tightly they bind."""
_LEAF = 4


def _number(value: float, step: _Step) -> Any:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return value
    made: Whole | Real = Whole(value) if isinstance(value, int) else Real(value)
    made.step = step
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, Whole):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _binary(symbol: str, function: Callable[[Any, Any], Any], *, swapped: bool = False) -> Callable[[Any, Any], Any]:
    def operation(one: Any, other: Any) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        left, right = (other, one) if swapped else (one, other)
        if symbol == "+" and 0 in (left, right):
            # Sums begin with 0.
            return left or right
        if symbol == "*" and (left == 1 or right == 1):
            return right if left == 1 else left
        return _number(function(_plain(left), _plain(right)), _Step(symbol, (left, right)))

    return operation


def _unary(name: str, function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda one, *_: _number(function(_plain(one)), _Step(name, (one,)))


_FUNCTIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_FUNCTIONS |= {"//": operator.floordiv, "%": operator.mod}
_NAMES = {"+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv", "%": "mod"}
for _kind in (Whole, Real):
    for _symbol, _function in _FUNCTIONS.items():
        setattr(_kind, f"__{_NAMES[_symbol]}__", _binary(_symbol, _function))
        setattr(_kind, f"__r{_NAMES[_symbol]}__", _binary(_symbol, _function, swapped=True))
    _kind.__neg__ = _unary("-", operator.neg)  # type: ignore[method-assign]
    _kind.__ceil__ = _unary("ceil", math.ceil)  # type: ignore[method-assign]
    _kind.__floor__ = _unary("floor", math.floor)  # type: ignore[method-assign]


def traced(value: T, name: str = "") -> T:
    """The same, with numbers that remember; records are gone through, other containers are left as they are."""
    if isinstance(value, bool | Enum | str) or value is None:
        return value
    if isinstance(value, int | float):
        return _number(_plain(value), _Step(name))  # type: ignore[no-any-return]
    if is_dataclass(value) and not isinstance(value, type):
        changes = {field.name: traced(getattr(value, field.name), field.name) for field in fields(value) if field.init}
        return replace(value, **changes)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(traced(part, label) for part, label in zip(value, value._fields, strict=True)))
    if isinstance(value, tuple) and any(is_dataclass(part) for part in value):
        return type(value)(traced(part, name) for part in value)
    return value


def formula(value: float) -> str | None:
    """How a number was computed, with names; None for a plain number."""
    return _text(value, named=True) if isinstance(value, Whole | Real) else None


def in_numbers(value: float) -> str | None:
    """The same with numbers, as a calculator takes it; None for a plain number."""
    return _text(value, named=False) if isinstance(value, Whole | Real) else None


def _text(value: Any, *, named: bool, within: int = 0) -> str:
    """The formula, in brackets where it stands beside something that binds more tightly."""
    name, parts = value.step if isinstance(value, Whole | Real) else ("", ())
    if not parts:
        return name if named and name else f"{_plain(value)}"
    if len(parts) == 1:
        if name == "-" and (up := _ceiling(parts[0])):
            return f"ceil({_text(up[0], named=named, within=2)} / {_text(up[1], named=named, within=3)})"
        inner = _text(parts[0], named=named)
        return f"{name}({inner})"
    tight = _SYMBOLS[name]
    left = _text(parts[0], named=named, within=tight)
    # What follows a minus or a division keeps its brackets: 8 - (4 - 2), 8 // (4 // 2), 8 * (4 // 2).
    right = _text(parts[1], named=named, within=tight + (name != "+"))
    made = f"{left} {name} {right}"
    return f"({made})" if tight < within else made


def _ceiling(value: Any) -> tuple[Any, Any] | None:
    """The two numbers of `-a // b`, which after another minus is a / b rounded up."""
    if not isinstance(value, Whole) or value.step.name != "//":
        return None
    top, bottom = value.step.parts
    if isinstance(top, Whole) and top.step.name == "-" and len(top.step.parts) == 1:
        return top.step.parts[0], bottom
    return None
