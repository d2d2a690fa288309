"""Fixtures for servers whose engine is `tests/fakes/engine.py`; every test leaves no process behind, or fails."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest

from selfhost.app import servers
from selfhost.home import Home
from selfhost.serve import records
from tests.serve.serve_support import Fakes, marked


@pytest.fixture
def here(home) -> Home:
    return Home(home)


@pytest.fixture(autouse=True)
def _nothing_left(home):
    yield
    until = time.monotonic() + 3
    while (left := marked(home)) and time.monotonic() < until:
        time.sleep(0.05)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert left == [], "processes were left behind"


@pytest.fixture
def fakes(here, monkeypatch):
    made = Fakes(here, monkeypatch)
    yield made
    for name in records.names(here):
        with contextlib.suppress(Exception):
            servers.stop(here, name, 0)


@pytest.fixture
def in_thread():
    """Run something beside the test; it is waited for at the end."""
    threads = []

    def run(work):
        thread = threading.Thread(target=work)
        thread.start()
        threads.append(thread)
        return thread

    yield run
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
