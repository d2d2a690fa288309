"""Every fault of a file is found and named; what is read once is not read again; nothing whole is called damaged."""

from __future__ import annotations

import errno
import os
import random

import pytest

from selfhost.errors import MissingError
from selfhost.weights import store, verify
from selfhost.weights.blobs import Blobs
from selfhost.weights.digest import MARK_BYTES, PIECE_BYTES
from selfhost.weights.verify import Reading, Status, Wanted
from tests.weights.storage_support import big, flip, put, put_old, sha

BIG = big()
SIZE = len(BIG)
CONTENT = {"config.json": b"{}", "empty": b"", "model.safetensors": BIG, "sub/x": b"x"}


@pytest.fixture
def directory(home):
    return put(home, CONTENT)


def wanted_of(directory):
    return [Wanted(path=f.path, sha256=f.sha256, size=f.size) for f in store.read_lock(directory).files]


def checked(directory, progress=lambda _done, _total: None):
    marks = Blobs(directory.parents[2] / "blobs").marks
    reading = Reading(workers=2, progress=progress, marks=marks)
    return {one.path: one for one in verify.verify_files(directory, wanted_of(directory), reading)}


def test_a_whole_model(directory):
    seen = []
    found = checked(directory, progress=lambda *step: seen.append(step))
    assert list(found) == list(CONTENT)
    assert {one.status for one in found.values()} == {Status.OK}
    assert found["model.safetensors"].found_sha256 == sha(BIG)
    total = sum(map(len, CONTENT.values()))
    assert seen[-1] == (total, total)


@pytest.mark.parametrize(
    ("offset", "begin", "end"),
    [
        (0, 0, PIECE_BYTES),
        (PIECE_BYTES - 1, 0, PIECE_BYTES),
        (PIECE_BYTES, PIECE_BYTES, 2 * PIECE_BYTES),
        (2 * PIECE_BYTES + 5, 2 * PIECE_BYTES, SIZE),
        (SIZE - 1, 2 * PIECE_BYTES, SIZE),
    ],
    ids=["first byte", "end of the first piece", "begin of the second", "last piece", "last byte"],
)
def test_one_wrong_byte_is_found_and_its_piece_is_named(directory, offset, begin, end):
    flip(directory / "model.safetensors", offset)
    found = checked(directory)
    one = found.pop("model.safetensors")
    assert (one.status, one.begin, one.end, one.size) == (Status.DIGEST, begin, end, SIZE)
    assert one.found_sha256 not in (None, sha(BIG))
    assert {other.status for other in found.values()} == {Status.OK}


@pytest.mark.parametrize("seed", range(5))
def test_of_several_wrong_bytes_the_first_piece_is_named(directory, seed):
    offsets = random.Random(seed).sample(range(SIZE), 3)
    flip(directory / "model.safetensors", *offsets)
    assert checked(directory)["model.safetensors"].begin == min(offsets) // PIECE_BYTES * PIECE_BYTES


def cut(path):
    os.truncate(path, SIZE - 1)


def extend(path):
    with path.open("ab") as stream:
        stream.write(b"\0" * 3)


def folder(path):
    path.unlink()
    path.mkdir()


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def dangling(path):
    path.unlink()
    path.symlink_to("nowhere")


def loop(path):
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("fault", "status", "begin", "end"),
    [
        (cut, Status.SIZE, SIZE - 1, SIZE),
        (extend, Status.SIZE, SIZE, SIZE + 3),
        (lambda path: path.write_bytes(b""), Status.SIZE, 0, SIZE),
        (lambda path: path.unlink(), Status.MISSING, None, None),
        (folder, Status.MISSING, None, None),
        (pipe, Status.MISSING, None, None),
        (dangling, Status.MISSING, None, None),
        (loop, Status.MISSING, None, None),
        (lambda path: path.write_bytes(bytes(SIZE)), Status.DIGEST, 0, PIECE_BYTES),
    ],
    ids=["cut", "extended", "emptied", "gone", "a folder", "a pipe", "a dead link", "a link to itself", "zeros"],
)
def test_faults(directory, fault, status, begin, end):
    fault(directory / "model.safetensors")
    one = checked(directory)["model.safetensors"]
    assert (one.status, one.begin, one.end) == (status, begin, end)


