"""The status line: redrawn on a terminal, sparing elsewhere."""

from __future__ import annotations

import errno
import io

from selfhost.cli import output
from selfhost.cli.progress import StatusLine


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_per_phase_and_one_every_ten_seconds(capsys):
    clock = Clock()
    with StatusLine(clock) as line:
        for second in range(25):
            clock.now = 100.0 + second
            line.show("collect" if second < 22 else "install", f"{second} of 25")
    assert capsys.readouterr().err.splitlines() == ["0 of 25", "10 of 25", "20 of 25", "22 of 25"]


def test_on_a_terminal_one_line_is_redrawn_and_cleared(capsys, monkeypatch):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    clock = Clock()
    with StatusLine(clock) as line:
        for tenth in range(10):
            clock.now = 100.0 + tenth / 10
            line.show("collect", f"{tenth} and a long tail that is cut")
    err = capsys.readouterr().err
    assert "\n" not in err
    drawn = err.split("\r\x1b[K")
    assert drawn[0] == drawn[-1] == ""
    assert drawn[1] == "0 and a long tail t"
    assert 4 <= len(drawn[1:-1]) <= 6


def test_the_same_line_is_not_told_twice(capsys):
    clock = Clock()
    line = StatusLine(clock)
    for second in range(0, 60, 10):
        clock.now = 100.0 + second
        line.show("install", "installing")
    assert capsys.readouterr().err == "installing\n"


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, _text):
        raise OSError(errno.EIO, "Input/output error")


def test_a_terminal_that_was_closed_keeps_nobody_from_an_orderly_end(monkeypatch):
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setattr("sys.stderr", Gone())
    with StatusLine() as line:
        line.show("install", "not seen")
        output.note("nor this")
        output.warn("nor that")
