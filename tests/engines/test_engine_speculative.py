"""What an engine command line says about speculative decoding, however it is spelt."""

from __future__ import annotations

import pytest

from selfhost.engines import known, owned
from selfhost.engines.speculative import not_counted, read_speculation
from selfhost.errors import UsageError
from selfhost.planner.speculation import Speculation

MTP = '{"method": "mtp", "num_speculative_tokens": 2}'


def options(*words: str) -> list[owned.Option]:
    return owned.parse(words, known.load("vllm"))


@pytest.mark.parametrize(
    "words",
    [
        ("--speculative-config", MTP),
        (f"--speculative-config={MTP}",),
        ("-sc", MTP),
        ("--speculative_config", '{"method": "mtp", "num-speculative-tokens": 2}'),
        ("--speculative-config.method", "mtp", "--speculative-config.num_speculative_tokens", "2"),
        ("--spec-method", "mtp", "--spec-tokens", "2"),
        ("--speculative-config", '{"method": "mtp"}', "--spec-tokens=2"),
        ("--speculative-config", '{"method": "mtp", "num_speculative_tokens": 2, "draft_sample_method": "greedy"}'),
    ],
    ids=" ".join,
)
def test_all_spellings_say_the_same(words):
    read = read_speculation(options(*words))
    assert read == Speculation(method="mtp", num_speculative_tokens=2)
    assert not_counted(options(*words, "--seed", "1"), read) == ["--seed", "1"]


@pytest.mark.parametrize(
    ("config", "drafts", "counted"),
    [
        ('{"method": "mtp", "num_speculative_tokens": 1}', True, True),
        ('{"method": "deepseek_mtp", "num_speculative_tokens": 1}', True, True),
        ('{"method": "ngram", "num_speculative_tokens": 4}', False, True),
        ('{"method": "eagle3", "model": "x", "num_speculative_tokens": 3}', False, False),
        ('{"model": "small", "num_speculative_tokens": 3}', False, False),
        ('{"method": "mtp", "model": "other", "num_speculative_tokens": 1}', False, False),
        ('{"method": "mtp", "num_speculative_tokens": 1, "draft_sample_method": "probabilistic"}', False, False),
        ('{"method": "suffix"}', False, False),
    ],
)
def test_what_is_counted(config, drafts, counted):
    read = read_speculation(options("--speculative-config", config))
    assert read is not None
    assert (read.drafts, read.is_counted) == (drafts, counted)
    words = ["--speculative-config", config]
    assert not_counted(options(*words), read) == ([] if counted else words)


def test_nothing_said_is_nothing():
    assert read_speculation(options("--seed", "1")) is None
    assert not_counted(options("--seed", "1"), None) == ["--seed", "1"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("mtp", "owned.not_an_object"),
        ("[1]", "owned.not_an_object"),
        ('{"method": "mtp", "num_speculative_tokens": "two"}', "owned.not_a_number"),
        ('{"method": "mtp", "num_speculative_tokens": 0}', "plan.not_positive"),
    ],
)
def test_what_the_engine_would_not_understand_is_said_at_once(value, message):
    with pytest.raises(UsageError) as raised:
        read_speculation(options("--speculative-config", value))
    assert raised.value.message.id == message
    assert str(raised.value.message.what)
