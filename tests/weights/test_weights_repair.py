"""Repair: only what is wrong is fetched, the store comes first, and nothing wrong ever takes a file's place."""

from __future__ import annotations

import errno
import os
import shutil

import pytest

from selfhost import files
from selfhost.errors import IncompleteError, IntegrityError, NoSpaceError
from selfhost.weights import repair, store
from selfhost.weights.blobs import Blobs
from selfhost.weights.digest import MARK_BYTES, PIECE_BYTES
from tests.weights.storage_support import Source, big, flip, put, put_old, sha

BIG = big()
SIZE = len(BIG)
NAME = "model.safetensors"
CONTENT = {"config.json": b"{}", NAME: BIG}


@pytest.fixture
def blobs(home):
    return Blobs(home / "blobs")


@pytest.fixture
def directory(home):
    return put(home, CONTENT)


def no_source():
    pytest.fail("nothing has to be fetched")


def repaired(directory, source=None, *, name=NAME, read=False):
    """Repair one file with a source, or without any."""
    home = directory.parents[2]
    blobs = Blobs(home / "blobs")
    bench = repair.Bench(
        directory=directory,
        models=home / "models",
        blobs=blobs,
        open_source=(lambda: source) if source else no_source,
        progress=lambda _path, _count: None,
        waiting=pytest.fail,
    )
    (file,) = (file for file in store.read_lock(directory).files if file.path == name)
    with blobs.in_use():
        done = repair.repair_file(bench, file, read=read)
    assert (directory / name).read_bytes() == CONTENT[name]
    assert (directory / name).samefile(blobs.path(file.sha256))
    assert list((blobs.root / "partial").iterdir()) == []
    assert not [path for path in directory.parent.iterdir() if ".part-" in path.name]
    return done


def piece(number):
    return number * PIECE_BYTES, min((number + 1) * PIECE_BYTES, SIZE)


@pytest.mark.parametrize(
    ("offsets", "pieces"),
    [
        ([0], [0]),
        ([PIECE_BYTES + 7], [1]),
        ([SIZE - 1], [2]),
        ([3, PIECE_BYTES - 1], [0]),
        ([PIECE_BYTES - 1, PIECE_BYTES], [0, 1]),
        ([5, 2 * PIECE_BYTES + 5], [0, 2]),
        ([0, PIECE_BYTES, 2 * PIECE_BYTES], [0, 1, 2]),
    ],
    ids=["first", "middle", "last byte", "twice in one", "neighbours", "first and last", "all"],
)
def test_only_the_pieces_that_are_wrong_are_fetched(directory, offsets, pieces):
    flip(directory / NAME, *offsets)
    source = Source(CONTENT)
    done = repaired(directory, source, read=True)
    wanted = [piece(number) for number in pieces]
    assert source.asked == [(NAME, *part) for part in wanted]
    assert (list(done.fetched), done.bytes_downloaded) == (wanted, sum(end - begin for begin, end in wanted))


@pytest.mark.parametrize(
    ("size", "pieces"),
    [(SIZE - 1, [2]), (SIZE + 100, []), (PIECE_BYTES, [1, 2]), (PIECE_BYTES + 1, [1, 2])],
    ids=["a byte short", "too long", "one piece", "one piece and a byte"],
)
def test_a_file_of_another_size(directory, size, pieces):
    os.truncate(directory / NAME, size)
    source = Source(CONTENT)
    repaired(directory, source)
    assert source.asked == [(NAME, *piece(number)) for number in pieces]


@pytest.mark.parametrize("fault", ["gone", "emptied", "no marks", "marks too short"])
def test_otherwise_the_whole_file_is_fetched(directory, blobs, fault):
    marks = blobs.path(sha(BIG)).with_suffix(".marks")
    if fault == "gone":
        (directory / NAME).unlink()
        blobs.path(sha(BIG)).unlink()
    elif fault == "emptied":
        os.truncate(directory / NAME, 0)
    else:
        flip(directory / NAME, 5)
        marks.unlink() if fault == "no marks" else marks.write_bytes(b"x" * MARK_BYTES)
    before = marks.read_bytes() if marks.exists() else b""
    source = Source(CONTENT)
    repaired(directory, source)
    assert source.asked == [(NAME, 0, SIZE)]
    assert len(marks.read_bytes()) == 2 * MARK_BYTES
    assert fault != "gone" or marks.read_bytes() == before


def test_a_small_file_is_fetched_whole(directory):
    flip(directory / "config.json", 0)
    source = Source(CONTENT)
    repaired(directory, source, name="config.json")
    assert source.asked == [("config.json", 0, 2)]


def test_marks_that_are_damaged_themselves_do_not_keep_it_from_being_repaired(directory, blobs):
    marks = blobs.path(sha(BIG)).with_suffix(".marks")
    good = marks.read_bytes()
    flip(marks, 0)
    flip(directory / NAME, PIECE_BYTES + 1)
    source = Source(CONTENT)
    repaired(directory, source)
    assert source.asked == [(NAME, *piece(0)), (NAME, *piece(1))]
    assert marks.read_bytes() == good


