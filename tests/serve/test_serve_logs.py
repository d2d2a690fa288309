"""Logs that are rolled while they are written and read: nothing twice, nothing lost, and what is found of them."""

from __future__ import annotations

import fcntl
import subprocess
import sys

import pytest

from selfhost.errors import UsageError
from selfhost.serve import logs

LIMIT = 256 << 10


@pytest.fixture(params=["cut off", "emptied"])
def path(request, tmp_path, monkeypatch):
    """A log, on a file system that cuts off the beginning of a file, and on one that does not."""
    if request.param == "emptied":
        monkeypatch.setattr(logs, "_cut_off", lambda *_: False)
    return tmp_path / "engine.log"


def write(path, first: int, last: int) -> None:
    """Numbered lines, by a descriptor as an engine has it."""
    with path.open("ab") as stream:
        stream.write(b"".join(b"line %06d %s\n" % (number, b"x" * 87) for number in range(first, last)))


def numbers(text: str) -> list[int]:
    return [int(line.split()[1]) for line in text.splitlines()]


def test_a_log_that_is_not_long_stays_as_it_is(path):
    assert logs.roll(path, LIMIT) == 0
    write(path, 0, 100)
    assert logs.roll(path, LIMIT) == 0
    assert logs.generations(path) == [path]


def test_a_long_log_goes_on_in_an_empty_file_and_all_of_it_is_found(path):
    write(path, 0, 3000)
    size = path.stat().st_size
    inode = path.stat().st_ino
    went = logs.roll(path, LIMIT)
    assert (path.stat().st_ino, path.stat().st_size) == (inode, size - went), "the engine goes on writing to this file"
    assert path.stat().st_size < 1 << 16
    write(path, 3000, 3010)
    assert numbers(logs.read_ends(path)) == list(range(3010))
    assert logs.numbered(path, 1).stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == ["engine.log", "engine.log.1"]


def test_the_oldest_goes(path):
    for number in range(8):
        write(path, number * 3000, (number + 1) * 3000)
        assert logs.roll(path, LIMIT)
    assert [file.name for file in logs.generations(path)] == [*(f"engine.log.{n}" for n in (4, 3, 2, 1)), "engine.log"]
    # The first line of the oldest is in a file that is gone, in part.
    found = numbers(logs.read_end(path).partition("\n")[2])
    assert found[-1] == 23_999
    assert found == list(range(found[0], 24_000))


def test_a_follower_gets_each_line_once(path):
    tail = logs.Tail(path)
    got, written = "", 0
    for step in range(60):
        write(path, written, written + 500 + step)
        written += 500 + step
        if step % 3:
            got += tail.read()
        logs.roll(path, LIMIT)
        if step % 5 == 0:
            got += tail.read()
    assert len(logs.generations(path)) > 2
    assert numbers(got + tail.read(final=True)) == list(range(written))


def test_a_follower_from_the_first_line_on_finds_earlier_files_too(path):
    write(path, 0, 3000)
    logs.roll(path, LIMIT)
    write(path, 3000, 3100)
    tail = logs.Tail(path)
    pieces = tail.earlier()
    got = next(pieces, "")
    write(path, 3100, 6000)
    logs.roll(path, LIMIT)
    write(path, 6000, 6100)
    got += "".join(pieces) + tail.read(final=True)
    assert numbers(got) == list(range(6100))


def test_the_last_lines_reach_back_into_an_earlier_file(path):
    write(path, 0, 3000)
    logs.roll(path, LIMIT)
    write(path, 3000, 3002)
    tail = logs.Tail(path)
    assert numbers("\n".join(tail.last_lines(1000))) == list(range(2002, 3002))
    write(path, 3002, 3004)
    assert numbers(tail.read()) == [3002, 3003]


def test_a_place_in_a_log_is_found_after_it_was_rolled(path):
    write(path, 0, 2990)
    place = path.stat().st_size
    write(path, 2990, 3000)
    place -= logs.roll(path, LIMIT)
    write(path, 3000, 3010)
    assert numbers(logs.read_end(path, since=place)) == list(range(2990, 3010))


def test_a_log_that_is_being_read_is_rolled_later(path):
    write(path, 0, 3000)
    with path.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        assert logs.roll(path, LIMIT) == 0
    assert logs.roll(path, LIMIT) > 0


def test_a_log_that_was_renamed_by_its_writer_is_followed_into_the_next_file(tmp_path):
    path = tmp_path / "access.log"
    write(path, 0, 10)
    tail = logs.Tail(path)
    assert numbers(tail.read()) == list(range(10))
    write(path, 10, 20)
    path.replace(logs.numbered(path, 1))
    assert numbers(tail.read()) == list(range(10, 20)), "before there is a next one"
    write(path, 20, 30)
    assert numbers(tail.read()) == list(range(20, 30))


def test_on_a_full_disk_the_log_stays_as_it_was(path, monkeypatch):
    write(path, 0, 3000)

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(logs.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        logs.roll(path, LIMIT)
    assert numbers(logs.read_ends(path)) == list(range(3000))
    assert [file.name for file in path.parent.iterdir()] == ["engine.log"]


def test_a_log_that_ends_with_a_whole_block_is_not_emptied(tmp_path):
    """So a read ends that meets a write half-way: emptied, the log would lose the other half and what follows."""
    path = tmp_path / "engine.log"
    path.write_bytes(b"x" * LIMIT)
    with path.open("r+b", buffering=0) as probe:
        if not logs._cut_off(probe, 1 << 16):
            pytest.skip("this file system does not cut off the beginning of a file")
    path.write_bytes(b"x" * LIMIT)
    assert logs.roll(path, LIMIT) == LIMIT - (1 << 16)
    assert path.stat().st_size == 1 << 16
    assert logs.numbered(path, 1).stat().st_size == LIMIT - (1 << 16)


@pytest.mark.slow
def test_nothing_is_lost_of_what_a_process_writes_meanwhile(tmp_path):
    """On ext4 and XFS; elsewhere some lines are, and `_cut_off` says that it could not."""
    path = tmp_path / "engine.log"
    with path.open("ab") as probe:
        probe.write(b"x" * (3 << 16))
    with path.open("r+b", buffering=0) as probe:
        if not logs._cut_off(probe, 1 << 16):
            pytest.skip("this file system does not cut off the beginning of a file")
    path.unlink()
    script = "import os\nfor n in range(60000): os.write(1, b'line %06d %s\\n' % (n, b'x' * 87))"
    tail, got = logs.Tail(path), ""
    with path.open("ab") as stream, subprocess.Popen([sys.executable, "-c", script], stdout=stream) as writer:
        while writer.poll() is None:
            logs.roll(path, 1 << 20)
            got += tail.read()
    assert numbers(got + tail.read(final=True)) == list(range(60_000))
    assert path.stat().st_size < 60_000 * 100 / 2


@pytest.mark.parametrize(("text", "size"), [(None, 64 << 20), ("", 64 << 20), ("1MiB", 1 << 20), ("4K", 4096)])
def test_the_size_is_what_the_variable_says(text, size):
    assert logs.wanted_bytes(text) == size


@pytest.mark.parametrize("text", ["x", "-1", "0", "100", "4095"])
def test_sizes_that_are_none(text):
    with pytest.raises(UsageError) as caught:
        logs.wanted_bytes(text)
    assert caught.value.message.id == "serve.bad_log_size"
