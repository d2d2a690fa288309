"""`move_all` after an earlier run, beside another process, and when it is stopped."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
import time

import pytest

from selfhost.errors import IncompleteError, NoSpaceError
from selfhost.weights.move import part as part_module
from selfhost.weights.move.pool import move_all
from selfhost.weights.move.types import MoveOptions
from selfhost.weights.remote import Address
from tests.weights.move_bench import CONTENT, MIB, OPTIONS, PATH, Bench, Told, interrupted, once
from tests.weights.move_server import Server


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def test_what_was_moved_is_not_moved_again(bench):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        journal = json.loads(bench.part.with_suffix(".json").read_text())
        assert journal["done"] == [[0, 2 * MIB]]
        assert not bench.final.exists()
        server.requests.clear()
        bench.run(server)
        assert server.sent == len(CONTENT) - 2 * MIB
        assert bench.told.have == {"weights.safetensors": 2 * MIB}
        assert bench.results[-1].downloaded_bytes == len(CONTENT) - 2 * MIB


def test_one_whole_answer_does_not_throw_away_what_is_there(bench):
    def whole(_request, answer):
        answer.status, answer.body = 200, CONTENT
        answer.headers.pop("Content-Range")

    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        server.rule = once(whole)
        bench.run(server)
    assert (bench.told.n_lost, bench.told.have["weights.safetensors"]) == (0, 2 * MIB)


def test_a_server_that_knows_ranges_no_more_starts_over(bench):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        server.ranges = False
        bench.run(server, OPTIONS)
    assert bench.told.n_lost == 2 * MIB


def break_journal(part):
    part.with_suffix(".json").write_text("{")


def claim_more(part):
    body = json.loads(part.with_suffix(".json").read_text())
    part.with_suffix(".json").write_text(json.dumps(body | {"done": [[0, 3 * MIB]]}))


def newer_schema(part):
    body = json.loads(part.with_suffix(".json").read_text())
    part.with_suffix(".json").write_text(json.dumps(body | {"schema_version": 99}))


@pytest.mark.parametrize("damage", [break_journal, claim_more, newer_schema])
def test_a_journal_that_cannot_be_right_starts_over(bench, damage):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        damage(bench.part)
        server.requests.clear()
        bench.run(server)
        assert server.sent == len(CONTENT)
    assert any("starting over" in note for note in bench.told.notes)


def test_a_part_of_another_file_starts_over(bench):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server, sha256="0" * 64)
        bench.run(server)
    assert any("starting over" in note for note in bench.told.notes)


def test_a_part_whose_bytes_were_damaged_is_found_out(bench):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        data = bytearray(bench.part.read_bytes())
        data[1000] ^= 1
        bench.part.write_bytes(data)
        bench.run(server)
    assert any("digest is wrong" in note for note in bench.told.notes)


def test_a_part_without_digest_and_with_another_etag_is_not_gone_on_with(bench):
    other = bytes(len(CONTENT))
    with Server({PATH: other}) as server:
        interrupted(bench, server, sha256=None)
        server.files[PATH] = CONTENT
        with pytest.raises(IncompleteError) as raised:
            bench.run(server, sha256=None)
        assert raised.value.message.id == "move.changed"
        bench.run(server, sha256=None)


def test_a_part_is_gone_on_with_from_another_place(bench):
    with Server({PATH: CONTENT}) as server:
        interrupted(bench, server)
        server.etag = '"of-another-place"'
        server.requests.clear()
        bench.run(server)
        assert server.sent == len(CONTENT) - 2 * MIB


def test_a_file_that_another_process_moves_is_waited_for(bench):
    with Server({PATH: CONTENT}) as server:
        lock = bench.part.with_suffix(".lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)

        def other():
            until = time.monotonic() + 10
            while not bench.told.notes and time.monotonic() < until:
                time.sleep(0.01)
            bench.final.write_bytes(CONTENT)
            lock.unlink()
            os.close(descriptor)

        thread = threading.Thread(target=other)
        thread.start()
        bench.run(server)
        thread.join()
        assert server.requests == []
    assert bench.results == [None]
    assert bench.told.notes == ["another process is downloading this file; waiting for it"]


def test_the_lock_of_a_dead_process_is_no_obstacle(bench):
    bench.part.with_suffix(".lock").touch()
    with Server({PATH: CONTENT}) as server:
        bench.run(server)
    assert bench.told.notes == []


def test_one_part_named_twice_is_moved_once(bench):
    with Server({PATH: CONTENT}) as server:
        transfer = bench.transfer(server)
        move_all([transfer, transfer], OPTIONS, bench.told, bench.take)
        assert server.sent == len(CONTENT)
    assert sorted(moved is None for moved in bench.results) == [False, True]


def test_the_first_failure_stops_the_others_in_a_state_to_go_on_from(tmp_path):
    slow, told = Bench(tmp_path, CONTENT), Told()
    with Server({PATH: CONTENT}) as server:

        def rule(request, answer):
            if request.path == PATH:
                answer.bytes_per_s = 4 * MIB
            elif not told.n_moved:
                answer.status, answer.body = 503, b""

        server.rule = rule
        bad = slow.transfer(
            server, part=tmp_path / "bad.part", address=lambda: Address(url=server.url + "/gone", headers={})
        )
        with pytest.raises(IncompleteError) as raised:
            move_all([slow.transfer(server), bad], OPTIONS, told, slow.take)
        assert raised.value.message.id in ("move.absent", "move.gave_up")
        server.rule = None
        slow.run(server)
        assert slow.told.have == {"weights.safetensors": told.n_moved}


@pytest.mark.parametrize("state", ["silent", "stalled", "trickling", "paused"])
def test_an_interrupt_takes_effect_within_a_second(bench, state):
    options = MoveOptions(connections=4, stall_s=60, backoff_s=60, backoff_max_s=60, limit_bytes_per_s=None)
    seen = threading.Event()

    def rule(_request, answer):
        seen.set()
        if state == "silent":
            answer.silent = True
        elif state == "stalled":
            answer.stall_after = 1000
        elif state == "trickling":
            answer.bytes_per_s = 64 << 10
        else:
            answer.status, answer.body = 503, b""
            answer.headers["Retry-After"] = "100"

    with Server({PATH: CONTENT}, rule=rule) as server:
        began = []

        def interrupt():
            seen.wait(10)
            time.sleep(0.2)
            began.append(time.monotonic())
            os.kill(os.getpid(), 2)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            bench.run(server, options)
        assert time.monotonic() - began[0] < 1.0
        thread.join()
    assert not bench.final.exists()


def test_what_the_caller_raises_ends_everything(bench):
    def refuse(_transfer, _moved):
        raise ZeroDivisionError

    with Server({PATH: CONTENT}) as server, pytest.raises(ZeroDivisionError):
        move_all([bench.transfer(server)], OPTIONS, bench.told, refuse)


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (errno.ENOSPC, NoSpaceError, "cli.no_space"),
        (errno.EDQUOT, NoSpaceError, "cli.no_space"),
        (errno.EFBIG, NoSpaceError, "move.too_large"),
        (errno.EIO, IncompleteError, "move.disk"),
    ],
)
def test_a_disk_that_takes_no_more(bench, monkeypatch, number, error, message):
    real = os.pwrite

    def pwrite(descriptor, data, offset):
        if offset >= 2 * MIB:
            raise OSError(number, os.strerror(number))
        return real(descriptor, data, offset)

    with Server({PATH: CONTENT}) as server:
        with monkeypatch.context() as patched:
            patched.setattr(part_module.os, "pwrite", pwrite)
            with pytest.raises(error) as raised:
                bench.run(server, MoveOptions(connections=1, range_bytes=MIB))
        assert raised.value.message.id == message
        bench.told = Told()
        bench.run(server)
    assert bench.told.have == {"weights.safetensors": 2 * MIB}
