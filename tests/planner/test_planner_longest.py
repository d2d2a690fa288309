"""The longest context that fits: the same as trying every length, with far fewer estimates."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfhost.planner.choose import longest
from selfhost.planner.plan import Verdict

STEP = 16


def asks(blocks_at):
    """`at(length)` of a model whose room is `blocks_at(length)`, and the list of lengths that were asked for."""
    asked = []

    def at(length):
        asked.append(length)
        blocks, needs = blocks_at(length), -(-length // STEP)
        verdict = Verdict.FITS if blocks - 1 >= needs else Verdict.DOES_NOT_FIT
        return SimpleNamespace(estimate=SimpleNamespace(blocks=blocks, blocks_per_request=needs, verdict=verdict))

    return at, asked


@given(
    room=st.integers(0, 400),
    limit=st.integers(1, 5000),
    falls=st.integers(0, 20),
    knee=st.integers(0, 300),
)
def test_it_is_what_trying_every_length_finds(room, limit, falls, knee):
    """Room that shrinks with the length, and at once at some length, as workspaces do."""

    def blocks_at(length):
        blocks = length // STEP
        return max(0, room - blocks * falls // 20 - (50 if blocks > knee else 0))

    at, _ = asks(blocks_at)
    fits = [n for n in [*range(STEP, limit, STEP), limit] if blocks_at(n) - 1 >= -(-n // STEP)]
    assert longest(at, limit, STEP) == (max(fits) if fits else None)


@pytest.mark.parametrize("room", [0, 1, 2, 3, 100, 9_000, 10_001])
def test_few_estimates_are_enough_where_the_room_does_not_depend_on_the_length(room):
    at, asked = asks(lambda _: room)
    found = longest(at, 160_000, STEP)
    assert found == (min(160_000, (room - 1) * STEP) if room > 1 else None)
    assert len(asked) <= 4