# The store first


def test_a_copy_that_went_bad_is_taken_from_the_contents(directory, blobs):
    (directory / NAME).unlink()
    (directory / NAME).write_bytes(BIG[:-1] + b"x")
    assert repaired(directory).fetched == ()


def test_a_missing_file_is_taken_from_the_contents(directory):
    (directory / NAME).unlink()
    assert repaired(directory).fetched == ()


def test_another_model_with_files_of_its_own_serves_as_source(home, directory):
    put_old(home, CONTENT)
    flip(directory / NAME, 5)
    assert repaired(directory).fetched == ()


def test_another_model_that_is_damaged_too_does_not(home, directory):
    other = put_old(home, CONTENT)
    flip(other / NAME, 77)
    flip(directory / NAME, 5)
    source = Source(CONTENT)
    repaired(directory, source)
    assert source.asked == [(NAME, *piece(0))]
    assert (other / NAME).read_bytes() == BIG, "it has the same content, so it is put right too"


def test_every_model_with_the_content_gets_it(home, directory):
    other = put(home, {"renamed": BIG, "own": b"1"}, variant="fp8")
    flip(directory / NAME, 5)
    repaired(directory, Source(CONTENT))
    assert (other / "renamed").samefile(directory / NAME)
    assert (other / "renamed").read_bytes() == BIG


def test_a_model_of_an_older_selfhost_is_repaired_as_a_whole(home):
    directory = put_old(home, CONTENT)
    flip(directory / NAME, 5)
    source = Source(CONTENT)
    repaired(directory, source)
    assert source.asked == [(NAME, 0, SIZE)]


def test_a_folder_in_the_way_gives_way(directory):
    (directory / NAME).unlink()
    (directory / NAME).mkdir()
    (directory / NAME / "x").write_bytes(b"x")
    repaired(directory)


# What must not happen


@pytest.mark.parametrize("marks", [True, False], ids=["with marks", "without"])
def test_a_source_with_another_content_is_refused_and_nothing_changes(directory, blobs, marks):
    if not marks:
        blobs.path(sha(BIG)).with_suffix(".marks").unlink()
    flip(directory / NAME, 5)
    damaged = (directory / NAME).read_bytes()
    with pytest.raises(IntegrityError) as caught:
        repaired(directory, Source({NAME: big(9)}))
    assert caught.value.message.id == ("verify.other_piece" if marks else "verify.other_source")
    assert (directory / NAME).read_bytes() == damaged
    assert list((blobs.root / "partial").iterdir()) == []


@pytest.mark.parametrize("marks", [True, False], ids=["with marks", "without"])
def test_a_source_that_gives_too_little_is_told(directory, blobs, marks):
    if not marks:
        blobs.path(sha(BIG)).with_suffix(".marks").unlink()
    flip(directory / NAME, 5)
    with pytest.raises(IncompleteError) as caught:
        repaired(directory, Source({NAME: BIG[:1000]}))
    assert caught.value.message.id == "verify.short_source"


def test_no_space_is_told_before_anything_is_fetched(directory, monkeypatch):
    flip(directory / NAME, 5)
    monkeypatch.setattr(files, "free_bytes", lambda _path: 1000)
    source = Source(CONTENT)
    with pytest.raises(NoSpaceError) as caught:
        repaired(directory, source)
    assert (caught.value.message.id, source.asked) == ("verify.no_space", [])


def test_an_engine_that_has_the_damaged_file_open_keeps_it(directory):
    flip(directory / NAME, 5)
    with (directory / NAME).open("rb") as held:
        repaired(directory, Source(CONTENT))
        held.seek(5)
        assert held.read(1) != BIG[5:6]


@pytest.mark.parametrize("linkable", [True, False], ids=["same file system", "another one"])
def test_a_directory_outside_the_store_is_repaired_where_it_is(home, directory, tmp_path, monkeypatch, linkable):
    outside = tmp_path / "somewhere" / "copy"
    shutil.copytree(directory, outside)
    flip(outside / NAME, 5)

    def refuse(*_args, **_kwargs):
        raise OSError(errno.EXDEV, "another file system")

    if not linkable:
        monkeypatch.setattr(os, "link", refuse)
    bench = repair.Bench(
        directory=outside,
        models=home / "models",
        blobs=Blobs(home / "blobs"),
        open_source=no_source,
        progress=lambda _path, _count: None,
        waiting=pytest.fail,
    )
    (file,) = (file for file in store.read_lock(outside).files if file.path == NAME)
    assert repair.repair_file(bench, file).fetched == ()
    assert (outside / NAME).read_bytes() == BIG
    assert not (outside / NAME).is_symlink(), "`gc` does not know that it is needed"
    assert [path.name for path in outside.parent.iterdir()] == ["copy"]
