"""A process that is killed at any moment: what is on disk is gone on with, and nothing is taken for complete."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.weights.move_server import Server

MIB = 1 << 20
KILLS = int(os.environ.get("SELFHOST_TEST_KILLS", "5"))
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_kills_lose_little_and_break_nothing(tmp_path):
    chance = random.Random(7)
    block = chance.randbytes(MIB)
    # One large file that takes many ranges, and small ones beside it.
    contents = [block * 200 + b"end", block * 40, b"", b"x", block[:-1]]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    kills, command = 0, [sys.executable, "-m", "tests.weights.move_child"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def pace(_request, answer):
        # Slow enough that each child is killed in the middle of it: 8 connections, 25 MB/s each.
        answer.bytes_per_s = 25e6

    with Server({f"/f{n}": content for n, content in enumerate(contents)}, rule=pace) as server:
        total = sum(map(len, contents))
        for left in reversed(range(KILLS + 1)):
            child = subprocess.Popen(
                [*command, server.url, str(tmp_path), *digests],
                cwd=REPOSITORY,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            before, sizes = server.sent, sizes_of_finals(tmp_path)
            # The last one is left alone; with many kills each gets a small part of the way.
            enough = chance.random() * 1.6 * total / (KILLS + 1)
            while child.poll() is None and (left == 0 or server.sent - before < enough):
                time.sleep(0.002)
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                kills += 1
            out, _ = child.communicate()
            assert "lost" not in out, out
            print(f"kill {kills}: {(server.sent - before) / MIB:.1f} MiB sent, finals before {sizes}")
            for number, size in sizes_of_finals(tmp_path).items():
                assert size == len(contents[number])
        assert child.returncode == 0, out
        waste = server.sent - total
    assert [(tmp_path / f"final{n}").read_bytes() == content for n, content in enumerate(contents)] == [True] * 5
    assert not list(tmp_path.glob("*.json"))
    assert not list(tmp_path.glob("*.part"))
    print(f"{kills} kills, {waste / MIB:.1f} MiB wasted")
    assert kills > 0
    assert waste <= kills * 64 * MIB


def sizes_of_finals(folder: Path) -> dict[int, int]:
    return {int(path.name.removeprefix("final")): path.stat().st_size for path in folder.glob("final*")}


@pytest.mark.slow
def test_two_processes_move_a_file_once(tmp_path):
    contents = [random.Random(n).randbytes(30 * MIB + n) for n in range(3)]
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def pace(_request, answer):
        answer.bytes_per_s = 50e6

    with Server({f"/f{n}": content for n, content in enumerate(contents)}, rule=pace) as server:
        command = [sys.executable, "-m", "tests.weights.move_child", server.url, str(tmp_path), *digests]
        both = [
            subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        told = [child.communicate()[0] for child in both]
        assert [child.returncode for child in both] == [0, 0], told
        assert server.sent == sum(map(len, contents))
    assert [(tmp_path / f"final{n}").read_bytes() for n in range(3)] == contents
    assert "another process is downloading this file" in "".join(told)
    assert sorted(path.name for path in tmp_path.glob("*.*")) == []
