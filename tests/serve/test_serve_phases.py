"""The engine's log, read for phases."""

from __future__ import annotations

import pytest

from selfhost.serve.phases import read_line, split_lines, strip_prefix
from tests.serve.serve_support import LOGS


def test_a_recorded_start_goes_through_the_phases_in_order():
    log = (LOGS / "started.log").read_text()
    seen = [(p.phase.value, p.message.what) for line in split_lines(log) if (p := read_line(line))]
    assert seen == [
        ("loading", "loading: engine process is up"),
        ("loading", "loading: building the model"),
        ("loading", "loading: weights, file 0 of 1"),
        ("loading", "loading: weights, file 1 of 1"),
        ("loading", "loading: weights, file 1 of 1"),
        ("warming", "warming: weights are loaded; measuring memory"),
        ("warming", "warming: KV cache allocated"),
        ("warming", "warming: starting the API server"),
    ]


def test_how_far_a_step_is():
    line = "Capturing CUDA graphs (decode, FULL):  50%|#####     | 2/4 [00:01<00:01,  1.1it/s]"
    assert read_line(line).fraction == 0.5


def test_an_older_line():
    line = "INFO [api_server.py:1] Starting vLLM API server 0 on http://0.0.0.0:8000"
    assert read_line(line).phase.value == "warming"


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("(EngineCore pid=1) ERROR 11-22 04:08:47 [core.py:1510] ValueError: no", "ValueError: no"),
        ("(Worker_TP0_EP1 pid=17) INFO 11-22 04:08:47 [a.py:1] b", "b"),
        ("ValueError: no", "ValueError: no"),
        ("", ""),
    ],
)
def test_prefixes(line, rest):
    assert strip_prefix(line) == rest
