"""Logs of any size and with any bytes: the cause, what follows from it, symptoms."""

from __future__ import annotations

import gzip
import io
import random
import re
import tracemalloc

import pytest

from selfhost.app.doctor.log import read_log
from selfhost.doctor import log
from selfhost.errors import IncompleteError
from selfhost.serve import diagnose, phases
from selfhost.serve.fingerprints import needle
from selfhost.serve.lifecycle import Phase
from tests.serve.serve_support import LOGS
from tests.serve.test_serve_diagnose import RECORDED, SOURCE_LINES
from tests.serve.test_serve_diagnose_ascend import CLUE_LINES, CUDA_LINES, LINES

INFO = "INFO 11-22 04:08:47 [loggers.py:257] Engine 000: Avg prompt throughput: 1.0 tokens/s\n"
FAILURE = (
    "(EngineCore pid=7) ERROR 11-22 04:08:47 [core.py:1510] ValueError: No available memory for the cache blocks.\n"
)
EVERY_LINE = [line for line, *_ in (*LINES, *CUDA_LINES, *CLUE_LINES, *SOURCE_LINES)]


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_logs_have_the_cause_that_serve_tells(name):
    path = LOGS / f"{name}.log"
    cause = read_log(path).reading.cause
    found = diagnose.find_cause(path.read_text())
    if found:
        assert (cause.diagnosis.message_id, cause.diagnosis.line) == (found.message_id, found.line)
        assert found.line in path.read_text().splitlines()[cause.number - 1]
        assert cause.what
    else:
        assert cause is None or cause.message.id == "diagnose.unknown"


def test_a_start_that_worked_has_no_cause(tmp_path):
    path = tmp_path / "engine.log"
    path.write_text((LOGS / "started.log").read_text().partition("Application startup complete")[0])
    assert read_log(path).reading.cause is None


def test_the_first_cause_wins_and_all_others_are_listed(tmp_path):
    path = tmp_path / "engine.log"
    path.write_text(
        "INFO 01-05 09:00:00 [shm_broadcast.py:466] No available shared memory broadcast block found in 60 seconds.\n"
        f"{INFO}INFO 11-22 04:08:40 [x.py:1] Loading weights took 3.20 seconds\n{FAILURE}{FAILURE}"
        "[rank1]: EI0006: [PID: 2] Getting socket times out.\n"
    )
    reading = read_log(path).reading
    cause, *others = reading.cause, *reading.others
    assert (cause.message.id, cause.number, cause.count) == ("diagnose.no_kv_memory", 4, 2)
    assert cause.phase is Phase.WARMING
    assert cause.what == "no memory is left for the KV cache"
    assert [(seen.message.id, seen.number, seen.clue) for seen in others] == [
        ("diagnose_ascend.connect_timeout", 6, False),
        ("diagnose.stuck", 1, True),
    ]
    assert cause.as_dict()["link"].startswith("https://")


def test_figures_may_come_later_than_the_first_line_of_a_failure(tmp_path):
    path = tmp_path / "engine.log"
    path.write_text(
        "        The DDR address of the MTE instruction is out of range\n"
        "        HCCL_BUFFSIZE is too SMALL, NEEDED_HCCL_BUFFSIZE(x) = 609MB, HCCL_BUFFSIZE=200MB.\n"
    )
    cause = read_log(path).reading.cause
    assert (cause.number, cause.count) == (1, 2)
    assert cause.message.why.startswith("needed 609 MB, set 200 MB\n")


def test_an_exception_that_is_not_known_counts_when_nothing_else_does(tmp_path):
    path = tmp_path / "engine.log"
    path.write_text(f"{INFO}KeyError: 'no rule knows this'\nRuntimeError: Engine core initialization failed.\n")
    cause = read_log(path).reading.cause
    assert (cause.message.id, cause.number) == ("diagnose.unknown", 2)
    assert cause.what == "an exception that is not known"
    path.write_text(f"{INFO}KeyError: 'no rule knows this'\n{FAILURE}")
    assert read_log(path).reading.cause.message.id == "diagnose.no_kv_memory"


