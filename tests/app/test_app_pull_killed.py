"""`pull` as processes that are killed, interrupted, started twice, and that run out of space."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from selfhost.weights.blobs import Blobs
from tests.conftest import missing
from tests.pull_support import assert_same, sha256_of, write_repository
from tests.standins.hub import Hub

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
KILLS = int(os.environ.get("SELFHOST_TEST_KILLS", "4"))
MIB = 1 << 20
WASTE_BYTES = 64 * MIB
"""Most bytes that a kill may cost; and 2 % of the model where that is more."""
UNTIL_S = 60


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """`org/tiny` and, with the same weights, `org/twin`: 4 files, 192 MiB."""
    root = tmp_path_factory.mktemp("hub")
    write_repository(root / "org" / "tiny", shard_bytes=48 * MIB, shards=4)
    shutil.copytree(root / "org" / "tiny", root / "org" / "twin", copy_function=os.link)
    write_repository(root / "org" / "small", shard_bytes=10 * MIB, shards=4)
    return root


@pytest.fixture
def hub(root, monkeypatch):
    with Hub(root, limit_bytes_per_s=96e6) as hub:
        hub.prepare()
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def needed(directory) -> dict[str, int]:
    kept = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "LICENSE")
    wanted = [directory / name for name in kept] + list(directory.glob("*.safetensors*"))
    return {path.name: path.stat().st_size for path in wanted}


class Puller:
    """`selfhost pull MODEL` as a process; what it says goes to a file, which can be read meanwhile."""

    def __init__(self, tmp_path, model="org/tiny", before=()) -> None:
        self._said = tmp_path / f"said-{time.monotonic_ns()}"
        with self._said.open("wb") as stream:
            argv = [*before, sys.executable, "-m", "selfhost", "pull", model]
            self.process = subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=stream, text=True)

    @property
    def said(self) -> str:
        return self._said.read_text()

    def send(self, number) -> int:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """The exit code."""
        self.out, _ = self.process.communicate(timeout=UNTIL_S)
        return self.process.returncode


@pytest.fixture
def puller(tmp_path):
    started = []

    def start(*arguments, **options):
        started.append(Puller(tmp_path, *arguments, **options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def until(condition, what: str, process=None) -> None:
    """Wait for something in another process."""
    end = time.monotonic() + UNTIL_S
    while not condition():
        assert time.monotonic() < end, f"{what}: never"
        assert process is None or process.poll() is None, f"{what}: ended before"
        time.sleep(0.005)


def assert_final_names_are_whole(home, whole: set[str], *models: str) -> None:
    """`whole`: digests that were seen to be right before."""
    blobs = Blobs(home / "blobs")
    for digest in set(blobs.digests()) - whole:
        assert sha256_of(blobs.path(digest)) == digest
        whole.add(digest)
    for model in models:
        assert not (home / "models" / model).exists(), f"{model} has its name"


def test_killed_again_and_again(hub, home, root, puller, capsys):
    seed = int(os.environ.get("SELFHOST_TEST_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
    moments, files = random.Random(seed), needed(root / "org" / "tiny")
    total, whole, finished, kills = sum(files.values()), set(), 0, 0
    while kills < KILLS:
        child = puller()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(moments.uniform(0.3, 2.2))
        if child.process.poll() is None:
            kills += 1
            assert child.send(signal.SIGKILL) == -signal.SIGKILL
        else:
            assert child.ended() == 0, child.said
        if (home / "models" / "org" / "tiny").exists():
            # It was through, also where the kill came after that: once more from nothing.
            assert_same(home / "models" / "org" / "tiny", root / "org" / "tiny", files)
            finished += 1
            shutil.rmtree(home)
            whole.clear()
        else:
            assert_final_names_are_whole(home, whole, "org/tiny")
    last = puller()
    assert last.ended() == 0, last.said
    assert_same(home / "models" / "org" / "tiny", root / "org" / "tiny", files)
    assert list((home / "blobs" / "partial").glob("*.part")) == []
    wasted = (hub.sent_bytes - (finished + 1) * total) / kills
    with capsys.disabled():
        print(f"\n{kills} kills, {finished + 1} times through: {wasted / MIB:.1f} MiB wasted per kill (seed {seed})")
    assert wasted <= max(WASTE_BYTES, total // 50), f"seed {seed}"


@pytest.mark.parametrize(
    "how", [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_leaves_what_was_fetched(how, hub, home, root, puller):
    number, code, word = how
    total = sum(needed(root / "org" / "tiny").values())
    child = puller()
    until(lambda: hub.sent_bytes > total // 3, "a third", child.process)
    began = time.monotonic()
    assert child.send(number) == code, child.said
    assert time.monotonic() - began < 3
    assert child.said.splitlines()[-1] == word
    assert "Traceback" not in child.said
    assert child.out == ""
    assert_final_names_are_whole(home, set(), "org/tiny")
    again = puller()
    assert again.ended() == 0, again.said
    assert hub.sent_bytes - total <= 16 * MIB  # what was on its way; nothing that was written comes again


def test_two_at_once(hub, home, root, puller):
    files = needed(root / "org" / "tiny")
    both = [puller(), puller()]
    assert [one.ended() for one in both] == [0, 0], [one.said for one in both]
    assert hub.sent_bytes <= 1.02 * sum(files.values())
    assert sorted("another selfhost" in one.said for one in both) == [False, True], [one.said for one in both]
    assert_same(home / "models" / "org" / "tiny", root / "org" / "tiny", files)


def waiting(hub, puller) -> Puller:
    """A second one that waits for the first, whose bytes come slowly until it does."""
    rate, hub.bucket.bytes_per_s = hub.bucket.bytes_per_s, 4e6
    second = puller()
    until(lambda: "another selfhost" in second.said, "the second waits", second.process)
    hub.bucket.bytes_per_s = rate
    return second


def test_who_waits_takes_over_from_who_is_killed(hub, home, root, puller):
    files = needed(root / "org" / "tiny")
    total = sum(files.values())
    first = puller()
    until(lambda: hub.sent_bytes > total // 10, "a tenth", first.process)
    second = waiting(hub, puller)
    first.send(signal.SIGKILL)
    assert second.ended() == 0, second.said
    assert hub.sent_bytes - total <= WASTE_BYTES
    assert_same(home / "models" / "org" / "tiny", root / "org" / "tiny", files)


def test_who_waits_can_be_interrupted(hub, root, puller):
    first = puller()
    until(lambda: hub.sent_bytes > MIB, "the first begins", first.process)
    second = waiting(hub, puller)
    began = time.monotonic()
    assert second.send(signal.SIGINT) == 130
    assert time.monotonic() - began < 2
    assert first.ended() == 0, first.said


def test_two_models_with_the_same_weights_at_once(hub, home, root, puller):
    both = [puller("org/tiny"), puller("org/twin")]
    assert [one.ended() for one in both] == [0, 0], [one.said for one in both]
    files = needed(root / "org" / "tiny")
    assert hub.sent_bytes <= 1.02 * sum(files.values())
    for model in ("tiny", "twin"):
        assert_same(home / "models" / "org" / model, root / "org" / "tiny", files)


# A file system that is full


@pytest.fixture
def disk(home):
    """`$SELFHOST_HOME` on a file system of 128 MiB in a mount namespace of its own: (command to enter it, its path)."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("nsenter")):
        missing("root, `unshare` and `nsenter`", "a file system that can be filled takes them")
    home.mkdir()
    script = 'mount -t tmpfs -o size=128m none "$0" && echo ready && exec sleep 600'
    argv = ["unshare", "--mount", "sh", "-c", script, str(home)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as holder:
        try:
            if holder.stdout.readline() != "ready\n":
                pytest.skip(f"no mounts here: {holder.stderr.read().strip()}")
            inside = Path(f"/proc/{holder.pid}/root{home}")
            yield ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", f"--wd={REPOSITORY}"), inside
        finally:
            holder.kill()


def fill(path) -> None:
    with path.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(MIB // 4))


def test_a_disk_that_fills_up(root, disk, puller, monkeypatch):
    enter, home = disk
    files = needed(root / "org" / "small")
    total = sum(files.values())
    with Hub(root, limit_bytes_per_s=20e6) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        child = puller("org/small", before=enter)
        until(lambda: hub.sent_bytes > total // 4, "a quarter", child.process)
        fill(home / "filler")
        assert child.ended() == 8, child.said
        assert "no space" in child.said, child.said
        assert "Traceback" not in child.said
        assert_final_names_are_whole(home, set(), "org/small")
        # The next one sees it before anything moves.
        sent = hub.sent_bytes
        refused = puller("org/small", before=enter)
        assert refused.ended() == 8, refused.said
        assert "0 B is free" in refused.said
        assert hub.sent_bytes - sent < MIB
        (home / "filler").unlink()
        again = puller("org/small", before=enter)
        assert again.ended() == 0, again.said
        assert_same(home / "models" / "org" / "small", root / "org" / "small", files)
        assert hub.sent_bytes - total <= 24 * MIB
