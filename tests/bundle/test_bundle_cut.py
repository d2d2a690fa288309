"""A content that is larger than every medium: cut, carried on several, put together in any order."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys

import pytest

from selfhost.bundle import file_system, layout
from selfhost.bundle.info import parse_info
from selfhost.bundle.write import How, LinkMode
from selfhost.errors import ExitCode, IntegrityError, NoSpaceError
from selfhost.home import find_home
from selfhost.weights.blobs import Blobs
from tests.bundle.pack_support import check_volume, files_of, make, stopped, tree
from tests.bundle.unpack_support import files_of as model_files
from tests.bundle.unpack_support import reseal, run, snapshot
from tests.weights.storage_support import big, flip, put, sha, tiny_files

LARGE = tiny_files(big(3, size=7 << 20))["model.safetensors"]


@pytest.fixture(scope="module")
def content():
    return {**tiny_files(), "model.safetensors": LARGE, "other.bin": big(4, size=100_000), "LICENSE": b"terms"}


@pytest.fixture(scope="module")
def made(content, tmp_path_factory):
    """Three volumes of 4 MiB, of which about 1 MiB is kept for what describes them."""
    where = tmp_path_factory.mktemp("made")
    put(where / "sender", content)
    (where / "media").mkdir()
    packed = make(where / "sender", where / "media", volume_size="4M")
    return [volume.path for volume in packed.volumes]


@pytest.fixture
def volumes(made, tmp_path):
    return [shutil.copytree(path, tmp_path / "media" / path.name) for path in made]


def model():
    return find_home().models / "tiny" / "bf16"


def pieces_of(volume):
    return sorted((volume / layout.CHUNKS / sha(LARGE)).iterdir())


def check_store():
    blobs = Blobs(find_home().blobs)
    for sha256 in blobs.digests():
        assert hashlib.sha256(blobs.path(sha256).read_bytes()).hexdigest() == sha256


def test_it_lies_on_all_of_them_and_each_says_where(made, content):
    assert len(made) == 3
    for volume in made:
        check_volume(volume)
        assert sum(map(len, tree(volume).values())) <= 4 << 20
        info = parse_info((volume / layout.INFO_NAME).read_bytes())
        assert info.schema_version == 2
    [cut] = [blob for blob in info.blobs.values() if blob.is_cut]
    assert cut.sha256 == sha(LARGE)
    assert [chunk.volume for chunk in cut.chunks] == [1, 2, 3]
    assert files_of(made) == content
    assert sum(len(pieces_of(volume)) for volume in made) == 3


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_it_comes_in_any_order_one_at_a_time(volumes, content, order):
    before = snapshot(*volumes)
    for number in order[:-1]:
        code, _, said = run("bundle", "import", volumes[number])
        assert code == ExitCode.INCOMPLETE
        needed = said.partition("still needed")[2]
        assert volumes[order[-1]].name in needed
        assert volumes[number].name not in needed
        assert not model().exists()
        assert run("gc")[0] == 0, "what waits is kept"
        check_store()
    code, _, said = run("bundle", "import", volumes[order[-1]])
    assert code == 0, said
    assert model_files(model()) == content
    assert set(Blobs(find_home().blobs).digests()) & set(map(sha, content.values()))
    assert not [path for v in volumes for path in pieces_of(v) if Blobs(find_home().blobs).has(sha(path.read_bytes()))]
    assert snapshot(*volumes) == before
    check_store()


def test_all_at_once_nothing_waits(volumes, content):
    code, out, said = run("bundle", "import", *volumes, "--json")
    assert code == 0, said
    assert json.loads(out)["copied_bytes"] < sum(map(len, content.values())) + 100_000
    assert model_files(model()) == content
    assert run("verify", "tiny")[0] == 0


def test_verify_takes_them_together_or_alone(volumes):
    assert run("bundle", "verify", *volumes)[0] == 0
    _, out, _ = run("bundle", "verify", *volumes, "--json")
    checks = [one for one in json.loads(out)["files"] if one["path"].startswith(layout.CHUNKS)]
    assert [(one["volume"], one["status"], one["content"]) for one in checks] == [
        (number, "ok", sha(LARGE)) for number in (1, 2, 3)
    ]
    for volume in volumes:
        checked = subprocess.run([sys.executable, volume / "verify.py"], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout
    checked = subprocess.run(
        [sys.executable, volumes[0] / "verify.py", *volumes], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
    assert "3 of 3 volumes" in checked.stdout
    assert run("bundle", "inspect", volumes[1], "--json")[0] == 0


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("number", range(3))
def test_a_damaged_piece_is_named(volumes, number, together):
    [piece] = pieces_of(volumes[number])
    flip(piece, piece.stat().st_size // 2)
    given = volumes if together else [volumes[number]]
    before = snapshot(*volumes)
    code, out, said = run("bundle", "verify", *given, "--json")
    wrong = [one for one in json.loads(out)["files"] if one["status"] != "ok"]
    assert code == ExitCode.INTEGRITY, said
    assert [(one["volume"], one["path"]) for one in wrong] == [(number + 1, str(piece.relative_to(volumes[number])))]
    code, _, said = run("bundle", "import", *given)
    assert code == ExitCode.INTEGRITY
    assert str(piece.relative_to(volumes[number])) in said
    assert snapshot(*volumes) == before
    assert not model().exists()
    check_store()
    checked = subprocess.run([sys.executable, volumes[number] / "verify.py"], capture_output=True, check=False)
    assert checked.returncode == ExitCode.INTEGRITY


def test_a_missing_piece(volumes):
    [piece] = pieces_of(volumes[1])
    piece.unlink()
    for command in ("verify", "import"):
        assert run("bundle", command, *volumes)[0] == ExitCode.INCOMPLETE
    checked = subprocess.run([sys.executable, volumes[1] / "verify.py"], capture_output=True, check=False)
    assert checked.returncode == ExitCode.INCOMPLETE


def test_the_repair_list_asks_for_the_whole_and_a_small_bundle_of_it_completes(volumes, content, made, tmp_path):
    flip(pieces_of(volumes[2])[0], 5)
    code, out, _ = run("bundle", "repair-list", *volumes)
    assert code == 0
    assert json.loads(out)["lacking"] == [{"sha256": sha(LARGE), "size": len(LARGE)}]
    (tmp_path / "list.json").write_text(out)
    assert run("bundle", "import", *volumes)[0] == ExitCode.INTEGRITY
    repair = tmp_path / "repair"
    repair.mkdir()
    make(made[0].parents[1] / "sender", repair, have=tmp_path / "list.json", label="repair")
    code, _, said = run("bundle", "import", *repair.iterdir())
    assert code == 0, said
    assert model_files(model()) == content


@pytest.mark.parametrize("marked", [False, True])
def test_a_piece_that_goes_bad_while_it_waits_is_asked_for_again(volumes, content, marked):
    assert run("bundle", "import", volumes[0])[0] == ExitCode.INCOMPLETE
    [piece] = pieces_of(volumes[0])
    waiting = Blobs(find_home().blobs).path(sha(piece.read_bytes()))
    marks = waiting.with_name(f"{waiting.name}.marks")
    flip(waiting, 9)
    if marked:
        # A large one is not read again when nobody wrote to it; here the disk did, and times tell nothing.
        marks.write_bytes(b"1234")
        os.utime(marks, ns=(0, waiting.stat().st_mtime_ns + 10**9))
    assert run("bundle", "import", *volumes[1:])[0] == (ExitCode.INTEGRITY if marked else ExitCode.INCOMPLETE)
    assert waiting.exists() is not marked
    waiting.unlink(missing_ok=True)
    check_store()
    assert not model().exists()
    code, _, said = run("bundle", "import", volumes[0])
    if marked:
        assert code == ExitCode.INCOMPLETE, said
        code, _, said = run("bundle", "import", *volumes[1:])
    assert code == 0, said
    assert model_files(model()) == content


def test_pieces_of_which_each_is_right_and_the_whole_is_not(volumes):
    """Only who made the bundle could do that, or a tool that is wrong."""
    first, second = pieces_of(volumes[0])[0], pieces_of(volumes[1])[0]
    assert first.stat().st_size == second.stat().st_size
    swapped = first.read_bytes(), second.read_bytes()
    first.write_bytes(swapped[1])
    second.write_bytes(swapped[0])
    digests = [sha(data) for data in swapped]
    for volume in volumes:
        path = volume / layout.INFO_NAME
        body = json.loads(path.read_bytes())
        for listed in body["volumes"]:
            for blob in listed["blobs"]:
                if blob["sha256"] == sha(LARGE):
                    blob["chunks"][0]["sha256"], blob["chunks"][1]["sha256"] = digests[1], digests[0]
        path.write_text(json.dumps(body))
        reseal(volume)
    for command in ("verify", "import"):
        assert run("bundle", command, *volumes)[0] == ExitCode.INTEGRITY
    for volume in volumes[:-1]:
        assert run("bundle", "import", volume)[0] == ExitCode.INCOMPLETE
    assert run("bundle", "import", volumes[-1])[0] == ExitCode.INTEGRITY
    assert not model().exists()
    check_store()


# Making


def test_a_plan_tells_what_goes_on_each(home, content, tmp_path):
    put(home, content)
    asked = ("bundle", "create", "--model", "tiny", "--to", tmp_path, "--volume-size", "4M", "--label", "b", "--json")
    told = json.loads(run(*asked, "--dry-run")[1])["volumes"]
    code, out, said = run(*asked)
    assert code == 0, said
    made = json.loads(out)["volumes"]
    assert [(one["contents"], one["bytes"]) for one in told] == [(one["contents"], one["bytes"]) for one in made]
    # What describes the bundle has other bytes each time, and none is on the disk before.
    assert all(one["bytes"] >= one["new_bytes"] > 0 for one in told)


def test_what_an_earlier_run_cut_otherwise_goes(home, content, tmp_path):
    put(home, content)
    stopped(home, tmp_path / "m", volume_size="4M", max_file_bytes=300_000)
    packed = make(home, tmp_path / "m", volume_size="4M", max_file_bytes=1 << 20)
    for volume in packed.volumes:
        check_volume(volume.path)
    assert files_of([volume.path for volume in packed.volumes]) == content


def test_what_was_found_wrong_is_written_again_on_all(home, content, tmp_path):
    put(home, content)
    stopped(home, tmp_path / "m", volume_size="4M")
    flip(pieces_of(tmp_path / "m" / "b-vol2of3")[0], 77)
    packed = make(home, tmp_path / "m", volume_size="4M")
    assert files_of([volume.path for volume in packed.volumes]) == content
    for volume in packed.volumes:
        check_volume(volume.path)


def test_a_damaged_source_leaves_no_piece(home, content, tmp_path):
    put(home, content)
    flip(Blobs(home / "blobs").path(sha(LARGE)), 1000)
    with pytest.raises(IntegrityError) as caught:
        make(home, tmp_path / "m", volume_size="4M")
    assert caught.value.message.id == "pack.source_damaged"
    assert not list((tmp_path / "m").rglob(f"{sha(LARGE)}/*"))


def test_media_of_several_sizes_by_what_is_free(home, content, tmp_path, monkeypatch):
    put(home, content)
    spare, free = 66 << 20, {"a": 4 << 20, "b": 8 << 20}
    monkeypatch.setattr("selfhost.files.free_bytes", lambda path: spare + free["a" if "a" in path.parts else "b"])
    media = [tmp_path / name for name in free]
    for path in media:
        path.mkdir()
    packed = make(home, media, link=LinkMode.COPY)
    assert files_of([volume.path for volume in packed.volumes]) == content
    assert packed.volumes[0].how.keys() == {How.COPY.value}
    sizes = [volume.size_bytes for volume in packed.volumes]
    assert sizes == [sum(n for _, _, n in listed.files) for listed in packed.info.volumes]
    monkeypatch.setitem(free, "b", 3 << 20)
    with pytest.raises(NoSpaceError):
        make(home, media, link=LinkMode.COPY, label="c")


MOUNTS = "36 35 8:17 / /media/usb rw,noatime shared:1 - {} /dev/sdb1 rw\n"


@pytest.mark.parametrize(
    ("kind", "most", "links"),
    [("vfat", layout.MAX_CHUNK_BYTES, False), ("exfat", None, False), ("ext4", None, True), ("xfs", None, True)],
)
def test_what_a_file_system_takes_is_known_by_its_kind(tmp_path, monkeypatch, kind, most, links):
    mounts = tmp_path / "mountinfo"
    device = tmp_path.stat().st_dev
    mounts.write_text(MOUNTS.format(kind).replace("8:17", f"{os.major(device)}:{os.minor(device)}"))
    monkeypatch.setattr(file_system, "_MOUNTS", mounts)
    assert file_system.max_file_bytes(tmp_path) == most
    assert file_system.takes_links(tmp_path) is links


def test_a_medium_without_links_gets_copies_and_counts_them(home, content, tmp_path, monkeypatch):
    """As on exFAT: what would be linked elsewhere takes its space."""
    put(home, content)
    monkeypatch.setattr(file_system, "takes_links", lambda _path: False)
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "Operation not permitted")))
    monkeypatch.setattr("selfhost.files.clone", lambda *_: False)
    packed = make(home, tmp_path / "m")
    assert packed.volumes[0].how.keys() == {How.COPY.value}
    monkeypatch.setattr("selfhost.files.free_bytes", lambda _path: 66 << 20)
    with pytest.raises(NoSpaceError):
        make(home, tmp_path / "m", label="c")
