"""That a soak would notice: streams that break off in every way, memory that grows."""

from __future__ import annotations

import json

import pytest

from tests.bench.soak_figures import MIB, LostError, Memory, Stream


def lines(*, tokens=(1, 2), reason="stop", usage=3, done=True):
    events = [{"choices": [{"token_ids": list(range(count)), "finish_reason": None}]} for count in tokens]
    if reason:
        events.append({"choices": [{"token_ids": [], "finish_reason": reason}]})
    if usage is not None:
        events.append({"choices": [], "usage": {"completion_tokens": usage}})
    made = [f"data: {json.dumps(event)}\n".encode() for event in events]
    return [*made, *([b"data: [DONE]\n"] if done else [])]


def read(given) -> Stream:
    stream = Stream()
    for line in given:
        stream.feed(line)
        stream.feed(b"\n")
    stream.finish()
    return stream


def test_a_whole_stream():
    found = read(lines())
    assert (found.tokens, found.finish_reason) == (3, "stop")
    assert read([b": ping\n", *lines(reason="length")]).finish_reason == "length"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lines(done=False), "no [DONE]"),
        (lines(reason=None), "finish_reason None"),
        (lines(reason="abort"), "finish_reason abort"),
        (lines(usage=None), "no usage"),
        (lines(tokens=(1,)), "1 tokens came, usage says 3"),
        (lines(tokens=(1, 3)), "4 tokens came, usage says 3"),
        ([*lines(), b"data: {}\n"], "more after [DONE]"),
        ([b"Internal Server Error\n"], "not an event"),
        ([b'data: {"error": {"message": "EngineDeadError"}}\n'], "EngineDeadError"),
        ([], "no [DONE]"),
    ],
)
def test_a_stream_that_is_not_whole(given, says):
    with pytest.raises(LostError) as lost:
        read(given)
    assert says in str(lost.value)


def test_slope_of_memory_leaves_out_the_beginning():
    flat = Memory(tuple((second, (500 if second < 300 else 800) * MIB) for second in range(0, 900, 10)))
    assert flat.slope_bytes_per_hour() == pytest.approx(0)
    assert flat.growth_fraction() == pytest.approx(0)


def test_slope_of_memory_that_grows_by_a_mebibyte_a_second():
    grows = Memory(tuple((second, (1000 + second) * MIB) for second in range(0, 900, 10)))
    assert grows.slope_bytes_per_hour() / MIB == pytest.approx(3600)
    assert grows.growth_fraction() > 0.1
    assert "+3600.0 MiB/h" in grows.line("engine")


def test_few_samples_say_nothing():
    assert Memory(((0.0, 5),)).slope_bytes_per_hour() == 0
    assert Memory(((0.0, 5),)).growth_fraction() == 0