def test_two_files_that_were_swapped(home):
    directory = put(home, {"a": b"aaa", "b": b"bbb"})
    (directory / "a").rename(directory / "c")
    (directory / "b").rename(directory / "a")
    (directory / "c").rename(directory / "b")
    assert {one.status for one in checked(directory).values()} == {Status.DIGEST}


@pytest.mark.parametrize("marks", [b"", b"x" * MARK_BYTES, b"x" * 3 * MARK_BYTES], ids=["none", "too few", "too many"])
def test_without_marks_that_fit_the_whole_file_is_named(directory, marks):
    blobs = Blobs(directory.parents[2] / "blobs")
    blobs.path(sha(BIG)).with_suffix(".marks").write_bytes(marks)
    flip(directory / "model.safetensors", SIZE - 1)
    one = checked(directory)["model.safetensors"]
    assert (one.status, one.begin, one.end) == (Status.DIGEST, 0, SIZE)


def test_a_model_of_an_older_selfhost(home):
    directory = put_old(home, CONTENT)
    assert {one.status for one in checked(directory).values()} == {Status.OK}
    flip(directory / "model.safetensors", SIZE - 1)
    one = checked(directory)["model.safetensors"]
    assert (one.status, one.begin, one.end) == (Status.DIGEST, 0, SIZE)


class Failing:
    """A file on a disk with a bad sector."""

    def __init__(self, good: int) -> None:
        self.good = good

    def readinto(self, view):
        if self.good <= 0:
            raise OSError(errno.EIO, "Input/output error")
        self.good -= len(view)
        return len(view)


def test_a_bad_sector_is_damage_at_its_place(directory, monkeypatch):
    real = verify._read
    monkeypatch.setattr(
        verify, "_read", lambda stream, digest, tick: real(Failing(PIECE_BYTES + 5), digest, tick) if stream else None
    )
    one = checked(directory)["model.safetensors"]
    assert (one.status, one.begin, one.end) == (Status.DIGEST, PIECE_BYTES, 2 * PIECE_BYTES)
    assert one.found_sha256 is None


def test_a_file_that_may_not_be_read_is_no_damage(directory, monkeypatch):
    real = type(directory).open

    def refuse(self, *args, **kwargs):
        if self.name == "model.safetensors":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(type(directory), "open", refuse)
    with pytest.raises(MissingError) as caught:
        checked(directory)
    assert caught.value.message.id == "model.not_readable"


def test_extra_files_are_told(directory):
    (directory / "notes.txt").write_bytes(b"1234")
    (directory / "sub" / "y").write_bytes(b"")
    found = verify.extra_files(directory, CONTENT)
    assert [(one.path, one.status, one.size) for one in found] == [
        ("notes.txt", Status.EXTRA, 4),
        ("sub/y", Status.EXTRA, 0),
    ]


# SHA256SUMS


def test_digests_as_sha256sum_writes_them():
    text = f"{sha(b'a')}  a\n{sha(b'b').upper()} *./sub/b c\n\n"
    assert verify.parse_sums(text) == (
        Wanted(path="a", sha256=sha(b"a"), size=None),
        Wanted(path="sub/b c", sha256=sha(b"b"), size=None),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("hello", "line 1 is not"),
        (f"{'0' * 64}  ok\n{'0' * 63}  short", "line 2"),
        (f"{'0' * 64}  ../x", "no path inside"),
        (f"{'0' * 64}  x\n{'1' * 64}  x", "another digest"),
    ],
    ids=["words", "short", "outside", "twice"],
)
def test_what_is_no_list_of_digests(text, problem):
    with pytest.raises(ValueError, match=problem):
        verify.parse_sums(text)
