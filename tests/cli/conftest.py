"""Commands run in the process of the test."""

from __future__ import annotations

import io

import pytest

from selfhost.cli import main as cli


@pytest.fixture
def selfhost(capsys, monkeypatch):
    """Run a command: (exit code, stdout, stderr)."""

    def run(*arguments, stdin=None):
        monkeypatch.setattr("sys.stdin", stdin or io.StringIO())
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run
