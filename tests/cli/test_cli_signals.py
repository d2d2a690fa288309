"""Interrupted and terminated commands say so and give the code of the contract."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

FOLLOWING = """
import time, selfhost.app.server_logs as server_logs
server_logs.log_lines = lambda *arguments, **options: iter(lambda: time.sleep(0.05) or "x", None)
from selfhost.cli.main import main
main(["logs", "any", "-f"])
"""


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 143, "terminated"),
    ],
)
def test_a_signal_is_told_and_has_its_code(number, code, word, home):
    (home / "servers").mkdir(parents=True)
    # A server whose log is followed: a command that waits until somebody ends it.
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOWING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.read(1) == "x"
    time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == code
    assert stderr == word + "\n"


@pytest.mark.parametrize("arguments", [["recipe", "ls"], ["recipe", "show", "smollm2-135m", "--json"]])
def test_a_full_file_system_under_stdout_is_no_defect_of_ours(arguments, home):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "selfhost", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 8
    assert done.stderr.startswith("error: no space left while writing `stdout`\n")
    assert "Traceback" not in done.stderr
