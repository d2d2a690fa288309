"""`bench` as a user types it, against the fake engine and a stand-in for vLLM's load generator that really asks it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfhost import files
from selfhost.app import bench_run
from selfhost.cli import main as cli
from selfhost.serve import health, records
from tests.serve.serve_support import make_plan
from tests.serve.tls_support import make_pair

pytestmark = pytest.mark.slow

STAND_IN = Path(__file__).resolve().parent.parent / "fakes" / "bench"
SELFHOST = [sys.executable, "-m", "selfhost"]
WHOLE = 7
"""Tokens of an answer of the fake engine."""
PAGE = "vllm:num_requests_running 1.0\nvllm:num_preemptions_total {preemptions}\nvllm:kv_cache_usage_perc 0.5\n"


@pytest.fixture
def selfhost(capsys):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def server(fakes, tmp_path, monkeypatch):
    """A running server whose Python has the stand-in."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={STAND_IN} exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    # The stand-in counts one request at a time.
    page = PAGE.format(preemptions=0)
    monkeypatch.setattr(health, "ask_metrics", lambda _endpoint, _timeout_s: page)
    return lambda how=None, **more: fakes.detached(how, python=str(python), plan=make_plan(), **more)


def test_rounds_are_measured_and_kept(selfhost, server, here):
    server()
    given = ("--concurrency", "1,2", "--num-prompts", "3", "--input-len", "20", "--output-len", str(WHOLE))
    code, out, err = selfhost("bench", *given, "--json")
    said = json.loads(out)
    assert code == 0, err
    assert [(level["concurrency"], level["requests"], level["completed"]) for level in said["levels"]] == [
        (1, 3, 3),
        (2, 3, 3),
    ]
    assert said["levels"][0]["input_tokens"] == 60
    assert said["levels"][0]["output_tokens"] == 3 * WHOLE
    assert said["levels"][0]["time_to_first_token"]["median_s"] > 0
    assert said["lengths"] == [{"input_tokens": 20, "output_tokens": WHOLE}]
    assert (said["verdict"], said["languages"], said["model"]) == (None, ["zh", "en"], "tiny")
    kept = Path(said["path"])
    assert kept.parent == here.benches
    assert files.read_json(kept) == said
    assert kept.stat().st_mode & 0o777 == 0o600
    assert err.endswith(f"kept: {kept}\n")


def test_a_server_with_a_certificate_of_another_name_is_measured_as_any(selfhost, server, tmp_path):
    server(tls=make_pair(tmp_path))
    code, out, err = selfhost("bench", "--concurrency", "1", "--num-prompts", "2", "--output-len", str(WHOLE), "--json")
    assert code == 0, err
    assert [level["completed"] for level in json.loads(out)["levels"]] == [2]


def test_the_table_tells_of_answers_that_broke_off(selfhost, server):
    server()
    code, out, err = selfhost(
        "bench", "tiny", "--num-prompts", "2", "--concurrency", "1", "--output-len", str(WHOLE + 1)
    )
    assert code == 0
    heading, row = out.splitlines()
    assert heading.split()[:3] == ["AT", "ONCE", "REQUESTS"]
    assert row.split()[:3] == ["1", "2", "100.0%"]
    assert "warning: of 2 requests 0 failed and 2 broke off: ?\n" in err
    assert "promise (planned): 1 requests of 512 tokens at once\n" in err


def test_the_key_is_in_no_argument_and_in_no_file(selfhost, server, here):
    server()
    key = records.read_control_key(here, "tiny")
    code, _, _ = selfhost("bench", "tiny", "--num-prompts", "1", "--concurrency", "1")
    log = (here.servers / "tiny" / "bench.log").read_text()
    assert (code, "stand-in:" in log, key in log) == (0, True, False)
    assert all(key not in path.read_text() for path in here.benches.iterdir())


def test_a_promise_that_holds(selfhost, server, monkeypatch):
    server()
    # The whole context is asked for: more than the fake engine ever answers.
    monkeypatch.setattr(
        "selfhost.serve.load.promise_lengths", lambda promise, *_sizes: (promise.max_model_len - WHOLE, WHOLE)
    )
    code, out, err = selfhost("bench", "tiny", "--promise")
    assert (code, out.splitlines()[-1]) == (0, "the promise holds: no error, no preemption, KV cache at most 50% full")
    assert "prompt + answer, tokens: 505 + 7; zh, en\n" in err


