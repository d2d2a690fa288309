"""Orphans that the first process of a container inherits are waited for; children of others' are left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from selfhost.app.machine import Machine

pytestmark = pytest.mark.slow

# A process that inherits orphans as the first one of a container does (PR_SET_CHILD_SUBREAPER, Linux 3.4).
FIRST = """
import ctypes, json, os, subprocess, sys, time
from pathlib import Path
from selfhost.serve import process

ctypes.CDLL(None).prctl(36, 1)

def state(pid):
    try:
        return process._parse_stat(Path(f"/proc/{pid}/stat").read_text()).state
    except OSError:
        return None

def until(wanted, pid):
    for _ in range(2000):
        if state(pid) == wanted:
            return
        time.sleep(0.01)
    sys.exit(f"{pid} is {state(pid)}, not {wanted}")

# The engine starts a helper that starts another and ends: that one is ours now.
script = "sh -c 'sleep 0.2 & echo $!'; exec sleep 60"
engine = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True, text=True)
orphan = int(engine.stdout.readline())
own = subprocess.Popen(["true"])
until("Z", orphan)
until("Z", own.pid)
reaped = process.reap_orphans(engine.pid)
engine.kill()
until("Z", engine.pid)
later = process.reap_orphans(engine.pid)
print(json.dumps({
    "orphan": [orphan] == reaped, "left": state(orphan), "later": later, "own": own.wait(), "engine": engine.wait(),
}))
"""


def test_an_orphan_of_the_engines_is_reaped_and_nothing_else():
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    # The exit status of our own child and of the engine is still there for those who wait for it.
    assert said == {"orphan": True, "left": None, "later": [], "own": 0, "engine": -9}


RACE = """
import ctypes, json, os, subprocess, threading
from selfhost.serve import process

ctypes.CDLL(None).prctl(36, 1)
ended = []
for round in range(30):
    # The engine ends with orphans of its own, while a tool of ours runs: both are waited for elsewhere.
    engine = subprocess.Popen(["sh", "-c", f"sh -c 'sleep 0.01 &'; exit {round}"], start_new_session=True)
    tool = subprocess.Popen(["sh", "-c", f"exit {round + 100}"])
    waiting = threading.Thread(target=tool.wait)
    waiting.start()
    while waiting.is_alive() or engine.poll() is None:
        process.reap_orphans(engine.pid)
    ended.append([engine.returncode, tool.returncode])
print(json.dumps(ended))
"""


def test_no_exit_status_is_lost_to_a_reaper_that_never_rests():
    done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[round_, round_ + 100] for round_ in range(30)]


@pytest.mark.parametrize(("pid", "wanted"), [(1, [7]), (4711, [])])
def test_only_the_first_process_of_a_container_reaps(pid, wanted, monkeypatch):
    reaped: list[int] = []
    monkeypatch.setattr("os.getpid", lambda: pid)
    monkeypatch.setattr("selfhost.serve.process.reap_orphans", reaped.append)
    Machine.reap(SimpleNamespace(_next_reap=0.0, _engine=SimpleNamespace(pid=7)))
    assert reaped == wanted
