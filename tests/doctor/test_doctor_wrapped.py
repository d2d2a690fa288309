"""Logs as Docker, Kubernetes, compose, journald and Ray keep them."""

# ruff: noqa: E501 - lines of logs as they are

from __future__ import annotations

import json

import pytest

from selfhost.doctor import log
from selfhost.doctor.wrapped import unwrap

LINE = "(EngineCore pid=7) ERROR 11-22 04:08:47 [core.py:1510] MemoryError"
SOURCE = '(EngineCore pid=7) ERROR 11-22 04:08:47 [core.py:1510]     raise ValueError("No available memory for the cache blocks")'
WRAPPERS = [
    "{}",
    "vllm-1  | {}",
    "2026-11-22T04:08:47.123456789Z stderr F {}",
    "2026-11-22T04:08:47.123456789+08:00 stdout F {}",
    "2026-11-22T04:08:47.123456789Z {}",
    "vllm-1  | 2026-11-22T04:08:47.1Z {}",
    "Nov 22 04:08:47 node1 vllm[123]: {}",
    "Nov  2 04:08:47 node1 podman[9]: {}",
    "2026-11-22T04:08:47+0800 node1.corp python3[123]: {}",
    "\x1b[36m{}\x1b[0m",
    "(RayWorkerWrapper pid=4711, ip=10.0.0.2) {}",
]


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_the_cause_is_found_whatever_is_around_the_lines(wrapper):
    # `^MemoryError` is a rule for the beginning of a line; source in a traceback is none.
    reading = log.read([[wrapper.format(SOURCE), wrapper.format(LINE)]])
    assert (reading.cause.message.id, reading.cause.number) == ("diagnose.out_of_memory", 2)
    assert reading.others == ()


def test_dockers_json_file():
    lines = [
        json.dumps({"log": f"{line}\n", "stream": "stderr", "time": "x"}, separators=(",", ":"))
        for line in (SOURCE, LINE)
    ]
    reading = log.read([lines])
    assert (reading.cause.message.id, reading.cause.number) == ("diagnose.out_of_memory", 2)


@pytest.mark.parametrize(
    "line",
    [
        '{"log": cut off',
        '{"log":5}',
        "ValueError: a | b",
        "Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01,  1.00s/it]",
        "[ERROR] HCCL(1,python3):2025-07-23-03:47:57.070.463 [hccl_socket.cc:100] x",
        "INFO 11-22 04:08:47 [x.py:1] 2026-11-22T04:08:47Z in a line",
    ],
)
def test_what_has_nothing_around_it_stays(line):
    assert unwrap(line) == line


def test_a_coloured_level_is_known():
    line = "\x1b[0;36m(EngineCore pid=7)\x1b[0;0m \x1b[33mWARNING\x1b[0m 11-22 04:08:47 [x.py:1] HCCL_BUFFSIZE should be positive"
    reading = log.read([[line]])
    assert reading.cause is None
