"""`bundle create` when it is stopped, when bytes are wrong, and when something is in the way."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from selfhost import files
from selfhost.bundle import pack, write
from selfhost.bundle.pack import Finishing
from selfhost.bundle.write import How, LinkMode
from selfhost.errors import IntegrityError, NoError, NoSpaceError
from selfhost.weights.blobs import Blobs
from tests.bundle.pack_support import check_volume, files_of, make, stopped, tree
from tests.conftest import LONG
from tests.weights.storage_support import big, flip, put, sha

# Interrupted; at every point: test_bundle_crashes.py


def test_what_was_written_is_read_not_written_again(home, model, medium, monkeypatch):
    stopped(home, medium, link=LinkMode.COPY, serial=1)
    marker = json.loads((medium / "b-vol1of1" / pack.MARKER).read_text())
    packed = make(home, medium, link=LinkMode.COPY)
    assert packed.volumes[0].how.keys() == {How.FOUND.value}
    assert (packed.info.id, packed.info.serial, packed.info.created) == (
        marker["id"],
        1,
        marker["created"],
    )


def test_what_was_written_and_went_bad_is_written_again(home, model, content, medium):
    for asked, name in (({}, f"blobs/sha256/{sha(b'terms')}"), ({"max_file_bytes": 65536}, None)):
        stopped(home, medium, link=LinkMode.COPY, **asked)
        volume = medium / "b-vol1of1"
        flip(volume / (name or f"chunks/{sha(content['model.safetensors'])}/00001"), 3)
    make(home, medium, link=LinkMode.COPY, max_file_bytes=65536)
    check_volume(volume)
    assert files_of([volume]) == content


def test_what_an_earlier_run_of_another_bundle_left_goes(home, model, medium):
    put(home, {"other": b"other"}, name="other")

    stopped(home, medium, models=("other",))
    volume = medium / "b-vol1of1"
    outside = medium / "outside"
    outside.write_bytes(b"mine")
    (volume / "blobs/sha256/x.part").symlink_to(outside)
    assert (volume / "blobs/sha256" / sha(b"other")).exists()
    make(home, medium)
    check_volume(volume)
    assert outside.read_bytes() == b"mine"


# Refused


def test_two_volumes_of_which_one_is_done_are_both_taken_up(home, medium):
    """Power that goes between the last steps of the two leaves a marker on one of them only."""
    put(home, {f"{n}.bin": big(n, size=300_000) for n in range(4)})
    first = make(home, medium, volume_size="1700K")
    wanted, marker = tree(medium), medium / "b-vol2of2" / pack.MARKER
    index = sha((medium / "b-vol1of2/index.json").read_bytes())
    identity = {name: getattr(first.info, name) for name in ("id", "serial", "created")}
    for found in ({**identity, "id": "0" * 32}, {}):
        marker.write_text(json.dumps(found))
        with pytest.raises(NoError) as caught:
            make(home, medium, volume_size="1700K")
        assert caught.value.message.id == "pack.exists", "the marker is of another bundle"
    marker.write_text(json.dumps({**identity, "index": index}))
    make(home, medium, volume_size="1700K")
    assert tree(medium) == wanted


def test_a_finished_volume_stays_as_it_is(home, model, medium):
    make(home, medium)
    before = tree(medium)
    with pytest.raises(NoError) as caught:
        make(home, medium)
    assert caught.value.message.id == "pack.exists"
    assert tree(medium) == before


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_somebody_elses_is_not_touched(home, model, medium, kind):
    volume, other = medium / "b-vol1of1", medium / "other"
    other.mkdir()
    (other / "x").write_bytes(b"x")
    (other / pack.MARKER).write_text("{}")
    if kind == "folder":
        volume.mkdir()
        (volume / "x").write_bytes(b"x")
    elif kind == "file":
        volume.write_bytes(b"x")
    else:
        volume.symlink_to(other)
    before = tree(medium)
    with pytest.raises(NoError):
        make(home, medium)
    assert tree(medium) == before


def test_two_at_once(home, model, medium):
    volume = medium / "b-vol1of1"
    volume.mkdir()
    descriptor = os.open(volume, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(NoError) as caught:
            make(home, medium)
    finally:
        os.close(descriptor)
    assert caught.value.message.id == "pack.busy"
    make(home, medium)


@pytest.mark.parametrize(
    "asked", [{"link": LinkMode.COPY}, {"link": LinkMode.HARD}, {"max_file_bytes": 65536}], ids=str
)
def test_a_damaged_source_does_not_go_on_a_medium(home, model, content, medium, asked):
    weights = content["model.safetensors"]
    flip(Blobs(home / "blobs").path(sha(weights)), len(weights) // 2)
    with pytest.raises(IntegrityError) as caught:
        make(home, medium, **asked)
    assert caught.value.message.id == "pack.source_damaged"
    assert sha(weights) not in str(tree(medium).keys()), "nothing of it stays"
    assert not (medium / "b-vol1of1/SHA256SUMS").exists()


def test_a_medium_that_gives_back_other_bytes(home, model, medium, monkeypatch):
    real = write.digest_of

    def bad(path, tick, *, from_medium=False):
        return "0" * 64 if from_medium and path.name == sha(b"terms") else real(path, tick, from_medium=from_medium)

    monkeypatch.setattr(write, "digest_of", bad)
    with pytest.raises(IntegrityError) as caught:
        make(home, medium, link=LinkMode.COPY)
    assert caught.value.message.id == "pack.bad_medium"
    assert not (medium / "b-vol1of1/SHA256SUMS").exists()
    monkeypatch.undo()


def test_the_order_on_the_disk(home, model, medium, monkeypatch):
    """Contents before what describes them, the sums last, the marker after them; each synced before its name."""
    steps = []
    for name in ("replace", "unlink"):
        real = getattr(Path, name)
        monkeypatch.setattr(
            Path,
            name,
            lambda self, *a, real=real, name=name, **k: (steps.append((name, *a, self.name)), real(self, *a, **k))[1],
        )
    real_sync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (steps.append(("fsync", str(Path(f"/proc/self/fd/{fd}").readlink()))), real_sync(fd))[1]
    )
    make(home, medium, Finishing(sign=lambda _data: b"signature"), link=LinkMode.COPY)
    renames = [(i, Path(step[1])) for i, step in enumerate(steps) if step[0] == "replace"]
    names = [path.name for _, path in renames]
    assert names[-2:] == ["SHA256SUMS.sig", "SHA256SUMS"]
    blobs = [name for name in names if len(name) == 64]
    assert names.index("bundle.json") > max(names.index(name) for name in blobs)
    for i, path in renames:
        kind, synced = steps[i - 1][:2]
        assert (kind, Path(synced).parent) == ("fsync", path.parent), path
    assert steps.index(("unlink", pack.MARKER)) > renames[-1][0]


_CHILD = """
import sys, time
from pathlib import Path
from selfhost.bundle.pack import Finishing
from selfhost.bundle.write import LinkMode
from tests.bundle.pack_support import make
# Slow enough to be hit anywhere.
slow = Finishing(progress=lambda *_: time.sleep(0.02))
print("begun", flush=True)
make(Path(sys.argv[1]), Path(sys.argv[2]), slow, link=LinkMode.COPY)
"""


@pytest.mark.slow
def test_killed_at_any_time(home, tmp_path):
    content = {f"{n}.bin": big(n, size=1 << 20) for n in range(40)}
    put(home, content)
    choose, killed, times = random.Random(6), 0, 6 if LONG else 3
    for seed in range(times):
        medium = tmp_path / f"k{seed}"
        # Each has longer, also on a slow machine, until one is quick enough and tells that the child does its work.
        for most in itertools.count(1):
            argv = [sys.executable, "-c", _CHILD, home, medium]
            child = subprocess.Popen(argv, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)
            with child.stdout:
                assert child.stdout.readline() == b"begun\n"
            try:
                child.wait(choose.uniform(0, 0.4 * most))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                killed += 1
                for path in (medium / "b-vol1of1/blobs/sha256").glob("?" * 64):
                    assert sha(path.read_bytes()) == path.name
                volume = medium / "b-vol1of1"
                if (volume / "SHA256SUMS").exists() and not (volume / pack.MARKER).exists():
                    break
            else:
                assert child.returncode == 0
                break
        check_volume(medium / "b-vol1of1")
        assert files_of([medium / "b-vol1of1"]) == content
    assert killed > times


@pytest.mark.usefixtures("model")
def test_a_limit_on_the_size_of_files(home, medium):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(NoSpaceError) as caught:
            make(home, medium, link=LinkMode.COPY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.message.id == "pack.file_too_large"
    make(home, medium, link=LinkMode.COPY)
    check_volume(medium / "b-vol1of1")


@pytest.mark.slow
def test_a_full_medium_can_be_gone_on_with(home, medium, monkeypatch):
    put(home, {f"{n}.bin": big(n, size=300_000) for n in range(10)})
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", medium], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here: this needs root")
    try:
        with pytest.raises(NoSpaceError):
            make(home, medium)
        assert not list(medium.iterdir()), "told before anything is written"
        monkeypatch.setattr(files, "free_bytes", lambda _path: 1 << 40)
        with pytest.raises(NoSpaceError) as caught:
            make(home, medium)
        assert caught.value.message.id == "cli.no_space"
        whole = [path for path in medium.rglob("*") if len(path.name) == 64]
        assert len(whole) >= 5
        subprocess.run(["mount", "-o", "remount,size=8m", medium], check=True)
        packed = make(home, medium)
        check_volume(medium / "b-vol1of1")
        assert packed.volumes[0].how[How.FOUND.value] >= 5 * 300_000
    finally:
        subprocess.run(["umount", medium], check=True)
