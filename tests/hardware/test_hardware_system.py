"""Calls of tools that hang, crash, babble or leave children behind; each ends in time."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from selfhost.hardware.system import Answer, System, run

if TYPE_CHECKING:
    from pathlib import Path

ENVIRON = {"PATH": "/usr/bin:/bin"}


def script(tmp_path: Path, body: str) -> str:
    path = tmp_path / "tool"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_output_and_status(tmp_path):
    tool = script(tmp_path, 'echo "out $1"; echo err >&2; exit 3')
    assert run([tool, "x"], ENVIRON, 5) == Answer("out x\nerr\n", 3)


def alive_in_group(group: int) -> list[psutil.Process]:
    """Processes of a group that are more than a zombie waiting for init, once a kill had time to work."""

    def running(process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
        return False

    _, left = psutil.wait_procs([p for p in psutil.process_iter() if running(p)], timeout=1)
    return [p for p in left if running(p)]


def patiently(tool: str) -> tuple[Answer, float]:
    """The answer of a tool that hangs, with a limit in which it comes to say something; the time beyond the limit."""
    for limit in (0.3, 3, 30):
        began = time.monotonic()
        answer = run([tool], ENVIRON, limit)
        if answer.output:
            break
    return answer, time.monotonic() - began - limit


@pytest.mark.parametrize(
    "body", ["exec sleep 60", "trap '' TERM; while :; do sleep 60; done"], ids=["sleeps", "ignores"]
)
def test_a_tool_that_hangs_is_killed_with_its_children(tmp_path, body):
    tool = script(tmp_path, f"echo $$ > {tmp_path}/pid; echo begun; {body}")
    answer, taken = patiently(tool)
    assert answer == Answer("begun\n", None)
    assert taken < 2
    assert alive_in_group(int((tmp_path / "pid").read_text())) == []


def test_a_child_that_keeps_the_pipe_open_costs_the_limit_but_not_the_answer(tmp_path):
    answer, taken = patiently(script(tmp_path, "sleep 60 & echo answer; exit 0"))
    assert answer == Answer("answer\n", 0)
    assert taken < 2


def test_endless_output_is_cut(tmp_path):
    answer = run([script(tmp_path, "exec yes")], ENVIRON, 20)
    assert answer.returncode == 1
    assert (4 << 20) < len(answer.output) < (5 << 20)


def test_a_crash_is_told_from_an_exit(tmp_path):
    assert run([script(tmp_path, "kill -SEGV $$")], ENVIRON, 5).returncode == -11


@pytest.mark.parametrize("name", ["absent", "not-executable"])
def test_a_tool_that_cannot_be_started_is_an_answer_too(tmp_path, name):
    (tmp_path / "not-executable").write_text("x")
    answer = run([str(tmp_path / name)], ENVIRON, 5)
    assert answer.returncode == 127
    assert answer.output


def test_no_time_left_starts_nothing(tmp_path):
    assert run([script(tmp_path, f"touch {tmp_path}/ran")], ENVIRON, 0) == Answer("", None)
    assert not (tmp_path / "ran").exists()


def test_bytes_that_are_no_text(tmp_path):
    assert run([script(tmp_path, "printf '\\377\\001'")], ENVIRON, 5).output == "\ufffd\x01"


def test_tools_are_found_on_path_and_where_vendors_put_them(tmp_path):
    vendor = tmp_path / "usr/local/sbin"
    vendor.mkdir(parents=True)
    (vendor / "npu-smi").write_text("#!/bin/sh\n")
    (vendor / "npu-smi").chmod(0o755)
    system = System(root=tmp_path, environ={"PATH": "/nowhere"})
    assert system.find("npu-smi") == str(vendor / "npu-smi")
    assert system.find("nvidia-smi") is None
    assert system.read("/etc/absent") == ""
