"""Commands run in the process of the test."""

from __future__ import annotations

import io
import signal

import pytest

from selfhost.cli import main as cli


@pytest.fixture
def selfhost(capsys, monkeypatch):
    """Run a command: (exit code, stdout, stderr)."""

    def run(*arguments, stdin=None):
        monkeypatch.setattr("sys.stdin", stdin or io.StringIO())
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            with pytest.raises(SystemExit) as ended:
                cli.main([str(argument) for argument in arguments])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run
