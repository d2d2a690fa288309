"""What the load generator is told and asked, without an engine: prompts, command line, rounds."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

INSIDE = Path(__file__).resolve().parents[2] / "selfhost" / "inside"
sys.path.insert(0, str(INSIDE))

import selfhost_bench as bench  # noqa: E402 - it lies in no package

JOB = {"base_url": "http://127.0.0.1:1", "model": "served", "tokenizer": "/models/a", "languages": ["zh"], "seed": "s"}


def letters(text: str) -> list[int]:
    """A tokenizer with a token for each letter."""
    return [ord(letter) for letter in text]


def chinese(tokens: list[int]) -> float:
    return sum(0x4E00 <= token <= 0x9FFF for token in tokens) / len(tokens)


def test_prompts_have_the_very_length_and_no_beginning_in_common():
    prompts = bench.Prompts(letters, ["zh", "en"], "seed")
    made = [prompts.make(length) for length in (16, 16, 1000, 1000, 300_000, 16)]
    assert [len(prompt) for prompt in made] == [16, 16, 1000, 1000, 300_000, 16]
    assert len({tuple(prompt[:16]) for prompt in made}) == len(made)
    again = bench.Prompts(letters, ["zh", "en"], "other").make(16)
    assert again != made[0], "what an earlier run left in a prefix cache must not serve this one"


def test_prompts_take_their_languages_in_turns():
    prompts = bench.Prompts(letters, ["zh", "en"], "seed")
    shares = [chinese(prompts.make(2000)) for _ in range(4)]
    assert [share > 0.5 for share in shares] == [True, False, True, False]


def test_the_command_line_has_no_key_and_asks_for_whole_answers(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    given = bench.arguments({**JOB, "tokenizer_mode": "hf", "trust_remote_code": True}, 8, 40)
    assert "sk-secret" not in " ".join(given)
    pairs = dict(pairwise(given))
    assert (pairs["--max-concurrency"], pairs["--num-prompts"], pairs["--tokenizer-mode"]) == ("8", "40", "hf")
    assert {"--ignore-eos", "--save-detailed", "--trust-remote-code"} <= set(given)
    assert "--tokenizer-mode" not in bench.arguments(JOB, 8, 40)


@pytest.mark.parametrize(
    ("round_", "rate", "expected"),
    [
        ({"concurrency": 4, "requests": 3, "duration_s": None}, 9.0, 3),
        ({"concurrency": 4, "duration_s": 30.0}, 2.5, 75),
        ({"concurrency": 4, "duration_s": 30.0}, 0.01, 8),
        ({"concurrency": 4, "duration_s": 3600.0}, 1e6, bench.MOST_REQUESTS),
    ],
    ids=["as told", "by the rate", "at least two each", "bounded"],
)
def test_requests_of_a_round(round_, rate, expected):
    assert bench.requests_for(round_, rate) == expected


def test_a_result_has_no_lists_and_counts_answers_that_broke_off():
    found = {
        "completed": 2,
        "output_lens": [10, 4, 0],
        "errors": ["", "", "Traceback:\n  x\nValueError: bad\n"],
        "itls": [[1.0]],
        "generated_texts": ["what somebody said"],
    }
    said = bench.result(found, [10, 10, 10])
    assert said == {"figures": {"completed": 2}, "truncated": 1, "errors": ["ValueError: bad"]}


class Recorder:
    """A generator that answers everything, or nothing, and remembers what it was asked."""

    def __init__(self, completed=1, rate=2.0):
        self.asked, self._completed, self._rate = [], completed, rate

    def run(self, concurrency, requests, lengths):
        self.asked.append((concurrency, requests, tuple(lengths)))
        return {
            "figures": {"completed": self._completed, "request_throughput": self._rate},
            "truncated": 0,
            "errors": [],
        }


def rounds(*, warm_up=0, **more):
    return {"rounds": [{"concurrency": 2, "lengths": [(5, 6)], "warm_up": warm_up, **more}] * 2}


def test_rounds_are_told_before_and_after():
    events, generator = [], Recorder()
    bench.run(rounds(requests=4), generator, events.append)
    assert generator.asked == [(2, 4, ((5, 6),))] * 2
    assert [(event["event"], event["number"]) for event in events] == [
        ("round", 1),
        ("result", 1),
        ("round", 2),
        ("result", 2),
    ]
    assert events[1]["figures"]["completed"] == 1


def test_a_round_by_the_clock_is_as_long_as_its_warm_up_says():
    events, generator = [], Recorder(rate=3.0)
    bench.run(rounds(duration_s=10, warm_up=2), generator, events.append)
    assert [asked[1] for asked in generator.asked] == [2, 30, 2, 30]


def test_where_nothing_is_answered_nothing_more_is_asked():
    events, generator = [], Recorder(completed=0)
    bench.run(rounds(duration_s=10, warm_up=2), generator, events.append)
    assert [event["event"] for event in events] == ["warm_up", "result"]
    assert len(generator.asked) == 1


def test_a_job_is_read_and_its_events_are_lines(tmp_path, monkeypatch):
    events = tmp_path / "events.jsonl"
    job = tmp_path / "job.json"
    job.write_text(json.dumps({**JOB, **rounds(requests=4), "events": str(events)}))
    monkeypatch.setattr(sys, "argv", ["selfhost_bench.py", str(job)])
    monkeypatch.setattr(bench, "Generator", lambda _job: Recorder())
    bench.main()
    assert [json.loads(line)["event"] for line in events.read_text().splitlines()] == ["round", "result"] * 2


def test_samples_are_token_ids_with_ids_of_their_own():
    generator = object.__new__(bench.Generator)
    generator._job, generator._sample = JOB, SimpleNamespace
    generator._prompts, generator._number = None, 0
    tokenizer = SimpleNamespace(
        encode=lambda text, add_special_tokens: letters(text) if not add_special_tokens else None
    )
    made = generator._samples(tokenizer, [(20, 7), (30, 8)])
    assert [(len(sample.prompt), sample.prompt_len, sample.expected_output_len) for sample in made] == [
        (20, 20, 7),
        (30, 30, 8),
    ]
    assert len({sample.request_id for sample in made}) == 2
