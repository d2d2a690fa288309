"""Numbers that remember how they were computed: their text gives the same number again, and they are that number."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.planner.trace import Whole, formula, in_numbers, traced

FUNCTIONS = {"ceil": math.ceil, "floor": math.floor, "__builtins__": {}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    width: int
    share: float = 0.5
    on: bool = True


class Kind(IntEnum):
    ONE = 1


class Outer(NamedTuple):
    inner: Inner
    rows: int
    pair: tuple[int, int]
    many: tuple[Inner, ...]
    kind: Kind
    name: str
    nothing: int | None


def outer() -> Outer:
    return traced(Outer(Inner(width=7), 100, (8, 9), (Inner(width=3),), Kind.ONE, "x", None))


def test_records_are_gone_through_and_stay_equal():
    record = outer()
    assert record == Outer(Inner(width=7), 100, (8, 9), (Inner(width=3),), Kind.ONE, "x", None)
    assert (formula(record.rows), formula(record.inner.width), formula(record.many[0].width)) == (
        "rows",
        "width",
        "width",
    )
    assert formula(record.pair[0]) is None
    assert record.inner.on is True
    assert record.kind is Kind.ONE
    assert hash(record) == hash(outer())
    assert json.dumps(record.rows) == "100"


@pytest.mark.parametrize(
    ("compute", "named", "numbers"),
    [
        (lambda r: r.rows * (r.inner.width + 1), "rows * (width + 1)", "100 * (7 + 1)"),
        (lambda r: 2 * r.rows - (r.rows - 3), "2 * rows - (rows - 3)", "2 * 100 - (100 - 3)"),
        (lambda r: r.rows // (r.inner.width // 2), "rows // (width // 2)", "100 // (7 // 2)"),
        (lambda r: math.ceil(r.rows * r.inner.share), "ceil(rows * share)", "ceil(100 * 0.5)"),
        (lambda r: -(-r.rows // r.inner.width), "ceil(rows / width)", "ceil(100 / 7)"),
        (lambda r: -(r.rows % r.inner.width), "-(rows % width)", "-(100 % 7)"),
        (lambda r: sum([r.rows, r.inner.width]), "rows + width", "100 + 7"),
        (lambda r: max(r.rows, 2 * r.inner.width) + 0, "rows", "100"),
        (lambda r: math.floor(r.rows / r.inner.width), "floor(rows / width)", "floor(100 / 7)"),
    ],
)
def test_a_formula_is_that_of_the_arithmetic(compute, named, numbers):
    found = compute(outer())
    assert (formula(found), in_numbers(found)) == (named, numbers)
    assert found == compute(Outer(Inner(width=7), 100, (8, 9), (), Kind.ONE, "x", None))
    assert eval(numbers, FUNCTIONS) == found


def test_what_went_through_int_is_a_plain_number():
    assert formula(int(outer().rows * 1.5)) is None
    assert in_numbers(150) is None


def test_other_types_are_left_to_python():
    with pytest.raises(TypeError):
        outer().rows + "x"
    assert outer().rows * [1] == [1] * 100


numbers = st.integers(-50, 50)
leaves = numbers.map(lambda n: traced(n, "n"))


def combine(parts):
    pairs = st.tuples(parts, parts | numbers)
    divisors = st.tuples(parts, st.integers(1, 9) | st.integers(1, 9).map(lambda n: traced(n, "d")))
    return st.one_of(
        pairs.map(lambda p: p[0] + p[1]),
        pairs.map(lambda p: p[1] - p[0]),
        pairs.map(lambda p: p[0] * p[1]),
        divisors.map(lambda p: p[0] // p[1]),
        divisors.map(lambda p: p[0] % p[1]),
        divisors.map(lambda p: math.ceil(p[0] / p[1])),
        divisors.map(lambda p: -(-p[0] // p[1])),
        parts.map(lambda p: -p),
    )


@given(st.recursive(leaves, combine, max_leaves=12))
def test_the_text_gives_the_number_again(value):
    assert isinstance(value, int)
    if isinstance(value, Whole):
        assert eval(in_numbers(value), FUNCTIONS) == value
