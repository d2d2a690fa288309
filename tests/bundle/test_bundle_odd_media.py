"""Media that change between two runs, or that another user reads."""

from __future__ import annotations

import json
import os
import shlex
import stat

import pytest

from selfhost.bundle import layout, medium
from selfhost.bundle.write import LinkMode
from selfhost.errors import ExitCode, UsageError
from selfhost.units import parse_bytes
from tests.bundle.pack_support import check_volume, files_of, make, stopped
from tests.bundle.unpack_support import run
from tests.weights.storage_support import big, flip, put, tiny_files

CONTENT = {**tiny_files(), "a.bin": big(1, size=6 << 20), "b.bin": big(2, size=5 << 20), "LICENSE": b"terms"}
SPARE = 64 << 20


class Disk:
    """A small file system: what is free on it is what its files leave."""

    def __init__(self, size: int) -> None:
        self.size = size + SPARE

    def free(self, path):
        root = next((one for one in (path, *path.parents) if one.name.startswith("disk")), None)
        if root is None:
            return 1 << 40
        used = sum(one.lstat().st_size for one in root.rglob("*") if one.is_file())
        return max(self.size - used, 0)


@pytest.fixture
def disk(monkeypatch):
    made = Disk(14 << 20)
    monkeypatch.setattr("selfhost.files.free_bytes", made.free)
    return made


def left_on_a_disk(home, tmp_path, **asked):
    """Where a run for this model stopped with all contents there, and nothing that describes them."""
    put(home, CONTENT)
    to = tmp_path / "disk"
    stopped(home, to, **asked)
    return to


@pytest.mark.usefixtures("disk")
def test_pieces_that_an_earlier_run_left_need_no_space_again(home, tmp_path):
    """As shards of more than 4 GiB on FAT32."""
    asked = {"link": LinkMode.COPY, "max_file_bytes": 1 << 20}
    to = left_on_a_disk(home, tmp_path, **asked)
    packed = make(home, to, **asked)
    assert files_of([volume.path for volume in packed.volumes]) == CONTENT


@pytest.mark.usefixtures("disk")
def test_half_a_file_that_an_earlier_run_left_needs_no_space_again(home, tmp_path):
    to = left_on_a_disk(home, tmp_path, link=LinkMode.COPY)
    [written] = (path for path in to.rglob("*") if path.is_file() and path.stat().st_size == 6 << 20)
    written.rename(written.with_name(written.name + layout.PART))
    packed = make(home, to, link=LinkMode.COPY)
    assert files_of([volume.path for volume in packed.volumes]) == CONTENT


@pytest.mark.usefixtures("disk")
def test_what_an_earlier_run_left_of_more_volumes_is_taken_up(home, tmp_path):
    to = left_on_a_disk(home, tmp_path, link=LinkMode.COPY, volume_size="8M")
    assert sorted(path.name for path in to.iterdir()) == ["b-vol1of2", "b-vol2of2"]
    (to / "b-vol1of2-other-vol1of1").mkdir()
    [packed] = make(home, to, link=LinkMode.COPY, volume_size="14M").volumes
    assert files_of([packed.path]) == CONTENT
    check_volume(packed.path)
    assert packed.how["found"] >= 6 << 20, "not written again"
    assert sorted(path.name for path in to.iterdir()) == ["b-vol1of1", "b-vol1of2-other-vol1of1"]


@pytest.mark.parametrize("asked", [{}, {"max_file_bytes": 1 << 20}, {"volume_size": "4M"}], ids=str)
def test_another_user_reads_what_was_made_with_a_strict_umask(home, tmp_path, asked):
    put(home, CONTENT)
    before = os.umask(0o077)
    try:
        packed = make(home, tmp_path / "m", link=LinkMode.COPY, **asked)
    finally:
        os.umask(before)
    for volume in packed.volumes:
        for path in (volume.path, *volume.path.rglob("*")):
            wanted = 0o555 if path.is_dir() else 0o444
            assert stat.S_IMODE(path.stat().st_mode) & wanted == wanted, path


# Cut over volumes


@pytest.fixture
def volumes(home, tmp_path):
    put(tmp_path / "sender", CONTENT)
    (tmp_path / "media").mkdir()
    return [v.path for v in make(tmp_path / "sender", tmp_path / "media", volume_size="3500K").volumes]


def test_every_damaged_piece_is_told(volumes):
    cut = sorted(path for volume in volumes for path in (volume / layout.CHUNKS).rglob("00*"))
    first = [path for path in cut if path.parent.name == cut[0].parent.name]
    assert len(first) >= 2
    for path in first:
        flip(path, 5)
    code, out, _ = run("bundle", "verify", *volumes, "--json")
    assert code == ExitCode.INTEGRITY
    wrong = [one for one in json.loads(out)["files"] if one["status"] != "ok"]
    assert len(wrong) == len(first)


def test_a_piece_that_cannot_be_read_says_nothing_of_the_others(volumes, monkeypatch):
    cut = sorted(path for volume in volumes for path in (volume / layout.CHUNKS).rglob("00*"))
    bad = next(path for path in cut if path.name == "00001")
    real = medium.Medium.open

    def opened(self, path):
        if self.root / path == bad:
            raise self.explained(path, OSError(5, "Input/output error"))
        return real(self, path)

    monkeypatch.setattr(medium.Medium, "open", opened)
    code, out, _ = run("bundle", "verify", *volumes, "--json")
    assert code == ExitCode.INTEGRITY
    wrong = [(one["volume"], one["path"]) for one in json.loads(out)["files"] if one["status"] != "ok"]
    [volume] = [v for v in volumes if bad.is_relative_to(v)]
    assert wrong == [(volumes.index(volume) + 1, str(bad.relative_to(volume)))]


def test_what_is_still_needed_is_what_the_volumes_that_are_named_have(volumes):
    for count in range(1, len(volumes)):
        code, _, said = run("bundle", "import", volumes[count - 1])
        assert code == ExitCode.INCOMPLETE
        needed = said.partition("still needed: ")[2].splitlines()
        told = [
            parse_bytes(line.partition(": ")[2].replace(" ", "").replace("iB", ""))
            for line in needed[1:]
            if "-vol" in line
        ]
        assert len(told) == len(volumes) - count
        total = parse_bytes(needed[0].replace(" ", "").replace("iB", ""))
        assert total == pytest.approx(sum(told), rel=0.05)


def test_the_hint_of_damage_names_all_volumes(volumes, tmp_path):
    moved = tmp_path / "a drive"
    moved.mkdir()
    volumes = [path.rename(moved / path.name) for path in volumes]
    damaged = min((volumes[1] / layout.CHUNKS).rglob("00*"))
    flip(damaged, 5)
    for command in ("import", "verify"):
        code, _, said = run("bundle", command, *volumes)
        assert code == ExitCode.INTEGRITY
        words = shlex.split(said.partition("selfhost bundle repair-list ")[2].partition(" > ")[0])
        assert words == [str(path) for path in volumes]
    damaged.unlink()
    _, _, said = run("bundle", "verify", *volumes)
    assert shlex.join(map(str, volumes)) in said


@pytest.mark.parametrize("folder", ["models", "blobs/x", "wheels", "bundles/../bundles"])
def test_no_volume_in_the_store(home, folder):
    put(home, CONTENT)
    with pytest.raises(UsageError) as caught:
        make(home, home / folder)
    assert caught.value.message.id == "pack.in_store"
    make(home, home / "out")