def test_gzip_is_unpacked_and_a_cut_one_is_read_to_the_cut(tmp_path):
    path = tmp_path / "engine.log.gz"
    noise = "".join(f"{INFO.strip()} {random.random()}\n" for _ in range(20_000))
    packed = gzip.compress(f"{FAILURE}{noise}".encode())
    path.write_bytes(packed)
    assert read_log(path).reading.cause.number == 1
    assert read_log(path).reading.lines == 20_001
    path.write_bytes(packed[: len(packed) // 2])
    read = read_log(path)
    assert (read.reading.cause.number, read.cut is not None) == (1, True)
    path.write_bytes(packed[:300] + b"\0" * 300 + packed[600:])
    assert read_log(path).cut


def test_junk_is_no_failure_and_hides_none(tmp_path):
    path = tmp_path / "engine.log"
    junk = random.Random(7).randbytes(1 << 20)
    path.write_bytes(junk)
    assert read_log(path).reading.cause is None
    path.write_bytes(junk + b"\n" + FAILURE.encode() + junk)
    assert read_log(path).reading.cause.message.id == "diagnose.no_kv_memory"
    path.write_bytes(b"")
    assert read_log(path).reading.lines == 0


def test_memory_is_bounded_for_long_logs_and_for_a_line_without_an_end(tmp_path):
    path = tmp_path / "engine.log"
    with path.open("wb") as stream:
        for _ in range(24):
            stream.write(b"x" * (1 << 20))
        stream.write(b"\n" + FAILURE.encode() + INFO.encode() * 100_000)
    tracemalloc.start()
    reading = read_log(path).reading
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (reading.cause.number, reading.lines) == (2, 100_002)
    assert peak < 16 << 20


def test_lines_that_cross_the_pieces_are_read_whole(tmp_path):
    path = tmp_path / "engine.log"
    for before in range((1 << 20) - 60, (1 << 20) + 5, 7):
        path.write_bytes(b"x" * (before - 1) + b"\n" + FAILURE.encode())
        assert read_log(path).reading.cause.number == 2


def test_progress_bars_end_their_lines_with_a_carriage_return(tmp_path):
    path = tmp_path / "engine.log"
    path.write_text(
        f"Loading safetensors checkpoint shards:  50% Completed | 1/2 [00:01<00:01,  1.00s/it]\r{FAILURE}", newline=""
    )
    assert read_log(path).reading.cause.number == 2


def test_a_log_from_stdin(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(FAILURE.encode())))
    from pathlib import Path

    assert read_log(Path("-")).reading.cause.number == 1
    assert tmp_path


@pytest.mark.parametrize("name", ["absent", "folder"])
def test_what_cannot_be_read_is_said(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IncompleteError, match="cannot read the log"):
        read_log(tmp_path / name)


@pytest.mark.parametrize("rule", [*diagnose.RULES, *diagnose.CLUES], ids=lambda rule: rule.message_id)
def test_each_rule_has_words_to_look_for(rule):
    assert rule.needles
    assert all(len(word) >= 4 for word in rule.needles)


@pytest.mark.parametrize("line", EVERY_LINE, ids=lambda value: str(value)[:40])
def test_looking_for_words_first_loses_no_line(line):
    reading = log.read([["nothing", line]])
    whole = diagnose.read_line(line) or diagnose.read_clue(line)
    seen = [one.diagnosis.message_id for one in (reading.cause, *reading.others) if one]
    assert seen == [whole.message_id]


def test_words_of_phases_are_in_their_lines():
    for line in (LOGS / "started.log").read_text().splitlines():
        if phases.read_line(line):
            assert any(word in line for word in phases.NEEDLES)


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        (r"a\.b (?P<x>\d+) and then", " and then"),
        (r"(?:CUDA|NPU) out of memory", " out of memory"),
        (r"abcdef?gh", "abcde"),
        (r"\bnccl\w*Error\b", "nccl"),
        (r"x{2,3}yz[abc]w", "yz"),
        (r"one|two", ""),
        (r"a\d(b\(c|d)\)ef", ")ef"),
    ],
)
def test_the_longest_text_of_a_pattern(pattern, word):
    assert needle(pattern) == word
    assert re.compile(pattern)
