"""How far a download is: the arithmetic of the line, and where it goes."""

from __future__ import annotations

import threading

import pytest

from selfhost.cli import moving
from selfhost.cli.moving import Meter, Terminal

MIB = 1 << 20


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_nothing_has_moved_yet(clock):
    meter = Meter({"a": 10 * MIB, "b": 30 * MIB}, 0, clock)
    assert meter.line() == "0 of 2 files, 0 B of 40.0 MiB (0 %)"
    assert meter.files() == []


def test_what_was_there_counts_for_the_whole_and_not_for_the_rate(clock):
    meter = Meter({"a": 60 * MIB}, 20 * MIB, clock)
    meter.started("a", 60 * MIB, 10 * MIB)
    assert meter.line() == "0 of 1 files, 30.0 MiB of 80.0 MiB (37 %)"
    clock.now += 2
    meter.moved("a", 20 * MIB)
    assert meter.line() == "0 of 1 files, 50.0 MiB of 80.0 MiB (62 %), 10.0 MiB/s, 3.0 s left"
    assert meter.files() == [("a", 30 * MIB, 60 * MIB)]


def test_the_rate_is_that_of_the_last_seconds(clock):
    meter = Meter({"a": 1000 * MIB}, 0, clock)
    meter.started("a", 1000 * MIB, 0)
    for _ in range(60):
        clock.now += 1
        meter.moved("a", MIB)
    for _ in range(20):
        clock.now += 1
        meter.moved("a", 10 * MIB)
    assert meter.line() == "0 of 1 files, 260.0 MiB of 1,000.0 MiB (26 %), 10.0 MiB/s, 1 min 14 s left"


def test_many_small_pieces_are_as_good_as_a_large_one(clock):
    meter = Meter({"a": 100 * MIB}, 0, clock)
    for _ in range(2000):
        clock.now += 0.01
        meter.moved("a", MIB // 100)
    rate = meter.line().split(", ")[2]
    assert rate in ("1,023.9 KiB/s", "1,024.0 KiB/s", "1.0 MiB/s")


def test_when_nothing_comes_there_is_no_rate_and_no_end(clock):
    meter = Meter({"a": 100 * MIB}, 0, clock)
    for _ in range(30):
        clock.now += 1
        meter.moved("a", MIB)
    clock.now += 5
    assert "left" in meter.line()
    clock.now += 6
    assert meter.line() == "0 of 1 files, 30.0 MiB of 100.0 MiB (30 %)"
    clock.now += 60
    meter.moved("a", MIB)
    clock.now += 1
    meter.moved("a", MIB)
    assert meter.line().split(", ")[2] == "1.0 MiB/s"


def test_lost_bytes_come_again(clock):
    meter = Meter({"a": 10 * MIB}, 0, clock)
    meter.started("a", 10 * MIB, 0)
    meter.moved("a", 8 * MIB)
    meter.lost("a", 6 * MIB)
    assert meter.files() == [("a", 2 * MIB, 10 * MIB)]
    meter.lost("a", 6 * MIB)  # never less than nothing
    assert meter.files() == [("a", 0, 10 * MIB)]
    meter.moved("a", 10 * MIB)
    meter.done("a")
    assert meter.line() == "1 of 1 files, 10.0 MiB of 10.0 MiB (100 %)"
    assert meter.files() == []


def test_a_file_that_another_process_brought_is_whole(clock):
    meter = Meter({"a": 10 * MIB, "b": MIB}, 0, clock)
    meter.done("a")
    assert meter.line() == "1 of 2 files, 10.0 MiB of 11.0 MiB (90 %)"


def test_sizes_that_nobody_knows(clock):
    meter = Meter({"a": None, "b": MIB}, 0, clock)
    meter.started("a", None, 0)
    clock.now += 1
    meter.moved("a", 3 * MIB)
    # No share of the unknown, and no end.
    assert meter.line() == "0 of 2 files, 3.0 MiB, 3.0 MiB/s"
    assert meter.files() == [("a", 3 * MIB, None)]
    meter.done("a")
    assert meter.line() == "1 of 2 files, 3.0 MiB of 4.0 MiB (75 %), 3.0 MiB/s, 0.3 s left"


def test_an_empty_file(clock):
    meter = Meter({"a": 0}, 0, clock)
    meter.started("a", 0, 0)
    meter.done("a")
    assert meter.line() == "1 of 1 files, 0 B of 0 B (100 %)"


def test_from_many_threads(clock):
    names = [f"f{n}" for n in range(8)]
    meter = Meter(dict.fromkeys(names, 100_000), 0, clock)

    def work(name):
        for _ in range(5000):
            meter.moved(name, 20)
            meter.lost(name, 0)
        meter.moved(names[0], 1)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert meter.line()
        assert len(meter.files()) <= 8
    assert sum(have for _, have, _ in meter.files()) == 8 * 100_000 + 8


@pytest.mark.parametrize(("width", "bar"), [(120, 30), (80, 11), (60, 0), (45, 0)])
def test_the_line_of_a_file_fits(width, bar):
    line = moving._file_line("a-very-long-name/" + "model-00001-of-00163.safetensors", MIB * 512, MIB * 1024, width)
    assert len(line) <= width
    assert line.startswith("...")
    assert "3.safetensors " in line
    assert line.endswith("512.0 MiB of 1.0 GiB (50 %)")
    assert line.count("#") == bar // 2


def test_without_a_terminal_there_is_a_line_at_the_end_and_notes_at_once(capsys):
    with Terminal().moving({"a": MIB}, 0) as progress:
        progress.started("a", MIB, 0)
        progress.note("a", "tried again")
        assert capsys.readouterr().err == "a: tried again\n"
        progress.moved("a", MIB)
        progress.done("a")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("1 of 1 files, 1.0 MiB of 1.0 MiB (100 %)")


def test_without_a_terminal_there_is_a_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(moving, "_PLAIN_EVERY_S", 0.01)
    told = threading.Event()
    monkeypatch.setattr(moving.output, "note", lambda _line: told.set())
    with Terminal().moving({"a": MIB}, 0):
        assert told.wait(5)


def test_a_failure_leaves_no_line_that_looks_like_the_end(capsys):
    def fail():
        with Terminal().moving({"a": MIB}, 0):
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        fail()
    assert capsys.readouterr().err == ""
    assert [thread.name for thread in threading.enumerate() if thread.name == "progress"] == []


def test_quiet_says_nothing_but_warnings(capsys):
    talk = Terminal(quiet=True)
    talk.note("x")
    with talk.moving({"a": MIB}, 0) as progress:
        progress.started("a", MIB, 0)
        progress.note("a", "tried again")
        progress.moved("a", MIB)
        progress.done("a")
    assert capsys.readouterr() == ("", "")
    talk.warn("careful")
    assert capsys.readouterr() == ("", "warning: careful\n")


def test_without_a_terminal_nobody_is_asked(capsys, monkeypatch):
    assert Terminal().agrees("sure?") is None
    assert capsys.readouterr().err == ""