def test_a_promise_with_preemptions_does_not_hold(selfhost, server, monkeypatch):
    server()
    count = iter(range(1000))
    monkeypatch.setattr(health, "ask_metrics", lambda *_: PAGE.format(preemptions=float(next(count))))
    code, out, err = selfhost("bench", "tiny", "--promise", "--json")
    said = json.loads(out)
    assert (code, said["verdict"]["holds"]) == (3, "no")
    assert "error: the promise of `tiny` does not hold: 1 requests of 512 tokens at once\n" in err
    assert re.search(r"\d+ preemptions: the KV cache was full", err)
    assert said["levels"][0]["peak"]["preemptions"] > 0


def test_a_promise_is_not_shown_without_metrics(selfhost, server, monkeypatch):
    server()
    monkeypatch.setattr("selfhost.serve.load.promise_lengths", lambda _promise, *_sizes: (20, WHOLE))
    monkeypatch.setattr(health, "ask_metrics", lambda *_: "")
    code, out, err = selfhost("bench", "tiny", "--promise", "--json")
    assert (code, json.loads(out)["verdict"]["holds"]) == (3, "not_shown")
    assert "it was not shown that the promise of `tiny` holds" in err


def test_a_server_that_refuses_everything_is_exit_3(selfhost, server):
    server({"refuse_later": True})
    code, out, err = selfhost("bench", "tiny", "--num-prompts", "2", "--concurrency", "1")
    assert (code, out) == (3, "")
    assert err.startswith("starting the load generator")
    assert "error: `tiny` completed none of the requests\n  urllib.error.HTTPError: HTTP Error 500" in err


@pytest.mark.parametrize("restart", ["never", "on-failure"])
def test_a_server_that_dies_under_load_tells_its_own_end_also_when_it_is_started_again(
    selfhost, server, monkeypatch, in_thread, restart
):
    record = server(restart=restart)
    monkeypatch.setenv("FAKE_BENCH", "slow")

    def kill():
        os.kill(record.engine.pid, signal.SIGKILL)
        for child in generators():
            os.kill(child, signal.SIGTERM)

    def when_it_runs():
        until = time.monotonic() + 20
        while not generators() and time.monotonic() < until:
            time.sleep(0.05)
        kill()

    in_thread(when_it_runs)
    code, _, err = selfhost("bench", "tiny", "--num-prompts", "2")
    assert code != 0
    assert "error: `tiny` failed while serving" in err


def generators() -> list[int]:
    """Processes that run the script."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.endswith(bench_run.SCRIPT.encode()) for word in words):
            found.append(int(path.parent.name))
    return found


def test_a_generator_that_breaks_is_told_with_its_last_words(selfhost, server, monkeypatch):
    server()
    monkeypatch.setenv("FAKE_BENCH", "crash")
    code, _, err = selfhost("bench", "tiny", "--num-prompts", "2")
    assert code == 1
    assert "exit status 1: RuntimeError: the generator is broken\n" in err


def test_an_interruption_leaves_no_generator(fakes, server, monkeypatch):
    server()
    monkeypatch.setenv("FAKE_BENCH", "slow")
    argv = [*SELFHOST, "bench", "tiny", "--num-prompts", "2"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 20
    while not generators() and time.monotonic() < until:
        time.sleep(0.05)
    assert generators()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert generators() == []
    assert fakes.state() == "ready"


def test_two_at_once_would_measure_each_other(selfhost, server, here):
    server()
    with files.hold_lock(here.servers / "tiny" / "bench.lock"):
        code, _, err = selfhost("bench", "tiny")
    assert code == 3
    assert err.startswith("error: another benchmark of `tiny` is running\n")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--concurrency", "1,x"], "not a list of how many requests at once: `1,x`"),
        (["--concurrency", "0"], "not a list of how many requests at once: `0`"),
        (["--concurrency", "9" * 5000], f"not a list of how many requests at once: `{'9' * 5000}`"),
        (["--promise", "--concurrency", "3"], "`--promise` and `--concurrency` cannot be combined"),
        (["--promise", "--input-len", "3"], "`--promise` and `--input-len` cannot be combined"),
        (["--num-prompts", "3", "--duration", "3"], "`--num-prompts` and `--duration` cannot be combined"),
        (["--input-len", "512"], "prompt and answer do not fit into the context of `tiny`"),
        (["--input-len", "500", "--output-len", "13"], "prompt and answer do not fit into the context of `tiny`"),
    ],
)
def test_usage(selfhost, server, given, says):
    server()
    code, out, err = selfhost("bench", "tiny", *given)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {says}\n")


def test_only_a_server_that_answers_is_asked(selfhost, fakes):
    assert selfhost("bench", "none")[0] == 3
    fakes.claim()
    code, _, err = selfhost("bench", "tiny")
    assert code == 3
    assert err.startswith("error: `tiny` does not take questions now\n")
