"""Which stages a start has behind it, from logs of real starts."""

from __future__ import annotations

import pytest

from selfhost.serve.stages import Stage, reached
from tests.serve.serve_support import LOGS

ALL = (Stage.ENGINE, Stage.RANKS, Stage.WEIGHTS, Stage.MEMORY, Stage.SERVER)


@pytest.mark.parametrize(
    ("log", "stages"),
    [
        ("started", ALL),
        ("worker-killed-while-serving", ALL),
        ("kv-too-small", ALL[:3]),
        ("shard-missing", ALL[:2]),
        ("numa-nodes", ALL[:1]),
        ("unknown-architecture", ()),
    ],
)
def test_stages_of_real_logs(log, stages):
    assert reached((LOGS / f"{log}.log").read_text()) == stages


def test_a_later_stage_implies_the_earlier_ones():
    assert reached("INFO GPU KV cache size: 46,592 tokens") == ALL[:4]
