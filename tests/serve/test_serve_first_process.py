"""The supervisor as the first process of a container: it restarts, reaps and stops as anywhere else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from selfhost.serve import records
from tests.serve.serve_support import FRONT, marked

pytestmark = pytest.mark.slow

ISOLATED = ("unshare", "--pid", "--fork", "--mount-proc")


@pytest.fixture
def contained(fakes):
    """`serve` as process 1 of a namespace of its own."""
    if not shutil.which("unshare") or subprocess.run([*ISOLATED, "true"], check=False, capture_output=True).returncode:
        pytest.skip("a process namespace needs root and `unshare`")
    record, orders = fakes.claim({"children": 1}, restart="on-failure")
    path = records.folder(fakes.home, record.name).path / "orders.json"
    path.write_text(json.dumps(orders.as_dict()))
    argv = [*ISOLATED, sys.executable, str(FRONT), record.name, str(path)]
    front = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    yield front
    for pid in marked(fakes.home.root):
        os.kill(pid, signal.SIGKILL)
    front.communicate()


def engine_of(first: psutil.Process) -> psutil.Process:
    return next(child for child in first.children() if "engine.py" in " ".join(child.cmdline()))


def test_as_process_1_it_restarts_reaps_and_stops(contained, here):
    assert contained.stdout.readline() == b"ready\n"
    assert records.read(here, "tiny").supervisor.pid == 1
    (first,) = psutil.Process(contained.pid).children()

    # Its child is inherited by process 1 and ended with the rest: two zombies, if nobody waits for them.
    engine_of(first).kill()
    until = time.monotonic() + 10
    while not ((record := records.read(here, "tiny")).restarts and record.ready_at):
        assert time.monotonic() < until
        time.sleep(0.05)
    while any(child.status() == psutil.STATUS_ZOMBIE for child in first.children()):
        assert time.monotonic() < until, "zombies are left"
        time.sleep(0.05)
    assert len(first.children()) == 2

    first.send_signal(signal.SIGTERM)
    contained.communicate(timeout=10)
    assert contained.returncode == 143
    assert records.read(here, "tiny").state.value == "stopped"
    assert marked(here.root) == []
