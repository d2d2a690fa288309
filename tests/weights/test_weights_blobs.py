"""Contents: each once, whole under its name, readable by all; locks between who needs them and who removes them."""

from __future__ import annotations

import errno
import os

import pytest

from selfhost import files
from selfhost.errors import IntegrityError, NoSpaceError
from selfhost.weights.blobs import Blobs, Linked
from selfhost.weights.digest import MARK_BYTES, Digest
from tests.weights.storage_support import big, sha

ABC = sha(b"abc")


@pytest.fixture
def blobs(home):
    return Blobs(home / "blobs")


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source"
    path.write_bytes(b"abc")
    path.chmod(0o600)
    return path


@pytest.fixture
def taken(blobs, source):
    blobs.copy_in(source)
    return blobs


def no_link(code):
    def link(_source, _target, **_):
        raise OSError(code, os.strerror(code))

    return link


@pytest.mark.parametrize("link", [False, True], ids=["copied", "linked"])
def test_a_file_that_was_taken_in_lies_under_its_digest(blobs, source, link):
    assert blobs.copy_in(source, link=link) == (ABC, 3)
    path = blobs.path(ABC)
    assert path.read_bytes() == b"abc"
    assert path.relative_to(blobs.root).as_posix() == f"sha256/ba/{ABC}"
    assert oct(path.stat().st_mode & 0o777) == "0o644"
    assert path.samefile(source) is link
    assert (blobs.has(ABC), blobs.has(ABC, 3), blobs.has(ABC, 4), blobs.has(sha(b"x"))) == (True, True, False, False)
    assert list((blobs.root / "partial").iterdir()) == []


def test_of_a_link_the_file_itself_is_taken_in(blobs, source, tmp_path):
    (tmp_path / "name").symlink_to(source)
    blobs.copy_in(tmp_path / "name", link=True)
    assert not blobs.path(ABC).is_symlink()
    assert source.exists()


@pytest.mark.parametrize(("size", "marks"), [(3, 0), (None, 2)], ids=["small", "three pieces"])
def test_marks_are_kept_beside_what_has_several_pieces(blobs, source, size, marks):
    data = big()[:size]
    source.write_bytes(data)
    digest, _ = blobs.copy_in(source)
    wanted = Digest()
    wanted.update(data)
    assert (blobs.marks(digest), len(wanted.marks)) == (wanted.marks, marks * MARK_BYTES)
    assert list(blobs.digests()) == [digest]
    assert list(blobs.strays()) == []


@pytest.mark.parametrize("expected", [{"expected_sha256": sha(b"abd")}, {"expected_size": 4}], ids=["digest", "size"])
def test_another_content_than_expected_is_refused(blobs, source, expected):
    with pytest.raises(IntegrityError) as caught:
        blobs.copy_in(source, **expected)
    assert caught.value.message.id == "storage.other_content"
    assert ABC in caught.value.message.why
    assert not blobs.has(ABC)
    assert list((blobs.root / "partial").iterdir()) == []


def test_what_is_there_stays_the_file_that_links_lead_to(blobs, source, tmp_path):
    blobs.copy_in(source)
    first = blobs.path(ABC).stat().st_ino
    blobs.copy_in(source)
    assert blobs.path(ABC).stat().st_ino == first
    new = tmp_path / "new"
    new.write_bytes(b"abc")
    blobs.adopt(new, ABC, b"", replace=True)
    assert blobs.path(ABC).stat().st_ino != first
    assert not new.exists()


def test_what_went_bad_since_is_replaced_by_what_was_just_verified(blobs, source):
    blobs.copy_in(source)
    blobs.path(ABC).write_bytes(b"abd")
    blobs.copy_in(source)
    assert blobs.path(ABC).read_bytes() == b"abc"


@pytest.mark.parametrize(
    ("code", "how"),
    [
        (None, Linked.HARD),
        (errno.EPERM, Linked.SYMBOLIC),
        (errno.EXDEV, Linked.SYMBOLIC),
        (errno.ENOTSUP, Linked.SYMBOLIC),
        (errno.EMLINK, Linked.COPY),
    ],
    ids=["linked", "refused", "other file system", "not supported", "too many"],
)
def test_a_link_is_had_in_whatever_way_the_file_system_allows(taken, tmp_path, monkeypatch, code, how):
    if code:
        monkeypatch.setattr(os, "link", no_link(code))
    target = tmp_path / "file"
    assert taken.link(ABC, target) is how
    assert target.read_bytes() == b"abc"
    assert target.is_symlink() is (how is Linked.SYMBOLIC)
    if how is Linked.SYMBOLIC:
        assert not target.readlink().is_absolute()


def test_a_file_system_without_any_links_gets_a_copy(taken, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_link(errno.EPERM))
    monkeypatch.setattr(type(tmp_path), "symlink_to", no_link(errno.EPERM))
    assert taken.link(ABC, tmp_path / "file") is Linked.COPY
    assert (tmp_path / "file").read_bytes() == b"abc"


def test_a_full_disk_while_linking_is_not_taken_for_a_refusal(blobs, source, tmp_path, monkeypatch):
    blobs.copy_in(source)
    monkeypatch.setattr(os, "link", no_link(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        blobs.link(ABC, tmp_path / "file")


def test_who_needs_contents_keeps_who_removes_them_away(blobs):
    with blobs.in_use(), blobs.in_use(), blobs.sole_use() as got:
        assert not got
    with blobs.sole_use() as got:
        assert got


def test_a_copy_has_all_bytes(tmp_path):
    (tmp_path / "a").write_bytes(big(size=3_000_001))
    files.copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == big(size=3_000_001)


def test_a_copy_is_plain_where_the_kernel_does_not_do_it(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"what was there before")
    files.copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"abc"


@pytest.mark.parametrize("data", [b"abc", big()], ids=["small", "with marks"])
def test_a_content_that_was_written_to_is_not_right(blobs, source, data):
    source.write_bytes(data)
    sha256, size = blobs.copy_in(source)
    assert blobs.is_right(sha256, size)
    assert not blobs.is_right(sha256, size + 1)
    path = blobs.path(sha256)
    later = path.stat().st_mtime + 10
    os.utime(path, (later, later))
    assert blobs.is_right(sha256)
    with path.open("r+b") as stream:
        stream.write(b"x")
    os.utime(path, (later + 20, later + 20))
    assert not blobs.is_right(sha256)


def test_with_marks_that_are_newer_nothing_is_read(blobs, source, monkeypatch):
    source.write_bytes(big())
    sha256, size = blobs.copy_in(source)
    monkeypatch.setattr("selfhost.weights.blobs.digest_stream", lambda *_args: pytest.fail("it was read"))
    assert blobs.is_right(sha256, size)


@pytest.mark.parametrize("name", ["../../../etc/passwd", "ab", "", "AB" * 32])
def test_what_is_no_digest_leads_nowhere(blobs, name):
    with pytest.raises(ValueError, match=repr(name)):
        blobs.path(name)


def test_a_file_system_that_takes_no_large_files_is_a_lack_of_space(blobs, source, monkeypatch):
    def full(*_args):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr("selfhost.weights.blobs._copy", full)
    with pytest.raises(NoSpaceError) as caught:
        blobs.copy_in(source)
    assert caught.value.message.id == "move.too_large"
    assert not list(blobs.root.glob("partial/*.part"))
