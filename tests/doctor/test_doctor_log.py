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
    reading = log.read([["by torch_npu", line]])
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


def read(*lines: str):
    reading = log.read([lines])
    return reading.cause and reading.cause.message.id, [seen.message.id for seen in reading.others]


def test_a_figure_that_foretells_a_failure_does_not_hide_it():
    # vllm-project/vllm-ascend#9372
    told = "INFO 06-01 10:00:00 [worker.py:1] Available KV cache memory: -0.87 GiB"
    assert read(told, FAILURE.strip()) == ("diagnose.no_kv_memory", [])
    assert read(told) == (None, ["diagnose.no_kv_memory"])


@pytest.mark.parametrize(
    ("line", "elsewhere"),
    [
        ("ModuleNotFoundError: No module named 'vllm.v1.attention.backends.mla.prefill'", "diagnose.module"),
        ("ModuleNotFoundError: No module named 'triton.language.extra'", "diagnose.module"),
        ("ImportError: /opt/vllm/_C.abi3.so: undefined symbol: _ZN3c104cuda9SetDeviceEi", "diagnose.symbol"),
        (
            "AssertionError: local_world_size (8) must be less than or equal to the number of visible devices (4)",
            "diagnose.few_devices",
        ),
        ("ImportError: libgraphene.so.1: cannot open shared object file", "diagnose.library"),
    ],
    ids=str,
)
def test_words_of_any_platform_are_of_ascend_only_in_its_logs(line, elsewhere):
    assert read("INFO 11-22 04:08:40 [cuda.py:1] Using FLASH_ATTN", line) == (elsewhere, [])
    assert diagnose.find_cause(line).message_id == elsewhere
    if elsewhere != "diagnose.library":
        ascend = "INFO 11-22 04:08:40 [__init__.py:1] Platform plugin ascend is activated"
        assert read(ascend, line)[0].startswith("diagnose_ascend.")
        assert diagnose.find_cause(f"{ascend}\n{line}").message_id.startswith("diagnose_ascend.")


REQUEST_ERRORS = [
    "(APIServer pid=1) ERROR 11-22 04:08:47 [x.py:12] json.decoder.JSONDecodeError: Expecting value: line 1 column 1",
    "ERROR 11-22 04:08:47 [x.py:1] FileNotFoundError: [Errno 2] No such file or directory: '/tmp/image.json'",
    "ERROR 11-22 04:08:47 [x.py:1] PermissionError: [Errno 13] Permission denied: '/srv/picture.png'",
    "ERROR 11-22 04:08:47 [x.py:1] ValueError: Requested token count exceeds the context",
]
STARTED = "INFO:     Application startup complete."


@pytest.mark.parametrize("line", REQUEST_ERRORS)
def test_what_fails_for_one_request_does_not_end_a_serving_engine(line):
    assert read(line)[0]
    assert read(STARTED, line) == (None, [])
    assert diagnose.find_cause(f"{STARTED}\n{line}") is None
    # Started again in the same log: then it is the cause.
    again = "INFO 11-22 04:08:40 [core.py:1] Initializing a V1 LLM engine"
    assert read(STARTED, again, line)[0] == read(line)[0]


def test_what_ends_a_serving_engine_is_still_told():
    memory = "ERROR 11-22 04:08:47 [x.py:1] torch.OutOfMemoryError: CUDA out of memory."
    reading = log.read([[STARTED, REQUEST_ERRORS[0], memory]])
    assert reading.cause.message.id == "diagnose.out_of_memory"
    assert reading.cause.phase is Phase.SERVING
    fatal = "ERROR 11-22 04:08:47 [core.py:1] EngineCore encountered a fatal error."
    assert read(STARTED, REQUEST_ERRORS[3], fatal, "AssertionError: odd") == ("diagnose.unknown", [])


def test_what_a_shell_says_of_permissions_is_not_the_cause():
    assert read("bash: /root/.bashrc: Permission denied", FAILURE.strip()) == ("diagnose.no_kv_memory", [])


def test_what_an_engine_does_without_is_not_the_cause():
    bound = "ERROR 06-01 10:00:00 [x.py:1] Bind cpus failed in rank0: [Errno 13] Permission denied: 'npu-smi' Skip"
    assert read(bound) == (None, ["diagnose_ascend.unbound"])
    assert diagnose.find_cause(bound) is None
    assert read("node1:12:34 [0] NCCL INFO NCCL error is retried") == (None, [])


@pytest.mark.parametrize(
    ("line", "message_id"),
    [
        # vllm-project/vllm-ascend#9490
        ("KeyError: 'getpwuid(): uid not found: 1001'", "diagnose.no_user"),
        # The FAQ of vllm-ascend writes it so
        ("(Worker pid=1) ERROR 06-01 10:00:00 [x.py:1] RuntimeError: alloc sq cq fail", "diagnose_ascend.streams"),
    ],
)
def test_more_lines_of_public_issues(line, message_id):
    assert read(line) == (message_id, [])
