"""The store: a model is whole under its final name, or not there."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import threading

import pytest

from selfhost import files
from selfhost.errors import IntegrityError, MissingError
from selfhost.weights import store, touched
from selfhost.weights.lock import LOCK_NAME, LockedFile, ModelLock, Origin, path_problem
from tests.weights.storage_support import put, sha

REPAIR = "see what is wrong, and fetch only that: `selfhost verify {d} --repair`"
ORIGIN = Origin(kind="wheel", id="x", revision="1", sha256="0" * 64)


@pytest.fixture
def directory(home):
    path = store.model_directory(home / "models", "tiny", "bf16")
    path.parent.mkdir(parents=True)
    return path


def made(directory):
    with store.hold(directory, pytest.fail), store.prepare(directory, ORIGIN) as (work, model):
        (work / "scratch").write_text("x")
        (model / "weights").write_bytes(b"abc")
        (model / "weights").chmod(0o600)
    return directory


def test_a_prepared_model_has_its_lock_and_nothing_beside_it(directory):
    made(directory)
    lock = store.look_up(directory)
    assert lock is not None
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert lock.files == (LockedFile(path="weights", size=3, sha256=abc),)
    assert (lock.recipe, lock.variant, lock.source, lock.total_bytes) == ("tiny", "bf16", ORIGIN, 3)
    assert sorted(path.name for path in directory.parent.iterdir()) == [".bf16.lock", "bf16"]
    body = json.loads((directory / LOCK_NAME).read_text())
    assert body["schema_version"] == 1


def test_every_user_may_read_it(directory):
    made(directory)
    assert oct((directory / "weights").stat().st_mode & 0o777) == "0o644"
    assert oct(directory.stat().st_mode & 0o777) == "0o755"


def test_a_failure_leaves_nothing(directory):
    def interrupted():
        with store.prepare(directory, ORIGIN) as (work, _):
            (work / "half").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(directory.parent.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(directory):
    left = directory.parent / ".bf16.part-killed"
    (left / "model").mkdir(parents=True)
    other = directory.parent / ".fp8.part-alive"
    other.mkdir()
    made(directory)
    assert not left.exists()
    assert other.exists()


def test_absent_is_none(directory):
    assert store.look_up(directory) is None


@pytest.mark.parametrize(
    ("change", "detail", "hint"),
    [
        (lambda d: (d / "weights").write_bytes(b"ab"), "`{d}/weights` has 2 bytes, 3 were written", REPAIR),
        (lambda d: (d / "weights").unlink(), "`{d}/weights`: No such file or directory", REPAIR),
        (
            lambda d: (d / LOCK_NAME).unlink(),
            "`{d}/selfhost-model.json` is missing or damaged",
            "nothing says what its files should be: `selfhost rm {d} --yes`, then run the same command again",
        ),
    ],
    ids=["other size", "missing", "no lock"],
)
def test_a_damaged_copy_is_refused_with_what_to_do(directory, change, detail, hint):
    change(made(directory))
    with pytest.raises(IntegrityError) as caught:
        store.look_up(directory)
    message = caught.value.message
    assert message.what == "the copy of `tiny (bf16)` in the store is damaged"
    assert message.why == detail.format(d=directory)
    assert message.hint == hint.format(d=directory)


def test_a_copy_of_a_newer_selfhost_is_not_touched(directory):
    made(directory)
    (directory / LOCK_NAME).write_text('{"schema_version": 2}')
    with pytest.raises(IntegrityError) as caught:
        store.look_up(directory)
    assert caught.value.message.id == "model.newer_store"


def test_a_second_process_waits_and_says_so(directory):
    said, entered = [], threading.Event()

    def second():
        with store.hold(directory, lambda: said.append("waiting")):
            entered.set()

    with store.hold(directory, pytest.fail):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.2)
    thread.join(5)
    assert (said, entered.is_set()) == (["waiting"], True)


def test_a_store_that_cannot_be_written():
    # Nobody, not even root, can make a file there.
    directory = store.model_directory(store.Path("/sys/selfhost"), "tiny", "bf16")
    with pytest.raises(MissingError) as caught, store.hold(directory, pytest.fail):
        pass
    assert int(caught.value.code) == 4
    assert caught.value.message.what.startswith("cannot write to `/sys/selfhost")
    assert f"uid {os.getuid()}" in caught.value.message.hint


# Publishing from contents


def test_a_model_is_links_to_contents(home):
    directory = put(home, {"config.json": b"{}", "sub/dir/x.json": b"x"})
    lock = store.look_up(directory)
    assert [file.path for file in lock.files] == ["config.json", "sub/dir/x.json"]
    blobs = store.blobs_beside(directory)
    assert (directory / "sub/dir/x.json").samefile(blobs.path(sha(b"x")))
    assert oct((directory / "sub").stat().st_mode & 0o777) == "0o755"


def test_two_models_share_what_is_the_same(home):
    one, two = put(home, {"a": b"same"}), put(home, {"b": b"same"}, variant="fp8")
    assert (one / "a").samefile(two / "b")


def test_a_prepared_model_becomes_contents_too(directory):
    made(directory)
    assert (directory / "weights").samefile(store.blobs_beside(directory).path(sha(b"abc")))


def test_symbolic_links_hold_after_the_rename(home, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(errno.EPERM, "refused")

    put(home, {"sub/x": b"x", "y": b"y"}, variant="other")
    monkeypatch.setattr(os, "link", refuse)
    directory = put(home, {"sub/x": b"x", "y": b"y"})
    assert (directory / "sub/x").is_symlink()
    assert (directory / "sub/x").read_bytes() == b"x"
    assert store.look_up(directory) is not None


def test_a_model_in_use_is_replaced_and_removed_under_its_user(home):
    directory = put(home, {"a": b"old"})
    with (directory / "a").open("rb") as held:
        put(home, {"a": b"new!"})
        assert (directory / "a").read_bytes() == b"new!"
        with store.hold(directory, pytest.fail):
            store.remove(directory)
        assert held.read() == b"old"
    assert sorted(path.name for path in directory.parent.iterdir()) == [".bf16.lock"]


def test_a_model_that_was_being_replaced_comes_back(home):
    directory = put(home, {"a": b"old"})
    directory.rename(directory.parent / ".bf16.old-killed")
    (directory.parent / ".bf16.gone-killed").mkdir()
    with store.hold(directory, pytest.fail):
        assert store.look_up(directory) is not None
    assert sorted(path.name for path in directory.parent.iterdir()) == [".bf16.lock", "bf16"]


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\\b", "a\0b", "a\nb", LOCK_NAME, "x" * 300, "a/"],
    ids=repr,
)
def test_a_lock_that_leads_out_of_the_directory_is_refused(directory, path):
    made(directory)
    body = json.loads((directory / LOCK_NAME).read_text())
    body["files"][0]["path"] = path
    (directory / LOCK_NAME).write_text(json.dumps(body))
    with pytest.raises(IntegrityError, match="damaged"):
        store.look_up(directory)
    lock = ModelLock(recipe="a", variant="b", source=ORIGIN, files=(LockedFile(path=path, size=1, sha256="0" * 64),))
    with pytest.raises(IntegrityError) as caught:
        store.publish(directory, lock, store.blobs_beside(directory))
    assert caught.value.message.id == "storage.bad_paths"


def test_a_name_that_is_a_file_and_a_folder_is_refused():
    assert path_problem(["a/b/c", "a/b"]) == "'a/b' is a file and a folder"
    assert path_problem(["a", "a"]) == "'a' is listed twice"
    assert path_problem(["a/b", "a/c", "ab", "模型.json"]) == ""


def test_folders_of_a_model_whose_name_begins_alike_are_left_alone(home):
    put(home, {"a": b"1"}, "org", "tiny.old-1")
    others = home / "models" / "org" / ".tiny.old-1.old-abcdefgh"
    others.mkdir()
    (others / "a").write_text("of another model")
    directory = store.model_directory(home / "models", "org", "tiny")
    with store.hold(directory, pytest.fail):
        assert not directory.exists()
    assert (others / "a").exists()


OLD = (1_000_000_000, 1_000_000_000)


def test_a_file_that_took_the_place_of_a_link_is_read_again_whatever_its_time(home, tmp_path):
    """As `rsync -a` and `mv` leave it. What links to a content has its inode, and is no suspect."""
    directory = put(home, {"a": b"right", "b": b"other"})
    lock = store.read_lock(directory)
    for path in directory.iterdir():
        os.utime(path, OLD)
    assert touched.written_since(directory, lock) == ()
    (tmp_path / "a").write_bytes(b"wrong")
    os.utime(tmp_path / "a", OLD)
    (tmp_path / "a").replace(directory / "a")
    assert [file.path for file in touched.written_since(directory, lock)] == ["a"]


def test_a_file_system_that_cannot_sync_folders_is_no_failure(directory, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert store.look_up(made(directory)) is not None


def test_a_failing_sync_of_a_file_is_one(tmp_path, monkeypatch):
    (tmp_path / "a").touch()

    def fsync(_descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    for path in (tmp_path, tmp_path / "a"):
        with pytest.raises(OSError, match="Input/output"):
            files.sync(path)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, code):
    def flock(_descriptor, _kind):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(MissingError) as caught, files.hold_lock(tmp_path / "lock"):
        pytest.fail("got a lock")
    assert caught.value.message.id == "move.no_locks"


def test_a_file_that_does_not_go_yet_does_not_keep_a_model(directory, monkeypatch):
    """NFS keeps what is open under another name in the folder."""
    made(directory)
    monkeypatch.setattr(shutil.rmtree.__globals__["os"], "rmdir", lambda *_args, **_more: not_empty())
    with store.hold(directory, pytest.fail):
        store.remove(directory)
    assert not directory.exists()


def not_empty():
    raise OSError(errno.ENOTEMPTY, "Directory not empty")
