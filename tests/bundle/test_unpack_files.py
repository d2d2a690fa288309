"""Files and volumes that are not there, or should not be."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from selfhost.bundle import canonical, layout
from selfhost.errors import ExitCode
from selfhost.home import find_home
from tests.bundle.fault_support import PLACES, check_refused, check_store, info_of
from tests.bundle.unpack_support import copied, import_bundle, make_bundle, reseal, run, snapshot


@pytest.mark.parametrize("place", PLACES)
def test_a_missing_file(volume, place):
    path = PLACES[place](volume)
    path.unlink()
    code = ExitCode.INCOMPLETE
    check_refused([volume], code, command="verify")
    if place != "START-HERE.txt":
        check_refused([volume], code)


@pytest.mark.parametrize(
    "name", ["evil.py", "blobs/sha256/extra", "chunks/x", ".hidden", "blobs/sha256/" + "a" * 64, "creating.part"]
)
def test_a_file_that_is_not_listed(volume, name):
    path = volume / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("not listed")
    for command in ("verify", "import"):
        check_refused([volume], ExitCode.INTEGRITY, command=command, said=name)


@pytest.mark.parametrize("kind", ["link", "link outside", "pipe", "folder", "socket"])
@pytest.mark.parametrize("place", ["a shard", "a manifest", "bundle.json", "SHA256SUMS"])
def test_what_is_no_plain_file_is_not_opened(volume, tmp_path, place, kind):
    import socket

    path = PLACES[place](volume)
    kept = tmp_path / "kept"
    path.rename(kept)
    if kind.startswith("link"):
        path.symlink_to(kept if kind == "link" else "/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkey = socket.socket(socket.AF_UNIX)
        here = Path.cwd()
        os.chdir(path.parent)
        monkey.bind(path.name)
        os.chdir(here)
        monkey.close()
    else:
        path.mkdir()
        (path / "inside").write_text("x")
    for command in ("verify", "import"):
        before = snapshot(volume)
        code, _, err = run("bundle", command, volume)
        assert code in (ExitCode.INTEGRITY, ExitCode.INCOMPLETE, ExitCode.MISSING), err
        assert "unexpected" not in err
        assert snapshot(volume) == before
    check_store()


def test_a_folder_that_is_a_link(volume, tmp_path):
    (volume / layout.BLOBS).rename(tmp_path / "elsewhere")
    (volume / layout.BLOBS).symlink_to(tmp_path / "elsewhere")
    for command in ("verify", "import"):
        check_refused([volume], ExitCode.INTEGRITY, command=command)


# Volumes


def test_an_absent_volume_is_named_with_its_size(made):
    err = check_refused(made[:2], ExitCode.INCOMPLETE)
    assert made[2].name in err
    assert made[0].name not in err.partition("volumes of")[2]


def test_volumes_of_two_bundles(made, tmp_path):
    other = make_bundle(tmp_path / "other", volumes=3)
    for command in ("verify", "import"):
        check_refused([made[0], other[1], made[2]], ExitCode.INTEGRITY, command=command)


def test_two_different_volumes_of_one_number(made, tmp_path):
    one = copied([made[0]], tmp_path / "copy")[0]
    reseal(one)
    (one / layout.START_NAME).write_text("changed")
    reseal(one)
    check_refused([made[0], one, *made[1:]], ExitCode.INTEGRITY)


def test_the_same_volume_twice_is_one(made, tmp_path):
    import_bundle([*made, made[0], *copied(made[:1], tmp_path / "copy")], find_home())


def test_a_volume_whose_bundle_json_was_changed(made, tmp_path):
    volumes = copied(made, tmp_path / "media")
    body = info_of(volumes[1])
    body["serial"] += 1
    (volumes[1] / layout.INFO_NAME).write_bytes(canonical.encode(body))
    reseal(volumes[1])
    check_refused(volumes, ExitCode.INTEGRITY)


def test_files_of_an_earlier_bundle_beside_those_of_this_one(volume, tmp_path):
    [older] = make_bundle(tmp_path / "older", shard_bytes=20_000)
    for path in (older / layout.BLOBS).iterdir():
        if not (volume / layout.BLOBS / path.name).exists():
            shutil.copy(path, volume / layout.BLOBS)
    check_refused([volume], ExitCode.INTEGRITY)


@pytest.mark.parametrize(("number", "code"), [(errno.EACCES, 4), (errno.EIO, 5)])
@pytest.mark.parametrize("call", ["is_dir", "lstat"])
def test_a_drive_that_does_not_answer_is_no_defect_of_ours(volume, monkeypatch, call, number, code):
    real = getattr(Path, call)

    def refuse(path, *arguments, **options):
        if path == volume or path.name == layout.START_NAME:
            raise OSError(number, os.strerror(number))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, call, refuse)
    found, _, err = run("bundle", "verify", volume)
    assert (found, os.strerror(number) in err) == (code, True)


@pytest.mark.parametrize("name", ["nothing", "file", "empty"])
def test_no_volume_at_all(tmp_path, name):
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    assert run("bundle", "import", tmp_path / name)[0] == ExitCode.INCOMPLETE
