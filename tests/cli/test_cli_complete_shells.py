"""Completion as bash, zsh and fish do it: installed by `--install-completion`, then Tab on a terminal."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfhost.app import key
from selfhost.home import Home
from tests.serve.serve_support import Fakes

pytestmark = pytest.mark.slow

SHELLS = {"bash": ["bash", "-i"], "zsh": ["zsh", "-i"], "fish": ["fish", "-i"]}
_SECONDS = 60
_LINE_START, _ENTER = b"\x01", b"\r"


class Terminal:
    """An interactive shell on a terminal of its own."""

    def __init__(self, argv: list[str], env: dict[str, str]) -> None:
        self.pid, self._master = pty.fork()
        if self.pid == 0:  # the child
            os.execvpe(argv[0], argv, env)
        self.said = ""

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, text: str) -> None:
        """Until it is on the screen; fails with all there is when it does not come."""
        until = time.monotonic() + _SECONDS
        while text not in self.said:
            left = until - time.monotonic()
            assert left > 0, f"no {text!r} in:\n{self.said}"
            if select.select([self._master], [], [], left)[0]:
                self.said += os.read(self._master, 65536).decode(errors="replace")

    def close(self) -> None:
        os.close(self._master)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture(scope="module", params=sorted(SHELLS))
def shell(request, tmp_path_factory):
    """(how it is started, its environment), with the completion installed the way users do it."""
    argv = SHELLS[request.param]
    if not shutil.which(argv[0]):
        pytest.skip(f"{argv[0]} is not installed")
    root = tmp_path_factory.mktemp(request.param)
    (root / "bin").mkdir()
    command = root / "bin" / "selfhost"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m selfhost "$@"\n')
    command.chmod(0o755)
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "LANG", "LC_ALL") if name in os.environ}
    path = f"{root / 'bin'}:{os.environ['PATH']}"
    env = {**kept, "HOME": str(root), "PATH": path, "TERM": "dumb", "SELFHOST_HOME": str(root / "home")}
    # Found by its parent process, as on a terminal; `true` keeps a shell from being replaced by its last command.
    for flag in ("--show-completion", "--install-completion"):
        line = [argv[0], "-c", f"selfhost {flag}; true"]
        done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
        assert done.stdout.strip(), done.stderr
        assert not done.stderr
    return argv, env


@pytest.fixture
def typed(shell):
    """What a line becomes when Tab is pressed at its end."""
    argv, env = shell
    terminals = []

    def complete(line: str) -> str:
        terminal = Terminal(argv, env)
        terminals.append(terminal)
        # In two words, so that what is typed is not what is waited for.
        terminal.type(b"echo rea''dy" + _ENTER)
        terminal.wait_for("ready")
        terminal.type(line.encode() + b"\t" + _LINE_START + b"echo i''s: " + _ENTER + b"echo the e''nd" + _ENTER)
        terminal.wait_for("the end")
        return terminal.said.rpartition("is: selfhost")[2].splitlines()[0].strip()

    yield complete
    for terminal in terminals:
        terminal.close()


def test_recipes_variants_and_options(typed):
    assert typed("selfhost plan qwen2.5-72") == "plan qwen2.5-72b"
    assert typed("selfhost plan qwen2.5-72b --variant aw") == "plan qwen2.5-72b --variant awq-int4"
    assert typed("selfhost serve qwen2.5-72b --tensor") == "serve qwen2.5-72b --tensor-parallel-size"


def test_names_of_servers_keys_and_engines(typed, shell, monkeypatch):
    root = shell[1]["SELFHOST_HOME"]
    monkeypatch.setenv("SELFHOST_HOME", root)
    key.new("alice")
    Fakes(Home(Path(root)), monkeypatch).claim(name="my-server")
    assert typed("selfhost stop my") == "stop my-server"
    assert typed("selfhost key revoke al") == "key revoke alice"
    assert typed("selfhost engine path quantize-cu") == "engine path quantize-cuda"
