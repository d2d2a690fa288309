"""Processes: who is who, whole trees, and that nothing survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from selfhost.serve import process
from selfhost.serve.process import end_tree, identify, is_alive, members
from tests.serve.serve_support import FAKE, free_port


def start(tmp_path, how: str = "{}", mark: str = "t:1") -> subprocess.Popen:
    argv = [sys.executable, str(FAKE), "serve", "m", "--host", "127.0.0.1", "--port", str(free_port())]
    env = {**os.environ, "FAKE_ENGINE": how, "SELFHOST_SERVER": mark}
    return process.spawn(argv, env, tmp_path / "engine.log")


def wait_until_set_up(tmp_path, count: int = 1) -> None:
    until = time.monotonic() + 30
    while (tmp_path / "engine.log").read_text().count("set up\n") != count:
        assert time.monotonic() < until
        time.sleep(0.02)


def wait_for_members(count: int, mark: str = "t:1", main=None) -> None:
    until = time.monotonic() + 30
    while len(members(mark, main)) != count:
        assert time.monotonic() < until, members(mark, main)
        time.sleep(0.02)


def finish(child: subprocess.Popen) -> int:
    return child.wait(5)


def test_identity_tells_a_process_from_a_later_one_with_the_same_number():
    me = identify(os.getpid())
    assert me.pid == os.getpid()
    assert is_alive(me)
    assert not is_alive(replace(me, start_ticks=me.start_ticks - 1))
    assert not is_alive(replace(me, boot_id="another boot"))
    assert not is_alive(None)


def test_a_zombie_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    identity = identify(child.pid)
    until = time.monotonic() + 30
    while is_alive(identity) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(identity)
    assert child.wait() == 0


def test_names_with_parentheses_do_not_confuse_the_reader():
    stat = process._parse_stat("42 (a) b (c) S 7 " + " ".join(["0"] * 17) + " 12345 0 0")
    assert (stat.parent, stat.state, stat.start_ticks) == (7, "S", 12345)


def test_spawn_writes_to_the_log_and_leaves_the_session(tmp_path):
    log = tmp_path / "engine.log"
    log.write_text("of an earlier start\n")
    child = process.spawn([sys.executable, "-c", "import os;print(os.getsid(0)==os.getpid())"], os.environ, log)
    assert finish(child) == 0
    assert log.read_text() == "True\n"
    assert log.stat().st_mode & 0o777 == 0o600


def test_an_orderly_end_needs_no_kill(tmp_path):
    child = start(tmp_path)
    wait_for_members(1)
    ended = end_tree("t:1", identify(child.pid), grace_s=5)
    assert (ended.ended, ended.killed, ended.survivors) == (1, 0, ())
    assert finish(child) in (0, -signal.SIGTERM)


def test_processes_that_left_session_and_parent_are_found_and_ended(tmp_path):
    child = start(tmp_path, '{"children": 2}')
    wait_for_members(3)
    child.kill()
    finish(child)
    assert len(members("t:1")) == 2, "they outlive their main process"
    ended = end_tree("t:1", None, grace_s=5, follow_s=0.2)
    assert (ended.ended, ended.killed) == (2, 0)
    assert members("t:1") == []


def test_descendants_without_the_mark_belong_to_the_tree(tmp_path):
    child = start(tmp_path, '{"clean_children": 1}')
    main = identify(child.pid)
    wait_for_members(2, main=main)
    ended = end_tree("t:1", main, grace_s=5, follow_s=0.2)
    assert ended.survivors == ()
    assert ended.ended == 2
    assert members("t:1", main) == []
    finish(child)


def test_who_ignores_term_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "_TERM_S", 0.3)
    child = start(tmp_path, '{"ignore_term": true, "children": 1, "deaf_children": true}')
    wait_until_set_up(tmp_path, 2)
    ended = end_tree("t:1", identify(child.pid), grace_s=0.3, follow_s=0.3)
    assert (ended.ended, ended.killed, ended.survivors) == (2, 2, ())
    assert finish(child) == -signal.SIGKILL


def test_in_a_hurry_everything_is_killed_at_once(tmp_path):
    child = start(tmp_path, '{"ignore_term": true}')
    wait_until_set_up(tmp_path)
    began = time.monotonic()
    ended = end_tree("t:1", identify(child.pid), grace_s=60, hurry=lambda: True)
    assert ended.killed == 1
    assert time.monotonic() - began < 5
    finish(child)


def test_another_server_is_left_alone(tmp_path):
    mine, other = start(tmp_path), start(tmp_path, mark="t:12")
    wait_for_members(1)
    wait_for_members(1, "t:12")
    end_tree("t:1", identify(mine.pid), grace_s=5)
    assert len(members("t:12")) == 1
    end_tree("t:12", identify(other.pid), grace_s=5)
    finish(mine)
    finish(other)


def test_a_signal_does_not_reach_a_later_process_with_the_same_number(tmp_path):
    child = start(tmp_path)
    wait_for_members(1)
    identity = identify(child.pid)
    process.send(replace(identity, start_ticks=identity.start_ticks + 1), signal.SIGKILL)
    time.sleep(0.1)
    assert is_alive(identity)
    end_tree("t:1", identity, grace_s=5)
    finish(child)


def test_ending_nothing_takes_no_time():
    began = time.monotonic()
    ended = end_tree("nobody:0", None, grace_s=30)
    assert (ended.ended, ended.survivors) == (0, ())
    assert time.monotonic() - began < 1


@pytest.mark.skipif(not os.path.exists("/proc/vmstat"), reason="no /proc/vmstat here")  # noqa: PTH110
def test_the_kernel_tells_how_often_it_ran_out_of_memory():
    assert process.oom_kills() is None or process.oom_kills() >= 0
